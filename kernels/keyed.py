"""Which documents are kept where some pairs are of texts and some of documents. The twin is in tests/test_exact_kinds.py."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel

_NONE = -1


@kernel
def keyed_independent_set(start, stop, first, text, ends, beside, key_ends, key_beside, struck, blocked, keeper, why):
    """Takes documents start .. stop - 1 by rank: one is kept unless an equal text, a document beside it by a key, or a
    similar text is kept already.

    `text` int64 (n): the text of each; `beside[ends[t] : ends[t + 1]]` the similar texts of text t;
    `key_beside[key_ends[d] : key_ends[d + 1]]` the documents of equal key of document d. What is known before, and
    afterwards: `struck` (bool): documents with a kept one of equal key; `blocked` (bool) and `keeper` (int64) by text: a
    similar one is kept; the kept document of it, -1 if none, as its number + `first`. Fills `why` uint8: 0 kept,
    1 equal text, 2 key, 3 similar.
    """
    for doc in range(start, stop):
        mine = text[doc]
        if keeper[mine] != _NONE:
            why[doc] = 1
        elif struck[doc]:
            why[doc] = 2
        elif blocked[mine]:
            why[doc] = 3
        else:
            why[doc] = 0
            keeper[mine] = first + doc
            for i in range(key_ends[doc], key_ends[doc + 1]):
                struck[key_beside[i]] = True
            for i in range(ends[mine], ends[mine + 1]):
                blocked[beside[i]] = True


@kernel
def chain(rows, low, last, links):
    """Rows (int64: text of low .. low + len(last) - 1, document), a text's documents ascending; `last`: the document of
    each text before them, and then the last. Fills `links` with (document, the next of its text)."""
    for i in range(len(rows)):
        text = rows[i, 0] - low
        links[i, 0], links[i, 1] = last[text], rows[i, 1]
        last[text] = rows[i, 1]


@kernel
def travel(pairs, low, text, onward, blocked, keeper, out):
    """What becomes of pairs of similar texts (int64 (n, 2 or more): the next document of each, the smaller first and in
    the range of `text`, its documents' texts) once the range is decided. `onward`: the next document of each text behind
    the range, -1 if none.

    Fills `out` with (document behind the range, -1): its text is blocked, or (document, document): neither is decided
    yet. Returns how many."""
    count, high = 0, low + len(text)
    for i in range(len(pairs)):
        a, b = text[pairs[i, 0] - low], np.int64(_NONE)
        there = pairs[i, 1]
        if there < high:
            b = text[there - low]
            there = onward[b]
        here = onward[a]
        decided = blocked[a] or keeper[a] != _NONE or (b != _NONE and (blocked[b] or keeper[b] != _NONE))
        if b == _NONE and keeper[a] != _NONE:
            out[count, 0], out[count, 1] = there, _NONE
            count += 1
        elif here != _NONE and there != _NONE and not decided:
            out[count, 0], out[count, 1] = min(here, there), max(here, there)
            count += 1
    return count
