"""What a worker process does with a task, whoever started it: Ray, or the driver while Ray starts.

A worker that dies takes its task with it, and whoever schedules gives the task to another one, without end. So each
try at a task leaves a mark in ``.work/attempts/``. After a death the documents go through their steps in a process of
their own (`pipeline.refining.isolation`), so that the one to blame costs only itself; if workers die all the same, more often than
the recipe allows, the task is not tried again but reported.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from pipeline.files import storage


def tried(spec: dict[str, Any]) -> dict[str, Any]:
    """`run_task` with the bookkeeping of attempts; `spec` also has "session" (of the driver), "attempts" and "isolate"."""
    ready()
    from pipeline.tasks import run_task

    folder = storage.join(spec["output"], ".work", "attempts", spec["session"])
    attempts = tries(spec["attempts"], spec["isolate"])
    for number in range(1, attempts + 2):
        if storage.put_if_absent(storage.join(folder, f"{spec['task']}.{number}"), b""):
            break
    if number > attempts:
        return died(spec, attempts)
    isolate = spec["isolate"] != "never" and number > 1
    result = run_task(
        {**spec, "isolate": isolate, "mark": storage.join(spec["output"], ".work", "attempts", f"{spec['task']}.shard")}
    )
    with contextlib.suppress(OSError):
        storage.delete(storage.join(folder, f"{spec['task']}.{number}"))
    return result


def tries(attempts: int, isolate: str) -> int:
    """How often a task is tried: once more with its documents isolated, unless they never are."""
    return attempts if isolate == "never" else max(attempts, 2)


def died(spec: dict[str, Any], attempts: int) -> dict[str, Any]:
    """The result of a task that is not tried again."""
    error = f"the worker died {attempts} times in this task (killed, out of memory, or crashed in native code)"
    about = {name: spec[name] for name in ("stage", "task", "index")}
    return {**about, "ok": False, "died": True, "error": error, "trace": "", "seconds": 0.0}


@functools.cache
def ready() -> None:
    """Once a process: one thread a task (the engine owns parallelism), and the kernels compiled."""
    import pyarrow as pa

    from pipeline.commands.warmup import ensure_warm

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    ensure_warm(lambda text: None)
