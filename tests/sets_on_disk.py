"""Shingle sets as refine and band leave them, for tests of what looks them up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.files import storage
from pipeline.matching.sets import facts


def sets_on_disk(monkeypatch: pytest.MonkeyPatch, root: str, tasks: list[np.ndarray]) -> Any:
    """A job in `root` whose refine tasks have these sets, each uint64 (documents, shingles of each)."""
    job = SimpleNamespace(output=root, near={"keep": [], "similarity": "jaccard"})
    refined: list[dict[str, Any]] = []
    known = b""
    for index, sets in enumerate(tasks):
        docs, size = sets.shape
        outputs = [
            _file(root, f"{index}.shingles", "shingles", sets.tobytes(), docs),
            {"name": "docs", "path": "", "rows": docs},
        ]
        refined.append({"stage": "refine", "task": str(index), "index": index, "outputs": outputs})
        keys = np.arange(docs, dtype=np.uint64)
        features = pa.table({"shingle_end": np.arange(1, docs + 1) * size, "key0": keys, "key1": keys})
        known += facts(job, refined[-1], features, 0).tobytes()
    banded = [{"stage": "band", "task": "b", "outputs": [_file(root, "facts", "facts", known, len(known))]}]
    monkeypatch.setattr("pipeline.matching.sets.compared", lambda job: refined)
    monkeypatch.setattr("pipeline.matching.sets.groups", lambda documents: [documents])
    monkeypatch.setattr("pipeline.matching.sets.group_starts", lambda documents: np.zeros(1, np.uint64))
    monkeypatch.setattr("pipeline.matching.sets.manifests", lambda root, stage: banded)
    return job


def _file(root: str, path: str, name: str, data: bytes, rows: int) -> dict[str, Any]:
    storage.write_bytes(f"{root}/{path}", data)
    return {"name": name, "path": path, "rows": rows, "bytes": len(data)}
