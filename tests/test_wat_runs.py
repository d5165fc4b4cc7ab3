"""Whole runs of WET files with the WAT files beside them: the same bytes from anywhere, and what damage does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from corpus import sums
from wats import about, conversion, crawl, packed, segments, wat

from pipeline.commands.retry import retry
from pipeline.engines.local import LocalEngine
from pipeline.files import storage
from pipeline.job import prepare
from pipeline.plan import stage_tasks
from pipeline.progress import Silent
from pipeline.recipes.recipe import Run
from pipeline.run import run

RECIPE = """
input: {{paths: "{folder}/wet", wat: {wat}{more}}}
steps:
  - keep: {{word_count: {{min: 3}}}}
output: {{path: "{out}", format: jsonl, rejected_text: true}}
run: {{engine: local, batch_size: {size}}}
"""


def mill(folder: Path, out: str, wat: str = "true", more: str = "", size: int = 1000) -> dict[str, Any]:
    (folder / f"{out}.yaml").write_text(RECIPE.format(folder=folder, out=folder / out, wat=wat, more=more, size=size))
    job, options = prepare(str(folder / f"{out}.yaml"))
    return run(job, options.run, LocalEngine(), Silent()).manifest


def documents(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for file in sorted((out / "train").iterdir()) for line in file.read_text().splitlines()]
    return {line["url"].rpartition("/")[2]: {**line, "metadata": json.loads(line["metadata"])} for line in lines}


def test_a_run(tmp_path: Path) -> None:
    crawl(tmp_path, range(12), name="a")
    other = tmp_path / "wat" / "a.warc.wat.gz"
    records = [
        *wat(range(8)),
        *about(8, x_robots_tag="noai"),
        *about(9, status=404),
        *about(10, x_robots_tag="noindex"),
    ]
    other.write_bytes(packed(records))
    asked = "{refuse: [noai], fields: [title, http_status, robots]}"
    manifest = mill(tmp_path, "out", asked)
    assert manifest["wat"] == {"found": 11, "missing": 1}
    assert manifest["account"] == {"read": 12, "kept": 10, "rejected": 2, "quarantined": 0}
    assert manifest["rejected"] == {"00.read": {"http_status": 1, "robots": 1}}
    assert manifest["input"][0]["wat"] == str(other)
    kept = documents(tmp_path / "out")
    assert kept["3"]["metadata"] == {"http_status": 200, "languages": "eng", "title": "Mill 3"}
    assert kept["10"]["metadata"]["robots"] == ["noindex"] and kept["11"]["metadata"] == {"languages": "eng"}
    for size in (1, 5):
        mill(tmp_path, f"out{size}", asked, size=size)
        assert sums(tmp_path / f"out{size}") == sums(tmp_path / "out")
    strict = mill(tmp_path, "strict", asked, ", values: {metadata.title: {required: true}}")
    assert strict["rejected"]["00.read"] == {"http_status": 1, "robots": 1, "metadata.title.missing": 1}


def written(out: Path) -> dict[str, str]:
    """Documents and rejects as files; the manifest and the ledger's tables name the paths of the input."""
    return {name: digest for name, digest in sums(out).items() if name.startswith("train/")}


def test_from_s3(tmp_path: Path, s3_bucket: str) -> None:
    segments(tmp_path)
    told = mill(tmp_path, "here", "{refuse: [noai]}")
    assert told["wat"] == {"found": 30, "missing": 0} and told["rejected"]["00.read"] == {"robots": 1}
    for file in tmp_path.glob("w?t/*.gz"):
        storage.write_bytes(f"{s3_bucket}/{file.parent.name}/{file.name}", file.read_bytes())
    recipe = RECIPE.format(folder=s3_bucket, out=tmp_path / "there", wat="{refuse: [noai]}", more="", size=1000)
    (tmp_path / "there.yaml").write_text(recipe)
    job, options = prepare(str(tmp_path / "there.yaml"))
    assert job.shards[0]["wat"]["path"] == f"{s3_bucket}/wat/a.warc.wat.gz"
    manifest = run(job, options.run, LocalEngine(), Silent()).manifest
    assert all(manifest[key] == told[key] for key in ("wat", "account", "rejected"))
    assert written(tmp_path / "there") == written(tmp_path / "here") != {}


