"""WAT files beside WARC and WET: pairs, fields, damage, memory, and the same bytes whatever the batch size."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import account, load, quarantined, rows
from wats import NAME, about, conversion, crawl, packed, page_id, response, warcinfo, wat

from pipeline.crawls import files as wat_files
from pipeline.errors import InputError, RecipeError
from pipeline.files import inputs, parts
from pipeline.readers import wat_join
from pipeline.readers.wat_fields import FIELDS, Join
from pipeline.recipes.recipe import read as read_recipe

REAL = Path(__file__).parent / "data" / "wat"


def paired(path: Path, other: Path, **options: Any) -> list[Any]:
    join = Join(str(other), options.pop("fields", FIELDS), frozenset(options.pop("refuse", ())))
    return load(path, wat=join, **options)


def said(batches: list[Any]) -> dict[str, Any]:
    """Metadata of each document, by its address's number; None where it has no partner."""
    return {
        int(row["url"].rpartition("/")[2]): json.loads(row["metadata"] or "{}") if row["_wat"] else None
        for row in rows(batches)
    }


def files(folder: Path, wet: list[int] | None = None, pages: int = 9) -> tuple[Path, Path, Path]:
    crawl(folder, range(pages), wet)
    return folder / f"warc/{NAME}.warc.gz", folder / f"wet/{NAME}.warc.wet.gz", folder / f"wat/{NAME}.warc.wat.gz"


# ---- what a document gets


def test_text_with_the_fields_of_its_page(tmp_path: Path) -> None:
    _, wet, other = files(tmp_path, wet=[0, 2, 8])
    batches = paired(wet, other)
    account(batches)
    first = rows(batches)[0]
    assert json.loads(first["metadata"]) == {
        "content_type": "text/html; charset=UTF-8", "description": "About mill 0.", "http_status": 200,
        "language": "en-GB", "languages": "eng", "links": 2, "title": "Mill 0",
    }  # fmt: skip
    assert first["_status"] == 200 and first["_robots"] is None and "_page" not in first
    assert {number: got["title"] for number, got in said(batches).items()} == {0: "Mill 0", 2: "Mill 2", 8: "Mill 8"}
    few = rows(paired(wet, other, fields=("title",)))[1]
    assert json.loads(few["metadata"]) == {"languages": "eng", "title": "Mill 2"}


def test_a_page_by_its_own_id_and_what_it_says_itself_stands(tmp_path: Path) -> None:
    warc, _, other = files(tmp_path)
    got = said(paired(warc, other))
    assert (
        got[4]["title"] == "Mill 4" and got[4]["content_type"] == "text/html"
    )  # the WAT has "text/html; charset=UTF-8"
    alone = [{k: v for k, v in row.items() if k != "metadata"} for row in rows(load(warc))]
    assert [{k: row[k] for k in alone[0]} for row in rows(paired(warc, other))] == alone


def test_no_partner_is_null_and_told(tmp_path: Path) -> None:
    _, wet, other = files(tmp_path)
    other.write_bytes(packed(wat([0, 1, 5, 20])))
    got = said(paired(wet, other))
    assert [number for number, fields in got.items() if fields is None] == [2, 3, 4, 6, 7, 8]
    assert rows(paired(wet, other))[2]["metadata"] == '{"languages":"eng"}'


def test_a_record_without_an_id_has_none(tmp_path: Path) -> None:
    _, wet, other = files(tmp_path, pages=2)
    record = conversion(0).replace(b"WARC-Refers-To", b"WARC-Referred").replace(b"WARC-Record-ID", b"WARC-Record-No")
    wet.write_bytes(packed([record, conversion(1)]))
    assert [row["_wat"] for row in rows(paired(wet, other))] == [False, True]


