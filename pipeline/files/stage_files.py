"""What one stage hands to the next: the list of its manifests, and its files by name.

When all tasks of a stage are done the driver writes ``.work/stages/<stage>.json`` (their manifests in task
order). Tasks of later stages read inputs through that list only.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from dedup.columns import frozen
from kernels.gather import ask_ahead, read_spans
from pipeline.errors import StorageError
from pipeline.files import storage
from pipeline.files.partial import Partial

DOC_BITS = 32
"""A document's number inside a run: refine task << 32 | row in that task's docs file."""

OPEN = 200
"""Files of a kind that a task holds open: many systems allow a process 1,024, and a corpus can have 20,000 shards."""

SLOW, SLOW_BYTE = 4e-6, 1e-9
"""Seconds of a read, and of a byte of it, from which on files do not lie in memory; there a read takes 1 us."""


def stage_path(root: str, stage: str) -> str:
    return storage.join(root, ".work", "stages", f"{stage}.json")


@functools.lru_cache(maxsize=16)
def _stage(root: str, stage: str, version: str) -> list[dict[str, Any]]:
    return json.loads(storage.read_bytes(stage_path(root, stage)))


def manifests(root: str, stage: str) -> list[dict[str, Any]]:
    """Manifests of a finished stage, in task order."""
    return _stage(root, stage, storage.stat(stage_path(root, stage)).version)


def output_path(root: str, manifest: dict[str, Any], name: str) -> str | None:
    """Full path of a task's output by its name, None where it has none."""
    for output in manifest["outputs"]:
        if output["name"] == name:
            return storage.join(manifest.get("root", root), output["path"])
    return None


def output_rows(manifest: dict[str, Any], name: str) -> int:
    return sum(output["rows"] for output in manifest["outputs"] if output["name"] == name)


T = TypeVar("T")


class _Open(Generic[T]):
    """The OPEN things asked for last, by name; what was asked for before them is closed."""

    def __init__(self, close: Callable[[T], None]) -> None:
        self._close = close
        self._open: dict[str, T] = {}

    def get(self, name: str, make: Callable[[], T]) -> T:
        found = self._open.pop(name) if name in self._open else make()
        self._open[name] = found  # the last one of the dict now
        if len(self._open) > OPEN:
            self._close(self._open.pop(next(iter(self._open))))
        return found

    def close(self) -> None:
        for one in self._open.values():
            self._close(one)
        self._open.clear()


class Files:
    """Opens files of earlier stages for the length of one task. Local ones are memory-mapped; of those on S3, fetched once, `table`
    and `uint64` fetch the whole, `arrow` and `partial` what is asked for."""

    def __init__(self, root: str, stack: ExitStack) -> None:
        self._root = root
        self._stack = stack
        self._mapped: _Open[pa.MemoryMappedFile] = _Open(lambda file: file.close())
        self._handles: _Open[int] = _Open(os.close)
        self._local: dict[str, str] = {}
        self._tables: dict[str, pa.Table] = {}
        self._partial: dict[str, Partial] = {}
        self._waits = False  # for a disk: then it is asked ahead, which costs a third more where files lie in memory
        stack.callback(self._mapped.close)
        stack.callback(self._handles.close)

    def local(self, manifest: dict[str, Any], name: str) -> str:
        """A local path of the output (downloaded, once, where the work folder is remote)."""
        path = self._path(manifest, name)
        if path not in self._local:
            self._local[path] = self._stack.enter_context(storage.local_copy(path))
        return self._local[path]

    def _path(self, manifest: dict[str, Any], name: str) -> str:
        path = output_path(self._root, manifest, name)
        if path is None:
            raise KeyError(f"task {manifest['task']} of stage {manifest['stage']} has no output '{name}'")
        return path

    def partial(self, manifest: dict[str, Any], name: str) -> Partial | None:
        """An output on S3 as a file that is filled in as it is read; None for any other."""
        path = self._path(manifest, name)
        if not storage.is_s3(path):
            return None
        key = _key(manifest, name)
        if key not in self._partial:
            known = next(output for output in manifest["outputs"] if output["name"] == name)
            size = known["bytes"] if "bytes" in known else storage.stat(path).size
            self._partial[key] = self._stack.enter_context(Partial(path, size))
        return self._partial[key]

    @contextmanager
    def source(self, manifest: dict[str, Any], name: str) -> Iterator[pa.NativeFile]:
        """A file to be read by places: its pages do not stay in memory, as mapped ones would."""
        partial = self.partial(manifest, name)
        if partial is not None:
            yield pa.PythonFile(partial, mode="r")  # not closed: it is read again
            return
        with pa.OSFile(self.local(manifest, name)) as source:
            yield source

    def arrow(self, manifest: dict[str, Any], name: str) -> pa.ipc.RecordBatchFileReader:
        """An Arrow IPC file as a reader of record batches, good until OPEN others were asked for; batches are good for longer."""
        partial = self.partial(manifest, name)
        if partial is None:
            partial = self._mapped.get(_key(manifest, name), lambda: pa.memory_map(self.local(manifest, name)))
        return pa.ipc.open_file(partial)

    def table(self, manifest: dict[str, Any], name: str) -> pa.Table:
        """All of an Arrow IPC file."""
        key = _key(manifest, name)
        if key not in self._tables:
            with pa.memory_map(self.local(manifest, name)) as source:
                self._tables[key] = pa.ipc.open_file(source).read_all()  # stays mapped, and holds no descriptor
        return self._tables[key]

    def uint64(self, manifest: dict[str, Any], name: str) -> np.ndarray:
        """A file of raw little-endian uint64, memory-mapped."""
        with pa.memory_map(self.local(manifest, name)) as source:
            return np.frombuffer(source.read_buffer(), np.uint64)

    def spans(
        self,
        manifest: dict[str, Any],
        name: str,
        starts: np.ndarray,
        stops: np.ndarray,
        out: np.ndarray,
        at: np.ndarray,
    ) -> None:
        """Of a file of raw little-endian uint64 the numbers starts[i]:stops[i], to out[at[i]:] (int64 each). Only they are read; of
        one on S3 only they are fetched. Errors: StorageError."""
        partial = self.partial(manifest, name)
        if partial is not None:
            partial.fetch(8 * starts, 8 * stops)
        path = self.local(manifest, name) if partial is None else partial.path
        handle = self._handles.get(_key(manifest, name), lambda: os.open(path, os.O_RDONLY))
        wanted = frozen(starts, np.int64), frozen(stops, np.int64)
        began = time.perf_counter()
        if self._waits:
            ask_ahead(handle, *wanted)
        there = read_spans(handle, *wanted, out, frozen(at, np.int64))
        self._waits = time.perf_counter() - began > len(starts) * SLOW + 8 * (stops - starts).sum() * SLOW_BYTE
        if there < len(starts):
            raise StorageError(
                f"Output '{name}' of {manifest['stage']} task {manifest['task']} cannot be read behind byte {8 * int(starts[there])}: "
                "its file was cut, or its disk fails. Run with --fresh."
            )


def _key(manifest: dict[str, Any], name: str) -> str:
    return f"{manifest['stage']}/{manifest['task']}/{name}"


@contextmanager
def opened(root: str) -> Iterator[Files]:
    """`Files` that are closed at the end of the block."""
    with ExitStack() as stack:
        yield Files(root, stack)
