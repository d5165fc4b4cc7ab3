"""WARC and ARC files of plain bytes in parts: together the parts tell what the whole file tells, whatever it holds."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import load, quarantined, rows, skipped
from test_dirty_warc import ARC_HEAD, arc_page, record, response

from pipeline.files import inputs, parts
from pipeline.readers import framer
from pipeline.recipes.recipe import read as read_recipe

DEMO = Path(__file__).parent.parent / "configs" / "demo" / "pages.warc.gz"
SPAM = b"<p>see WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 5\r\n\r\n" * 3


def edges(size: int, count: int) -> list[tuple[int, int]]:
    return list(itertools.pairwise(size * i // count for i in range(count + 1)))


def told(path: Path, kind: str, part: tuple[int, int] | None = None) -> dict[str, Any]:
    batches = load(path, format=kind, part=part)
    entries = [{k: v for k, v in entry.items() if k != "record"} for entry in quarantined(batches)]
    documents = [{k: v for k, v in row.items() if k != "_record"} for row in rows(batches)]
    return {"documents": documents, "entries": entries, "skipped": skipped(batches)}


def together(path: Path, kind: str, ranges: list[tuple[int, int]]) -> tuple[dict[str, Any], int]:
    """What the parts tell one after another, and how many tell anything."""
    found = [told(path, kind, part) for part in ranges]
    joined = {name: list(itertools.chain(*(each[name] for each in found))) for name in ("documents", "entries")}
    counts = dict(sum((Counter(each["skipped"]) for each in found), Counter()))
    return {**joined, "skipped": counts}, sum(any(each.values()) for each in found)


def longer(made: bytes, by: int) -> bytes:
    """The record with a Content-Length that is wrong by so much."""
    head, mark, rest = made.partition(b"Content-Length: ")
    number, _, behind = rest.partition(b"\r\n")
    return head + mark + b"%d\r\n" % max(int(number) + by, 0) + behind


def nested(number: int) -> bytes:
    """A record whose body is a WARC file."""
    return record(b"resource", number, b"".join(response(1000 + number * 10 + i, b"<p>in</p>") for i in range(4)))


WARC_PIECES: list[Callable[[int], bytes]] = [
    lambda n: response(n, b"<p>page %d</p>" % n * (n % 40 + 1)),
    lambda n: response(n, b"<p>page %d</p>" % n * (n % 40 + 1)),
    lambda n: response(n, SPAM),
    lambda n: record(b"request", n, b"GET / HTTP/1.1\r\n\r\n"),
    nested,
    lambda n: longer(response(n, b"<p>short</p>" * 9), -20),
    lambda n: longer(response(n, b"<p>long</p>" * 9), 300),
    lambda n: longer(response(n, b"<p>beyond</p>"), 10**6),
    lambda n: response(n, b"<p>cut</p>" * 30)[: 90 + n % 200],
    lambda n: b"no record at all\r\n" * (n % 9 + 1),
    lambda n: bytes(n % 300),
    lambda n: b"\r\n" * (n % 50),
    lambda n: b"WARC/1.0\r\nWARC-Type: response\r\n" + b"x" * (n % 6000),
    lambda n: b"\x1f\x8b\x08" + bytes(20),
]
ARC_PIECES: list[Callable[[int], bytes]] = [
    lambda n: arc_page(n, b"<p>page %d</p>" % n * (n % 40 + 1)),
    lambda n: arc_page(n, b"<p>page %d</p>" % n * (n % 40 + 1)),
    lambda n: arc_page(n, b"\nhttp://in/side 1.2.3.4 20140216050221 text/html 5\nabcde\n" * 3),
    lambda n: arc_page(n, b"<p>cut</p>" * 30)[: 70 + n % 200],
    lambda n: b"no record at all\n" * (n % 9 + 1),
    lambda n: b"\n" * (n % 50),
]


@settings(max_examples=200, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", ["warc", "arc"])
def test_the_parts_tell_what_the_file_tells(kind: str, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    pieces = WARC_PIECES if kind == "warc" else ARC_PIECES
    chosen = data.draw(
        st.lists(st.tuples(st.integers(0, len(pieces) - 1), st.integers(0, 400)), min_size=1, max_size=14)
    )
    body = b"".join(pieces[which](number) for which, number in chosen)
    first = arc_page(0, b"<p>first</p>") if kind == "arc" else response(0, b"<p>first</p>")
    path = tmp_path_factory.getbasetemp() / f"plain.{kind}"
    path.write_bytes((ARC_HEAD if kind == "arc" else b"") + first + body)
    size = path.stat().st_size
    cuts = sorted(data.draw(st.lists(st.integers(1, size), max_size=8)))
    found, _ = together(path, kind, list(itertools.pairwise([0, *cuts, size])))
    assert found == told(path, kind)


@pytest.mark.parametrize("look", [16, 1 << 12])
@pytest.mark.parametrize("count", [2, 7, 60])
def test_real_pages(count: int, look: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framer, "FIRST_LOOK", look)
    path = tmp_path / "pages.warc"
    path.write_bytes(gzip.decompress(DEMO.read_bytes()))
    found, several = together(path, "warc", edges(path.stat().st_size, count))
    assert found == told(path, "warc")
    assert len(found["documents"]) > 100
    assert several > min(count, 20) * 0.7


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["warc", "arc"])
def test_dirty_files(kind: str, shared_data: Path, tmp_path: Path) -> None:
    """Odd and broken archives, unpacked."""
    tried = 0
    for path in sorted((shared_data / "dirty" / "warc").rglob(f"*.{kind}*")):
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            try:
                data = gzip.decompress(data)
            except (EOFError, OSError):
                continue
        if not data or data[:4] in (b"\x28\xb5\x2f\xfd", b"\x5d\x2a\x4d\x18"):
            continue
        copy = tmp_path / f"x.{kind}"
        copy.write_bytes(data)
        try:
            whole = told(copy, kind)
        except Exception:  # refused with a letter: the first part is, too
            continue
        found, _ = together(copy, kind, edges(len(data), 5))
        assert found == whole, path.name
        tried += 1
    assert tried >= (5 if kind == "warc" else 1)


def shards(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr(parts, "PART_BYTES", size)
    return inputs.shards(*read_recipe(json.dumps({"input": {"paths": str(path)}, "output": {"path": "o"}}), "r.yaml"))


@pytest.mark.parametrize("ending", ["warc", "arc", "wet"])
def test_big_ones_are_cut(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"".join(response(i, b"<p>page</p>" * 50) for i in range(20)))
    found = shards(path, 3000, monkeypatch)
    assert len(found) == -(-path.stat().st_size // 3000)
    assert all(f"a.{ending}#{part['part'][0]}-" in part["name"] for part in found)


def test_a_file_that_is_packed_although_its_name_does_not_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(b"".join(gzip.compress(response(i, b"<p>page</p>" * 50), mtime=0) for i in range(20)))
    found, several = together(path, "warc", edges(path.stat().st_size, 4))
    assert found == told(path, "warc")
    assert several > 1


def test_bodies_are_not_read_to_find_a_part(tmp_path: Path) -> None:
    """A body of a gigabyte that is a hole in the file: to step over it takes no time and no memory."""
    path = tmp_path / "a.warc"
    before, after = response(1, b"<p>one</p>"), response(3, b"<p>three</p>")
    head = b"WARC/1.0\r\nWARC-Type: resource\r\nContent-Length: %d\r\n\r\n" % (200 << 20)
    with open(path, "wb") as file:
        file.write(before + head)
        for _ in range(4):  # each in the bounds of a record
            file.seek(200 << 20, 1)
            file.write(b"\r\n\r\n" + head)
        file.seek(200 << 20, 1)
        file.write(b"\r\n\r\n" + after)
    size = path.stat().st_size
    (row,) = told(path, "warc", (size - len(after) - 10, size))["documents"]
    assert row["id"] == "3"
