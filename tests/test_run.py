"""The main job: the account, the same bytes however it is done, exactly once whatever dies."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard
from corpus import CHECKOUT, DEMO, INPUTS, RECIPE, assignments, gristmill, mill, sums

from pipeline.commands.check import check
from pipeline.errors import RecipeError
from pipeline.output.writers import read_part


def manifest(output: Path) -> dict:
    return json.loads((output / "manifest.json").read_text())


def kept(output: Path) -> list[dict]:
    told = manifest(output)
    parts = [f["path"] for f in told["files"] if f["path"].split("/")[0] in told["splits"]]
    return [
        row for part in parts for t in read_part(str(output / part), part.split(".", 1)[1]) for row in t.to_pylist()
    ]


def rejected(output: Path) -> list[dict]:
    return [row for file in sorted((output / "rejected").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


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


def sets(output: Path, *extra: str, inputs: list[str] | None = None) -> list[str]:
    return [part for value in assignments(output, *extra, inputs=inputs) for part in ("--set", value)]


def ray_processes() -> set[int]:
    """Processes of any Ray on this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"raylet" in line or b"gcs_server" in line or line.startswith(b"ray::"):
                found.add(int(entry.name))
    return found


def await_end(before: set[int], seconds: float = 15) -> set[int]:
    """Ray processes that are new since `before` and do not end within `seconds`."""
    end = time.time() + seconds
    while time.time() < end and ray_processes() - before:
        time.sleep(0.3)
    return ray_processes() - before


# -- exactly once ----------------------------------------------------------------------------------

KILLER = """
import os, signal, sys
import pipeline.files.commit as commit
stage, nth, moment = sys.argv[1], int(sys.argv[2]), sys.argv[3]
seen = 0
publish, put = commit.storage.publish, commit.storage.put_if_absent

def count(path, name):
    global seen
    if name in path:
        seen += 1
        if seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)

def killing_publish(temp, path):
    if moment == "files":
        count(path, {"refine": "/.work/refine/", "match": "/.work/match/", "publish": "/part-0"}[stage])
    publish(temp, path)

def killing_put(path, data):
    if moment == "manifest":
        count(path, f"/manifests/{stage}/")
    return put(path, data)

commit.storage.publish, commit.storage.put_if_absent = killing_publish, killing_put
from pipeline.cli import main
sys.argv = ["gristmill", *sys.argv[4:]]
main()
"""


@pytest.mark.parametrize(
    ("stage", "nth", "moment"),
    [
        ("refine", 2, "files"),
        ("refine", 2, "manifest"),
        ("match", 1, "files"),
        ("match", 2, "manifest"),
        ("publish", 2, "files"),
        ("publish", 3, "manifest"),
    ],
)
def test_killed_driver_resumes_to_the_same_bytes(tmp_path, undisturbed, stage, nth, moment):
    """SIGKILL between the files of a task, and between its files and its manifest."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    script = tmp_path / "killer.py"
    script.write_text(PATCH + KILLER)
    arguments = ["run", RECIPE, *sets(tmp_path / "out"), "--engine", "local", "-q"]
    killed = subprocess.run(
        [sys.executable, str(script), stage, str(nth), moment, *arguments], env=environment, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    done_before = list((tmp_path / "out" / ".work" / "manifests").rglob("*.json"))
    stamps = {path: path.stat().st_mtime_ns for path in done_before}
    script.write_text(
        PATCH + "import sys\nfrom pipeline.cli import main\nsys.argv = ['gristmill', *sys.argv[1:]]\nmain()\n"
    )
    again = subprocess.run(
        [sys.executable, str(script), *arguments, "--set", "run.keep_work=true"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in done_before} == stamps, "a finished task was done again"
    assert sums(tmp_path / "out") == undisturbed


# several tasks in every stage, so that there is a middle to be killed in
PATCH = """
import pipeline.plan, pipeline.matching.groups
pipeline.plan.BUNDLE_BYTES = 1
pipeline.matching.groups.PARTITION_ROWS = ((1000, 1 << 31),)
"""


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    """sha256s of a run with several tasks in every stage."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    patch = pytest.MonkeyPatch()
    patch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    patch.setattr("pipeline.matching.groups.PARTITION_ROWS", ((1000, 1 << 31),))
    mill(output)
    patch.undo()
    return sums(output)


DEADLY = """
import os, signal
from pathlib import Path
import numpy as np
from filters import signal as register

@register(family="test", source="this test")
def deadly(texts):
    "Kills its worker at one document: once, or always."
    mark = Path({mark!r})
    for text in texts.strings:
        if {needle!r} in text and ({always} or not mark.exists()):
            mark.write_text("was here")
            os.kill(os.getpid(), signal.SIGKILL)
    return np.ones(len(texts))
"""


