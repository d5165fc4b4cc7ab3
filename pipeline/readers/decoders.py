"""Decoders: the bytes of one gzip member, zstandard frame, bzip2 or xz stream to plain bytes.

    decoder = DECODERS["gz"]()
    for plain in decoder.feed(raw): ...      # pieces of at most about 1 MB; one of `DAMAGE` where it breaks
    decoder.eof, decoder.rest                # whether it ended, and what lies behind

The kind is seen from the first bytes (`compression`), not from the name. No library reader is used, because several of them
end silently where a file is cut. Which bytes come next, and what becomes of damage: `streams`.

Gzip is decoded by zlib-ng, in 0.53 of the time of zlib: it gives the same bytes, also before damage (tests/test_gzip.py).
Nothing is compressed with it: its packed bytes differ from zlib's.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

import zstandard
from zlib_ng import zlib_ng

OUT_CHUNK = 1 << 20  # most plain bytes of one piece, so that a bomb cannot fill the memory
# Bytes given to a decoder at once: the output of the call that meets damage is lost, so less is better; and
# zstandard takes no output limit: 8 KB make 256 MB at the very worst (128 KB for a block of 4 bytes).
STEP = 1 << 13
XZ_MEMORY = 256 << 20  # bytes of a decoder's dictionary; `xz -9` asks for 65 MB, a header may ask for 4 GB

MAGIC = {
    "gz": b"\x1f\x8b\x08",
    "zst": b"\x28\xb5\x2f\xfd",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "lz4": b"\x04\x22\x4d\x18",
}
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after one byte 0x50..0x5f: a frame without data, written by pzstd and others
ZSTD_DICTIONARY = b"\x5d" + ZSTD_SKIPPABLE  # the first frame of a file: a dictionary, itself compressed or not
ZSTD_DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"
DICTIONARY_LIMIT = 64 << 20  # bytes; real ones have some 100 KB to 1 MB
DAMAGE = (zlib_ng.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError)  # what decoders raise


def named_compression(path: str) -> str:
    """The kind that a file's name promises, "" for a plain one."""
    ending = path.lower().rsplit(".", 1)[-1]
    return {"gzip": "gz", "zstd": "zst"}.get(ending, ending if ending in DECODERS else "")


def compression(head: bytes) -> str:
    """ "gz", "zst", "bz2", "xz", "lz4" or "" (plain) from the first bytes of a file."""
    if head[1:4] == ZSTD_SKIPPABLE and 0x50 <= head[0] <= 0x5F:
        return "zst"
    return next((kind for kind, magic in MAGIC.items() if head.startswith(magic)), "")


class Decoder(Protocol):
    """One gzip member, zstandard frame, bzip2 or xz stream. `feed` yields plain bytes; `eof` is True when it yields the
    last ones; `rest` is what lies behind."""

    eof: bool
    rest: bytes

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib_ng.decompressobj(wbits=31)
        self._fresh = True
        self.eof, self.rest = False, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            # some 40 KB for each MB; none for the first bytes of a member, and many members have no others
            before = None if self._fresh else self._inner.copy()
            self._fresh = False
            try:
                out = self._inner.decompress(data, OUT_CHUNK)
            except zlib_ng.error:
                yield from _crumbs(before or zlib_ng.decompressobj(wbits=31), data)
                raise
            data = self._inner.unconsumed_tail
            if self._inner.eof:
                self.eof, self.rest = True, self._inner.unused_data
            if out:
                yield out
            if self.eof or (not data and len(out) < OUT_CHUNK):
                return


def _crumbs(inner: zlib_ng._Decompress, data: bytes) -> Iterator[bytes]:
    """What decodes of `data` before its damage: zlib-ng (as zlib) throws away all output of the call that fails."""
    parts: list[bytes] = []
    size = 0
    with suppress(zlib_ng.error):
        for at in range(len(data)):
            parts.append(inner.decompress(data[at : at + 1]))
            size += len(parts[-1])
            if size > OUT_CHUNK:
                yield b"".join(parts)
                parts, size = [], 0
    if size:
        yield b"".join(parts)


class _Limited:
    """bz2 and lzma share one interface."""

    def __init__(self, inner: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._inner = inner
        self.eof, self.rest = False, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), STEP):
            piece: bytes | None = data[start : start + STEP]
            while piece is not None:
                out = self._inner.decompress(piece, OUT_CHUNK)
                if self._inner.eof:
                    self.eof, self.rest = True, self._inner.unused_data + data[start + STEP :]
                if out:
                    yield out
                piece = None if self.eof or self._inner.needs_input else b""
            if self.eof:
                return


class _Zstd:
    def __init__(self, dictionary: zstandard.ZstdCompressionDict | None = None) -> None:
        self._inner = zstandard.ZstdDecompressor(dict_data=dictionary).decompressobj()
        self.eof, self.rest = False, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), STEP):
            out = self._inner.decompress(data[start : start + STEP])
            if self._inner.eof:
                self.eof, self.rest = True, self._inner.unused_data + data[start + STEP :]
            if out:
                yield out
            if self.eof:
                return


DECODERS: dict[str, Callable[[], Decoder]] = {
    "gz": _Gzip,
    "zst": _Zstd,
    "bz2": lambda: _Limited(bz2.BZ2Decompressor()),
    "xz": lambda: _Limited(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)),
}


def dictionary_frame(peek: Callable[[int], bytes]) -> bytes:
    """The frame at the start of a zstandard file that holds the dictionary of the others; empty if there is none."""
    head = peek(8)
    if len(head) < 8 or not head.startswith(ZSTD_DICTIONARY):
        return b""
    return peek(8 + min(int.from_bytes(head[4:8], "little"), DICTIONARY_LIMIT))


def decoder_of(kind: str, frame: bytes) -> Callable[[], Decoder]:
    """What makes a decoder for a member of a file with this dictionary frame. One of `DAMAGE` if the frame is broken."""
    if kind != "zst" or not frame:
        return DECODERS[kind]
    size, held = int.from_bytes(frame[4:8], "little"), frame[8:]
    if size > DICTIONARY_LIMIT or len(held) < size:
        raise zstandard.ZstdError(f"a dictionary of {size} bytes (limit {DICTIONARY_LIMIT}), {len(held)} are there")
    if held.startswith(MAGIC["zst"]):
        inner = zstandard.ZstdDecompressor().stream_reader(held)
        held = inner.read(DICTIONARY_LIMIT + 1)
        if len(held) > DICTIONARY_LIMIT:
            raise zstandard.ZstdError(f"a dictionary of more than {DICTIONARY_LIMIT} bytes")
    if not held.startswith(ZSTD_DICTIONARY_MAGIC):
        raise zstandard.ZstdError("it does not begin as a dictionary does")
    dictionary = zstandard.ZstdCompressionDict(held)
    return lambda: _Zstd(dictionary)


def first_bytes(raw: bytes, kind: str, dictionary: bytes = b"") -> bytes:
    """The first plain bytes of the member that begins with `raw`; empty if none begins there."""
    try:
        return next(decoder_of(kind, dictionary)().feed(raw), b"")
    except DAMAGE:
        return b""
