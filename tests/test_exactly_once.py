"""Exactly once, whatever dies: the driver, a worker, or the user's patience."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpus import CHECKOUT, DEMO, RECIPE, gristmill, manifest, mill, sets, sums
from ray_processes import await_end, ray_processes

from pipeline.commands.check import check

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
