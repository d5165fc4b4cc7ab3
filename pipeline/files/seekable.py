"""Files of bytes that are elsewhere: what `io` asks of every one of them, so that each says only how it reads."""

from __future__ import annotations

import io


class SeekableFile(io.RawIOBase):
    """Readable from any byte on. `size` in bytes, None where nobody knows it; `readinto` reads at `_at` and moves it."""

    name: str
    size: int | None = None
    _at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Costs nothing until the next read. OSError from the end of a file of unknown size."""
        if whence == io.SEEK_END and self.size is None:
            raise OSError(f"{self.name}: the server does not tell its size")
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size or 0}[whence]
        return self._at
