"""A part of a compressed file: the gzip members or zstandard frames that begin in a range of the file's bytes.

    first = find(stream, "gz", 100 << 20, 200 << 20, accept)    the first member that begins there, or None

A part begins at the first member found in its range and ends where the next part begins, so the parts are the file, each
byte once, if what is found is a member and not the likeness of one inside another. That must be seen from the place alone:

- gzip: a crawled .gz lies inside a member as it is, in *stored* blocks of deflate (it cannot be compressed again), and looks
  just like a member. A stored block has at most 65,535 bytes and before them its length and the length's complement. Where no
  such pair in the 64 KB before a place reaches over it, the place is in no stored block, whoever wrote the page. The same for
  the extra field of a gzip header. Some true members are passed over by chance (a pair of random bytes: 42 of 100, measured
  on crawled pages), the next one is taken. And the member must decode to its end with the right checksum, begin as a record
  does, and be followed by a member. What is left is a member written in the bits of Huffman codes or in the file name of a
  gzip header; there the parts disagree, and the one before says so: a broken member, or a tail, in the quarantine.
- zstandard: blocks tell their length, so frames are followed from the file's start without decoding. Exact; but each block is
  touched, so only files on this machine are cut.

In files of lines a line belongs to the part in which the line before it ends: each part but the first leaves what stands before
its first line end to the part before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from zlib_ng import zlib_ng

from pipeline.readers.decoders import MAGIC, OUT_CHUNK, dictionary_frame, first_bytes
from pipeline.readers.ranges import WIDE
from pipeline.readers.streams import BOMB_BYTES, FRAME_PROBE, RAW_CHUNK, TailError, pieces

STORED = 65_535  # most bytes of a stored block, and of an extra field
REACH = STORED + 12  # bytes before a place in which the block or field that holds it must begin
WINDOW = 1 << 20
HEAD = 1 << 15  # plain bytes that tell what a member holds: longer than the header line of an ARC record
MEMBER_LIMIT = 256 << 20  # raw bytes of a member that is decoded to see whether it is one; a part is not longer

Accept = Callable[[bytes], bool]


def find(stream: BinaryIO, kind: str, at: int, stop: int | None, accept: Accept) -> int | None:
    """The first place in [at, stop) of the file where a member begins whose first plain bytes `accept` takes."""
    return (_find_gzip if kind == "gz" else _find_frame)(stream, at, stop, accept)


# ---- gzip


def _find_gzip(stream: BinaryIO, at: int, stop: int | None, accept: Accept) -> int | None:
    while True:
        base = max(at - REACH, 0)
        stream.seek(base)
        window = _read(stream, at - base + WINDOW)
        covered = Covered(window)
        place = window.find(MAGIC["gz"], at - base)
        while place >= 0:
            if stop is not None and base + place >= stop:
                return None
            if not covered.holds(place) and _is_member(stream, base + place, accept):
                return base + place
            place = window.find(MAGIC["gz"], place + 1)
        if len(window) < at - base + WINDOW:
            return None
        at = base + len(window) - len(MAGIC["gz"]) + 1  # the end may cut one
        if stop is not None and at >= stop:
            return None


class Covered:
    """Where in some bytes of a file a member could lie inside another one's stored block or extra field."""

    def __init__(self, data: bytes):
        held = np.frombuffer(data + bytes(-len(data) % 2 + 12), np.uint8)  # so that each place has its fields
        words = held[:-1].astype(np.uint16) | held[1:].astype(np.uint16) << 8
        lengths = np.flatnonzero(words[:-2] ^ words[2:] == 0xFFFF)
        self._blocks = _Reach(lengths + 4, lengths + 4 + words[lengths])
        heads = np.flatnonzero((words[: len(data)] == 0x8B1F) & (held[2 : len(data) + 2] == 8))
        heads = heads[held[heads + 3] & 4 > 0]
        self._fields = _Reach(heads + 1, heads + 12 + words[heads + 10])

    def holds(self, place: int) -> bool:
        """False is a proof that it does not (if `REACH` bytes before `place`, or all there are, are in the data)."""
        return self._blocks.over(place) or self._fields.over(place)


class _Reach:
    """Ranges [begin, end), by their beginnings."""

    def __init__(self, begins: np.ndarray, ends: np.ndarray):
        self._begins, self._farthest = begins, np.maximum.accumulate(ends)

    def over(self, place: int) -> bool:
        before = int(np.searchsorted(self._begins, place, "right"))
        return before > 0 and int(self._farthest[before - 1]) > place


def _is_member(stream: BinaryIO, at: int, accept: Accept) -> bool:
    """Does a member begin at `at` that `accept` takes, that is whole, and that another one (or nothing) follows?"""
    stream.seek(at)
    inner, head, taken, size = zlib_ng.decompressobj(wbits=31), b"", 0, 0
    while taken < MEMBER_LIMIT and (data := stream.read(RAW_CHUNK)):
        taken += len(data)
        more = True
        while more:
            try:
                out = inner.decompress(data, OUT_CHUNK)
            except zlib_ng.error:
                return False
            size += len(out)
            if size > BOMB_BYTES:  # decoding it to its end could take hours; the next member begins the part
                return False
            if len(head) < HEAD and not accept(head := (head + out)[:HEAD]) and len(head) == HEAD:
                return False
            data = inner.unconsumed_tail
            more = not inner.eof and (bool(data) or len(out) == OUT_CHUNK)
        if inner.eof:
            behind = (inner.unused_data[:2] + stream.read(2))[:2]
            return accept(head) and (not behind.strip(b"\0") or behind == MAGIC["gz"][: len(behind)])
    return False


