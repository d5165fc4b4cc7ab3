"""Letters of each script in a column of texts.

"Ab 1 мир"   ->   2 of Latin, 3 of Cyrillic

Which number a code point counts for stands in a table that comes from who calls (filters/scripts.py); 0 is no letter.
"""

from __future__ import annotations

import numpy as np

from kernels.characters import decode
from kernels.compile import kernel
from kernels.memory import get, pointer


def count_scripts(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, table: np.ndarray, scripts: int
) -> np.ndarray:
    """int64 of shape (n, scripts) for the texts data[starts[t]:ends[t]]; column 0 stays 0.

    table: uint8 of kernels.characters.TABLE_SIZE, numbers below `scripts`.
    """
    counts = np.zeros((len(starts), scripts), np.int64)
    _count_column(starts, ends, data, table, counts)
    counts[:, 0] = 0
    return counts


@kernel
def _count_column(starts, ends, data, table, counts):
    for text in range(len(starts)):
        at, end = starts[text], ends[text]
        while at < end:
            code, width = decode(pointer(data), at)
            counts[text, get(pointer(table), code)] += 1
            at += width
