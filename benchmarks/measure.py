"""One measurement in a process of its own: `python benchmarks/measure.py SPEC RESULT` (two JSON files).

SPEC: {"case", "name", "kind", "path", "warm", "core", "scratch"}. RESULT: {"seconds", "passes", "rss", "answers"}:
CPU seconds of one pass (this process and its children, all threads), peak resident memory in bytes.
A job of some milliseconds is done again until MIN_SECONDS have gone by.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

MIN_SECONDS = 0.5
LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON")


def main(spec_path: str, result_path: str) -> None:
    spec = json.loads(Path(spec_path).read_text())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {spec["core"]})
    os.environ.update({f"{library}_NUM_THREADS": "1" for library in LIBRARIES})
    result = measure(spec)
    Path(result_path).write_text(json.dumps(result))


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    from registry import Sample, load

    found = next(r for r in load() if (r.case, r.name) == (spec["case"], spec["name"]))
    scratch = Path(spec["scratch"])
    # imports, models, compiled kernels (those are on disk for later processes too)
    found.function(Sample(spec["kind"], Path(spec["warm"]), _empty(scratch)))()
    work = found.function(Sample(spec["kind"], Path(spec["path"]), _empty(scratch)))
    passes, began = 0, cpu_seconds()
    while True:
        answers = work()
        passes += 1
        spent = cpu_seconds() - began
        if spent >= MIN_SECONDS or found.child:
            break
    rss = peak_memory(children=found.child)
    return {"seconds": spent / passes, "passes": passes, "rss": rss, "answers": answers() if answers else None}


def cpu_seconds() -> float:
    """User and system time of this process with all its threads, and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_memory(children: bool) -> int:
    """Peak resident bytes of this process, or of its largest child."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main(*sys.argv[1:3])