# ---- zstandard


def _find_frame(stream: BinaryIO, at: int, stop: int | None, accept: Accept) -> int | None:
    dictionary = dictionary_frame(_at(stream, 0))
    for place, data in frames(stream):
        if stop is not None and place >= stop:
            return None
        if place >= at and data:
            stream.seek(place)
            if accept(first_bytes(_read(stream, FRAME_PROBE), "zst", dictionary)):
                return place
    return None


def frames(stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    """Offset of each frame of a zstandard file, and whether it holds data; found by the lengths of its blocks.

    Ends where something is no frame. Format: RFC 8878, section 3.1.
    """
    at = 0
    while True:
        head = _bytes(stream, at, 18)
        if len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
            yield at, False
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if len(head) < 6 or not head.startswith(MAGIC["zst"]):
            return
        yield at, True
        flags = head[4]
        single = flags >> 5 & 1
        size = (single, 2, 4, 8)[flags >> 6]
        block = at + 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + size
        last = 0
        while not last:
            header = _bytes(stream, block, 3)
            if len(header) < 3:
                return
            last, kind, length = header[0] & 1, header[0] >> 1 & 3, int.from_bytes(header, "little") >> 3
            if kind == 3:
                return
            block += 3 + (1 if kind == 1 else length)
        at = block + (4 if flags & 4 else 0)


# ---- the parts


class Slice:
    """The bytes [begin, end) of a stream, behind `prefix`: what all members of the file need (a dictionary)."""

    def __init__(self, stream: BinaryIO, begin: int, end: int | None, prefix: bytes = b""):
        stream.seek(begin)
        self._stream, self.at, self._end, self._prefix = stream, begin, end, prefix

    def read(self, size: int = RAW_CHUNK) -> bytes:
        """The next bytes; none at the end."""
        if self._prefix:
            data, self._prefix = self._prefix, b""
            return data
        data = self._stream.read(size if self._end is None else min(size, self._end - self.at))
        self.at += len(data)
        return data


class Lines:
    """The plain lines of the members [begin, end): from behind the first line end at or behind `begin` to behind the
    first one at or behind `end`."""

    def __init__(self, stream: BinaryIO, begin: int, end: int | None):
        prefix = dictionary_frame(_at(stream, 0)) if begin else b""
        self._shift = begin - len(prefix)
        self._raw = Slice(stream, begin, None, prefix)
        self._from = begin
        self._begun, self._end = begin == 0, end
        self._plain = self._lines()

    @property
    def consumed(self) -> int:
        """Raw bytes of the part that were taken from the file so far, inside a member too."""
        return self._raw.at - self._from

    def read(self, size: int = -1) -> bytes:
        """The next plain bytes, as many as there are; none at the end. `TailError` as `chunks`."""
        return next(self._plain, b"")

    def _lines(self) -> Iterator[bytes]:
        given = 0
        met = False
        for piece in pieces(self._raw):  # type: ignore[arg-type]
            at = self._shift + piece.member
            if piece.error:
                raise TailError(given, piece.error)
            met = met or at == self._end
            if self._end is not None and at > self._end and not met:
                raise TailError(given, ValueError("no member begins where the next part of the file does"))
            data, behind = piece.data, self._end is not None and at >= self._end
            if not self._begun:
                line_end = data.find(b"\n")
                if line_end < 0:
                    continue
                if behind:
                    return
                data, self._begun = data[line_end + 1 :], True
            line_end = data.find(b"\n") if behind else -1
            data = data[: line_end + 1] if line_end >= 0 else data
            given += len(data)
            if data:
                yield data
            if line_end >= 0:
                return


def bounds(stream: BinaryIO, kind: str, part: tuple[int, int], accept: Accept) -> tuple[int, int | None] | None:
    """Where the members of a part begin and where those of the next one do (None: at the file's end). None: it has none."""
    begin = 0 if part[0] == 0 else find(stream, kind, *part, accept)
    if begin is None:
        return None
    return begin, find(stream, kind, part[1], None, accept)


def records(stream: BinaryIO, kind: str, part: tuple[int, int], accept: Accept) -> tuple[Slice, int] | None:
    """The part as a stream of members, and the offset in the file of its first byte. `accept`: does a record begin so?"""
    found = bounds(stream, kind, part, accept)
    if found is None:
        return None
    prefix = dictionary_frame(_at(stream, 0)) if found[0] and kind == "zst" else b""
    return Slice(stream, *found, prefix), found[0] - len(prefix)


def lines(stream: BinaryIO, kind: str, part: tuple[int, int]) -> Lines | None:
    """The part as a stream of plain lines; None if it has none."""
    dictionary = dictionary_frame(_at(stream, 0))
    if first_bytes(_bytes(stream, 0, FRAME_PROBE + len(dictionary))[len(dictionary) :], kind, dictionary).startswith(
        WIDE
    ):
        found: tuple[int, int | None] | None = (0, None) if part[0] == 0 else None  # a byte 10 need not be a line end
    else:
        found = bounds(stream, kind, part, lambda head: True)
    return Lines(stream, *found) if found else None


def _at(stream: BinaryIO, offset: int) -> Callable[[int], bytes]:
    return lambda count: _bytes(stream, offset, count)


def _bytes(stream: BinaryIO, offset: int, count: int) -> bytes:
    stream.seek(offset)
    return _read(stream, count)


def _read(stream: BinaryIO, count: int) -> bytes:
    """`count` bytes, or all there are: a remote stream can give fewer at once."""
    data = stream.read(count)
    while len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data
