"""A part of a file of lines: the lines whose first byte lies in a range of the file's bytes.

    Lines(stream, 100, 200).read(...)      the bytes from the first line that begins at or behind byte 100
                                           to the end of the last one that begins before byte 200

Whether a line begins at byte 100 is told by byte 99. So the parts of a file, whatever their edges, are its lines, each once.
"""

from __future__ import annotations

import codecs
from typing import BinaryIO

from pipeline.readers.streams import RAW_CHUNK

WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # in UTF-16 a byte 10 need not be a line end


class Lines:
    """The part as a stream to read. `base` is the offset in the file of its first byte, known after the first read."""

    def __init__(self, stream: BinaryIO, start: int, end: int):
        self._stream, self._end = stream, end
        self._at = max(start - 1, 0)
        stream.seek(self._at)
        self._begun = start == 0
        self._done = False
        self.base = 0

    def read(self, size: int = RAW_CHUNK) -> bytes:
        """The next bytes of the part; none at its end."""
        while not self._done:
            data = self._stream.read(size)
            if not data:
                break
            offset, self._at = self._at, self._at + len(data)
            if not self._begun:
                line_end = data.find(b"\n")
                if line_end < 0:
                    continue
                data, offset, self._begun = data[line_end + 1 :], offset + line_end + 1, True
                self.base = offset
            data = self._cut(data, offset)
            if data:
                return data
        return b""

    def _cut(self, data: bytes, offset: int) -> bytes:
        """`data` without what lies behind the last line of the part. A part in which no line begins is empty."""
        if offset >= self._end and offset == self.base and self.base:
            self._done = True
            return b""
        last = data.find(b"\n", max(self._end - 1 - offset, 0))
        if last >= 0:
            self._done = True
            return data[: last + 1]
        return data
