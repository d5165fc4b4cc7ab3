"""The engine of real runs: Ray Data schedules tasks; text never enters the object store.

One row is one task: ``from_items(specs)`` makes a block for each, one ``map_batches`` runs `run_task` in it
and gives back one small result row. The only file outside cluster/ that imports ray.

A worker that dies is started again by Ray without end. So each try at a task leaves a mark in
``.work/attempts/``; once there are more than the recipe allows, the task is not tried again but reported.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Iterator
from typing import Any

# these are read when ray is imported
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
logging.getLogger("ray").setLevel(logging.ERROR)

import ray  # noqa: E402
import ray.data  # noqa: E402

from pipeline import storage  # noqa: E402
from pipeline.errors import RunError  # noqa: E402
from pipeline.recipe import Run  # noqa: E402

OBJECT_STORE = 256 << 20
"""Bytes of shared memory for a Ray on this machine: only specs and result rows pass through it."""


class RayEngine:
    """Ray Data as scheduler. Starts a Ray on this machine, or joins the one at `run.address`."""

    name = "ray"

    def __init__(self, run: Run) -> None:
        self._attempts = run.attempts
        self._workers = run.workers
        self._session = uuid.uuid4().hex[:12]
        self._ours = not ray.is_initialized()
        if self._ours:
            _start(run)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = False
        # above ERROR: whatever a task can do wrong comes back in its row, and is told by the driver
        for name in ("ray.data", "ray.data._internal"):
            logging.getLogger(name).setLevel(logging.ERROR)

    def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        items = [{"spec": json.dumps({"session": self._session, **spec, "attempts": self._attempts})} for spec in specs]
        data = ray.data.from_items(items, override_num_blocks=len(items))
        # a bound above the number of tasks means nothing, and Ray warns of it
        bounded = self._workers is not None and self._workers < len(items)
        strategy = ray.data.TaskPoolStrategy(size=self._workers) if bounded else None
        done = data.map_batches(_run_batch, batch_size=1, batch_format="pyarrow", compute=strategy, num_cpus=1)
        for row in done.iter_rows():
            yield json.loads(row["result"])

    def close(self) -> None:
        if self._ours:
            ray.shutdown()


def _start(run: Run) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if run.address:
            ray.init(address=run.address, **quiet)
        else:
            # two runs on one machine are two Rays: never join one that happens to be there
            ray.init(
                address="local",
                num_cpus=run.workers,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                **quiet,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"the Ray cluster at {run.address}" if run.address else "Ray on this machine"
        raise RunError(
            f"{where} did not start or answer: {error}\n"
            "Check the address and, if the cluster asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN; or try --engine local."
        ) from error


def _run_batch(batch: Any) -> Any:
    """One row in, one row out, in a worker."""
    import pyarrow as pa

    results = [json.dumps(_tried(json.loads(text))) for text in batch["spec"].to_pylist()]
    return pa.table({"result": pa.array(results, pa.string())})


def _tried(spec: dict[str, Any]) -> dict[str, Any]:
    from pipeline.tasks import run_task
    from pipeline.warmup import ensure_warm

    pa_threads()
    ensure_warm(lambda text: None)
    folder = storage.join(spec["output"], ".work", "attempts", spec["session"])
    for number in range(1, spec["attempts"] + 2):
        if storage.put_if_absent(storage.join(folder, f"{spec['task']}.{number}"), b""):
            break
    if number > spec["attempts"]:
        died = (
            f"the worker died {spec['attempts']} times in this task (killed, out of memory, or crashed in native code)"
        )
        return {
            "stage": spec["stage"],
            "task": spec["task"],
            "index": spec["index"],
            "ok": False,
            "died": True,
            "error": died,
            "trace": "",
            "seconds": 0.0,
        }
    result = run_task({**spec, "mark": storage.join(spec["output"], ".work", "attempts", f"{spec['task']}.shard")})
    with contextlib.suppress(OSError):
        storage.delete(storage.join(folder, f"{spec['task']}.{number}"))
    return result


def pa_threads() -> None:
    """One thread a task: the engine owns parallelism."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
