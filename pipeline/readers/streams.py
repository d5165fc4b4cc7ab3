"""Compressed bytes to plain bytes, piece by piece, with an honest end.

In: a raw stream (local, S3, http: all the same here) of gzip, zstandard, bzip2, xz or plain bytes; the kind
is seen from the first bytes, not from the name. Files of many members or frames are one stream.
Out: pieces of at most about 1 MB. A stream that is cut or damaged gives everything that decodes and then says
so: no library reader is used, because several of them end silently there.

    for chunk in chunks(open_read("shard.jsonl.gz")): ...      # raises TailError after the last good chunk

A zstandard file can begin with the dictionary of its frames, in a skippable frame of its own (`.warc.zst` of archives:
https://iipc.github.io/warc-specifications/specifications/warc-zstd/).

Not covered: zstandard with a dictionary that lies elsewhere, lz4, encrypted or split archives, seeking (see `members`).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, NamedTuple

from pipeline.errors import InputError
from pipeline.readers.decoders import DAMAGE, MAGIC, Decoder, compression, decoder_of, dictionary_frame, first_bytes

RAW_CHUNK = 1 << 18  # bytes asked of the raw stream at once
FIRST_TAKE = 1 << 14  # raw bytes that a member gets at first: a page's has some 5 KB, and what is behind is copied
# raw bytes of a member kept to look for the next member in: deflate notices damage within some 100 KB
HELD = 1 << 22
# zero bytes at the end of a file that tapes and block devices leave; more, or zeros between members, are a
# hole that a broken download left
PADDING = 1 << 16
# A member that unpacks to more than this, at more than this ratio, is a bomb. Deflate cannot do more than 1,032; real
# text packs to a twentieth, logs that repeat themselves to a hundredth or two.
BOMB_BYTES = 1 << 30
BOMB_RATIO = 500
PROBE = 1 << 12  # raw bytes that show whether a member begins here: a header and the first block
# the same of a zstandard frame: a block of up to 128 KB, of which nothing comes out before it is whole (RFC 8878, 3.1.1.2)
FRAME_PROBE = (1 << 17) + 64

CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f]")


class TailError(Exception):
    """The compressed stream ends or breaks here; all that decoded before was delivered.

    offset: number of plain bytes delivered. error: what the decoder said. goes_on: more follows behind the broken place.
    """

    goes_on = False

    def __init__(self, offset: int, error: Exception):
        super().__init__(f"{name_of(error)} after {offset} decompressed bytes")
        self.offset, self.error = offset, error


class Gap(bytes):
    """No bytes, in a stream of plain ones: here some are missing, it goes on at the next member."""

    error: Exception


class Bomb(ValueError):
    """A member that unpacks to an absurd size."""


class Piece(NamedTuple):
    """Some plain bytes, the end of a member behind them (`ended`: its checksum is right), or a broken place (`error`)."""

    member: int  # offset in the raw stream where this member (or this plain piece) begins
    data: bytes = b""
    ended: bool = False
    error: Exception | None = None


FIRST_BLOCK = 1 << 20  # bytes: who wants the first records only shall not wait for many
BEHIND = 128  # bytes that may be read behind a block


class Block(NamedTuple):
    """Whole lines. The buffer is filled anew when the next block is asked for."""

    offset: int  # in the plain stream
    buffer: bytearray  # BEHIND bytes longer than what is asked for
    size: int  # bytes of lines in it


class Line(NamedTuple):
    offset: int  # in the plain stream
    data: bytes  # without its newline; of a line over the limit only the first bytes
    length: int  # in bytes; more than len(data) says that the line is over the limit
    # "newline"; "file" for a last line without newline; "cut" for what is left before a broken place
    end: str


def name_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# ---- the raw side


class _Source:
    """The raw stream with a memory of the current member, so that one can look for the next one in it."""

    def __init__(self, raw: BinaryIO):
        self._raw = raw
        self._buffer = bytearray()
        self._base = 0  # raw offset of the buffer's first byte
        self._at = 0  # read position in the buffer
        self._tail: TailError | None = None  # of the raw stream: raised behind what came before it
        self.dictionary = dictionary_frame(self.peek)

    @property
    def offset(self) -> int:
        return self._base + self._at

    def _fill(self) -> bool:
        more = b""
        if self._tail is None:
            try:
                more = self._raw.read(RAW_CHUNK)
            except TailError as error:
                self._tail = error
        self._buffer += more
        if self._tail and self._at == len(self._buffer):
            raise self._tail
        return bool(more)

    def take(self, most: int = RAW_CHUNK) -> bytes:
        """The next raw bytes, `most` of them at most; empty at the end of the file."""
        if self._at == len(self._buffer):
            if len(self._buffer) > HELD:
                self.forget()
            self._fill()
        with memoryview(self._buffer) as view:
            data = bytes(view[self._at : self._at + most])
        self._at += len(data)
        return data

    def give_back(self, count: int) -> None:
        self._at -= count

    def forget(self) -> None:
        """What was read so far will not be asked for again."""
        self._base, at, self._at = self.offset, self._at, 0
        del self._buffer[:at]

    def peek(self, count: int) -> bytes:
        while len(self._buffer) - self._at < count and self._fill():
            pass
        return bytes(self._buffer[self._at : self._at + count])

    def skip_zeros(self) -> tuple[int, bool]:
        """Step over zero bytes: how many, and whether anything lies behind them."""
        if self._at < len(self._buffer) and self._buffer[self._at]:
            return 0, True
        count = 0
        while head := self.peek(4096):
            zeros = len(head) - len(head.lstrip(b"\0"))
            count += zeros
            self._at += zeros
            if zeros < len(head):
                return count, True
            self.forget()
        return count, False

    def seek_member(self, start: int, kind: str, accept: Callable[[bytes], bool]) -> bool:
        """Move to the first place at or behind raw offset `start` where a member begins that `accept`
        takes."""
        self._at = max(start - self._base, 0)
        while True:
            found = self._buffer.find(MAGIC[kind], self._at)
            if found < 0:
                self._at = max(len(self._buffer) - len(MAGIC[kind]) + 1, self._at)
                self.forget()
                if not self._fill():
                    return False
                continue
            self._at = found
            if accept(first_bytes(self.peek(FRAME_PROBE if kind == "zst" else PROBE), kind, self.dictionary)):
                return True
            self._at += 1


# ---- whole streams


def pieces(raw: BinaryIO, accept: Callable[[bytes], bool] | None = None, named: str = "") -> Iterator[Piece]:
    """The plain bytes of `raw`, the ends of its members, and its broken places.

    After a broken place the stream goes on at the next member whose first plain bytes `accept` takes, and
    ends there without `accept`. `named` is the compression that the file's name promises: it counts where the
    first bytes are damaged, which only `accept` can tell. Errors of the raw stream itself (a lost connection)
    are raised, never taken for damage.
    """
    source = _Source(raw)
    kind = compression(source.peek(6))
    if not kind and named and accept and not accept(source.peek(PROBE)):
        kind = named
    if kind == "lz4":
        raise InputError("lz4 is not read. Expected plain, .gz, .zst, .bz2 or .xz: recompress it.")
    if not kind:
        yield from _plain(source)
        return
    try:
        decoder = decoder_of(kind, source.dictionary)
    except DAMAGE as error:
        yield Piece(0, error=ValueError(f"the dictionary at the start of the file is broken: {error}"))
        return
    while True:
        start = source.offset
        broken: Exception | None
        source.forget()
        zeros, more = source.skip_zeros()
        if zeros > PADDING or (zeros and more and kind != "xz"):
            broken = ValueError(f"{zeros} zero bytes where data should be")
        elif not more:
            return
        else:
            start = source.offset
            broken = yield from _member(source, decoder())
        if broken is None:
            continue
        yield Piece(start, error=broken)
        if accept is None or kind not in ("gz", "zst") or not source.seek_member(start + 1, kind, accept):
            return


def _plain(source: _Source) -> Iterator[Piece]:
    while True:
        start, data = source.offset, source.take()
        source.forget()
        if not data:
            return
        yield Piece(start, data)


def _member(source: _Source, decoder: Decoder) -> Generator[Piece, None, Exception | None]:
    """One member's pieces; returns the error that broke it, or None."""
    start, size, most, ended = source.offset, 0, FIRST_TAKE, False
    while data := source.take(most):
        most = RAW_CHUNK
        feed = decoder.feed(data)
        while True:
            try:
                plain = next(feed, None)
            except DAMAGE as error:
                return error
            if plain is None:
                break
            size += len(plain)
            if size > BOMB_BYTES and size > BOMB_RATIO * (source.offset - start):
                return Bomb(f"{source.offset - start} bytes unpack to more than {BOMB_BYTES}: it is taken for a bomb")
            ended = decoder.eof
            yield Piece(start, plain, ended)
        if decoder.eof:
            source.give_back(len(decoder.rest))
            if not ended:
                yield Piece(start, ended=True)
            return None
    return EOFError("the file ends inside compressed data")


