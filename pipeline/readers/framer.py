"""Where records of WARC files begin and end, by Content-Length and by what follows.

An iterator over the whole file stops silently at a damaged member, and then a cut file looks complete. Here a broken record is one
entry, and the next record that can be found is read. Offsets are offsets in the file: of the record if it is plain, of its member
if it is compressed. ARC files have a framer of their own (see `arc`).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from pipeline.readers.decoders import named_compression
from pipeline.readers.rows import Rows
from pipeline.readers.streams import Piece, name_of, pieces

RECORD_LIMIT = 256 << 20  # bytes of one record held in memory; crawlers cut pages at 1 to 20 MB
HEADER_LIMIT = 1 << 20  # bytes of a record's own headers; real ones have about 500
FIRST_LOOK = 1 << 12  # bytes in which nearly all headers end
BEHIND = 64  # bytes behind a record that tell whether its length is right
# a record's first line and the beginning of its second: the version alone stands in many pages about WARC
NEXT_RECORD = re.compile(rb"(?<=[\n\0])WARC/\d\.\d+\r?\n(?=WARC-|Content-)", re.IGNORECASE)
BLANK = re.compile(rb"[\r\n]*")
HEADER_END = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"\n[cC][oO][nN][tT][eE][nN][tT]-[lL][eE][nN][gG][tT][hH]:[ \t]*(\d{1,19})[ \t]*\r?(?=\n)")


class Found(NamedTuple):
    """A whole record, or (with `error`) a place where one should be."""

    offset: int
    data: bytes
    error: str | None = None
    tail: bool = False


class Framer:
    """Cuts a stream of pieces into records."""

    begins = re.compile(rb"WARC/")
    next_record = NEXT_RECORD
    longest_start = 64  # bytes of a `next_record` that the end of a piece may cut

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0  # in the file, of the buffer's first byte
        self._member = 0  # in the file, of the member that came last
        self._plain = True
        self._lost = False  # looking for the next record, dropping what lies before it

    def records(self, stream: Iterator[Piece]) -> Iterator[Found]:
        between = False  # the last member ended and the buffer holds a part of a record
        for piece in stream:
            if piece.error:
                yield from self._break(piece)
                between = False
                continue
            if between and piece.data:
                if self.begins.match(piece.data):
                    yield from self._drop("the member ends before the record does")
                between = False
            if piece.ended and (record := self._only(piece)):
                yield record
                continue
            if piece.data:
                self._take(piece)
            if piece.ended:
                self._plain = False
            yield from self._drain(final=piece.ended)
            between = piece.ended and bool(self._buffer)
        yield from self._finish()

    def _only(self, piece: Piece) -> Found | None:
        """The record of a member that holds one whole record and came in one piece, as most do: it is not copied twice."""
        if self._buffer or self._lost:
            return None
        size = self.size(piece.data, True)
        if not isinstance(size, int) or len(piece.data) > size + 4 or piece.data[size:].strip(b"\r\n"):
            return None
        self._offset = self._member = piece.member
        self._plain = False
        return Found(piece.member, piece.data[:size])

    def _take(self, piece: Piece) -> None:
        if not self._buffer:
            self._offset = piece.member
        self._member = piece.member
        self._buffer += piece.data

    def _drain(self, final: bool) -> Iterator[Found]:
        """All records that are whole. `final`: no more bytes belong to the last one."""
        while self._buffer:
            if self._lost and not self._find_next(final):
                return
            if self._buffer[0] in b"\r\n":
                self._forward(BLANK.match(self._buffer).end())  # type: ignore[union-attr]
            size = self.size(self._buffer, final)
            if isinstance(size, str):
                yield from self._drop(size)
                continue
            if size is None or not self._buffer:
                return
            with memoryview(self._buffer) as view:
                data = bytes(view[:size])
            yield Found(self._offset, data)
            self._forward(size)

    def size(self, buffer: bytes | bytearray, final: bool) -> int | str | None:
        """Bytes of the record at the buffer's start; None if more must be read; a text that says what is
        wrong."""
        size = self.declared(buffer, final)
        if not isinstance(size, int):
            return size
        return self.closed(size, bytes(buffer[size : size + BEHIND]), final) if len(buffer) >= size else None

    def declared(self, buffer: bytes | bytearray, final: bool) -> int | str | None:
        """As `size`, by the record's headers alone."""
        if not buffer.startswith(b"WARC/"[: len(buffer)]):
            return "expected a record that begins with WARC/"
        end = HEADER_END.search(buffer, 0, HEADER_LIMIT)
        if end is None:
            return "its headers do not end" if len(buffer) >= HEADER_LIMIT else None
        length = LENGTH.search(buffer, 0, end.start() + 2)
        if length is None:
            return "it has no Content-Length"
        size = end.end() + int(length[1])
        if size > RECORD_LIMIT:
            return f"it has {size} bytes, the limit is {RECORD_LIMIT}"
        return size

    def closed(self, size: int, behind: bytes, final: bool) -> int | str | None:
        """`size`, if what stands behind the record agrees."""
        if behind.startswith(b"\r\n\r\n") and len(behind) > 4:
            return size
        behind = behind[:16].lstrip(b"\r\n")
        if behind and not behind.startswith(b"WARC/"[: len(behind)]):
            return "its Content-Length does not lead to the next record"
        # what follows must be seen first: it tells whether the length is right, and the member whether its
        # checksum is
        return size if final or len(behind) >= 5 else None

    def first(self, data: mmap.mmap, at: int) -> int:
        """Where the first record begins that `records` finds whole at or behind `at` in a file of plain bytes; its length if
        there is none. Followed by the records' lengths from the file's start; of their bodies nothing is read."""
        place = 0
        while True:
            place = BLANK.match(data, place).end()  # type: ignore[union-attr]
            size = self._size_at(data, place)
            if isinstance(size, int):
                if place >= at:
                    return place
                place += size
            elif found := self.next_record.search(data, place + 1):
                place = found.start()
            else:
                return len(data)

    def _size_at(self, data: mmap.mmap, place: int) -> int | str | None:
        for window in (FIRST_LOOK, HEADER_LIMIT):
            size = self.declared(data[place : place + window], place + window >= len(data))
            if isinstance(size, int):
                behind = place + size
                return self.closed(size, data[behind : behind + BEHIND], True) if behind <= len(data) else None
            if isinstance(size, str):
                return size
        return None

    def _forward(self, count: int) -> None:
        if not count:
            return
        del self._buffer[:count]
        self._offset = self._offset + count if self._plain else self._member

    def _drop(self, error: str) -> Iterator[Found]:
        """The record at the buffer's start is bad: tell it, and look for the next one."""
        yield Found(self._offset, bytes(self._buffer[:1024]), f"BrokenRecord: {error}")
        self._lost = True

    def _find_next(self, final: bool) -> bool:
        """Drop bytes up to the next record's first line."""
        found = self.next_record.search(self._buffer, 1)
        if found:
            self._forward(found.start())
            self._lost = False
            return True
        self._forward(
            max(len(self._buffer) - self.longest_start, 0)
        )  # a first line may be cut by the end of the buffer
        if final:
            self._buffer.clear()
            self._lost = False  # the next member begins with a record
        return False

    def _break(self, piece: Piece) -> Iterator[Found]:
        """A broken member: what was whole in it counts, its last record does not."""
        error = name_of(piece.error) if piece.error else ""
        offset = self._offset if self._buffer else piece.member
        yield Found(
            offset,
            bytes(self._buffer[:1024]),
            f"BrokenMember: {error}",
            tail=isinstance(piece.error, EOFError),
        )
        self._buffer.clear()
        self._lost, self._plain = False, False

    def _finish(self) -> Iterator[Found]:
        """The end of the file: the last record is whole, or cut, or has swallowed others by a wrong
        length."""
        yield from self._drain(final=True)
        while self._buffer and not self._lost:
            inner = self.next_record.search(self._buffer, 1)
            error = "the file ends inside the record" if inner is None else "its Content-Length is too large"
            yield Found(self._offset, bytes(self._buffer[:1024]), f"BrokenRecord: {error}", tail=inner is None)
            self._lost = True
            yield from self._drain(final=True)


def found_in(framer: Framer, stream: BinaryIO, accept: Callable[[bytes], bool], rows: Rows) -> Iterator[Found]:
    """The records of a file or of its part, and the places where one should be."""
    for found in framer.records(pieces(stream, accept, named_compression(rows.path))):
        if rows.until is not None and not found.error and found.offset >= rows.until:
            return
        yield found


def set_aside(found: Found, rows: Rows) -> None:
    """Quarantines a place where no record could be found."""
    letter = f"{found.error}. Fetch the file again if the record matters."
    rows.quarantine(letter, found.data, found.offset, tail=found.tail)


def part_of(framer: Framer, stream: BinaryIO, part: tuple[int, int]) -> tuple[int, int] | None:
    """(where the records of a part of a plain local file begin, bytes from there to where those of another part may begin);
    None if it has none."""
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = framer.first(data, part[0]) if part[0] else 0
        return (begin, part[1] - begin) if begin < len(data) else None
