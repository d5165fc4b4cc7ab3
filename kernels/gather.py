"""Rows of ragged arrays copied together. The twin is a list comprehension (tests/test_sets.py)."""

# mypy: disable-error-code="no-untyped-def"

from kernels.compile import kernel


@kernel
def copy_rows(values, offsets, rows, out, at):
    """out[at[i]:] = values[offsets[rows[i]]:offsets[rows[i] + 1]] for each i."""
    for i in range(len(rows)):
        start, place = offsets[rows[i]], at[i]
        for j in range(offsets[rows[i] + 1] - start):
            out[place + j] = values[start + j]