def test_refused_directives(tmp_path: Path) -> None:
    _, wet, other = files(tmp_path, pages=3)
    other.write_bytes(
        packed([*wat([0]), *about(1, x_robots_tag="noai, max-snippet:5"), *about(2, x_robots_tag="none")])
    )
    assert [row["_robots"] for row in rows(paired(wet, other, refuse=["noai", "noindex"]))] == [None, "noai", "noindex"]
    # the fields that the recipe asks for and what it refuses are two things
    only = rows(paired(wet, other, refuse=["noai"], fields=("links",)))
    assert [row["_robots"] for row in only] == [None, "noai", None] and json.loads(only[1]["metadata"])["links"] == 2


def test_files_as_published() -> None:
    """The WAT has the request of the page only, which is not the page."""
    for name in ("whirlwind.warc.gz", "whirlwind.warc.wet.gz"):
        batches = paired(REAL / name, REAL / "whirlwind.warc.wat.gz")
        assert [row["_wat"] for row in rows(batches)] == [False] and not quarantined(batches)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_batches_change_nothing(size: int, tmp_path: Path) -> None:
    _, wet, other = files(tmp_path, wet=[0, 3, 2, 7, 8, 30])
    records = wat([0, 1, 3, 2, 4, 7])
    records[5] = records[5].replace(b'{"Container"', b'["Container"')
    other.write_bytes(packed(records)[:-30])
    whole, small = (paired(wet, other, batch_rows=n) for n in (1000, size))
    assert rows(small) == rows(whole)
    assert quarantined(small) == quarantined(whole) and len(quarantined(small)) == 2
    account(small)


# ---- the window


def bytes_of(records: list[bytes]) -> io.BytesIO:
    return io.BytesIO(packed(records))


def partners(records: list[bytes]) -> wat_join.Partners:
    return wat_join.Partners(bytes_of(records), Join("a.wat.gz", ("title",)))  # type: ignore[arg-type]


RECORD: Callable[[int], bytes] = lambda number: about(number)[1]  # noqa: E731


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=14), st.lists(st.integers(0, 12), max_size=14))
def test_in_a_wide_window_order_means_nothing(there: list[int], asked: list[int]) -> None:
    """The twin is a set of all."""
    found = partners([RECORD(number) for number in there])
    assert [found.of(page_id(number)) is not None for number in asked] == [number in there for number in asked]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 60), min_size=1), st.integers(1, 5), st.data())
def test_a_narrow_window_is_bounded_and_loses_nothing_within_it(there: set[int], held: int, data: Any) -> None:
    """Documents in the file's order that are never further apart than the window is wide all have their partners."""
    order = sorted(there)
    with pytest.MonkeyPatch.context() as patch:
        cost = len(b'{"title":"Mill 10"}') + wat_join.RECORD_BYTES
        patch.setattr(wat_join, "WINDOW_BYTES", held * cost)
        found, at = partners([RECORD(number) for number in order]), -1
        while at < len(order) - 1:
            at = min(at + data.draw(st.integers(1, held)), len(order) - 1)
            hit = found.of(page_id(order[at]))
            assert hit is not None and json.loads(hit.fields) == {"title": f"Mill {order[at]}"}
            assert len(found._window) <= held + 1


def test_a_page_that_is_nowhere_costs_a_window_not_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wat_join, "WINDOW_BYTES", 10 * (wat_join.RECORD_BYTES + 18))
    found = partners([RECORD(number) for number in range(200)])
    assert found.of(page_id(0)) and found.of(page_id(999)) is None
    assert len(found._window) <= 11 and found.of(page_id(5)) and found.of(page_id(12))
    assert found.of(page_id(150)) is None  # further ahead than the window: the answer that the page has is "none"
    assert found.of(page_id(16))


# ---- damage


