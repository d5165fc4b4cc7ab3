"""Files over http(s), read to their end although connections break.

    with HttpFile("https://example.org/crawl.warc.gz") as file:
        file.read(1 << 20)

A lost connection is taken up again where it broke (`Range`), and from the beginning, passing over what was read,
where the server knows no ranges. A file that changes in between is an error, never half of each. Not covered:
logging in (put a token into the URL, or fetch the file before), writing, listing.
"""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any

from pipeline import __version__
from pipeline.errors import InputError, StorageError
from pipeline.files.seekable import SeekableFile

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before each new try after one that brought no byte: about a minute in all, as long as a server restarts."""
TIMEOUT = 60.0  # seconds without a byte
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may change
LONGEST_WAIT = 120.0  # seconds; what a Retry-After beyond it asks for is cut to it
GONE = {
    401: "not allowed without logging in",
    403: "not allowed",
    404: "there is no such file",
    410: "the file is gone",
}


def head(url: str) -> tuple[str, int | None, str]:
    """(url, size in bytes or None where the server does not say, version: ETag or date, "" if none)."""
    with HttpFile(url) as file:
        return url, file.size, file.version


class HttpFile(SeekableFile):
    """A seekable file of bytes. The first request is made at once: InputError if there is no such file."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = self.name = url
        self.version = ""
        self._response: HTTPResponse | None = None
        self._again(None, self._connect)

    # ---- what io asks for

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        before = self._at
        if super().seek(offset, whence) != before:
            self._drop()
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Bytes read, 0 only at the true end. StorageError if the server stays away."""
        if not len(buffer) or (self.size is not None and self._at >= self.size):
            return 0
        count: int = self._again(None, lambda: self._some(buffer))
        self._at += count
        return count

    def close(self) -> None:
        self._drop()
        super().close()

    # ---- connections

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _some(self, buffer: Any) -> int:
        if self._response is None:
            self._connect()
        assert self._response is not None
        count = self._response.readinto(buffer)
        if not count and self.size is not None:
            raise ConnectionError(f"the connection ended at byte {self._at} of {self.size}")
        return count

    def _again(self, last: Exception | None, action: Any) -> Any:
        """`action()`, tried again after errors that pass."""
        for wait in (*WAITS, None):
            try:
                return action()
            except urllib.error.HTTPError as error:
                if error.code not in PASSING:
                    why = GONE.get(error.code, str(error.reason))
                    raise InputError(f"{self.url}: {why} (HTTP {error.code}). Check the address.") from None
                last, wait = error, wait and _asked(error.headers, wait)
            except (OSError, HTTPException) as error:
                last = error
            self._drop()
            if wait is not None:
                time.sleep(wait)
        reason = getattr(last, "reason", None) or last
        raise StorageError(
            f"{self.url}: could not read it from byte {self._at} on, after {len(WAITS) + 1} tries: {reason}. Try later."
        )

    def _connect(self) -> None:
        request = urllib.request.Request(
            self.url, headers={"User-Agent": f"gristmill/{__version__}", "Accept-Encoding": "identity"}
        )
        if self._at:
            request.add_header("Range", f"bytes={self._at}-")
            if self.version:
                request.add_header("If-Range", self.version)
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
        try:
            self._check(response)
        except BaseException:
            response.close()
            raise
        self._response = response

    def _check(self, response: HTTPResponse) -> None:
        """Is it the file that was begun, and does it stand where reading goes on?"""
        headers = response.headers
        version = headers.get("ETag") or headers.get("Last-Modified") or ""
        whole = _whole_size(headers, response.status)
        if (self.version and version and version != self.version) or (
            self.size is not None and whole is not None and whole != self.size
        ):
            raise StorageError(f"{self.url}: the file changed while it was read. Start again when it stays the same.")
        self.version, self.size = version or self.version, self.size if whole is None else whole
        if response.status == 206:
            return
        left = self._at  # the whole file once more: the server knows no ranges
        while left and (passed := response.read(min(left, 1 << 20))):
            left -= len(passed)
        if left:
            raise ConnectionError("the connection ended before the place where reading goes on")


def _whole_size(headers: Message, status: int) -> int | None:
    text = headers.get("Content-Range", "").rpartition("/")[2] if status == 206 else headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _asked(headers: Message, wait: float) -> float:
    """Seconds that a busy server asks for, within reason."""
    asked = headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT) if asked.isdigit() else wait
