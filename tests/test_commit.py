"""Outputs become true at once or not at all; two attempts at one task agree or are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DeterminismError
from pipeline.files.commit import attempt, finished, read_manifest, sha256_of
from pipeline.files.tables import SteadyWriter


def commit(root, content: bytes, task: str = "t1", counts=None):
    with attempt(str(root), "refine", task, 0) as trial:
        output = trial.create("docs", "train/part-0.bin")
        Path(output.temp).write_bytes(content)
        output.rows = 1
        return trial.commit(counts or {"kept": 1})


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_commit_publishes_and_names_its_files(tmp_path):
    manifest = commit(tmp_path, b"abc")
    assert files(tmp_path) == [".work/manifests/refine/t1.json", "train/part-0.bin"]
    (output,) = manifest["outputs"]
    assert output == {
        "name": "docs",
        "path": "train/part-0.bin",
        "rows": 1,
        "bytes": 3,
        "sha256": sha256_of(tmp_path / "train/part-0.bin"),
    }
    assert finished(str(tmp_path), "refine") == {"t1"}
    assert read_manifest(str(tmp_path), "refine", "t1") == manifest
    assert read_manifest(str(tmp_path), "refine", "t2") is None


def test_a_file_between_stages_has_a_faster_hash(tmp_path):
    """The value is that of the reference implementation of XXH3, 128 bits, for "abc"."""
    with attempt(str(tmp_path), "refine", "t1", 0) as trial:
        Path(trial.create("docs", ".work/refine/0.bin").temp).write_bytes(b"abc")
        (output,) = trial.commit({})["outputs"]
    assert output["xxh3"] == "06b05ab6733a618578af5f94892f3950" and "sha256" not in output


def test_attempts_that_disagree_between_stages_are_told_apart(tmp_path):
    for content in (b"abc", b"abd"):
        with attempt(str(tmp_path), "refine", "t1", 0) as trial:
            Path(trial.create("docs", ".work/refine/0.bin").temp).write_bytes(content)
            if content == b"abc":
                trial.commit({})
                continue
            with pytest.raises(DeterminismError, match="wrote different bytes"):
                trial.commit({})


def test_a_failed_attempt_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), attempt(str(tmp_path), "refine", "t1", 0) as trial:
        Path(trial.create("docs", "train/part-0.bin").temp).write_bytes(b"half")
        Path(trial.create("more", "train/part-1.bin").temp).write_bytes(b"")
        raise ZeroDivisionError
    assert files(tmp_path) == []


def test_a_late_twin_with_equal_bytes_is_harmless(tmp_path):
    first = commit(tmp_path, b"abc", counts={"kept": 1})
    assert commit(tmp_path, b"abc", counts={"kept": 1}) == first
    assert json.loads((tmp_path / ".work/manifests/refine/t1.json").read_text()) == first


def test_two_attempts_that_disagree_are_told(tmp_path):
    first = commit(tmp_path, b"abc")
    with pytest.raises(DeterminismError, match=r"wrote different bytes: train/part-0\.bin"):
        commit(tmp_path, b"abd")
    assert read_manifest(str(tmp_path), "refine", "t1") == first


@pytest.mark.parametrize("kind", ["parquet", "arrow", "packed"])
@given(
    sizes=st.lists(st.integers(0, 900), min_size=1, max_size=8),
    cuts=st.lists(st.integers(1, 700), min_size=1, max_size=5),
)
def test_files_do_not_depend_on_batches(tmp_path_factory, kind, sizes, cuts):
    """The same rows in other batches: the same bytes, with pieces that end by rows and by bytes."""
    patch = pytest.MonkeyPatch()
    patch.setattr("pipeline.files.tables.ROWS", 256)
    patch.setattr("pipeline.files.tables.BYTES", 3000)
    folder = tmp_path_factory.mktemp("steady")
    texts = [None if n % 97 == 0 else "x" * (n * 7919 % 41) for n in range(sum(sizes))]
    table = pa.table({"id": pa.array([str(n) for n in range(len(texts))]), "text": pa.array(texts, pa.large_string())})

    def write(name: str, steps: list[int]) -> str:
        writer = SteadyWriter(str(folder / name), table.schema, kind, weigh="text", lasting=False)
        at = turn = 0
        while at < len(table):
            step = steps[turn % len(steps)] or 1
            writer.write(table.slice(at, step))
            at, turn = at + step, turn + 1
        writer.close()
        return sha256_of(str(folder / name))

    try:
        assert write("whole", [len(table) + 1]) == write("cut", cuts) == write("single", [1])
    finally:
        patch.undo()
