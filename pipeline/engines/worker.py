"""What a worker process does with a task, whoever started it: Ray, or the driver while Ray starts.

A worker that dies takes its task with it, and whoever schedules gives the task to another one, without end. So each
try at a task leaves a mark in ``.work/attempts/``; once there are more than the recipe allows, the task is not tried
again but reported.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from pipeline import storage


def tried(spec: dict[str, Any]) -> dict[str, Any]:
    """`run_task` with the bookkeeping of attempts; `spec` also has "session" (of the driver) and "attempts"."""
    _ready()
    from pipeline.tasks import run_task

    folder = storage.join(spec["output"], ".work", "attempts", spec["session"])
    for number in range(1, spec["attempts"] + 2):
        if storage.put_if_absent(storage.join(folder, f"{spec['task']}.{number}"), b""):
            break
    if number > spec["attempts"]:
        return _died(spec)
    result = run_task({**spec, "mark": storage.join(spec["output"], ".work", "attempts", f"{spec['task']}.shard")})
    with contextlib.suppress(OSError):
        storage.delete(storage.join(folder, f"{spec['task']}.{number}"))
    return result


def _died(spec: dict[str, Any]) -> dict[str, Any]:
    died = f"the worker died {spec['attempts']} times in this task (killed, out of memory, or crashed in native code)"
    about = {name: spec[name] for name in ("stage", "task", "index")}
    return {**about, "ok": False, "died": True, "error": died, "trace": "", "seconds": 0.0}


@functools.cache
def _ready() -> None:
    """Once a process: one thread a task (the engine owns parallelism), and the kernels compiled."""
    import pyarrow as pa

    from pipeline.warmup import ensure_warm

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    ensure_warm(lambda text: None)
