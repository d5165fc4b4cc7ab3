"""How kernels are compiled: once per machine and CPU type, into a folder that gristmill chooses.

numba keeps compiled code beside the source or in the home of the user and fails where neither can be written. Here
the folder is the first that can be: $GRISTMILL_CACHE, $XDG_CACHE_HOME/gristmill, ~/.cache/gristmill, the temp folder.
Its name carries a hash of all kernel sources, because numba does not notice that a function in another file changed.

    @kernel
    def count_newlines(data, start, end): ...
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys


def cache_folder() -> Path | None:
    """The folder for compiled kernels of this version, created; None if nothing at all can be written."""
    digest = hashlib.blake2b(os.environ.get("GRISTMILL_SIMD", "").encode(), digest_size=6)  # it changes the code
    digest.update(str(Path(__file__).resolve().parent).encode())  # numba keeps code by the place of its source
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    for base in _bases():
        folder = base / f"kernels-{digest.hexdigest()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


def _bases() -> list[Path]:
    given = [os.environ.get("GRISTMILL_CACHE"), os.environ.get("XDG_CACHE_HOME")]
    bases = [Path(given[0])] if given[0] else []
    bases += [Path(given[1]) / "gristmill"] if given[1] else []
    home = os.path.expanduser("~")
    bases += [Path(home) / ".cache" / "gristmill"] if home != "~" else []
    return [*bases, Path(tempfile.gettempdir()) / f"gristmill-{os.getuid()}"]


FOLDER = cache_folder()
"""The cache folder of this process."""
if FOLDER is not None:
    numba.config.CACHE_DIR = str(FOLDER)  # type: ignore[attr-defined]


class _Kept(FunctionCache):
    """Compiled code is loaded without all that only compiling needs: 0.11 s of each process's start."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # what the code calls to allocate arrays
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorator: compiled at the first call, without the GIL, kept in the cache folder where there is one."""
    if function is None:
        return lambda function: kernel(function, **options)
    compiled = numba.njit(**{"nogil": True, "error_model": "numpy", **options})(function)
    if FOLDER is not None:
        compiled._cache = _Kept(function)
    return compiled


def part(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorator for what only kernels call: compiled into them, not kept by itself and without a way in from Python.

    That halves the time a kernel takes to compile. `forceinline=True` for what an inner loop calls with a tuple of many
    pointers: a call hands each of them on by itself.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "nogil": True, "error_model": "numpy", **options}
    return numba.njit(**options) if function is None else numba.njit(**options)(function)
