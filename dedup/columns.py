"""Arrow text columns as the buffers that kernels read."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from kernels.utf8 import char_counts as count_chars

Column: TypeAlias = pa.Array | pa.ChunkedArray


def text_buffers(texts: Column) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(offsets int64 (rows + 1), data uint8) of each chunk, read-only and without a copy where Arrow allows; the
    first offset need not be 0. Any string type, slices, nulls (as "")."""
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        if not pa.types.is_large_string(chunk.type):
            chunk = chunk.cast(pa.large_string())
        if chunk.null_count:
            chunk = chunk.fill_null("")
        if not len(chunk):
            continue
        _, offsets, data = chunk.buffers()
        rows = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        yield frozen(rows, np.int64), frozen(np.frombuffer(data or b"", np.uint8), np.uint8)


def row_blocks(offsets: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that together have up to `limit` bytes, or are one row."""
    low, rows = 0, len(offsets) - 1
    while low < rows:
        high = max(low + 1, int(np.searchsorted(offsets, offsets[low] + limit, side="right")) - 1)
        yield low, min(high, rows)
        low = high


def char_counts(texts: Column) -> np.ndarray:
    """The characters (code points) of each text, int64. Null counts as ""."""
    counts = np.empty(len(texts), np.int64)
    low = 0
    for offsets, data in text_buffers(texts):
        high = low + len(offsets) - 1
        count_chars(offsets, data, counts[low:high])
        low = high
    return counts


def frozen(array: Any, dtype: Any) -> np.ndarray:
    """A contiguous read-only view (a copy if need be): a kernel is compiled again for each kind of array that it
    meets, and inputs from files are read-only."""
    view = np.ascontiguousarray(array, dtype).view(np.ndarray)[:]
    view.flags.writeable = False
    return view
