"""gristmill and its peers side by side, on the same bytes, one core, in CPU seconds.

    python benchmarks/run.py                  measure all, write the table into docs/performance.md
    python benchmarks/run.py --only chain     measure the cases with that word in their name, print the table
    python benchmarks/run.py --check          measure all, compare with benchmarks/floors.yaml, exit 1 below a floor

Each measurement is a process of its own, pinned to one core: imports, models and compiled kernels are there before the
clock starts (but for `gristmill run`, which is measured from its start, with kernels compiled before). The measurements go round in turn, n times, and
the table has medians: what else happens on the machine hits all alike. A slow peer gets a smaller part of the file,
and gristmill is measured on that part too: ratios are always of the same bytes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import table
from inputs import DEMO_ONLY, ROOT, WARM
from registry import OURS, Runner, load

HERE = Path(__file__).resolve().parent
PATHS = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}  # this checkout, whatever else is installed
LIMIT_SECONDS = 240  # of one measurement; the slowest peer takes about 10


@dataclass
class Job:
    """One runner on one input, and what was measured."""

    runner: Runner
    input: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    @property
    def kind(self) -> str:
        return self.input.partition(":")[0]

    @property
    def seconds(self) -> float:
        return statistics.median(run["seconds"] for run in self.runs)

    @property
    def rss(self) -> float:
        return statistics.median(run["rss"] for run in self.runs)


def main() -> int:
    options = arguments()
    runners = [r for r in load() if options.only.lower() in r.case.lower()]
    missing = {r.package for r in runners if r.package and not version(r.package)}
    jobs = plan([r for r in runners if r.package not in missing])
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as scratch:
        files = make_inputs(jobs, Path(scratch))
        for number in range(options.n):
            for at, job in enumerate(jobs):
                tell(f"round {number + 1}/{options.n}, {at + 1}/{len(jobs)}: {job.runner.case}, {job.runner.name}")
                measure(job, files, Path(scratch), options.core)
    tell("")
    lines = table.rows(jobs, files)
    absent = sorted({(r.name, r.package) for r in runners if r.package in missing})
    text = table.page(lines, jobs, absent, options.n, time.perf_counter() - began)
    print(text)
    if options.check:
        return check(lines)
    if not options.only and not options.no_write:
        table.write(ROOT / "docs" / "performance.md", text)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", type=int, default=3, help="times that each is measured (default 3)")
    parser.add_argument("--core", type=int, default=default_core(), help="the core to run on (default: the last one)")
    parser.add_argument("--only", default="", metavar="WORD", help="only cases with this word in their name")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/performance.md as it is")
    parser.add_argument("--check", action="store_true", help="compare with benchmarks/floors.yaml")
    parser.add_argument("--demo", action="store_true", help="the demo's data even if the developers' data is there")
    options = parser.parse_args()
    if options.demo:
        os.environ[DEMO_ONLY] = "1"
    return options


def default_core() -> int:
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def version(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def plan(runners: list[Runner]) -> list[Job]:
    """Every runner on its inputs, and gristmill also on those of its peers."""
    jobs: list[Job] = []
    for runner in runners:
        inputs = runner.inputs()
        if runner.name == OURS:
            inputs = [each for r in runners if r.case == runner.case for each in r.inputs()] or ["en"]
        jobs += [Job(runner, each) for each in dict.fromkeys(inputs)]
    return jobs


def make_inputs(jobs: list[Job], scratch: Path) -> dict[str, dict[str, Any]]:
    names = dict.fromkeys(name for job in jobs for name in (job.input, f"{job.kind}:{WARM}"))
    command = [sys.executable, str(HERE / "inputs.py"), str(scratch / "inputs"), *names]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure(job: Job, files: dict[str, dict[str, Any]], scratch: Path, core: int) -> None:
    """One more measurement, in a new process. An error is kept as the job's, and it is not tried again."""
    if job.error:
        return
    spec = {"case": job.runner.case, "name": job.runner.name, "kind": job.kind, "path": files[job.input]["path"]}
    spec |= {"warm": files[f"{job.kind}:{WARM}"]["path"], "core": core, "scratch": str(scratch / "work")}
    given, result = scratch / "spec.json", scratch / "result.json"
    given.write_text(json.dumps(spec))
    result.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "measure.py"), str(given), str(result)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=scratch, env=PATHS)
    except subprocess.TimeoutExpired:
        job.error = f"not done after {LIMIT_SECONDS} s"
        return
    if done.returncode or not result.exists():
        job.error = (done.stderr.strip().splitlines() or ["no result"])[-1][:200]
        return
    job.runs.append(json.loads(result.read_text()))


def check(lines: list[table.Row]) -> int:
    """Medians against the floors; prints each one that is below. 1 if there is any."""
    import yaml

    floors = yaml.safe_load((HERE / "floors.yaml").read_text())
    below = table.below(lines, floors)
    print("\n".join(below) or f"No median is below its floor ({sum(map(len, floors.values()))} floors).")
    return 1 if below else 0


def tell(text: str) -> None:
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{text:<100}" if text else f"\r{'':<100}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