def test_a_broken_place_is_quarantined_and_no_document_is_lost(tmp_path: Path) -> None:
    _, wet, other = files(tmp_path)
    members = [gzip.compress(record, mtime=0) for record in wat(range(9))]
    members[14] = members[14][:40] + b"\xff\xff\xff" + members[14][43:]  # the response of page 4
    other.write_bytes(b"".join(members))
    batches = paired(wet, other)
    account(batches)
    (entry,) = quarantined(batches)
    assert entry["error"].startswith(f"BrokenWat: {other.name}: BrokenMember") and entry["offset"] == sum(
        map(len, members[:14])
    )
    assert entry["record"] is None and entry["tail"]
    assert [number for number, fields in said(batches).items() if fields is None] == [4] and len(rows(batches)) == 9


def test_a_cut_file(tmp_path: Path) -> None:
    _, wet, other = files(tmp_path)
    other.write_bytes(packed(wat(range(9)))[:2000])
    batches = paired(wet, other)
    got = [fields is not None for fields in said(batches).values()]
    assert got == sorted(got, reverse=True) and 0 < sum(got) < 9
    assert "file ends" in quarantined(batches)[0]["error"] and len(quarantined(batches)) == 1


def test_a_file_of_bad_records_is_told_in_bounds(tmp_path: Path) -> None:
    _, wet, other = files(tmp_path)
    bad = about(1)[1].replace(b'{"Container"', b'["Container"')
    other.write_bytes(packed([warcinfo("warc.wat"), about(0)[1], *[bad] * 250]))
    entries = quarantined(paired(wet, other))
    assert len(entries) == wat_join.MOST_TOLD + 1 and "150 more broken places" in entries[-1]["error"]


@pytest.mark.parametrize(
    ("data", "letter"),
    [
        (b"", "no WAT record is in this file"),
        (b"<html>not found</html>", "no WAT record is in this file .BrokenMember"),
        (packed([warcinfo("warc.wat")])[:40], "no WAT record is in this file .*file ends"),
        (packed([warcinfo("warc"), response(1)]), "no WAT file, it has a 'response' record"),
        (packed([conversion(1)]), "no WAT file, it has a 'conversion' record"),
    ],
)
def test_a_file_that_is_no_wat(data: bytes, letter: str, tmp_path: Path) -> None:
    _, wet, other = files(tmp_path)
    other.write_bytes(data)
    with pytest.raises(InputError, match=letter):
        paired(wet, other)


# ---- which file belongs to which


def shards(**entry: Any) -> list[dict[str, Any]]:
    return inputs.shards(*read_recipe(json.dumps({"input": entry, "output": {"path": "o"}}), "r.yaml"))


def test_pairs_by_name(tmp_path: Path) -> None:
    crawl(tmp_path / "1", range(2), name="a")
    crawl(tmp_path / "2", range(2), name="b")
    found = shards(paths=[f"{tmp_path}/*/wet/*.gz", f"{tmp_path}/1/warc/*"], wat=True)
    assert [(shard["name"], shard["wat"]["path"]) for shard in found] == [
        (f"{tmp_path}/1/warc/a.warc.gz", f"{tmp_path}/1/wat/a.warc.wat.gz"),
        (f"{tmp_path}/1/wet/a.warc.wet.gz", f"{tmp_path}/1/wat/a.warc.wat.gz"),
        (f"{tmp_path}/2/wet/b.warc.wet.gz", f"{tmp_path}/2/wat/b.warc.wat.gz"),
    ]
    other = tmp_path / "1" / "wat" / "a.warc.wat.gz"
    assert found[0]["wat"] == {
        "path": str(other),
        "name": str(other),
        "size": other.stat().st_size,
        "version": str(other.stat().st_mtime_ns),
    }
    assert shards(paths=str(REAL / "whirlwind.warc.wet.gz"), wat=True)[0]["wat"]["path"] == str(
        REAL / "whirlwind.warc.wat.gz"
    )