def chunks(raw: BinaryIO, accept: Callable[[bytes], bool] | None = None) -> Iterator[bytes]:
    """The plain bytes of `raw`. `TailError` after the last good ones if the stream is cut or damaged; with `accept` (see
    `pieces`) a `Gap`, if a member follows that it takes."""
    offset = 0
    broken: Exception | None = None
    for piece in pieces(raw, accept):
        if broken:
            gap = Gap()
            gap.error, broken = broken, None
            yield gap
        broken = piece.error
        offset += len(piece.data)
        if piece.data:
            yield piece.data
    if broken:
        raise TailError(offset, broken)


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a member are UTF-8 text; a character may be cut at both ends."""
    start = next((i for i, byte in enumerate(head[:4]) if byte & 0xC0 != 0x80), 4)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head[start:])
    except UnicodeDecodeError:
        return False
    return bool(head) and not CONTROLS.search(head)


def as_utf8(plain: Iterator[bytes]) -> Iterator[bytes]:
    """The same text without a byte order mark, and in UTF-8 where the mark says UTF-16 (what Windows tools
    write)."""
    first = next(plain, b"")
    while len(first) < 3 and (more := next(plain, None)) is not None:
        if isinstance(first, Gap) or isinstance(more, Gap):
            yield first
            yield more
            yield from plain
            return
        first += more
    marks = {codecs.BOM_UTF8: "", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
    mark = next((mark for mark in marks if first.startswith(mark)), b"")
    first = first[len(mark) :]
    if not marks.get(mark):
        yield first
        yield from plain
        return
    decoder = codecs.getincrementaldecoder(marks[mark])("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for data in plain:
        yield data if isinstance(data, Gap) else decoder.decode(data).encode("utf-8", "replace")


def blocks(plain: Iterator[bytes], limit: int, size: int) -> Iterator[Block | Line]:
    """The lines of a stream, many at a time: blocks of about `size` bytes, the first ones smaller, in order.

    What is no whole line of at most `limit` bytes comes as `lines` has it. So does the `TailError` of `plain`.
    """
    plain = iter(plain)
    now = min(size, FIRST_BLOCK)
    data = bytearray(now + RAW_CHUNK + BEHIND)
    have = offset = 0
    tail = None
    try:
        for piece in plain:
            if have + len(piece) + BEHIND > len(data):
                data = data[:have] + bytes(max(2 * len(data), len(piece) + BEHIND) - have)
            data[have : have + len(piece)] = piece
            have += len(piece)
            if have < now:
                continue
            now = min(size, 2 * now)
            end = data.rfind(b"\n", 0, have) + 1
            if end:
                yield Block(offset, data, end)
                data[: have - end] = data[end:have]
                offset, have = offset + end, have - end
            if have > limit:
                break
    except TailError as error:
        tail = error
    end = 0 if have > limit else data.rfind(b"\n", 0, have) + 1
    if end:
        yield Block(offset, data, end)
    for line in lines(_then(bytes(data[end:have]), plain, tail), limit):
        yield line._replace(offset=line.offset + offset + end)


def _then(data: bytes, plain: Iterator[bytes], tail: TailError | None) -> Iterator[bytes]:
    yield data
    if tail:
        raise tail
    yield from plain


def lines(plain: Iterator[bytes], limit: int, keep: int = 1024) -> Iterator[Line]:
    """The lines of a stream with their offsets, in order. Only b"\\n" ends a line.

    Of a line over `limit` bytes `keep` bytes are kept and the rest is passed over, so memory stays bounded.
    A `TailError` of `plain` is raised again after what was left of the last line.
    """
    held: list[bytes] = []  # the unfinished line
    size = offset = 0
    end, tail = "file", None
    try:
        for data in plain:
            parts = data.split(b"\n")
            if len(parts) > 1:
                held.append(parts[0])
                size += len(parts[0])
                line = b"".join(held)
                yield Line(offset, line[:keep] if size > limit else line, size, "newline")
                offset += size + 1
                for line in parts[1:-1]:
                    yield Line(offset, line[:keep] if len(line) > limit else line, len(line), "newline")
                    offset += len(line) + 1
                held, size = [], 0
            held.append(parts[-1])
            size += len(parts[-1])
            if size > limit and len(held) > 1:
                held = [b"".join(held)[:keep]]
    except TailError as error:
        end, tail = "cut", error
    if size:
        last = b"".join(held)
        yield Line(offset, last[:keep] if size > limit else last, size, end)
    if tail:
        raise tail
