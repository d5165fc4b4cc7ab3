"""Data sets on the Hugging Face Hub, through its own library, to read: `hf://datasets/OWNER/NAME/data/*.parquet`.

Entries are `(path, size in bytes, version)`; the version is the hash of the content. The token comes from the environment
(HF_TOKEN) or the machine's login, the address from HF_ENDPOINT, as the library finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from pipeline.errors import InputError, StorageError, first_line

Entry = tuple[str, int, str]


def is_hub(path: str) -> bool:
    return path.startswith("hf://")


def _filesystem() -> Any:
    try:
        from huggingface_hub import HfFileSystem
    except ImportError:
        raise InputError(
            "hf:// is read through the library huggingface_hub, which is not here. Install it: pip install huggingface_hub."
        ) from None
    return HfFileSystem()


@contextmanager
def _letters(path: str) -> Iterator[None]:
    """What the library raises, as letters."""
    try:
        yield
    except (FileNotFoundError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"{path}: not on the Hub, or not without a token: {first_line(error)} "
            "Expected hf://datasets/OWNER/NAME[@REVISION]/PATH."
        ) from None
    except OSError as error:
        raise StorageError(f"{path}: the Hub did not answer: {first_line(error)} (address: HF_ENDPOINT)") from error


def listing(prefix: str) -> Iterator[Entry]:
    """Every file below the folder `prefix`, by path; none if there is no folder."""
    files = _filesystem()
    try:
        with _letters(prefix):
            found = files.find(prefix.removeprefix("hf://").rstrip("/"), detail=True)
    except InputError:
        return
    for name in sorted(found):
        if found[name]["type"] == "file":
            yield _entry(name, found[name])


def head(path: str) -> Entry | None:
    """The entry of one file; None if there is none of this name (a folder, a pattern)."""
    try:
        return stat(path)
    except InputError:
        return None


def stat(path: str) -> Entry:
    """As `head`, but InputError if there is no such file."""
    with _letters(path):
        info = _filesystem().info(path.removeprefix("hf://"))
    if info["type"] != "file":
        raise InputError(f"{path}: is a folder.")
    return _entry(info["name"], info)


def _entry(name: str, info: dict[str, Any]) -> Entry:
    large = info.get("lfs") or {}
    version = large.get("sha256") or info.get("blob_id") or ""
    return f"hf://{name}", int(info["size"] or 0), str(version)


def open_read(path: str) -> BinaryIO:
    """A seekable stream of the file's bytes."""
    with _letters(path):
        return cast(BinaryIO, _filesystem().open(path.removeprefix("hf://"), "rb"))