def test_pairs_of_named_files(tmp_path: Path) -> None:
    crawl(tmp_path, range(2), name="a")
    crawl(tmp_path, range(2), name="b")
    (tmp_path / "wat").rename(tmp_path / "about")
    found = shards(paths=f"{tmp_path}/wet", wat=f"{tmp_path}/about/*")
    assert [Path(shard["wat"]["path"]).name for shard in found] == ["a.warc.wat.gz", "b.warc.wat.gz"]
    (tmp_path / "about" / "a.warc.wat.gz").rename(tmp_path / "x.wat.gz")
    found = shards(paths=f"{tmp_path}/wet/a*", wat={"paths": [f"{tmp_path}/x.wat.gz"], "fields": "title"})
    assert found[0]["wat"]["path"] == f"{tmp_path}/x.wat.gz"  # the only two


def test_pairs_of_a_crawl_by_its_name(tmp_path: Path) -> None:
    segment = "crawl-data/CC-MAIN-2026-30/segments/1.2"
    crawl(tmp_path / segment, range(2), name="a")
    paths = tmp_path / "crawl-data" / "CC-MAIN-2026-30"
    for kind, ending in (("warc", "warc"), ("wet", "warc.wet"), ("wat", "warc.wat")):
        (paths / f"{kind}.paths.gz").write_bytes(gzip.compress(f"{segment}/{kind}/a.{ending}.gz\n".encode()))
    for kind in ("warc", "wet"):
        for wanted in (True, "cc://CC-MAIN-2026-30?kind=wat"):
            found = shards(paths=f"cc://CC-MAIN-2026-30?kind={kind}", base_url=str(tmp_path), wat=wanted)
            assert found[0]["wat"]["path"] == str(tmp_path / segment / "wat" / "a.warc.wat.gz")
    assert shards(paths="cc://CC-MAIN-2026-30?kind=wat", base_url=str(tmp_path), format="wat")[0]["format"] == "wat"


