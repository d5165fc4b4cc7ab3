"""Files wherever they lie: local paths, `s3://bucket/key`, and `hf://`, `gs://`, `http(s)://` to read.

A path is a string. Writing is always "build a local file, then publish it": a reader never sees half a file,
whatever happens to the writer.

    tmp = temp_for("s3://bucket/out/part-00000.jsonl.zst")
    ... write tmp, close it ...
    publish(tmp, "s3://bucket/out/part-00000.jsonl.zst")

Not covered: writing to `hf://`, `gs://` and `http(s)://`, and listing of the last (name each file).
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

from filters.registry import nearest
from pipeline.errors import InputError, StorageError
from pipeline.files import gcs, hub


@dataclass(frozen=True, order=True)
class FileInfo:
    """One file. `(path, size, version)` identifies its content; `version` is the modification time in ns
    (local), the ETag (S3) or what the server says (http), "" where nothing is known."""

    path: str
    size: int
    version: str


# ---- names


def is_remote(path: str) -> bool:
    return "://" in path


def is_s3(path: str) -> bool:
    return path.startswith("s3://")


def _s3() -> ModuleType:
    """`pipeline.files.s3`, imported when the first S3 path turns up: boto3 takes a fifth of a second."""
    return importlib.import_module("pipeline.files.s3")


def is_http(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def listable(path: str) -> bool:
    """Whether files there can be listed although it is not this machine."""
    return is_s3(path) or gcs.is_gcs(path) or hub.is_hub(path)


def store(path: str) -> Any:
    """The module that knows the files at a path that can be listed: `head`, `listing`."""
    if is_s3(path):
        return _s3()
    return gcs if gcs.is_gcs(path) else hub


def join(base: str, *parts: str) -> str:
    """`join("s3://b/out", "train", "part-0")` -> `s3://b/out/train/part-0`."""
    return "/".join([base if base == "/" else base.rstrip("/"), *(part.strip("/") for part in parts)]).replace(
        "///", "//"
    )


def temp_for(path: str) -> str:
    """A name for building `path`: on the same filesystem for a local path, in the temporary folder otherwise.

    The name is unique to this attempt, so that two writers of one file never meet. Its folder exists.
    """
    name = f".{os.path.basename(path)}.{os.getpid()}.{uuid.uuid4().hex}.tmp"
    if is_remote(path):
        return os.path.join(tempfile.gettempdir(), f"gristmill{name}")
    folder = os.path.dirname(path)
    with _local(path, "make its folder"):
        os.makedirs(folder or ".", exist_ok=True)
    return os.path.join(folder, name)


# ---- what is there


def exists(path: str) -> bool:
    """True for a file or object, and for a local folder."""
    if not is_remote(path):
        return os.path.exists(path)
    try:
        stat(path)
    except InputError:
        return False
    return True


def stat(path: str) -> FileInfo:
    """Size and version of one file. `InputError` if there is none."""
    if is_s3(path):
        entry = _s3().head(path)
        if entry is None:
            raise InputError(f"{path}: there is no such object. Check the bucket, the key and AWS_ENDPOINT_URL.")
        return FileInfo(*entry)
    if is_remote(path):
        return _remote_stat(path)
    try:
        found = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}{neighbour(path)}") from None
    return FileInfo(path, found.st_size, str(found.st_mtime_ns))


def _remote_stat(path: str) -> FileInfo:
    """What the server says; for what else smart_open reads, what seeking to the end tells."""
    if is_http(path):
        from pipeline.files.http import head

        _, size, version = head(path)
        return FileInfo(path, size or 0, version.strip('"'))
    if listable(path):
        return FileInfo(*store(path).stat(path))
    with _readable(path) as stream:
        return FileInfo(path, stream.seek(0, os.SEEK_END) if stream.seekable() else 0, "")


def list_files(folder: str, suffix: str = "") -> list[FileInfo]:
    """Every file under `folder` whose name ends in `suffix`, sorted by path. Empty if there is no folder."""
    if listable(folder):
        found = [FileInfo(*entry) for entry in store(folder).listing(folder.rstrip("/") + "/")]
    elif is_remote(folder):
        raise InputError(
            f"{folder}: files can only be listed locally, on s3://, gs:// and hf://. Name each file instead."
        )
    else:
        walk = os.walk(folder)
        found = [stat(join(at, name)) for at, _, names in walk for name in names if _is_file(join(at, name))]
    return sorted(info for info in found if info.path.endswith(suffix))


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # no sockets, no links that lead nowhere


def neighbour(path: str) -> str:
    """The name in the same folder (or the first folder above that exists) that looks most like `path`."""
    folder, name = os.path.split(path.rstrip("/"))
    if is_remote(path):
        return ""
    while folder and not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    names = os.listdir(folder or ".")
    return nearest(name, names) or f"; the folder {folder or '.'!r} holds {len(names)} other names."


# ---- reading


def open_read(path: str) -> BinaryIO:
    """The raw bytes as a stream, never decompressed. `InputError` if the file is not there."""
    if is_remote(path):
        return _readable(path)
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}{neighbour(path)}") from None


def _readable(path: str) -> BinaryIO:
    if is_http(path):
        from pipeline.files.http import HttpFile

        return cast(BinaryIO, HttpFile(path))
    if listable(path) and not is_s3(path):
        return cast(BinaryIO, store(path).open_read(path))
    import smart_open

    options: dict[str, Any] = {"client": _s3().client()} if is_s3(path) else {}
    try:
        stream = smart_open.open(path, "rb", compression="disable", transport_params=options)
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        if is_s3(path):
            stat(path)  # raises the letter that says what is wrong: no object, no bucket, no right
        raise InputError(f"{path}: cannot be opened: {error}") from error
    return cast(BinaryIO, stream)


def read_bytes(path: str) -> bytes:
    with open_read(path) as stream:
        return stream.read()


def read_range(path: str, start: int, end: int) -> bytes:
    """Bytes start .. end - 1 of a file on S3, in one request."""
    return _s3().read_range(path, start, end)


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A local path with the same bytes: the path itself, or a download that is gone afterwards."""
    if not is_remote(path):
        stat(path)
        yield path
        return
    temporary = temp_for(path)
    try:
        if is_s3(path):
            stat(path)
            _s3().download(path, temporary)
        else:
            with open_read(path) as stream, open(temporary, "wb") as copy:
                shutil.copyfileobj(stream, copy, 1 << 20)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


