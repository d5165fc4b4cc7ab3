"""Scratch files of a graph that is larger than memory: rows dealt to parts, and columns read by place.

All is uint64. A spool takes rows in any order and gives back those of one part; a column is written and read by
ranges of places.

    spool.add(ranks // span, rows)        spool.blocks(3)     the rows of part 3, block by block
    column.write(0, rows)                 column.read(0, 10)  rows 0 to 9
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dedup.columns import frozen
from kernels.ranges import deal

# A node of a range costs up to this many bytes while it is sorted: its rows, their copy in order, columns, codes.
_NODE_BYTES, _WORD_BYTES = 96, 40
# A pair while its range is decided: two ends, the blocks they came in, the copy by node.
_PAIR_BYTES = 48
_MOST_BUFFER = 32 << 20


@dataclass(frozen=True)
class Sizes:
    """How much is held at once: `span` nodes of a range, `block` bytes read, `buffer` bytes of a spool before they
    are written, `inner` pairs inside a range."""

    span: int
    block: int
    buffer: int
    inner: int

    @classmethod
    def within(cls, memory: int, words: int) -> Sizes:
        """For a budget in bytes and order words of a node. Under a megabyte or so the floors here count more than the
        budget."""
        return cls(
            span=max(1024, memory // 3 // (_NODE_BYTES + _WORD_BYTES * words)),
            block=min(max(1 << 14, memory // 32), _MOST_BUFFER),
            buffer=min(max(1 << 14, memory // 24), _MOST_BUFFER),
            inner=max(1024, memory // 6 // _PAIR_BYTES),
        )


class Spool:
    """Rows of `width` words in a file for each of `parts` parts: PREFIX.0, PREFIX.1, ..."""

    def __init__(self, prefix: Path, width: int, parts: int, sizes: Sizes):
        self.rows = 0
        self._prefix, self._parts = prefix, parts
        self._width, self._block = width, max(1, sizes.block // (8 * width))
        self._room = max(1, sizes.buffer // (8 * width))
        self._ends = np.zeros(parts, np.int64)
        self._let_go()

    def _let_go(self) -> None:
        self._rows = self._dealt = np.empty((0, self._width), np.uint64)
        self._of = np.empty(0, np.int32)
        self._held = 0

    def _take(self) -> None:
        self._rows = np.empty((self._room, self._width), np.uint64)
        self._dealt = np.empty_like(self._rows) if self._parts > 1 else self._rows
        self._of = np.empty(self._room, np.int32)

    def __len__(self) -> int:
        """The number of parts."""
        return self._parts

    def add(self, parts: np.ndarray | int, rows: np.ndarray) -> None:
        """Rows of any 64-bit type (n, width) to parts (n,), or all to one."""
        rows = rows.view(np.uint64)
        self.rows += len(rows)
        start = 0
        if len(rows) and not len(self._rows):
            self._take()
        while start < len(rows):
            if self._held == len(self._rows):
                self._write()
            n = min(len(rows) - start, len(self._rows) - self._held)
            place = slice(self._held, self._held + n)
            self._rows[place] = rows[start : start + n]
            self._of[place] = parts[start : start + n] if isinstance(parts, np.ndarray) else parts
            self._held += n
            start += n

    def _write(self) -> None:
        rows = self._rows[: self._held]
        if self._parts > 1:
            deal(frozen(rows, np.uint64), frozen(self._of[: self._held], np.int32), self._ends, self._dealt)
        else:
            self._ends[0] = self._held
        start = 0
        for part, end in enumerate(self._ends.tolist()):
            if end > start:
                with open(self._file(part), "ab") as file:
                    file.write(self._dealt[start:end].data)
            start = end
        self._held = 0

    def blocks(self, part: int) -> Iterator[np.ndarray]:
        """The rows of one part, uint64 (n, width), in the order they came; none may come to it meanwhile. What is held of all
        parts is written and let go."""
        if self._held:
            self._write()
        self._let_go()
        width = self._width
        if not self._file(part).exists():
            return
        with open(self._file(part), "rb", buffering=0) as file:
            while len(words := np.fromfile(file, np.uint64, self._block * width)):
                yield words.reshape(-1, width)

    def whole(self, part: int) -> np.ndarray:
        """The rows of one part at once."""
        return np.concatenate([np.empty((0, self._width), np.uint64), *self.blocks(part)])

    def size(self, part: int) -> int:
        """Rows of one part."""
        if self._held:
            self._write()
        file = self._file(part)
        return file.stat().st_size // (8 * self._width) if file.exists() else 0

    def drop(self, part: int) -> None:
        """Removes one part."""
        self._file(part).unlink(missing_ok=True)

    def _file(self, part: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.{part}")


class Column:
    """Rows of `width` words by place in one file."""

    def __init__(self, file: Path, width: int, rows: int = 0):
        self._file, self._width = file, width
        with open(file, "xb") as new:
            new.truncate(rows * width * 8)

    def write(self, low: int, rows: np.ndarray) -> None:
        """Rows (n, width), or (n,) of one word, from place `low` on."""
        with open(self._file, "r+b") as file:
            file.seek(low * self._width * 8)
            file.write(np.ascontiguousarray(rows).data)

    def read(self, low: int, high: int) -> np.ndarray:
        """Rows low to high - 1: uint64 (n, width)."""
        words = np.fromfile(self._file, np.uint64, (high - low) * self._width, offset=low * self._width * 8)
        return words.reshape(-1, self._width)


class Room:
    """A scratch folder and what is held at once."""

    def __init__(self, folder: str | Path, sizes: Sizes):
        self.folder, self.sizes = Path(folder), sizes

    def spool(self, name: str, width: int, parts: int) -> Spool:
        """A new one."""
        return Spool(self.folder / name, width, parts, self.sizes)

    def column(self, name: str, width: int, rows: int = 0) -> Column:
        """A new one, `rows` of zeros."""
        return Column(self.folder / name, width, rows)
