"""Big files in parts: each record once, wherever the edges lie; and the whole in little memory."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import mill
from hypothesis import given
from hypothesis import strategies as st
from reading import account, load, quarantined, rows

from pipeline.files import inputs, parts, storage
from pipeline.readers import Options
from pipeline.readers.ranges import Lines
from pipeline.recipes.recipe import read as read_recipe

RECORDS = [{"text": f"Text {i} 中文 " * (i % 9), "id": f"d{i}"} for i in range(400)]


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"x")), max_size=12), st.data())
def test_the_parts_are_the_lines(lines: list[bytes], data: Any) -> None:
    import io

    whole = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    edges = [0, *cuts, len(whole)]
    size = data.draw(st.sampled_from([1, 2, 5, 1000]))
    found = []
    for start, end in itertools.pairwise(edges):
        if start == end:
            continue
        part = Lines(io.BytesIO(whole), start, end)  # type: ignore[arg-type]
        read = b"".join(iter(lambda part=part: part.read(size), b""))  # type: ignore[misc]
        assert not read or (whole[part.base :].startswith(read) and start <= part.base < end)
        found.append(read)
    assert b"".join(found) == whole


def write_lines(path: Path, encoding: str = "utf-8") -> Path:
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)
    path.write_bytes(text.encode(encoding))
    return path


def cut(path: Path, size: int, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> list[dict[str, Any]]:
    monkeypatch.setattr(parts, "PART_BYTES", size)
    recipe = {"input": {"paths": str(path), **keys}, "output": {"path": "o"}}
    return inputs.shards(*read_recipe(json.dumps(recipe), "r.yaml"))


def read_all(shards: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    found = []
    for shard in shards:
        batches = load(shard["path"], format=shard["format"], part=shard.get("part"), **options)
        account(batches, gaps=True)
        assert not quarantined(batches)
        found += rows(batches)
    return found


def without_numbers(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "_record"} for row in found]


@pytest.mark.parametrize("size", [50, 1000, 7777, 10**9])
def test_jsonl(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_lines(tmp_path / "a.jsonl")
    shards = cut(path, size, monkeypatch)
    assert sum(shard["size"] for shard in shards) == path.stat().st_size and max(s["size"] for s in shards) <= max(
        size, 1
    )
    assert len({shard["name"] for shard in shards}) == len(shards) == -(-path.stat().st_size // size)
    assert without_numbers(read_all(shards)) == without_numbers(rows(load(path)))


def test_files_that_cannot_be_cut_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_lines(tmp_path / "a.jsonl", "utf-16")
    assert without_numbers(read_all(cut(path, 1000, monkeypatch))) == without_numbers(rows(load(path)))
    path.write_bytes(gzip.compress(write_lines(tmp_path / "b.jsonl").read_bytes()))  # its name does not say so
    shards = cut(path, 500, monkeypatch)
    assert len(shards) > 2 and without_numbers(read_all(shards)) == without_numbers(rows(load(path)))
    path = path.rename(tmp_path / "a.jsonl.gz")
    shards = cut(path, 200, monkeypatch)  # one member: the first part has it all
    assert (
        without_numbers(read_all(shards[:1])) == without_numbers(read_all(shards)) == without_numbers(rows(load(path)))
    )


def test_offsets_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n' * 40 + b"{bad}\n" + b'{"text": "good"}\n' * 40)
    entries = [e for s in cut(path, 200, monkeypatch) for e in quarantined(load(path, part=s["part"]))]
    assert [entry["offset"] for entry in entries] == [40 * 17]


def test_lines_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {i} 中文\n" for i in range(500)))
    shards = cut(path, 900, monkeypatch, unit="line")
    assert len(shards) > 5
    assert [row["text"] for row in read_all(shards, options=Options(unit="line"))] == [
        f"line {i} 中文" for i in range(500)
    ]
    assert len(cut(path, 900, monkeypatch)) == 1


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(RECORDS), path, row_group_size=30)
    for size in (100, 2000, 5000):
        shards = cut(path, size, monkeypatch)
        assert len(shards) == -(-path.stat().st_size // size)
        assert read_all(shards) == rows(load(path))  # row numbers too: the footer tells them


def test_parts_on_s3(s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{s3_bucket}/a.jsonl"
    storage.write_bytes(path, write_lines(tmp_path / "a.jsonl").read_bytes())
    shards = cut(path, 5000, monkeypatch)  # type: ignore[arg-type]
    assert len(shards) > 3
    assert without_numbers(read_all(shards)) == without_numbers(rows(load(tmp_path / "a.jsonl")))


def members_of(data: bytes, size: int) -> bytes:
    return b"".join(gzip.compress(data[at : at + size], mtime=0) for at in range(0, len(data), size))


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_a_run_gives_the_same_documents(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_lines(tmp_path / "lines").read_bytes()
    (tmp_path / f"a.{ending}").write_bytes(data if ending == "jsonl" else members_of(data, 700))
    found = []
    part = -(-(tmp_path / f"a.{ending}").stat().st_size // 6)
    for size in (10**9, part):
        monkeypatch.setattr(parts, "PART_BYTES", size)
        out = tmp_path / f"out{size}"
        recipe = {
            "input": {"paths": str(tmp_path / f"a.{ending}")},
            "output": {"path": str(out), "format": "jsonl", "shuffle": False},
        }
        (tmp_path / "r.yaml").write_text(json.dumps(recipe))
        manifest = mill(out, inputs=[str(tmp_path / f"a.{ending}")], recipe=str(tmp_path / "r.yaml")).manifest
        found.append((out / "train/part-00000.jsonl").read_bytes())
        assert manifest["account"]["read"] == len(RECORDS)
        assert manifest["shards"]["read"] == len(manifest["input"]) == (1 if size == 10**9 else 6)
    assert found[0] == found[1]