# ---- writing


@contextmanager
def _local(path: str, action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: could not {action}: {error.strerror or error}.") from error


def _writable(path: str) -> None:
    if is_remote(path) and not is_s3(path):
        raise StorageError(f"{path}: only local paths and s3:// can be written.")


def _sync_file(path: str) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: str) -> None:
    """A rename is on the disk only when its folder is."""
    handle = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(local_tmp: str, path: str) -> None:
    """Make the finished file `local_tmp` appear as `path`, whole, and remove `local_tmp`.

    Replaces what is there: publishing the same bytes twice is harmless.
    """
    _writable(path)
    if is_s3(path):
        _s3().upload(local_tmp, path)
        os.unlink(local_tmp)
        return
    with _local(path, "publish it"):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if os.stat(local_tmp).st_dev != os.stat(os.path.dirname(path) or ".").st_dev:
            local_tmp = _move_beside(local_tmp, path)
        _sync_file(local_tmp)
        os.replace(local_tmp, path)
        _sync_folder(path)


def _move_beside(local_tmp: str, path: str) -> str:
    """A rename cannot cross filesystems: copy first."""
    beside = temp_for(path)
    shutil.copyfile(local_tmp, beside)
    os.unlink(local_tmp)
    return beside


def _written(path: str, data: bytes) -> str:
    temporary = temp_for(path)
    with _local(path, "write it"):
        Path(temporary).write_bytes(data)
        _sync_file(temporary)
    return temporary


def write_bytes(path: str, data: bytes) -> None:
    """Write a small file, replacing what is there, atomically."""
    _writable(path)
    if is_s3(path):
        _s3().put(path, data)
    else:
        publish(_written(path, data), path)


def put_if_absent(path: str, data: bytes) -> bool:
    """Write a small file only if there is none. False, and nothing is written, if there was one already.

    Of any number of writers at once exactly one gets True, and no reader ever sees half a file.
    """
    _writable(path)
    if is_s3(path):
        return _s3().put(path, data, if_absent=True)
    temporary = _written(path, data)
    try:
        os.link(temporary, path)  # unlike a rename, a link refuses to replace
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(
            f"{path}: could not create it: {error.strerror}. The output folder needs a filesystem with hard links."
        ) from error
    finally:
        os.unlink(temporary)
    _sync_folder(path)
    return True


def delete(path: str) -> None:
    """Delete one file; it is no error if there is none."""
    _writable(path)
    if is_s3(path):
        _s3().delete([path])
        return
    with _local(path, "delete it"), suppress(FileNotFoundError):
        os.unlink(path)


def delete_tree(folder: str) -> None:
    """Delete a folder and everything under it; it is no error if there is none."""
    _writable(folder)
    if is_s3(folder):
        _s3().delete([entry[0] for entry in _s3().listing(folder.rstrip("/") + "/")])
        return
    with _local(folder, "delete it"), suppress(FileNotFoundError):
        shutil.rmtree(folder)