@pytest.mark.parametrize(
    ("entry", "letter"),
    [
        ({"paths": "{0}/wet", "wat": "{0}/wat/b*"}, "1 of 2 files have no WAT file, .*a.warc.wet.gz for one. Fetch it"),
        ({"paths": "{0}/lone", "wat": True}, "1 of 1 files have no WAT file, .*looked for .*lone/c.warc.wat.gz"),
        ({"paths": ["{0}/wet"], "wat": "{0}/**/*.wat.gz"}, "have the same name"),
        ({"paths": "{0}/wat/a.warc.wat.gz"}, "this is a WAT file.*wat: true.*format: wat"),
        ({"paths": "{0}/wat/*"}, "this is a WAT file"),
        ({"paths": "{0}/wat"}, "no file here has a name of a known format .*a.warc.wat.gz"),
        ({"paths": "{0}/x.jsonl", "wat": True}, "r.yaml:1: 'wat' adds to documents of WARC and WET files; this input has jsonl"),
        ({"paths": "{0}/odd/*.arc.gz", "wat": True}, "this input has arc. Records of an ARC file have no id.*leave wat out"),
        ({"paths": ["{0}/odd/*.arc.gz", "{0}/wet"], "wat": True}, "this input has arc. Records of an ARC file"),
        ({"paths": "{0}/odd/a.tar", "wat": True}, "this input has tar. Unpack the archive"),
        ({"paths": "{0}/odd/a.tgz", "wat": "{0}/wat/a*"}, "this input has tar. Unpack the archive"),
        ({"paths": "{0}/odd/*.zip", "wat": True}, "this input has zip. Unpack the archive"),
        ({"paths": "{0}/parts/warc/*", "wat": True}, "/warc/a-part1.warc.gz has no WAT file; .*/wat/a.warc.wat.gz is about .* Put the parts together"),
        ({"paths": "{0}/parts/warc/*", "wat": "{0}/wat/*"}, "a-part1.warc.gz has no WAT file; .*/wat/a.warc.wat.gz is about"),
        ({"paths": "{0}/wet", "wat": {"fields": ["titel"]}}, "there is no field 'titel', did you mean 'title'"),
        ({"paths": "{0}/wet", "wat": {"refuse": ["noia"]}}, "there is no directive 'noia', did you mean 'noai'"),
        ({"paths": "{0}/wet", "wat": {"feilds": ["title"]}}, "unknown key 'input.wat.feilds', did you mean 'fields'"),
        ({"paths": "{0}/wet", "wat": 3}, "'input.wat' is 3; expected"),
    ],
)  # fmt: skip
def test_letters(entry: dict[str, Any], letter: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        crawl(tmp_path, range(1), name=name)
    crawl(tmp_path / "more", range(1), name="a")
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "c.warc.wet.gz").write_bytes(packed([conversion(1)]))
    (tmp_path / "x.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "odd").mkdir()
    for name in ("a.arc.gz", "a.tar", "a.tgz", "a.zip"):
        (tmp_path / "odd" / name).write_bytes(b"")
    crawl(tmp_path / "parts", range(1), name="a")
    whole = tmp_path / "parts" / "warc" / "a.warc.gz"
    for part in ("a-part1.warc.gz", "a-part2.warc.gz"):
        whole.with_name(part).write_bytes(whole.read_bytes())
    whole.unlink()
    placed = json.loads(json.dumps(entry).replace("{0}", str(tmp_path)))
    with pytest.raises((InputError, RecipeError), match=letter):
        shards(**placed)


def test_a_wat_among_other_files(tmp_path: Path) -> None:
    """In a folder it is about them, beside them it is their partner; alone it must be asked for."""
    crawl(tmp_path, range(2), name="a")
    assert [shard["format"] for shard in shards(paths=str(tmp_path))] == ["warc", "wet"]
    assert [shard["format"] for shard in shards(paths=f"{tmp_path}/w*t/*", wat=True)] == ["wet"]
    assert [shard["format"] for shard in shards(paths=f"{tmp_path}/wat", format="wat")] == ["wat"]
    assert "wat" not in shards(paths=f"{tmp_path}/wet", wat=False)[0]


def test_parts_put_together_are_the_whole(tmp_path: Path) -> None:
    warc, _, other = files(tmp_path)
    packed_whole = warc.read_bytes()
    half = packed_whole.find(b"\x1f\x8b\x08", len(packed_whole) // 2)
    one, two = (tmp_path / f"{NAME}-part{n}.warc.gz" for n in (1, 2))
    one.write_bytes(packed_whole[:half])
    two.write_bytes(packed_whole[half:])
    assert [len(said(paired(part, other))) for part in (one, two)] == [5, 4]
    assert said(paired(one, other)) | said(paired(two, other)) == said(
        paired(warc, other)
    )  # as the only two, each finds its own
    (tmp_path / "joined.warc.gz").write_bytes(one.read_bytes() + two.read_bytes())
    assert said(paired(tmp_path / "joined.warc.gz", other)) == said(paired(warc, other))


def test_paired_files_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl(tmp_path, range(40), name="a")
    monkeypatch.setattr(parts, "PART_BYTES", 1000)
    assert len(shards(paths=f"{tmp_path}/wet")) > 5 and len(shards(paths=f"{tmp_path}/wet", wat=True)) == 1
    assert len(shards(paths=f"{tmp_path}/wat", format="wat")) > 5  # of its own it is shared out


def test_names() -> None:
    assert [
        wat_files.stem(f"x/{name}") for name in ("a.warc.gz", "a.warc.wet.gz", "a.WARC.WAT.zst", "a.wat", "a.b.warc")
    ] == ["a"] * 4 + ["a.b"]
    assert next(wat_files._candidates("s3://b/warc/1/warc/a.warc.gz")) == "s3://b/warc/1/wat/a.warc.wat.gz"
    assert list(wat_files._candidates("wet/a.wet")) == ["wat/a.warc.wat", "wet/a.warc.wat"]
