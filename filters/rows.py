"""For edits written in Python: the rows that may change, one by one, the others not touched."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.texts import Texts


def plain(texts: Texts) -> pa.Array:
    """The texts as one large_string array, with its nulls."""
    array = texts.array.cast(pa.large_string())  # before the chunks come together: that may be more than 2 GiB
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def edit_rows(texts: Texts, candidates: Any, mend: Callable[[str], str]) -> pa.Array:
    """`mend(text)` for the texts where `candidates`, an Arrow boolean array, is true; large_string, null stays null."""
    array = plain(texts)
    rows = np.flatnonzero(np.asarray(pc.fill_null(candidates, False)))
    given = array.take(pa.array(rows)).to_pylist()
    mended = [mend(text) for text in given]
    changed = [at for at, text in enumerate(mended) if text != given[at]]
    return put_rows(array, rows[changed], [mended[at] for at in changed])


def put_rows(array: pa.Array, rows: np.ndarray, values: Sequence[str]) -> pa.Array:
    """The array with `values` at `rows`, which rise."""
    if not len(rows):
        return array
    mask = np.zeros(len(array), bool)
    mask[rows] = True
    return pc.replace_with_mask(array, pa.array(mask), pa.array(values, pa.large_string()))


def pattern_of(expression: str, where: str) -> str:
    """`expression` if Python can read it as a regular expression. Errors: ValueError."""
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(
            f"{where}: {expression!r} is no regular expression ({error}); "
            f"put a backslash before ( ) [ ] {{ }} . * + ? | that mean themselves"
        ) from None
    return expression