def deadly_recipe(folder: Path, needle: str, always: bool) -> list[str]:
    """Overrides that put a signal into the demo recipe which kills its worker."""
    module = folder / "deadly.py"
    module.write_text(DEADLY.format(mark=str(folder / "mark"), needle=needle, always=always))
    return [
        f'uses=["{module}"]',
        "steps.3.keep={deadly: {min: 0}}",
        "steps.3.where={}",
        "steps.3={keep: {deadly: {min: 0}}}",
    ]


@pytest.mark.ray
def test_killed_worker_costs_nothing(tmp_path):
    """A worker that dies once: its task is done again and the bytes are those of a run without the accident."""
    # the same module in both runs: in the first its mark is there already, so nothing dies
    extra = deadly_recipe(tmp_path, "TiDB", always=False)
    (tmp_path / "mark").write_text("there")
    mill(tmp_path / "calm", *extra)
    (tmp_path / "mark").unlink()
    done = gristmill("run", RECIPE, *sets(tmp_path / "out", *extra), "-q")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mark").exists(), "the worker did not die"
    assert sums(tmp_path / "out") == sums(tmp_path / "calm")


@pytest.mark.ray
@pytest.mark.parametrize("isolate", ["auto", "never"])
def test_document_that_kills_its_worker_costs_itself(tmp_path, isolate):
    """After a death documents are isolated. Where they never are, the shard is tried as often as the recipe says, then set
    aside alone; the run ends with exit code 3 and names it."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("docs_0.jsonl.gz", "docs_1.jsonl.zst"):
        shutil.copy(DEMO / name, data / name)
    (data / "poison.jsonl").write_text(
        json.dumps({"id": "p", "text": "POISON " + "some words of a document " * 40}) + "\n"
    )
    extra = deadly_recipe(tmp_path, "POISON", always=True)
    extra += ["run.attempts=2", f"run.isolate={isolate}"]
    done = gristmill("run", RECIPE, *sets(tmp_path / "out", *extra, inputs=[str(data)]), "-q")
    told = manifest(tmp_path / "out")
    assert all(finding.ok for finding in check(str(tmp_path / "out")))
    assert told["account"]["read"] == 273
    if isolate == "auto":
        assert done.returncode == 0, done.stderr
        assert not told["shards"]["quarantined"]
        assert told["rejected"]["04.keep.deadly"] == {"error.killed": 1}
        return
    assert done.returncode == 3, done.stderr
    assert list(told["shards"]["quarantined"]) == [str(data / "poison.jsonl")]
    assert "died 2 times" in told["shards"]["quarantined"][str(data / "poison.jsonl")]
    assert "poison.jsonl" in done.stdout
    assert told["account"]["quarantined"] == 1


def hear_interrupts() -> None:
    """A shell makes what it runs in the background deaf to SIGINT, and so is what that starts: a suite's runs too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.ray
def test_interrupt_ends_within_seconds_and_says_how_to_resume(tmp_path, demo):
    before = ray_processes()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "pipeline.cli", "run", RECIPE, *sets(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(command, env=environment, cwd=CHECKOUT, text=True, preexec_fn=hear_interrupts, **pipes)
    while not (tmp_path / "out" / ".work" / "attempts").exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    started = time.time()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert time.time() - started < 15
    assert running.returncode == 130
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors, errors
    assert await_end(before) == set()
    again = gristmill("run", RECIPE, *sets(tmp_path / "out"), "--engine", "local", "-q")
    assert again.returncode == 0, again.stderr
    assert sums(tmp_path / "out") == sums(demo)


# -- one folder, one recipe ------------------------------------------------------------------------


def test_finished_run_is_not_done_again(demo, tmp_path):
    shutil.copytree(demo, tmp_path / "out")
    job = json.loads((demo / ".work" / "job.json").read_text().replace(str(demo), str(tmp_path / "out")))
    (tmp_path / "out" / ".work" / "job.json").write_text(json.dumps(job))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("part-*")}
    leftover = tmp_path / "out" / ".work" / "refine" / "000000.docs.parquet"
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


def end_processes_of(folder: str) -> None:
    """Ends the processes that carry this cluster's folder in their command line, and no other Ray's."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if folder.encode() in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)


def wait_for_port(port: int, seconds: float = 60) -> None:
    import socket

    end = time.time() + seconds
    while time.time() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(2)
                return
        time.sleep(0.3)
    raise AssertionError(f"no Ray answered on port {port}")
