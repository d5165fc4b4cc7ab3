"""Robots rules as signals: from the metadata of a record, in rules and among what is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from corpus import mill

import filters
from filters.texts import texts_of
from pipeline.errors import RecipeError
from pipeline.job import prepare

filters.load_builtin()
ROBOTS = sorted(name for name, each in filters.SIGNALS.items() if each.family == "robots")

CASES: list[tuple[Any, set[str]]] = [
    (None, set()),
    ("", set()),
    ({}, set()),
    ({"robots": ["noai", "noimageai"]}, {"noai"}),
    ({"robots": ["noimageai"]}, set()),
    ({"robots": ["none"]}, {"noindex", "nofollow"}),
    ({"x_robots_tag": "googlebot: noindex, NoArchive"}, {"noindex", "noarchive"}),
    ({"robots": ["nofollow"], "x_robots_tag": "noai"}, {"nofollow", "noai"}),
    ({"robots": "noai, nofollow"}, {"noai", "nofollow"}),  # a field of somebody else's corpus
    ({"robots": [7, None], "x_robots_tag": 3}, set()),
    ({"title": "robots: noai"}, set()),
    ({"about": {"robots": ["noai"]}}, set()),
    ('["robots"]', set()),
    ('{"robots": noai', set()),
]


def table(chunks: bool = False) -> pa.Table:
    kept = [each if each is None or isinstance(each, str) else json.dumps(each) for each, _ in CASES]
    made = pa.table({"text": ["t"] * len(kept), "metadata": pa.array(kept, pa.large_string())})
    return pa.concat_tables([made.slice(0, 3), made.slice(3)]) if chunks else made


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("name", ROBOTS)
def test_cases(name: str, chunks: bool) -> None:
    expected = [float(name.removeprefix("robots_") in asked) for _, asked in CASES]
    signal, texts = filters.SIGNALS[name], texts_of(table(chunks))
    assert signal.function(texts).tolist() == expected
    rows = np.array([0, 3, 6, 7])
    assert signal.function(texts_of(table(chunks)).take(rows)).tolist() == [expected[row] for row in rows]
    assert signal.function(texts_of(table().drop_columns(["metadata"]))).tolist() == [0.0] * len(CASES)
    assert sum(expected) >= 1


def page(number: int, meta: str, header: str = "") -> bytes:
    html = f"<html><head>{meta}<title>t{number}</title></head><body><p>Mills grind slowly, {number} times a day.</p></body></html>"
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{header}\r\n{html}".encode()
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: http://h/{number}\r\n"
    kind = f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    return (head + kind).encode() + http + b"\r\n\r\n"


RECIPE = """
input: {paths: x.warc}
steps:
  - extract: {metadata: true}
  - keep: {robots_noai: {max: 0}}
output: {path: out, format: jsonl, signals: [robots_noindex, robots_nofollow], split: {train: 1}}
run: {engine: local}
"""


def test_in_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    meta = "<meta name=robots content='{}'>"
    pages = [
        page(1, ""),
        page(2, meta.format("noai")),
        page(3, "", "X-Robots-Tag: noai\r\n"),
        page(4, meta.format("none")),
    ]
    (tmp_path / "x.warc").write_bytes(b"".join(pages))
    (tmp_path / "r.yaml").write_text(RECIPE)
    mill(tmp_path / "out", inputs=[str(tmp_path / "x.warc")], recipe="r.yaml")
    lines = [line for file in (tmp_path / "out/train").glob("*.jsonl") for line in file.read_text().splitlines()]
    kept = {each["id"]: each["signals"] for each in map(json.loads, lines)}
    assert {name: (found["robots_noindex"], found["robots_nofollow"]) for name, found in kept.items()} == {
        "1": (0.0, 0.0),
        "4": (1.0, 1.0),
    }


@pytest.mark.parametrize("where", ["keep", "signals"])
def test_rules_that_nobody_reads_are_a_letter(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.warc").write_bytes(page(1, ""))
    recipe = RECIPE.replace("{metadata: true}", "{}")
    if where == "signals":
        recipe = recipe.replace("robots_noai", "char_count").replace("max: 0", "min: 0")
    else:
        recipe = recipe.replace("signals: [robots_noindex, robots_nofollow]", "signals: [char_count]")
    (tmp_path / "r.yaml").write_text(recipe)
    with pytest.raises(RecipeError, match=r"r.yaml:\d: robots_no(ai|index) looks at .*'metadata: true'"):
        prepare("r.yaml")
