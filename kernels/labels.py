"""Labels of texts. The twin is in tests/test_labels.py."""

# mypy: disable-error-code="no-untyped-def"

from kernels.compile import kernel


@kernel
def extremes(rows, first, found):
    """Rows (int64: text, document, label) into `found` (int64, a row for each text from `first` on: the smallest label's
    first document, that label, the largest label's first document, that label; -1 for no document)."""
    for i in range(len(rows)):
        text, doc, label = rows[i, 0] - first, rows[i, 1], rows[i, 2]
        low, high = found[text, 1], found[text, 3]
        if found[text, 0] < 0 or label < low or (label == low and doc < found[text, 0]):
            found[text, 0], found[text, 1] = doc, label
        if found[text, 2] < 0 or label > high or (label == high and doc < found[text, 2]):
            found[text, 2], found[text, 3] = doc, label
