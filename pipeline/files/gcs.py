"""Objects of Google Cloud Storage, through its own library, to read: `gs://bucket/key`.

Entries are `(path, size in bytes, version)`; the version is the object's generation. Credentials are what the library finds
(GOOGLE_APPLICATION_CREDENTIALS, a login, the machine's own); where there are none it reads as nobody, which public buckets allow.
STORAGE_EMULATOR_HOST names another server.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from pipeline.errors import InputError, StorageError, first_line
from pipeline.files.seekable import SeekableFile

CHUNK = 8 << 20
"""Bytes of an object that one request fetches: some tens of milliseconds of waiting for a tenth of a second of work."""

MISSING = "there is no such object. Check the bucket and the key."

Entry = tuple[str, int, str]


def is_gcs(path: str) -> bool:
    return path.startswith("gs://")


@functools.cache
def _client() -> Any:
    try:
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import storage
    except ImportError:
        raise InputError(
            "gs:// is read through the library google-cloud-storage, which is not here. "
            "Install it: pip install 'gristmill[gcs]'."
        ) from None
    try:
        return storage.Client(project=None)
    except DefaultCredentialsError:
        return storage.Client.create_anonymous_client()


@contextmanager
def _letters(path: str) -> Iterator[None]:
    """What the library raises, as letters."""
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    try:
        yield
    except NotFound:
        raise InputError(f"{path}: {MISSING}") from None
    except (Forbidden, Unauthorized) as error:
        raise InputError(
            f"{path}: not allowed to read it: {first_line(error)} Set GOOGLE_APPLICATION_CREDENTIALS, or log in."
        ) from None
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise StorageError(f"{path}: Google Cloud Storage did not answer: {first_line(error)}") from error


def _names(path: str) -> tuple[str, str]:
    bucket, _, key = path.removeprefix("gs://").partition("/")
    if not bucket:
        raise InputError(f"{path}: expected gs://BUCKET/KEY.")
    return bucket, key


def listing(prefix: str) -> Iterator[Entry]:
    """Every object whose path begins with `prefix`, by path; InputError if there is no such bucket."""
    bucket, key = _names(prefix)
    client = _client()
    with _letters(prefix):
        for blob in client.list_blobs(bucket, prefix=key):
            if not blob.name.endswith("/"):  # what some tools leave for a folder
                yield _entry(bucket, blob)


def head(path: str) -> Entry | None:
    """The entry of one object; None if there is none of this name (a folder, a pattern)."""
    blob = _blob(path)
    return _entry(blob.bucket.name, blob) if blob is not None else None


def stat(path: str) -> Entry:
    """As `head`, but InputError if there is no such object."""
    blob = _there(path)
    return _entry(blob.bucket.name, blob)


def _blob(path: str) -> Any:
    """The library's object; None if there is none of this name."""
    bucket, key = _names(path)
    client = _client()
    with _letters(path):
        return client.bucket(bucket).get_blob(key) if key else None


def _there(path: str) -> Any:
    blob = _blob(path)
    if blob is None:
        raise InputError(f"{path}: {MISSING}")
    return blob


def _entry(bucket: str, blob: Any) -> Entry:
    return f"gs://{bucket}/{blob.name}", int(blob.size or 0), str(blob.generation or "")


def open_read(path: str) -> BinaryIO:
    """A seekable stream of the object's bytes as they are stored. If it is replaced while it is read, that is an error."""
    return cast(BinaryIO, GcsFile(path, _there(path)))


class GcsFile(SeekableFile):
    """One generation of an object, read CHUNK bytes at a time; the library asks again when a request fails."""

    def __init__(self, path: str, blob: Any) -> None:
        self.name, self.size = path, blob.size
        # as it is stored: the server would unpack what says Content-Encoding: gzip
        self._stream = blob.open("rb", chunk_size=CHUNK, raw_download=True, if_generation_match=blob.generation)

    def readinto(self, buffer: Any) -> int:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with _letters(self.name):
            try:
                self._stream.seek(self._at)
                data = self._stream.read(len(buffer))
            except (NotFound, PreconditionFailed):
                raise StorageError(
                    f"{self.name}: it was replaced or removed while it was read. Run the command again with what is there now."
                ) from None
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
