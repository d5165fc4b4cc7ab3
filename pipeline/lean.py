"""What a process of ours does otherwise than any Python process: one import less, memory given back later, more open files.

pyarrow imports pandas at the first `pa.array`, to see whether it was given a Series. It goes on without, and looks again
when a program asks for pandas (`to_pandas`), but not when it is handed a Series; so a recipe that brings code of its own
(`uses:`, `datatrove:`) gets pandas: 0.3 s of each start.

The C library gives large blocks back to the system as soon as they are free, and each batch of documents gets its pages anew, filled
with zeros: 5 % of a near-dedup run.

A process may open as many files as the system allows, not as many as it does by default.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
FILES = 1 << 16


class _Hidden(importlib.abc.MetaPathFinder):
    """Answers "not installed" for some modules, to one thread."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in self._names and threading.get_ident() == self._thread:
            raise ImportError(f"{fullname} is left out at start-up")


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Inside the block this thread cannot import `names`, unless they are loaded already."""
    finder = _Hidden(set(names))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def start_lean() -> None:
    """Loads pyarrow without pandas. A second call does nothing."""
    import pyarrow as pa

    with hidden("pandas"):
        pa.array([0])


def keep_memory() -> None:
    """Blocks of up to 32 MB are used again, and up to 64 MB stay with the process when they are free. Does nothing where the C
    library is not glibc."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, 32 << 20)  # its largest value
        set_option(_TRIM_THRESHOLD, 64 << 20)


def allow_files() -> None:
    """As many open files as the system lets a process have: by default it may be 1,024, and resolve writes two for each group of
    shards."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def needs_all(steps: Any, modules: Any) -> bool:
    """Whether a recipe brings code that we do not know: modules of the user, filters of datatrove."""
    return bool(modules) or "datatrove" in str(steps)
