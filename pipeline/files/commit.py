"""How a task's outputs become true: written aside, hashed, published, and named by a manifest, last.

A manifest (``.work/manifests/<stage>/<task id>.json``):

    {"stage": "refine", "task": "9f0c...", "index": 3, "counts": {...},
     "outputs": [{"name": "docs", "path": ".work/refine/000003.docs.arrow", "rows": 812, "bytes": 91344, "xxh3": "..."}]}

What a user gets has a sha256 there. Files between stages are many times as much, and their hash only has to tell two honest
attempts apart: XXH3 of 128 bits, at 11 GB/s where SHA-256 makes 1.8.

Readers trust manifests, never listings: a file that no manifest names does not exist. Two attempts at a
task may both get this far (a worker thought dead goes on): they publish equal bytes under equal names,
and the one that comes second finds the manifest and compares. Unequal bytes are a `DeterminismError`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import xxhash

from pipeline.errors import DeterminismError
from pipeline.files import storage

CHUNK = 1 << 20


@dataclass
class Output:
    """One file of a task: `temp` is where it is written, `path` (below the output folder) where it will stand."""

    name: str
    path: str
    temp: str
    rows: int = 0


@dataclass
class Attempt:
    """One try at one task. Nothing it writes can be seen before `commit`."""

    root: str
    stage: str
    task: str
    index: int
    outputs: list[Output] = field(default_factory=list)

    def create(self, name: str, path: str) -> Output:
        """A new output file to be written at `.temp`; set its `.rows` before `commit`."""
        output = Output(name, path, self._temp(path))
        self.outputs.append(output)
        return output

    def drop(self, output: Output) -> None:
        """Takes an output back (an empty file that should not be published)."""
        self.outputs.remove(output)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output.temp)

    def abort(self) -> None:
        """Removes what was written. Safe to call at any time."""
        for output in list(self.outputs):
            self.drop(output)

    def commit(self, counts: dict[str, Any]) -> dict[str, Any]:
        """Publishes the outputs, then the manifest. Returns the manifest that stands."""
        described = [_described(output) for output in self.outputs]
        manifest = {"stage": self.stage, "task": self.task, "index": self.index, "counts": counts, "outputs": described}
        for output in self.outputs:
            storage.publish(output.temp, storage.join(self.root, output.path))
        path = manifest_path(self.root, self.stage, self.task)
        if not storage.put_if_absent(path, json.dumps(manifest, ensure_ascii=False, sort_keys=True).encode()):
            manifest = _agreed(manifest, json.loads(storage.read_bytes(path)))
        return manifest

    def _temp(self, path: str) -> str:
        name = f"{path.replace('/', '~')}.{os.getpid()}.{uuid.uuid4().hex}"
        if storage.is_remote(self.root):
            return os.path.join(tempfile.gettempdir(), f"gristmill-{name}")
        folder = storage.join(self.root, ".work", "tmp")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)


@contextlib.contextmanager
def attempt(root: str, stage: str, task: str, index: int) -> Iterator[Attempt]:
    """An `Attempt` that is aborted, never closed, when its body raises."""
    trial = Attempt(root, stage, task, index)
    try:
        yield trial
    except BaseException:
        trial.abort()
        raise


def manifest_path(root: str, stage: str, task: str) -> str:
    return storage.join(root, ".work", "manifests", stage, f"{task}.json")


def read_manifest(root: str, stage: str, task: str) -> dict[str, Any] | None:
    """The manifest of a finished task, or None."""
    path = manifest_path(root, stage, task)
    return json.loads(storage.read_bytes(path)) if storage.exists(path) else None


def finished(root: str, stage: str) -> set[str]:
    """Ids of the tasks of a stage that are done."""
    files = storage.list_files(storage.join(root, ".work", "manifests", stage), ".json")
    return {os.path.basename(file.path).removesuffix(".json") for file in files}


def sha256_of(path: str) -> str:
    """sha256 of a local file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(output: dict[str, Any]) -> str:
    """The hash of an output's bytes, as its manifest has it."""
    return output["xxh3"] if "xxh3" in output else output["sha256"]


def _described(output: Output) -> dict[str, Any]:
    size = os.path.getsize(output.temp)
    known = {"name": output.name, "path": output.path, "rows": output.rows, "bytes": size}
    if not output.path.startswith(".work/"):
        return {**known, "sha256": sha256_of(output.temp)}
    made: Any = xxhash.xxh3_128  # its type lacks what file_digest does not use
    with open(output.temp, "rb") as file:
        return {**known, "xxh3": hashlib.file_digest(file, made).hexdigest()}


def _agreed(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The manifest that was there first, if it tells of the same bytes."""
    mine, standing = ({o["path"]: digest(o) for o in m["outputs"]} for m in (ours, theirs))
    if mine != standing:
        differing = sorted(path for path in mine.keys() | standing.keys() if mine.get(path) != standing.get(path))
        raise DeterminismError(
            f"Two attempts at task {ours['task']} of stage {ours['stage']} wrote different bytes: {', '.join(differing)}. "
            "The output must depend on input, recipe and version alone; look for a step of yours that uses time, chance or "
            "outside state. Start over with --fresh once it is mended."
        )
    return theirs