def test_where_the_files_lie_is_not_in_the_recipe_of_the_manifest(tmp_path: Path) -> None:
    crawl(tmp_path, range(2), name="a")
    plain = mill(tmp_path, "out1", "true")["recipe"]
    assert plain["input"] == [{"wat": True}] == mill(tmp_path, "out2", f'"{tmp_path}/wat"')["recipe"]["input"]
    assert mill(tmp_path, "out3", f'{{paths: "{tmp_path}/wat", fields: title}}')["recipe"]["input"] == [
        {"wat": {"fields": "title"}}
    ]


def test_the_wat_is_part_of_what_a_shard_is(tmp_path: Path) -> None:
    crawl(tmp_path, range(2), name="a")

    def task() -> str:
        (tmp_path / "r.yaml").write_text(
            RECIPE.format(folder=tmp_path, out=tmp_path / "o", wat="true", more="", size=9)
        )
        return str(stage_tasks(prepare(str(tmp_path / "r.yaml"))[0], "refine", [])[0]["task"])

    before = task()
    assert task() == before
    (tmp_path / "wat" / "a.warc.wat.gz").write_bytes(packed(wat([0])))
    assert task() != before


@pytest.mark.parametrize("harm", ["cut", "another", "gone"])
def test_damage_is_told_and_a_mended_file_completes_the_corpus(harm: str, tmp_path: Path) -> None:
    crawl(tmp_path, range(9), name="a")
    other = tmp_path / "wat" / "a.warc.wat.gz"
    whole = other.read_bytes()
    other.write_bytes({"cut": whole[:2000], "another": packed([conversion(1)]), "gone": whole}[harm])
    (tmp_path / "out.yaml").write_text(
        RECIPE.format(folder=tmp_path, out=tmp_path / "out", wat="true", more="", size=9)
    )
    job, options = prepare(str(tmp_path / "out.yaml"))
    if harm == "gone":
        other.unlink()
    manifest = run(job, options.run, LocalEngine(), Silent()).manifest
    assert manifest["account"]["kept"] == (9 if harm == "cut" else 0) and manifest["account"]["quarantined"] == 1
    told = manifest["shards"]["damaged" if harm == "cut" else "quarantined"]
    assert "a.warc.wat.gz" in next(iter(told.values()))
    other.write_bytes(whole)
    retry(str(tmp_path / "out"), Run(engine="local"), LocalEngine(), Silent())
    mill(tmp_path, "fresh")
    assert (
        sums(tmp_path / "out") == sums(tmp_path / "fresh")
        and documents(tmp_path / "out")["8"]["metadata"]["title"] == "Mill 8"
    )


def test_a_wat_of_its_own(tmp_path: Path) -> None:
    crawl(tmp_path, range(4), name="a")
    text = RECIPE.format(folder=tmp_path, out=tmp_path / "out", wat="false", more=", format: wat", size=9).replace(
        "/wet", "/wat"
    )
    (tmp_path / "r.yaml").write_text(text)
    job, options = prepare(str(tmp_path / "r.yaml"))
    manifest = run(job, options.run, LocalEngine(), Silent()).manifest
    assert manifest["account"]["kept"] == 4 and manifest["skipped"] == {"wat": 8, "warcinfo": 1}
    assert documents(tmp_path / "out")["2"]["text"] == "Mill 2\n\nAbout mill 2."


def test_a_run_on_a_wat_named_as_a_warc_is_not_silent(tmp_path: Path) -> None:
    (tmp_path / "wet").mkdir()
    (tmp_path / "wet" / "a.warc.wet.gz").write_bytes(packed(wat(range(3))))
    manifest = mill(tmp_path, "out", "false")
    assert "this is a WAT file" in next(iter(manifest["shards"]["quarantined"].values()))
