"""Databases as input: SQLite by Python's module, others through SQLAlchemy."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from reading import account, quarantined, rows

from pipeline.errors import InputError
from pipeline.files import inputs
from pipeline.readers import Batch, Columns, Options, read
from pipeline.readers.sql import shown
from pipeline.recipes.recipe import read as read_recipe

COUNT = 1000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "pages 1%.db"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE pages (id INTEGER PRIMARY KEY, body TEXT, url TEXT, n INTEGER, score REAL, b BLOB)"
    )
    values = [
        (i * 3, f"Text {i} 中文", f"https://x/{i}", i if i % 10 else None, i / 2, b"\xff\x00") for i in range(COUNT)
    ]
    connection.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", values)
    connection.execute("CREATE TABLE bad (text TEXT)")
    connection.execute("INSERT INTO bad VALUES ('good'), (NULL), (CAST(x'6cff' AS TEXT)), (5)")
    connection.commit()
    connection.close()
    return path


def recipe(path: Path | str, scheme: str = "sqlite", **keys: Any) -> Any:
    entry = {"paths": f"{scheme}:///{path}" if "://" not in str(path) else str(path), "text": "body", **keys}
    return read_recipe(json.dumps({"input": entry, "output": {"path": "out"}}), "r.yaml")


def shards(*args: Any, **keys: Any) -> list[dict[str, Any]]:
    return inputs.shards(*recipe(*args, **keys))


def load(shard: dict[str, Any], **keys: Any) -> list[Batch]:
    text = keys.pop("text", "body")
    rows_ = keys.pop("batch_rows", 100)
    return list(
        read(
            shard["path"],
            format=shard["format"],
            columns=Columns(text=text),
            options=Options(**keys),
            default_source=shard["source"],
            batch_rows=rows_,
            part=shard.get("part"),
        )
    )


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_table(scheme: str, database: Path) -> None:
    if "+" in scheme:
        pytest.importorskip("sqlalchemy")
    (shard,) = shards(database, scheme, table="pages")
    assert shard["format"] == "sql" and shard["source"] == "pages"
    batches = load(shard, table="pages")
    account(batches)
    found = rows(batches)
    assert [(row["id"], row["text"]) for row in found] == [(str(i * 3), f"Text {i} 中文") for i in range(COUNT)]
    assert json.loads(found[3]["metadata"]) == {"b": "/wA=", "n": 3, "score": 1.5}
    assert max(len(batch.table) for batch in batches) == 100


@pytest.mark.parametrize("column, parts", [("id", 1), ("id", 7), ("id", 5000), ("n", 4)])
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_parts_are_the_table(column: str, parts: int, scheme: str, database: Path) -> None:
    if "+" in scheme:
        pytest.importorskip("sqlalchemy")
    for source in ({"table": "pages"}, {"query": "SELECT * FROM pages WHERE score >= 0"}):
        if parts == 5000 and "+" in scheme:
            continue
        found = shards(database, scheme, partition=column, partitions=parts, **source)
        assert len({shard["name"] for shard in found}) == len(found) <= max(parts, 1)
        ids = [row["id"] for shard in found[:60] for row in rows(load(shard, partition=column, **source))]
        assert len(set(ids)) == len(ids)
        if len(found) <= 60:
            assert sorted(map(int, ids)) == [i * 3 for i in range(COUNT)]


def test_bad_rows(database: Path) -> None:
    (shard,) = shards(database, table="bad", text="text")
    batches = load(shard, table="bad", text="text")
    account(batches)
    assert [row["text"] for row in rows(batches)] == ["good", "5"]  # SQLite makes text of what stands in a TEXT column
    assert [entry["record"] for entry in quarantined(batches)] == [1, 2]


LETTERS = [
    ({"table": "page"}, r"no table 'page', did you mean 'pages'\? \(it has bad, pages\)"),
    ({"table": "pages", "text": "bdy"}, r"no column 'bdy', did you mean 'body'"),
    ({"query": "SELEC 1"}, "refuses the query: near"),
    ({"table": "pages", "partition": "idd", "partitions": 2}, "did you mean 'id'"),
    ({"table": "pages", "partition": "url", "partitions": 2}, "expected whole numbers"),
    ({"table": "pages", "partition": "id"}, "go together"),
    ({}, "give either table: NAME or query"),
    ({"table": "pages", "query": "SELECT 1"}, "give either table"),
]


@pytest.mark.parametrize("keys, letter", LETTERS)
def test_letters(keys: dict[str, Any], letter: str, database: Path) -> None:
    with pytest.raises(InputError, match=r"r.yaml:1: sqlite:///.*" + letter):
        shards(database, **keys)


def test_more_letters(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"No such file.*did you mean 'pages 1%.db'"):
        shards(tmp_path / "page 1%.db", table="pages")
    (tmp_path / "no.db").write_bytes(b"no database, just text " * 100)
    with pytest.raises(InputError, match="file is not a database"):
        shards(tmp_path / "no.db", table="pages")
    with pytest.raises(Exception, match="'table' speaks of a database"):
        (tmp_path / "a.jsonl").write_text("{}\n")
        inputs.shards(
            *read_recipe(
                json.dumps({"input": {"paths": str(tmp_path / "a.jsonl"), "table": "t"}, "output": {"path": "o"}}), "r"
            )
        )
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(InputError, match=r"postgresql://me:\*\*\*@h/db: .*pip install 'gristmill\[sql\]'"):
        shards("postgresql://me:secret@h/db", table="pages")


def test_passwords_are_not_shown() -> None:
    assert shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert shown("sqlite:////a/b.db") == "sqlite:////a/b.db"
