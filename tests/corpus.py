"""Runs of the demo recipe for tests, and what to compare of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.engines.local import LocalEngine
from pipeline.job import prepare
from pipeline.output.writers import read_part
from pipeline.progress import Silent
from pipeline.recipes.recipe import Run
from pipeline.run import Outcome, run

CHECKOUT = Path(__file__).resolve().parent.parent
DEMO = CHECKOUT / "configs" / "demo"
RECIPE = str(CHECKOUT / "configs" / "demo.yaml")
INPUTS = [str(DEMO / "*.warc.gz"), str(DEMO / "*.jsonl.*")]


def assignments(output: Path | str, *extra: str, inputs: list[str] | None = None) -> list[str]:
    """--set values that point the demo recipe at absolute paths."""
    paths = "[" + ", ".join(f'"{path}"' for path in (inputs or INPUTS)) + "]"
    return [f"input.paths={paths}", f'output.path="{output}"', *extra]


def sets(output: Path, *extra: str, inputs: list[str] | None = None) -> list[str]:
    return [part for value in assignments(output, *extra, inputs=inputs) for part in ("--set", value)]


def mill(
    output: Path | str, *extra: str, inputs: list[str] | None = None, fresh: bool = False, recipe: str = RECIPE
) -> Outcome:
    """A run in this process."""
    job, settings = prepare(recipe, assignments(output, *extra, inputs=inputs))
    return run(job, settings.run, LocalEngine(), Silent(), fresh)


def as_it_stands(name: str, output: Path | str, *extra: str) -> Outcome:
    """A run of configs/NAME.yaml (or another recipe) in this process, from the checkout, where its paths begin."""
    with contextlib.chdir(CHECKOUT):
        job, settings = prepare(str(Path("configs", name).with_suffix(".yaml")), [f'output.path="{output}"', *extra])
        return run(job, settings.run, LocalEngine(), Silent())


def gristmill(*arguments: str, cwd: Path | str = CHECKOUT, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """The command, as a user calls it."""
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "120"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


def sums(output: Path | str) -> dict[str, str]:
    """Path -> sha256 of every file a user gets."""
    root = Path(output)
    files = [path for path in root.rglob("*") if path.is_file() and ".work" not in path.parts]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def written(folder: Path, records: list[dict[str, Any]], files: int = 5) -> None:
    """The records as JSON Lines in so many files, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-len(records) // files)
    for number in range(files):
        rows = records[number * each : (number + 1) * each]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{number}.jsonl").write_text(text, encoding="utf-8")


def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on each input file is a refine task, and two of them are a group."""
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    monkeypatch.setattr("pipeline.matching.groups.GROUP", 2)


def same_splits(one: Path, two: Path) -> bool:
    """Whether the files of all splits have equal bytes, and there are some. The ledger has a file for each task."""
    splits = json.loads((one / "manifest.json").read_text())["splits"]
    first, second = ({p: s for p, s in sums(out).items() if p.split("/")[0] in splits} for out in (one, two))
    return first == second and len(first) > 0


__all__ = [
    "CHECKOUT",
    "DEMO",
    "INPUTS",
    "RECIPE",
    "Run",
    "as_it_stands",
    "assignments",
    "gristmill",
    "many_tasks",
    "mill",
    "same_splits",
    "sums",
    "written",
]


def manifest(output: Path) -> dict[str, Any]:
    return json.loads((output / "manifest.json").read_text())


def kept(output: Path) -> list[dict[str, Any]]:
    told = manifest(output)
    parts = [f["path"] for f in told["files"] if f["path"].split("/")[0] in told["splits"]]
    return [
        row for part in parts for t in read_part(str(output / part), part.split(".", 1)[1]) for row in t.to_pylist()
    ]


def rejected(output: Path) -> list[dict[str, Any]]:
    return [row for file in sorted((output / "rejected").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
