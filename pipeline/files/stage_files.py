"""What one stage hands to the next: the list of its manifests, and its files by name.

When all tasks of a stage are done the driver writes ``.work/stages/<stage>.json`` (their manifests in task
order). Tasks of later stages read inputs through that list only.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from pipeline.files import storage
from pipeline.files.partial import Partial

DOC_BITS = 32
"""A document's number inside a run: refine task << 32 | row in that task's docs file."""


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


class Files:
    """Opens files of earlier stages, each once; for the length of one task. Local ones are memory-mapped; of those on S3
    `table` and `uint64` fetch the whole, `arrow` and `partial` what is asked for."""

    def __init__(self, root: str, stack: ExitStack) -> None:
        self._root = root
        self._stack = stack
        self._arrow: dict[str, pa.ipc.RecordBatchFileReader] = {}
        self._tables: dict[str, pa.Table] = {}
        self._partial: dict[str, Partial] = {}
        self._handles: dict[str, int] = {}

    def local(self, manifest: dict[str, Any], name: str) -> str:
        """A local path of the output (downloaded where the work folder is remote)."""
        return self._stack.enter_context(storage.local_copy(self._path(manifest, name)))

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
        """An Arrow IPC file as a reader of record batches."""
        key = _key(manifest, name)
        if key not in self._arrow:
            partial = self.partial(manifest, name)
            self._arrow[key] = self._mapped(manifest, name) if partial is None else pa.ipc.open_file(partial)
        return self._arrow[key]

    def _mapped(self, manifest: dict[str, Any], name: str) -> pa.ipc.RecordBatchFileReader:
        return pa.ipc.open_file(self._stack.enter_context(pa.memory_map(self.local(manifest, name))))

    def table(self, manifest: dict[str, Any], name: str) -> pa.Table:
        """All of an Arrow IPC file."""
        if self.partial(manifest, name) is None:
            return self.arrow(manifest, name).read_all()
        key = _key(manifest, name)
        if key not in self._tables:
            self._tables[key] = self._mapped(manifest, name).read_all()
        return self._tables[key]

    def uint64(self, manifest: dict[str, Any], name: str) -> np.ndarray:
        """A file of raw little-endian uint64, memory-mapped."""
        path = self.local(manifest, name)
        return np.asarray(np.memmap(path, np.uint64, "r")) if os.path.getsize(path) else np.empty(0, np.uint64)

    def handle(self, manifest: dict[str, Any], name: str) -> int:
        """A descriptor to read the output from; of one on S3 what `partial` has fetched."""
        key = _key(manifest, name)
        if key not in self._handles:
            partial = self.partial(manifest, name)
            opened = os.open(partial.path if partial else self.local(manifest, name), os.O_RDONLY)
            self._stack.callback(os.close, opened)
            self._handles[key] = opened
        return self._handles[key]


def _key(manifest: dict[str, Any], name: str) -> str:
    return f"{manifest['stage']}/{manifest['task']}/{name}"


@contextmanager
def opened(root: str) -> Iterator[Files]:
    """`Files` that are closed at the end of the block."""
    with ExitStack() as stack:
        yield Files(root, stack)
