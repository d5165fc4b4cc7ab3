"""Near-dedup at scale: band, match and resolve of many short documents, signatures given.

    python benchmarks/near_scale.py --docs 1000000 --folder /tmp/near [--engine ray] [--memory 2GB]

Documents are made as refine would have left them (features, shingles), without text: 60 shingles each; a quarter
stands in clusters of near-copies with sizes from 2 up (a power law, the largest a hundredth of the documents), one in
fifty in templates, groups of 1,000 that share two thirds of their shingles with each other and more with none.
Prints seconds, CPU seconds and the memory of the largest process of each stage, and the peak of this process and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup.minhash import Bands, band_hashes, signatures
from pipeline.documents import features_schema
from pipeline.engines import start
from pipeline.files import storage
from pipeline.files.commit import attempt, read_manifest
from pipeline.files.stage_files import stage_path
from pipeline.folder import write_job
from pipeline.job import Job
from pipeline.job import resolve as resolve_job
from pipeline.matching.groups import bucket_tasks
from pipeline.matching.older import compared
from pipeline.progress import Silent
from pipeline.recipes.recipe import read
from pipeline.run import _Driver

SHINGLES = 60
TASK_DOCS = 100_000
TEMPLATE = 1000
RECIPE = """
input: {{paths: '{input}'}}
steps: [{{dedup: {{minhash: {{threshold: 0.8}}}}}}]
output: {{path: '{out}'}}
run: {{engine: {engine}, memory: {memory}}}
"""


def mix(x: np.ndarray) -> np.ndarray:
    """Splitmix64's finaliser: numbers to hashes."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def clusters(docs: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The cluster of each document, int64; those below the returned number are templates."""
    templates = docs // 50 // TEMPLATE
    sizes = [TEMPLATE] * templates
    left = docs // 4
    sizes.append(docs // 100)
    left -= docs // 100
    drawn = np.minimum(2 + rng.pareto(1.3, left).astype(np.int64), docs // 200)
    drawn = drawn[np.cumsum(drawn) <= left]
    sizes = np.concatenate([sizes, drawn])
    sizes = np.concatenate([sizes, np.ones(docs - int(sizes.sum()), np.int64)])
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes)), templates


