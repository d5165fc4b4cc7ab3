"""What tests of splits share: a run of a recipe, the side of each document, planted ties, leaks planted after a run."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import zstandard
from corpus import manifest, written

from pipeline.commands.check import check
from pipeline.engines.local import LocalEngine
from pipeline.files.commit import sha256_of
from pipeline.job import resolve as resolve_job
from pipeline.output.writers import read_part
from pipeline.progress import Silent
from pipeline.recipes.recipe import read
from pipeline.run import run

PAGE = """
input: {{paths: ['{path}']}}
steps: {steps}
output: {{path: '{out}', split: {split}{more}}}
run: {{engine: local, max_source_loss: 1, batch_size: {batch}, memory: {memory}}}
"""
NEAR = "[dedup: {minhash: {threshold: 0.8}}]"


def mill(records, folder, split, steps="[]", more="", files=5, batch=1000, memory="2GB", out="out"):
    """Runs a recipe; returns the output folder."""
    written(folder / "in", records, files)
    page = PAGE.format(
        path=folder / "in", out=folder / out, split=split, steps=steps, more=more, batch=batch, memory=memory
    )
    recipe, source = read(page, "r.yaml")
    run(resolve_job(recipe, source), recipe.run, LocalEngine(), Silent())
    return folder / out


def sides(out):
    """id -> split of every kept document."""
    told = manifest(out)
    found = {}
    for split in told["splits"]:
        for row in kept_of(out, told, split):
            found[row["id"]] = split
    return found


def kept_of(out, told, split):
    parts = [f["path"] for f in told["files"] if f["path"].startswith(f"{split}/")]
    return [row for part in parts for t in read_part(str(out / part), part.split(".", 1)[1]) for row in t.to_pylist()]


def sound(out):
    findings = check(str(out))
    assert all(finding.ok for finding in findings), findings


def text(rng, count=40):
    return " ".join(f"w{n}" for n in rng.integers(0, 10**9, count))


def near(base, rng, changed=1):
    """The text with some words changed: similarity above 0.8 at one of 60 or more."""
    found = base.split()
    for place in rng.choice(len(found), changed, replace=False):
        found[place] = f"x{rng.integers(10**9)}"
    return " ".join(found)


def together(records, links):
    """Components of records by the values that `links` gives of each: a list of sets of ids."""
    parent = {record["id"]: record["id"] for record in records}

    def root(name):
        while parent[name] != name:
            name = parent[name]
        return name

    first = {}
    for record in records:
        for link in links(record):
            other = first.setdefault(link, record["id"])
            parent[root(record["id"])] = root(other)
    found = defaultdict(set)
    for record in records:
        found[root(record["id"])].add(record["id"])
    return list(found.values())


# --- corpora

TIMES = "{train: {before: 2023-01-01}, validation: {after: 2023-01-01, before: 2024-01-01}, test: {after: 2024-01-01}"


def dated_corpus(seed=8, n=400):
    rng = np.random.default_rng(seed)
    records = []
    for i in range(n):
        year, month, day = int(rng.integers(2020, 2026)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
        author = f"a{rng.integers(250)}"
        records.append({"id": f"d{i}", "text": text(rng), "date": f"{year}-{month:02d}-{day:02d}", "author": author})
    return records


def side_of(date):
    return "train" if date < "2023" else "validation" if date < "2024" else "test"


def labelled_corpus(seed=11, sizes=(("en", 3000), ("zh", 1200), ("sw", 60), ("is", 7))):
    rng = np.random.default_rng(seed)
    return [{"id": f"{label}{i}", "text": text(rng, 6), "label": label} for label, size in sizes for i in range(size)]


# --- after a run


def claim(out, split):
    """Lets the manifest say that the corpus was split in another way."""
    told = manifest(out)
    told["recipe"]["output"]["split"] = split
    (out / "manifest.json").write_text(json.dumps(told))
    return {finding.what: finding.wrong for finding in check(str(out)) if not finding.ok}


def planted(out, change):
    """Lets `change` alter rows of a finished corpus ({split: [row, ...]}, of JSON Lines in one part each), and the manifest's
    sums after it; returns the findings that are wrong then."""
    told = manifest(out)
    rows = {split: kept_of(out, told, split) for split in told["splits"]}
    change(rows)
    for split, found in rows.items():
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in found)
        (out / split / "part-00000.jsonl.zst").write_bytes(zstandard.compress(lines))
    for entry in told["files"]:
        entry["sha256"] = sha256_of(str(out / entry["path"]))
    (out / "manifest.json").write_text(json.dumps(told))
    return [finding for finding in check(str(out)) if not finding.ok]
