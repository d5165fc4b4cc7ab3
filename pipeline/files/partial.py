"""A file on object storage of which parts are wanted: a local file of its size that is filled in as they are asked for.

    with Partial("s3://bucket/out/.work/refine/000003.shingles.u64", size) as file:
        file.fetch(starts, ends)            # bytes; those that are there already are not fetched again
        np.memmap(file.path, ...)           # elsewhere it holds zeros
        file.seek(100); file.read(20)       # fetches what it reads

Bytes come in blocks; wanted blocks with a small gap between them come in one request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from pipeline.errors import StorageError
from pipeline.files import storage
from pipeline.files.seekable import SeekableFile

BLOCK = 16 << 10
GAP = 32
"""Blocks that are fetched unasked rather than asked around: 512 KB take as long as a request."""
AHEAD = 4
"""Blocks that a read fetches at least: a record batch of up to 64 KB and what is said of it come in one request."""
MOST = 512
"""Blocks of a request: 8 MB, of which THREADS are held at once."""
THREADS = 8


class Partial(SeekableFile):
    """A readable file; its local copy is gone when it is closed. Errors: StorageError."""

    size: int

    def __init__(self, remote: str, size: int) -> None:
        super().__init__()
        self.name, self.size, self.path = remote, size, storage.temp_for(remote)
        self._here = np.zeros(-(-size // BLOCK), bool)
        # opened anew for each use: there may be as many of these as shards, and a process has few descriptors
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        os.truncate(self.path, size)
        # the end of an Arrow file says where everything else is
        self._wanted_end = max(0, size - AHEAD * BLOCK)

    def fetch(self, starts: np.ndarray, ends: np.ndarray) -> None:
        """Makes sure that bytes starts[i] .. ends[i] - 1 are in the local file, for all i. int64 (n,)."""
        some = ends > starts
        change = np.zeros(len(self._here) + 1, np.int64)
        np.add.at(change, starts[some] // BLOCK, 1)
        np.add.at(change, (ends[some] - 1) // BLOCK + 1, -1)
        missing = np.flatnonzero((np.cumsum(change[:-1]) > 0) & ~self._here)
        runs = list(_runs(missing))
        if len(runs) == 1:
            self._load(runs[0])
        elif runs:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(self._load, runs))
        for first, last in runs:
            self._here[first : last + 1] = True

    def _load(self, run: tuple[int, int]) -> None:
        start, end = run[0] * BLOCK, min((run[1] + 1) * BLOCK, self.size)
        data = storage.read_range(self.name, start, end)
        if len(data) != end - start:
            raise StorageError(f"{self.name}: asked for bytes {start} to {end}, got {len(data)}. It has changed.")
        with open(self.path, "r+b") as file:
            os.pwrite(file.fileno(), data, start)

    # -- as a file -----------------------------------------------------------------------------------

    def readinto(self, buffer: Any) -> int:
        start, end = self._at, min(self._at + len(buffer), self.size)
        if start >= end:
            return 0
        first, last = start // BLOCK, (end - 1) // BLOCK
        if not self._here[first : last + 1].all():
            from_end = start >= self._wanted_end
            more = (self._wanted_end if from_end else start, min(max(end, start + AHEAD * BLOCK), self.size))
            self.fetch(np.array([more[0]]), np.array([more[1]]))
        with open(self.path, "rb") as file:
            buffer[: end - start] = os.pread(file.fileno(), end - start, start)
        self._at = end
        return end - start

    def close(self) -> None:
        if not self.closed:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
        super().close()


def _runs(blocks: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, last) of runs of ascending blocks with gaps up to GAP, of up to MOST blocks."""
    if not len(blocks):
        return
    cuts = np.flatnonzero(np.diff(blocks) > GAP + 1) + 1
    for run in np.split(blocks, cuts):
        for first in range(int(run[0]), int(run[-1]) + 1, MOST):
            yield first, min(first + MOST - 1, int(run[-1]))