def shingle_sets(docs: np.ndarray, cluster: np.ndarray, templates: int) -> np.ndarray:
    """uint64 (n, SHINGLES), rows sorted: a cluster's set with some of its shingles replaced by the document's own."""
    place = np.arange(SHINGLES, dtype=np.uint64)
    base = mix(cluster.astype(np.uint64)[:, None] * np.uint64(SHINGLES) + place)
    own = mix((docs.astype(np.uint64)[:, None] * np.uint64(SHINGLES) + place) ^ np.uint64(1 << 60))
    replaced = (mix(docs.astype(np.uint64) ^ np.uint64(77)) % np.uint64(9)).astype(np.int64)
    replaced = np.where(cluster < templates, SHINGLES // 5, replaced)
    first = mix(docs.astype(np.uint64)) % np.uint64(SHINGLES)
    turn = (place[None, :] + first[:, None]) % np.uint64(SHINGLES)
    return np.sort(np.where(turn < replaced[:, None].astype(np.uint64), own, base), axis=1)


def make(job: Job, docs: int) -> None:
    """Writes what refine would have: tasks of TASK_DOCS documents."""
    cluster, templates = clusters(docs, np.random.default_rng(1))
    sketch = job.refine["minhash"]
    bands = Bands(sketch["bands"], sketch["rows"])
    schema = features_schema(job.refine)
    found = []
    for index, low in enumerate(range(0, docs, TASK_DOCS)):
        rows = np.arange(low, min(docs, low + TASK_DOCS))
        task = f"made-{index:06d}"
        if read_manifest(job.output, "refine", task) is None:
            sets = shingle_sets(rows, cluster[rows], templates)
            with attempt(job.output, "refine", task, index) as trial:
                trial.create("docs", f".work/refine/{index:06d}.docs").rows = len(rows)
                Path(trial.outputs[-1].temp).touch()
                _features(trial, index, rows, sets, bands, sketch, schema)
                trial.commit({})
        found.append(read_manifest(job.output, "refine", task))
    storage.write_bytes(stage_path(job.output, "refine"), json.dumps(found).encode())


def _features(
    trial: Any, index: int, rows: np.ndarray, sets: np.ndarray, bands: Bands, sketch: dict[str, Any], schema: pa.Schema
) -> None:
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * SHINGLES
    hashes = band_hashes(signatures(offsets, sets.ravel(), bands.hashes, sketch["seed"]), bands)
    text, key = mix(sets[:, 0] ^ sets[:, -1] ^ sets.sum(axis=1)), mix(rows.astype(np.uint64) + np.uint64(5))
    columns = {
        "id": pa.array([str(row) for row in rows]), "source": pa.array(["made"] * len(rows)), "date": pa.nulls(len(rows), pa.string()),
        "key0": key, "key1": mix(key), "text0": text, "text1": mix(text),
        "chars": (300 + (key % np.uint64(200))).astype(np.int64), "bytes": np.full(len(rows), 400),
        "shingle_end": offsets[1:], "bands": pa.FixedSizeListArray.from_arrays(pa.array(hashes.ravel()), bands.bands),
    }  # fmt: skip
    output = trial.create("features", f".work/refine/{index:06d}.features.arrow")
    with pa.ipc.new_file(output.temp, schema) as sink:
        sink.write_table(pa.table(columns, schema=schema), max_chunksize=20_000)
    output = trial.create("shingles", f".work/refine/{index:06d}.shingles.u64")
    sets.tofile(output.temp)


class Memory(threading.Thread):
    """Peak memory (bytes, without mapped files) of this process and all below it, and of the largest of them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.whole, self.largest = 0, 0

    def run(self) -> None:
        while True:
            sizes = [private(pid) for pid in family(os.getpid())]
            self.whole, self.largest = max(self.whole, sum(sizes)), max(self.largest, *sizes)
            time.sleep(0.5)


def family(pid: int) -> list[int]:
    """A process and all below it (Linux)."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(found for child in below for found in family(int(child)))]


def private(pid: int) -> int:
    """Bytes of memory of this process that are no pages of files (Linux); 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--docs", type=int, default=1_000_000)
    options.add_argument("--folder", required=True)
    options.add_argument("--engine", default="local")
    options.add_argument("--memory", default="2GB")
    options.add_argument("--keep", action="store_true", help="keep the folder, to begin from it again")
    given = options.parse_args()
    out = Path(given.folder).resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / "in.jsonl").write_text('{"text": "a"}\n')
    page = RECIPE.format(input=out / "in.jsonl", out=out / "out", engine=given.engine, memory=given.memory)
    recipe, source = read(page, "near_scale")
    job = resolve_job(recipe, source)
    write_job(job, recipe.run)
    make(job, given.docs)
    stages = ("band", *(["bucket"] if bucket_tasks(job, compared(job)) else []), "match", "resolve-0", "assign-0")
    for stage in stages:
        for folder in (f"manifests/{stage}", stage):
            shutil.rmtree(out / "out" / ".work" / folder, ignore_errors=True)
    memory = Memory()
    memory.start()
    started = time.perf_counter()
    engine = start(recipe.run)
    print(f"engine {time.perf_counter() - started:.1f} s")
    driver = _Driver(job, recipe.run, engine, Silent())
    upstream = ["made"]
    most = 0
    for stage in stages:
        began, cpu, memory.largest = time.perf_counter(), _cpu(), 0
        upstream = [*upstream, driver.stage(stage, upstream)]
        counts: dict[str, Any] = {}
        for manifest in json.loads(storage.read_bytes(stage_path(job.output, stage))):
            for name, value in manifest["counts"].items():
                if isinstance(value, int):
                    counts[name] = counts.get(name, 0) + value
        took, most = f"{time.perf_counter() - began:7.1f} s  {_cpu() - cpu:7.1f} s CPU", max(most, memory.largest)
        print(f"{stage:10} {took} {memory.largest / 1e6:5.0f} MB  {counts}", flush=True)
    print(
        f"in all {time.perf_counter() - started:.1f} s; peak without mapped files {memory.whole / 1e6:.0f} MB, largest process {most / 1e6:.0f} MB"
    )
    engine.close()
    if not given.keep:
        shutil.rmtree(out)


def _cpu() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    main()
