"""The engine of real runs: Ray schedules tasks; text never enters the object store.

A large stage goes through Ray Data: one row is one task, ``from_items(specs)`` makes a block for each, one ``map_batches``
runs the task and gives back one small result row. Ray Data costs two actors, an import of itself in every worker and 20 ms
a task, about 10 core-seconds; so a stage of fewer than DATA_TASKS tasks goes to Ray as plain tasks, which cost 4 ms each.
The function, its retries and its results are the same. The only file outside cluster/ that imports ray.

What a worker does with a task, and what happens if it dies: `pipeline.engines.worker`.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

# these are read when ray is imported
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
logging.getLogger("ray").setLevel(logging.ERROR)

import ray  # noqa: E402

from pipeline.engines import largest_first  # noqa: E402
from pipeline.errors import RunError  # noqa: E402
from pipeline.recipes.recipe import Run  # noqa: E402

OBJECT_STORE = 256 << 20
"""Bytes of shared memory for a Ray on this machine: only specs and result rows pass through it."""

DATA_TASKS = 256
"""From this many tasks on a stage goes through Ray Data: its fixed cost is then below a twentieth of the stage's work."""

IN_FLIGHT = 64
"""Plain tasks that Ray knows of at a time, for each core there is: enough for an autoscaler to see what is wanted."""


class RayEngine:
    """Starts a Ray on this machine, or joins the one at `run.address`."""

    name = "ray"

    def __init__(self, run: Run) -> None:
        self._tries = {"attempts": run.attempts, "isolate": run.isolate}
        self._workers = run.workers
        self._session = uuid.uuid4().hex[:12]
        self._ours = not ray.is_initialized()
        if self._ours:
            _start(run)

    def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        texts = [json.dumps({"session": self._session, **spec, **self._tries}) for spec in largest_first(specs)]
        results = self._by_data(texts) if len(texts) >= DATA_TASKS else self._by_tasks(texts)
        return map(json.loads, results)

    def _by_tasks(self, texts: list[str]) -> Iterator[str]:
        task = ray.remote(num_cpus=1, max_retries=-1)(_run_text)
        bound = self._workers or IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting, running = deque(texts), list[Any]()
        while waiting or running:
            while waiting and len(running) < bound:
                running.append(task.remote(waiting.popleft()))
            done, running = ray.wait(running)
            yield from ray.get(done)

    def _by_data(self, texts: list[str]) -> Iterator[str]:
        _quiet_data()
        data = ray.data.from_items([{"spec": text} for text in texts], override_num_blocks=len(texts))
        # a bound above the number of tasks means nothing, and Ray warns of it
        bounded = self._workers is not None and self._workers < len(texts)
        strategy = ray.data.TaskPoolStrategy(size=self._workers) if bounded else None
        done = data.map_batches(_run_batch, batch_size=1, batch_format="pyarrow", compute=strategy, num_cpus=1)
        for row in done.iter_rows():
            yield row["result"]

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


def _quiet_data() -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    # above ERROR: whatever a task can do wrong comes back in its row, and is told by the driver
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _run_text(text: str) -> str:
    """One task in a worker."""
    from pipeline.engines.worker import tried

    return json.dumps(tried(json.loads(text)))


def _run_batch(batch: Any) -> Any:
    """One row in, one row out, in a worker."""
    import pyarrow as pa

    return pa.table({"result": pa.array(map(_run_text, batch["spec"].to_pylist()), pa.string())})
