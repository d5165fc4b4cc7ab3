"""Where the chain's time goes: the share of each step in the CPU time of a refine task.

    python benchmarks/profile_chain.py [FILE.jsonl.zst] [--recipe configs/web.yaml] [-n 3]

    step                             CPU ms  share   MB/s
    read                               51.2   13 %    146
    01.keep.language                  130.5   33 %     57
    ...

The functions of `pipeline.refining.refine` are wrapped from outside; a step's time is its own, without that of the steps that it
calls. MB/s is the text of the whole file over the step's time: a late step has less text to read than the first.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import inputs
import recipes

import dedup.shingling
import pipeline.documents
import pipeline.files.tables
import pipeline.refining.refine
import pipeline.tasks
from pipeline.files.commit import Attempt
from pipeline.refining.row_steps import Named

REST = "rest"
LABELS = {
    "record_keys": "hashes of ids and texts",
    "text_hashes": "hashes of ids and texts",
    "shingle_sets": "shingles",
    "signatures": "signatures and bands",
    "band_hashes": "signatures and bands",
    "measure_rest": "signals to record",
}


class Clock:
    """CPU seconds by label; what is measured inside something else is taken off that."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inside: list[str] = [REST]
        self._since = time.process_time()

    @contextlib.contextmanager
    def on(self, label: str) -> Iterator[None]:
        self._turn()
        self._inside.append(label)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()

    def start(self) -> None:
        self.spent.clear()
        self._since = time.process_time()

    def stop(self) -> None:
        self._turn()

    def _turn(self) -> None:
        now = time.process_time()
        self.spent[self._inside[-1]] += now - self._since
        self._since = now

    def timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with self.on(label):
                return function(*args, **options)

        return call

    def iterated(self, label: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """As `timed` for a generator: the time in it, not of who takes from it."""

        def call(*args: Any, **options: Any) -> Iterator[Any]:
            found = function(*args, **options)
            while True:
                with self.on(label):
                    item = next(found, None)
                if item is None:
                    return
                yield item

        return call


def wrap(clock: Clock) -> None:
    """Puts the clock around the parts of a refine task."""
    module = pipeline.refining.refine
    build = module.build_steps

    def timed_steps(job: Any) -> list[Named]:
        return [dataclasses.replace(each, step=clock.timed(each.name, each.step)) for each in build(job)]

    module.build_steps = timed_steps
    module.batches = clock.iterated("read", module.batches)
    for name, label in LABELS.items():
        place = next(each for each in (module, pipeline.documents, dedup.shingling) if hasattr(each, name))
        setattr(place, name, clock.timed(label, getattr(place, name)))
    writer = pipeline.files.tables.SteadyWriter
    writer.write = clock.timed("write", writer.write)  # type: ignore[method-assign]
    writer.close = clock.timed("write", writer.close)  # type: ignore[method-assign]
    Attempt.commit = clock.timed("commit (hash, sync, publish)", Attempt.commit)  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", nargs="?", help="JSONL(.zst); default: the English text of the benchmarks")
    parser.add_argument("--recipe", help="take the steps of this recipe instead of the chain's")
    parser.add_argument("-n", type=int, default=3, help="passes; the fastest is shown (default 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gristmill-profile-") as name:
        scratch = Path(name)
        path = Path(options.file) if options.file else Path(inputs.make(scratch, "en")["path"])
        steps = _steps(options.recipe) if options.recipe else recipes.CHAIN
        clock, passes = Clock(), []
        wrap(clock)
        # the refine task alone: what stands before it (recipe, plan) is not of the hot path
        task = pipeline.tasks.STAGES["refine"]

        def counted(job: Any, spec: Any, trial: Attempt) -> Any:
            clock.start()
            counts = task(job, spec, trial)
            passes.append((counts, trial))
            return counts

        pipeline.tasks.STAGES["refine"] = counted
        found = [_once(path.resolve(), scratch, steps, clock) for _ in range(options.n + 1)][1:]
    print(report(min(found, key=lambda spent: sum(spent.values())), passes[-1][0]))


def _once(path: Path, scratch: Path, steps: list[Any], clock: Clock) -> dict[str, float]:
    recipes.refine(path, scratch, steps)
    clock.stop()
    return dict(clock.spent)


def _steps(recipe: str) -> list[Any]:
    import yaml

    return yaml.safe_load(Path(recipe).read_text())["steps"]


def report(spent: dict[str, float], counts: dict[str, Any]) -> str:
    """The table, in the order of the work."""
    total, size = sum(spent.values()), counts["bytes"] / 1e6
    account = counts["account"]
    lines = [f"{'step':<34}{'CPU ms':>9}{'share':>7}{'MB/s':>8}"]
    for label, seconds in [
        *((k, v) for k, v in spent.items() if k != REST),
        (REST, spent.get(REST, 0.0)),
        ("all", total),
    ]:
        lines.append(f"{label:<34}{1e3 * seconds:9.1f}{100 * seconds / total:5.0f} %{size / max(seconds, 1e-9):8,.0f}")
    lines.append(f"{size:.1f} MB, {account['read']:,} documents read, {account['kept']:,} kept")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
