"""The main job: the account, the same bytes however it is done, one folder for one recipe."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import zstandard
from corpus import CHECKOUT, DEMO, INPUTS, RECIPE, gristmill, kept, manifest, mill, rejected, sets, sums
from ray_processes import await_end, end_processes_of, ray_processes, wait_for_port

from pipeline.commands.check import check
from pipeline.errors import RecipeError
from pipeline.output.writers import read_part

# -- the account -----------------------------------------------------------------------------------


def test_every_document_is_accounted_for(demo):
    told = manifest(demo)["account"]
    assert told["read"] == told["kept"] + told["rejected"] + told["quarantined"] == 435
    assert len(kept(demo)) == told["kept"] > 50
    assert len(rejected(demo)) == told["rejected"] > 100
    ids = [row["id"] for row in kept(demo) + rejected(demo)]
    assert len(set(ids)) == len(ids) == 435


def test_every_rejected_row_says_why(demo):
    for row in rejected(demo):
        assert row["step"] and row["reason"] and row["shard"] and row["record"] is not None
        if row["reason"].endswith((".min", ".max")):
            below = row["reason"].endswith(".min")
            assert (row["value"] < row["threshold"]) if below else (row["value"] > row["threshold"]), row


def test_demo_has_what_it_should_show(demo):
    steps = manifest(demo)["rejected"]
    assert "near_duplicate" in steps["12.dedup.minhash"] and "exact_duplicate" in steps["11.dedup.exact"]
    languages = {row["lang"] for row in kept(demo)}
    assert languages == {"en", "zh"}
    assert set(kept(demo)[0]) == {"id", "text", "source", "url", "date", "lang", "lang_score", "metadata"}


def test_duplicates_name_a_kept_document(demo):
    ids = {row["id"] for row in kept(demo)}
    duplicates = [row for row in rejected(demo) if row["duplicate_of"]]
    assert duplicates
    for row in duplicates:
        assert row["duplicate_of"] in ids
        assert row["similarity"] >= 0.8


# -- the same bytes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [["run.batch_size=1"], ["run.batch_size=7"], ["run.batch_size=100000"]],
    ids=["batches of 1", "batches of 7", "one batch"],
)
def test_batch_size_changes_no_byte(demo, tmp_path, extra):
    mill(tmp_path / "out", *extra)
    assert sums(tmp_path / "out") == sums(demo)


def test_order_of_the_input_list_changes_no_byte(demo, tmp_path):
    mill(tmp_path / "out", inputs=[*reversed(INPUTS), str(DEMO / "docs_1.jsonl.zst")])
    assert sums(tmp_path / "out") == sums(demo)


@pytest.mark.parametrize("bundle", [1, 400_000])
def test_tasks_and_partitions_change_no_kept_byte(demo, tmp_path, monkeypatch, bundle):
    """Other task cuts move rejected rows between ledger parts, never a kept document."""
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", bundle)
    monkeypatch.setattr("pipeline.matching.groups.PARTITION_ROWS", ((64, 1 << 31),))
    monkeypatch.setattr("pipeline.matching.groups.GROUP", 2)
    mill(tmp_path / "out")
    same = {path: value for path, value in sums(demo).items() if path.split("/")[0] in ("train", "validation", "test")}
    assert same.items() <= sums(tmp_path / "out").items()
    key = lambda row: row["id"]  # noqa: E731
    assert sorted(rejected(tmp_path / "out"), key=key) == sorted(rejected(demo), key=key)


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_writes_the_same_bytes_and_leaves_no_process(demo, tmp_path, monkeypatch, workers):
    before = ray_processes()
    done = gristmill("run", RECIPE, *sets(tmp_path / "out", f"run.workers={workers}"), "--engine", "ray")
    assert done.returncode == 0, done.stderr
    assert sums(tmp_path / "out") == sums(demo)
    told = [
        line
        for line in done.stderr.splitlines()
        if not re.match(r"(refine|index|band|match|resolve-\d|sides-\d|assign-\d|probe-\d|deal|publish): |Compil", line)
    ]
    assert told == [], done.stderr
    assert await_end(before) == set()


# -- one folder, one recipe ------------------------------------------------------------------------


def test_finished_run_is_not_done_again(demo, tmp_path):
    shutil.copytree(demo, tmp_path / "out")
    job = json.loads((demo / ".work" / "job.json").read_text().replace(str(demo), str(tmp_path / "out")))
    (tmp_path / "out" / ".work" / "job.json").write_text(json.dumps(job))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("part-*")}
    leftover = tmp_path / "out" / ".work" / "refine" / "000000.docs.arrow"
    leftover.parent.mkdir()
    leftover.write_bytes(b"what a kill between the manifest and the sweep leaves")
    assert mill(tmp_path / "out").already
    assert not leftover.exists()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("part-*")} == before


def test_changed_recipe_says_what_it_invalidates_and_refuses(tmp_path):
    mill(tmp_path / "out")
    with pytest.raises(RecipeError) as error:
        mill(tmp_path / "out", "steps.11.dedup.minhash.threshold=0.7")
    letter = str(error.value)
    assert "near.threshold: 0.8 -> 0.7" in letter and "--fresh" in letter and "finished corpus" in letter
    outcome = mill(tmp_path / "out", "steps.11.dedup.minhash.threshold=0.7", fresh=True)
    assert outcome.manifest["dedup"]["threshold"] == 0.7
    assert all(finding.ok for finding in check(str(tmp_path / "out")))


def test_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RecipeError, match="not empty"):
        mill(tmp_path)
    with pytest.raises(RecipeError, match="not empty"):
        mill(tmp_path, fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


# -- output ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_formats_hold_the_same_rows(demo, tmp_path, kind):
    mill(tmp_path / "out", f"output.format={kind}", "output.shard_size=100KB")
    key = lambda row: row["id"]  # noqa: E731
    assert sorted(kept(tmp_path / "out"), key=key) == sorted(kept(demo), key=key)
    parts = list((tmp_path / "out" / "train").iterdir())
    assert len(parts) > 1, "100 KB shards of a larger text must be several"
    assert all(finding.ok for finding in check(str(tmp_path / "out")))


@pytest.mark.parametrize("kind", ["jsonl.zst", "parquet"])
def test_datasets_reads_the_folder(demo, tmp_path, kind):
    datasets = pytest.importorskip("datasets")
    output = demo
    if kind != "jsonl.zst":
        output = tmp_path / "out"
        mill(output, f"output.format={kind}", "output.signals=all")
    found = datasets.load_dataset(str(output), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in found.items()} == manifest(output)["splits"]
    row = found["train"][0]
    assert isinstance(row["text"], str) and row["lang"] in ("en", "zh")


def test_recorded_signals_and_text_stand_in_both_ledgers(tmp_path):
    mill(tmp_path / "out", "output.signals=all", "output.rejected_text=true")
    row = next(r for r in rejected(tmp_path / "out") if r["reason"] == "alpha_word_ratio.min")
    assert row["signals"]["alpha_word_ratio"] == pytest.approx(row["value"])
    assert row["text"]
    assert kept(tmp_path / "out")[0]["signals"]


def test_without_shuffle_documents_stay_in_input_order(tmp_path):
    mill(tmp_path / "out", "output.shuffle=false", "output.split={train: 1}")
    order = [row["id"] for row in kept(tmp_path / "out")]
    given = [json.loads(line)["id"] for line in gzip.decompress((DEMO / "docs_0.jsonl.gz").read_bytes()).splitlines()]
    given += [
        json.loads(line)["id"] for line in zstandard.decompress((DEMO / "docs_1.jsonl.zst").read_bytes()).splitlines()
    ]
    assert [doc for doc in order if doc in given] == [doc for doc in given if doc in order]
    assert all(doc not in given for doc in order[-3:]), "pages.warc.gz comes last"
    mill(tmp_path / "again", "output.shuffle=false", "output.split={train: 1}", "output.shard_size=20KB")
    assert [row["id"] for row in kept(tmp_path / "again")] == order
    assert len(list((tmp_path / "again" / "train").iterdir())) > 3


def test_split_keeps_its_side_when_data_is_added(demo, tmp_path):
    mill(tmp_path / "out", inputs=[str(DEMO / "docs_0.jsonl.gz")])
    side = {}
    for output in (demo, tmp_path / "out"):
        told = manifest(output)
        for entry in told["files"]:
            split = entry["path"].split("/")[0]
            if split in told["splits"]:
                for table in read_part(str(output / entry["path"]), "jsonl.zst"):
                    side.setdefault(output, {}).update(dict.fromkeys(table["id"].to_pylist(), split))
    both = side[demo].keys() & side[tmp_path / "out"].keys()
    moved = [doc for doc in both if side[demo][doc] != side[tmp_path / "out"][doc]]
    assert len(both) > 20 and not moved


@pytest.mark.ray
def test_run_on_a_cluster_by_address(demo, tmp_path, monkeypatch):
    """A Ray that somebody else started: joined by address, left running, the same bytes."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else a token that some Ray left in the home decides
    folder = Path(tempfile.mkdtemp(prefix="gm", dir="/tmp"))  # Ray's socket paths must be short
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--num-cpus=2",
    ]
    command += [
        "--include-dashboard=false",
        f"--temp-dir={folder}",
        "--object-store-memory=200000000",
        "--disable-usage-stats",
    ]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    cluster = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_port(port)
        done = gristmill("run", RECIPE, *sets(tmp_path / "out"), "--address", f"127.0.0.1:{port}", "-q")
        assert done.returncode == 0, done.stderr
        assert sums(tmp_path / "out") == sums(demo)
        assert cluster.poll() is None, "the cluster was ended by the run"
    finally:
        end_processes_of(str(folder))
        cluster.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)
