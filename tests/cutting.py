"""Runs of recipes that cut texts, for tests."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from pipeline.engines.local import LocalEngine
from pipeline.job import resolve as resolve_job
from pipeline.progress import Silent
from pipeline.recipes.recipe import read
from pipeline.run import run

RECIPE = """
input: {{paths: '{paths}'}}
steps: {steps}
output: {{path: '{out}', split: {split}{output}}}
run: {{engine: local, batch_size: {batch}}}
"""


def job_of(folder, steps, *, split="{train: 1}", output="", batch=1000, out="out", run="", uses=""):
    """(job, run settings) of a recipe over the JSON Lines of a folder. `run`: more keys of that part, as YAML."""
    text = RECIPE.format(
        paths=folder / "*.jsonl",
        out=folder / out,
        steps=json.dumps(steps),
        split=split,
        output=output,
        batch=f"{batch}{run}",
    )
    recipe, source = read(text + (f"uses: {uses}" if uses else ""), "r.yaml")
    return resolve_job(recipe, source), recipe.run


def cut(folder, steps, shards=None, **more):
    """Writes shards of records, runs the steps; returns the output folder."""
    for name, records in (shards or {}).items():
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    job, settings = job_of(folder, steps, **more)
    run(job, settings, LocalEngine(), Silent())
    return folder / more.get("out", "out")


def removed(output, kind):
    """The rows of removed/KIND-*.parquet."""
    files = sorted((output / "removed").glob(f"{kind}-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]
