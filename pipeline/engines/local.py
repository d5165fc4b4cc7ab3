"""The engine of tests, previews and debuggers: a loop in this process.

A document that crashes or hangs in native code ends the process, and with it the run. So a task of fit or refine leaves a mark
while it is worked on: a run that finds one knows that the last one died there, and isolates the documents of that task of refine. After
a crash the same command goes on, as ever, and gets past the document; so it does after a kill -9, only slower for one task. In fit,
which only samples, a shard that the run has died on `attempts` times is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pipeline.engines.worker import died, tries
from pipeline.files import storage
from pipeline.recipes.recipe import Run
from pipeline.tasks import run_task


class LocalEngine:
    """One task after another."""

    name = "local"

    def __init__(self, run: Run | None = None) -> None:
        self._run = run or Run(engine="local")

    def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Runs each task; its result is there before the next one begins."""
        for spec in specs:
            yield self._tried(spec) if spec["stage"] in ("fit", "refine") else run_task(spec)

    def close(self) -> None:
        """Nothing to end."""

    def _tried(self, spec: dict[str, Any]) -> dict[str, Any]:
        folder = storage.join(spec["output"], ".work", "attempts")
        started, shard = (storage.join(folder, f"{spec['task']}.{ending}") for ending in ("started", "shard"))
        before = len(storage.read_bytes(started)) if storage.exists(started) else 0
        attempts = tries(self._run.attempts, self._run.isolate)
        if before >= attempts and not spec.get("give_up"):
            return died(spec, attempts)
        storage.write_bytes(started, b"x" * (before + 1))
        try:
            return run_task({**spec, "isolate": self._run.isolate != "never" and before > 0, "mark": shard})
        finally:
            with contextlib.suppress(OSError):
                storage.delete(started)
