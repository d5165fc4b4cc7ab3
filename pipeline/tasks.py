"""One task: the function that both engines call, wherever they call it.

In:  ``{"stage": "match", "task": "<id>", "index": 4, "output": "out/web", "job": "<fingerprint>", ...}`` (JSON)
Out: ``{"stage", "task", "index", "ok": true, "counts": {...}, "seconds": 1.2}`` or ``{"ok": false, "error", "fatal"}``

It never raises for what can happen to a task: the engine moves result rows, the driver judges them.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import time
import traceback
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pipeline.cutting.cut import cut
from pipeline.errors import GristmillError
from pipeline.files import storage
from pipeline.files.commit import Attempt, attempt, read_manifest
from pipeline.job import Job
from pipeline.lean import allow_files, keep_memory, needs_all, start_lean
from pipeline.matching import near
from pipeline.matching.older import index
from pipeline.matching.probe import probe
from pipeline.matching.resolve import resolve
from pipeline.mixtures.conflicts import conflicts
from pipeline.mixtures.mixing import mix
from pipeline.output.deal import deal
from pipeline.output.publish import publish
from pipeline.refining.fit import fit, fitted
from pipeline.refining.refine import refine
from pipeline.splits.assign import assign
from pipeline.splits.sides import sides

Stage = Callable[[Job, dict[str, Any], Attempt], dict[str, Any]]

STAGES: dict[str, Stage] = {
    "fit": fit,
    "fitted": fitted,
    "refine": refine,
    "index": index,
    "lines": cut,
    "substrings": cut,
    "band": near.band,
    "bucket": near.bucket,
    "match": near.match,
    "resolve": resolve,
    "sides": sides,
    "assign": assign,
    "probe": probe,
    "conflicts": conflicts,
    "mix": mix,
    "deal": deal,
    "publish": publish,
}


def job_path(output: str) -> str:
    return storage.join(output, ".work", "job.json")


@functools.lru_cache(maxsize=2)
def _job(output: str, fingerprint: str) -> Job:
    keep_memory()
    allow_files()
    job = Job(**json.loads(storage.read_bytes(job_path(output)))["job"])
    if not needs_all(job.refine["steps"], job.refine["uses"]):
        start_lean()
    return job


def run_task(spec: dict[str, Any]) -> dict[str, Any]:
    """Does one task and commits it. A task whose manifest stands already is not done again."""
    started = time.perf_counter()
    result = {"stage": spec["stage"], "task": spec["task"], "index": spec["index"]}
    try:
        job = _job(spec["output"], spec["job"])
        manifest = read_manifest(job.output, spec["stage"], spec["task"])
        if manifest is None:
            with attempt(job.output, spec["stage"], spec["task"], spec["index"]) as trial:
                counts = STAGES[spec["stage"].split("-")[0]](job, spec, trial)
                manifest = trial.commit(counts)
        return {**result, "ok": True, "counts": manifest["counts"], "seconds": time.perf_counter() - started}
    except GristmillError as error:
        return {**result, "ok": False, "error": str(error), "trace": "", "seconds": time.perf_counter() - started}
    except Exception as error:
        trace = traceback.format_exc(limit=-4)
        return {
            **result,
            "ok": False,
            "error": f"{type(error).__name__}: {error}",
            "trace": trace,
            "seconds": time.perf_counter() - started,
        }
    finally:
        _give_back()


def _give_back() -> None:
    """Memory that the task has freed goes back to the system; else a worker keeps the most of all stages together: 541 MB in
    deal where the stage itself takes 432. Elsewhere than with glibc the allocator does as it likes."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
