"""Memory of a worker is bounded by batches and pieces, not by the size of a shard that it reads or writes."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from corpus import CHECKOUT
from sets_on_disk import sets_on_disk

from pipeline.files.stage_files import opened
from pipeline.matching.sets import Documents

MEGABYTES = 200
BOUND_MB = 600
"""What README promises for a worker at the default batch size, everything it has imported counted."""

SCRIPT = """
import sys
from pipeline.engines.local import LocalEngine
from pipeline.job import prepare
from pipeline.files.stage_files import opened
from pipeline.progress import Silent
from pipeline.run import run
job, recipe = prepare(sys.argv[1])
rows = run(job, recipe.run, LocalEngine(), Silent()).manifest["account"]["kept"]
# not ru_maxrss: a new process inherits that of the one it was forked from
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("kept", rows, "peak", int(peak.split()[1]) // 1000, "MB")
"""


def write_shard(path: Path, megabytes: int) -> int:
    """Documents of 20 kB and, now and then, 2 MB, of random words. Returns how many."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]
    sentences = [" ".join(rng.choices(words, k=12)) + ".\n" for _ in range(20_000)]
    written = rows = 0
    with open(path, "wb") as file:
        while written < megabytes * 1_000_000:
            text = "".join(rng.choices(sentences, k=25_000 if rows % 2000 == 1999 else 280))
            written += file.write(orjson.dumps({"id": f"d{rows}", "text": text}) + b"\n")
            rows += 1
    return rows


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_one_shard_of_200_mb_into_one_file(tmp_path):
    """One input shard, one output shard: neither is ever whole in memory."""
    rows = write_shard(tmp_path / "in.jsonl", MEGABYTES)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"input: {{paths: {tmp_path}/in.jsonl}}\nsteps:\n  - dedup: {{exact: {{}}}}\n"
        f"output: {{path: {tmp_path}/out, format: jsonl, split: {{train: 1}}}}\nrun: {{engine: local}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(recipe)], cwd=CHECKOUT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    kept, peak = map(int, re.search(r"kept (\d+) peak (\d+) MB", done.stdout).groups())
    assert kept == rows
    assert peak < BOUND_MB, done.stdout


@pytest.mark.parametrize("slow", [1.0, -1.0])
def test_shingles_that_were_read_do_not_count_as_memory(tmp_path, monkeypatch, slow):
    """Match and probe pass over all shingles: what was looked at must not stay in the process's memory."""
    monkeypatch.setattr("pipeline.files.stage_files.SLOW", slow)  # never asked ahead, or always
    rows, each = 4096, 1024
    values = np.arange(rows * each, dtype=np.uint64)
    job = sets_on_disk(monkeypatch, str(tmp_path), [values.reshape(rows, each)])

    def resident():
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile")]
        return int(line.split()[1]) << 10

    with opened(str(tmp_path)) as files:
        documents = Documents(job, files)
        documents.gather(np.arange(2, dtype=np.uint64))  # what is loaded for the first
        before = resident()
        for first in range(0, rows, 256):
            offsets, sets = documents.gather(np.arange(first, first + 256, dtype=np.uint64))
            assert np.array_equal(sets, values[first * each : (first + 256) * each])
            assert offsets[-1] == 256 * each
        assert resident() - before < values.nbytes // 16
