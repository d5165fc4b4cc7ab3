"""Texts on their way to output shards: left in the documents' files where half of a record batch goes to one piece, or all to two
of one output shard, else copied."""

from __future__ import annotations

import numpy as np
import pytest
from corpus import mill, sums

from pipeline.files.stage_files import manifests
from pipeline.output.deal import COPIED

PACKED = "output.format=parquet"


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr("pipeline.output.deal.PIECE_BYTES", 40_000)
    monkeypatch.setattr("pipeline.files.tables.ROWS", 16)


def copied(monkeypatch):
    """From here on all texts are copied."""
    monkeypatch.setattr("pipeline.output.deal._stays", lambda sizes, splits, parts: np.zeros(len(sizes), bool))


def groups(output):
    """The record batch, or COPIED, of each dealt batch."""
    return [place[3] for m in manifests(str(output), "deal") for place in m["counts"]["batches"]]


def same(one, other):
    """Whether users get the same files, but for those that tell when and with what they were made."""
    told = {"manifest.json", "report.html"}
    found = [{path: sha for path, sha in sums(out).items() if path not in told} for out in (one, other)]
    return found[0] == found[1] and len(found[0]) > 2


@pytest.mark.parametrize(
    "options",
    [
        ["output.split={train: 1}"],
        ["output.split={train: 0.7, test: 0.3}", "output.shard_size=60KB"],
        ["output.rejected_text=true", "output.signals=all", PACKED],
    ],
    ids=["one side", "two sides", "with what was rejected"],
)
def test_pieces_that_cut_record_batches(tmp_path, monkeypatch, small_pieces, options):
    options = [*options, "output.shuffle=false", "run.keep_work=true"]
    mill(tmp_path / "out", *options)
    copied(monkeypatch)
    mill(tmp_path / "copied", *options)
    assert same(tmp_path / "out", tmp_path / "copied")
    assert set(groups(tmp_path / "copied")) == {COPIED}
    found = groups(tmp_path / "out")
    assert COPIED in found and len(set(found)) > 1


@pytest.mark.parametrize("shuffle", ["false", "true"])
def test_one_piece_takes_all_texts_where_they_are(tmp_path, monkeypatch, shuffle):
    options = [f"output.shuffle={shuffle}", "output.split={train: 1}", PACKED, "run.keep_work=true"]
    mill(tmp_path / "out", *options)
    assert COPIED not in groups(tmp_path / "out") and groups(tmp_path / "out")
    copied(monkeypatch)
    mill(tmp_path / "copied", *options)
    assert same(tmp_path / "out", tmp_path / "copied")


def test_two_pieces_share_a_record_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.output.deal.PIECE_BYTES", 150_000)
    monkeypatch.setattr("pipeline.files.tables.ROWS", 16)
    options = ["output.shuffle=false", "output.split={train: 1}", PACKED, "run.keep_work=true"]
    mill(tmp_path / "out", *options)
    found = groups(tmp_path / "out")
    assert COPIED not in found and len(set(found)) < len(found)
    copied(monkeypatch)
    mill(tmp_path / "copied", *options)
    assert same(tmp_path / "out", tmp_path / "copied")
