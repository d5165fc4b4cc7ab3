"""Rows of ragged arrays read together from a file. The twin is a list comprehension (tests)."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numba import types

from kernels.compile import kernel
from kernels.memory import pointer, shifted

# of the C library: bytes read, 0 at the end of the file, -1 for an error
_pread: Any = types.ExternalFunction(
    "pread", types.int64(types.int32, types.CPointer(types.uint64), types.uint64, types.int64)
)

_WILL_NEED = 3  # of fcntl.h
_advise: Any = types.ExternalFunction("posix_fadvise", types.int32(types.int32, types.int64, types.int64, types.int32))


@kernel
def read_spans(handle, starts, ends, out, at):
    """out[at[i]:] = values[starts[i]:ends[i]] for each i, of a file of uint64 (little-endian) that is open at `handle`; spans that
    lie side by side in both are read together. The number of spans that are there: fewer than asked for if the file ends before,
    or cannot be read."""
    first = 0
    while first < len(starts):
        last = first
        while (
            last + 1 < len(starts)
            and starts[last + 1] == ends[last]
            and at[last + 1] - at[last] == ends[last] - starts[last]
        ):
            last += 1
        size, done = ends[last] - starts[first], 0
        while done < 8 * size:
            # a part may come; of whole words, for what is cut is asked for again
            read = _pread(
                np.int32(handle),
                shifted(pointer(out), at[first] + done // 8),
                np.uint64(8 * size - done),
                8 * starts[first] + done,
            )
            if read < 8:
                return first
            done += read // 8 * 8
        first = last + 1
    return first


def _ask_ahead(handle, starts, ends):
    """Tells the system that spans of uint64 of a file will be read. It fetches them side by side; to ask for one when the one before
    is there takes nine times as long on an SSD."""
    for i in range(len(starts)):
        _advise(np.int32(handle), 8 * starts[i], 8 * (ends[i] - starts[i]), np.int32(_WILL_NEED))


def _nothing(handle, starts, ends):
    """In its place where the system has no such call."""


ask_ahead = kernel(_ask_ahead) if hasattr(os, "posix_fadvise") else _nothing
