"""The main job from S3 to S3, against a real server on loopback."""

from __future__ import annotations

import json

from corpus import DEMO, RECIPE, mill

from pipeline.commands.check import check
from pipeline.files import storage


def test_run_on_s3_equals_a_local_run(s3_bucket, tmp_path):
    for name in ("docs_0.jsonl.gz", "docs_1.jsonl.zst"):
        storage.write_bytes(f"{s3_bucket}/in/{name}", (DEMO / name).read_bytes())
    inputs = [f"{s3_bucket}/in/*"]
    there = mill(f"{s3_bucket}/out/corpus", inputs=inputs, recipe=RECIPE).manifest
    here = mill(tmp_path / "out", inputs=inputs, recipe=RECIPE).manifest
    assert there["files"] == here["files"] and there["account"] == here["account"]
    assert all(finding.ok for finding in check(f"{s3_bucket}/out/corpus"))
    left = {file.path for file in storage.list_files(f"{s3_bucket}/out/corpus/.work")}
    assert left == {f"{s3_bucket}/out/corpus/.work/job.json"}
    assert json.loads(storage.read_bytes(f"{s3_bucket}/out/corpus/manifest.json")) == there


def test_interrupted_run_on_s3_goes_on(s3_bucket, monkeypatch):
    """The driver dies between stages; what is done is not done again."""
    import pytest

    from pipeline import tasks

    for name in ("docs_0.jsonl.gz", "docs_1.jsonl.zst"):
        storage.write_bytes(f"{s3_bucket}/in/{name}", (DEMO / name).read_bytes())
    inputs = [f"{s3_bucket}/in/*"]

    def die(*_):
        raise KeyboardInterrupt

    resolve = tasks.STAGES["resolve"]
    monkeypatch.setitem(tasks.STAGES, "resolve", die)
    with pytest.raises(KeyboardInterrupt):
        mill(f"{s3_bucket}/halted", inputs=inputs)
    monkeypatch.setitem(tasks.STAGES, "resolve", resolve)
    monkeypatch.setitem(tasks.STAGES, "refine", die)
    assert mill(f"{s3_bucket}/halted", inputs=inputs).resumed
    assert all(finding.ok for finding in check(f"{s3_bucket}/halted"))
