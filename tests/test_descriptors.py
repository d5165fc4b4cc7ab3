"""However many shards a corpus has: a process that may open few files at a time works through them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from corpus import CHECKOUT, sums
from sets_on_disk import sets_on_disk

from pipeline.files import stage_files
from pipeline.files.stage_files import opened
from pipeline.matching.sets import Documents

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")

SHARDS, LIMIT = 220, 200

SCRIPT = f"""
import resource, sys
import pipeline.plan
from pipeline.files import stage_files
from pipeline.cli import app
if sys.argv[1] == "few":
    pipeline.plan.BUNDLE_FILES, stage_files.OPEN = 1, 60
    resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
app(["run", *sys.argv[2:]])
"""


def test_a_run_over_more_shards_than_a_process_may_open(tmp_path):
    chance = np.random.default_rng(3)
    common = " ".join(f"word{i}" for i in chance.integers(0, 400, 80))
    for shard in range(SHARDS):
        texts = [f"{common} {shard % 7}", " ".join(f"w{i}" for i in chance.integers(0, 10**6, 60))]
        lines = [orjson.dumps({"id": f"{shard}-{row}", "text": text}) for row, text in enumerate(texts)]
        (tmp_path / f"{shard:04d}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    for name in ("few", "many"):
        (tmp_path / f"{name}.yaml").write_text(
            f"input: {{paths: {tmp_path}/*.jsonl}}\nsteps: [{{dedup: {{minhash: {{threshold: 0.8}}}}}}]\n"
            f"output: {{path: {tmp_path}/{name}, format: jsonl}}\nrun: {{engine: local, max_source_loss: 1.0}}\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, name, str(tmp_path / f"{name}.yaml")],
            cwd=CHECKOUT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((tmp_path / "few" / "rejected").iterdir())) > LIMIT  # one of a task that rejects any
    few, many = (
        {path: digest for path, digest in sums(tmp_path / name).items() if path.startswith("train/")}
        for name in ("few", "many")
    )
    assert few == many and few


def test_a_task_holds_few_files_open(monkeypatch, tmp_path):
    monkeypatch.setattr(stage_files, "OPEN", 4)
    tasks = list(np.random.default_rng(1).integers(0, 1 << 60, (40, 3, 5), np.uint64))
    job = sets_on_disk(monkeypatch, str(tmp_path), tasks)
    docs = np.array([task << 32 | row for task in range(40) for row in (0, 2)], np.uint64)
    with opened(str(tmp_path)) as files:
        before = len(os.listdir("/proc/self/fd"))
        documents = Documents(job, files)
        for _ in range(2):
            _, values = documents.gather(docs)
            assert values.tolist() == np.array(tasks)[:, [0, 2]].ravel().tolist()
        assert len(os.listdir("/proc/self/fd")) <= before + 4
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_may_open_what_the_system_allows():
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (90, 300))\n"
        "from pipeline.lean import allow_files\nallow_files(); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "(300, 300)\n", done.stderr
