"""Tables that take a tenth of a second to make and never change on a machine: made once, kept beside the compiled kernels.

    @kept_table(__file__)
    def kind_table() -> np.ndarray: ...

A table is found again by its function, its arguments, the sources and packages it is made from, and the version of Python's
Unicode data. A file that cannot be read is made anew.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import pickle
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from kernels.compile import FOLDER

T = TypeVar("T", bound=Callable[..., Any])


def kept_table(*sources: str, packages: tuple[str, ...] = ()) -> Callable[[T], T]:
    """Decorator: the function's result (of hashable arguments) is kept on disk and in memory. `sources` are the files that
    decide it, `packages` what else does, by name."""

    def keep(make: T) -> T:
        @functools.cache
        def found(*arguments: Any) -> Any:
            file = _file(make.__name__, sources, packages, arguments)
            table = _load(file)
            if table is None:
                table = make(*arguments)
                _save(file, table)
            return table

        return cast(T, functools.wraps(make)(found))

    return keep


def _file(name: str, sources: tuple[str, ...], packages: tuple[str, ...], arguments: tuple[Any, ...]) -> Path | None:
    digest = hashlib.blake2b(digest_size=8)
    for source in sources:
        digest.update(Path(source).read_bytes())
    versions = [importlib.metadata.version(package) for package in packages]
    about = (arguments, sys.version_info[:3], unicodedata.unidata_version, versions)
    digest.update(repr(about).encode())
    return FOLDER / f"{name}-{digest.hexdigest()}.table" if FOLDER else None


def _load(file: Path | None) -> Any:
    try:
        return pickle.loads(file.read_bytes()) if file else None
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, ImportError):
        return None


def _save(file: Path | None, table: Any) -> None:
    if file is None:
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".table-")
        with os.fdopen(handle, "wb") as sink:
            pickle.dump(table, sink, protocol=5)
        os.replace(temporary, file)
    except OSError:
        return  # a full or forbidden disk: it is made again next time
