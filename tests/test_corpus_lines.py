"""Lines that stand in many documents are cut end to end: which, where, what is told, and the same bytes."""

from __future__ import annotations

import pytest
from corpus import kept, manifest, rejected, sums
from cutting import cut, job_of, removed

from pipeline.commands.check import check
from pipeline.errors import RecipeError

FOOTER = "© 2024 Example Ltd. All rights reserved."


def page(number, *more):
    return {
        "id": f"p{number:02d}",
        "source": f"s{number % 4}",
        "text": "\n".join([f"Seite {chr(97 + number)} own words", *more]),
    }


def texts(output):
    return {row["id"]: row["text"] for row in kept(output)}


def shards(records, cuts=(7, 15)):
    return {f"in{i}": records[a:b] for i, (a, b) in enumerate(zip((0, *cuts), (*cuts, None)))}


@pytest.fixture
def pages():
    """20 pages: a footer in all (its year and its case differ), a line in six, one in seven, three of them empty but for
    the footer."""
    records = []
    for n in range(20):
        footer = FOOTER.replace("2024", str(2000 + n))
        more = ["", "版权所有。", "in six pages"] if n < 6 else []
        more += ["In Seven pages!"] if n >= 13 else []
        records.append(page(n, *more, "", footer.upper() if n % 2 else footer))
    return [*records, *({"id": f"e{n}", "text": FOOTER} for n in range(3))]


def test_a_footer_goes_everywhere(pages, tmp_path):
    out = cut(tmp_path, [{"dedup": {"lines": {}}}], shards(pages))
    found = texts(out)
    assert found["p00"] == "Seite a own words\n\n版权所有。\nin six pages"
    assert found["p19"] == "Seite t own words"
    assert found["p08"] == "Seite i own words"
    account = manifest(out)["account"]
    assert account == {"read": 23, "kept": 20, "rejected": 3, "quarantined": 0}
    for row in rejected(out):
        assert (row["step"], row["reason"], row["value"], row["threshold"]) == (
            "01.dedup.lines",
            "chars_left.min",
            0,
            1,
        )
        assert row["shard"] and row["record"] is not None
    assert all(finding.ok for finding in check(str(out)))


def test_the_list_of_what_was_removed(pages, tmp_path):
    out = cut(tmp_path, [{"dedup": {"lines": {}}}], shards(pages))
    found = {row["line"]: row for row in removed(out, "lines")}
    assert found.keys() == {FOOTER.replace("2024", "2000"), "In Seven pages!"}
    footer, seven = found[FOOTER.replace("2024", "2000")], found["In Seven pages!"]
    assert (footer["documents"], footer["removed"], footer["id"]) == (23, 23, "p00")
    assert (seven["documents"], seven["removed"], seven["id"], seven["source"]) == (7, 7, "p13", "s1")
    told = manifest(out)["cut"]["01.dedup.lines"]
    assert (told["documents"], told["lines"]) == (23, 30)
    assert told["most_removed"][0] == {"removed": 23, "documents": 23, "line": footer["line"], "id": "p00"}
    before = sum(len(record["text"].encode()) for record in pages)
    assert told["bytes"] == before - sum(len(text.encode()) for text in texts(out).values())
    names = {entry["path"]: entry["rows"] for entry in manifest(out)["files"]}
    assert sum(rows for path, rows in names.items() if path.startswith("removed/")) == 2


def test_the_first_may_stay(pages, tmp_path):
    out = cut(tmp_path, [{"dedup": {"lines": {"keep": "first"}}}], shards(pages))
    with_footer = [name for name, text in texts(out).items() if "rights reserved" in text.lower()]
    assert len(with_footer) == 1
    footer = max(removed(out, "lines"), key=lambda row: row["removed"])
    assert footer["id"] == with_footer[0] and (footer["documents"], footer["removed"]) == (23, 22)


def test_who_is_first_does_not_hang_on_files(pages, tmp_path):
    """The place of the document in the input means nothing: the smallest key is the first."""
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    steps = [{"dedup": {"lines": {"keep": "first"}}}]
    records = [{"source": "one", **record} for record in pages]
    one = cut(tmp_path / "a", steps, shards(records))
    other = cut(tmp_path / "b", steps, shards(records[::-1], (3, 9)))
    assert texts(one) == texts(other)


def test_sources_are_counted_where_asked(tmp_path):
    """In 12 pages of one source: one source. In one page of each of four: four."""
    records = [
        page(0, f"every page {n}") | {"id": f"a{n}", "text": f"own {chr(97 + n)}\neverywhere here"} for n in range(12)
    ]
    records += [page(n, "all sources") for n in range(4)]
    out = cut(tmp_path, [{"dedup": {"lines": {"by": "source", "max_repeats": 3}}}], shards(records))
    found = texts(out)
    assert all("everywhere here" in found[f"a{n}"] for n in range(12))
    assert all("all sources" not in found[f"p{n:02d}"] for n in range(4))
    assert removed(out, "lines")[0]["documents"] == 4


def test_a_line_often_in_one_document_is_in_one_document(tmp_path):
    records = [{"id": "a", "text": "own\n" + "chorus\n" * 50}, *(page(n, "chorus") for n in range(5))]
    assert texts(cut(tmp_path, [{"dedup": {"lines": {}}}], shards(records)))["a"].count("chorus") == 50


@pytest.mark.parametrize(("max_repeats", "left"), [(7, True), (6, False)])
def test_more_than_max_repeats(max_repeats, left, tmp_path):
    records = [page(n, "x y") for n in range(7)]
    found = texts(cut(tmp_path, [{"dedup": {"lines": {"max_repeats": max_repeats}}}], shards(records)))
    assert all(("x y" in text) == left for text in found.values())


def test_short_lines_stay_if_asked(tmp_path):
    records = [page(n, "Home", "Read more about it") for n in range(9)]
    found = texts(cut(tmp_path, [{"dedup": {"lines": {"min_chars": 10}}}], shards(records)))
    assert all("Home" in text and "Read more" not in text for text in found.values())


def test_paragraphs_are_whole(tmp_path):
    """A paragraph's lines go together; a line of it that stands alone elsewhere is another paragraph."""
    notice = "We use cookies,\n1 or 2."
    records = [page(n, "", notice, "", "end " + chr(97 + n)) for n in range(9)] + [page(9, "", "We use cookies,")]
    found = texts(cut(tmp_path, [{"dedup": {"lines": {"unit": "paragraph"}}}], shards(records)))
    assert found["p03"] == "Seite d own words\n\nend d"
    assert found["p09"] == "Seite j own words\n\nWe use cookies,"


def test_too_little_left(tmp_path):
    records = [page(n, "the same words") for n in range(9)] + [{"id": "tiny", "text": "ab"}]
    out = cut(tmp_path, [{"dedup": {"lines": {"min_left": 18}}}], shards(records), output=", rejected_text: true")
    assert list(texts(out)) == ["tiny"], "what was not cut is not judged"
    assert {row["value"] for row in rejected(out)} == {17.0}
    assert all(row["text"].endswith("the same words") for row in rejected(out))


@pytest.mark.parametrize("keep", ["none", "first"])
def test_the_same_bytes(pages, tmp_path, monkeypatch, keep):
    """Batches, partitions, runs and groups cut otherwise: the same files. Row groups and tasks: the same texts."""
    steps = [{"dedup": {"lines": {"keep": keep}}}, {"dedup": {"exact": {}}}]
    first = sums(cut(tmp_path, steps, shards(pages), out="one"))
    monkeypatch.setattr("pipeline.matching.groups.CUT_ROWS", ((64, 1 << 31),))
    monkeypatch.setattr("pipeline.matching.partitions.RUN_ROWS", 5)
    monkeypatch.setattr("pipeline.matching.groups.GROUP", 2)
    assert sums(cut(tmp_path, steps, out="two", batch=3)) == first
    monkeypatch.setattr("pipeline.files.tables.ROWS", 3)
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    assert texts(cut(tmp_path, steps, out="three")) == texts(tmp_path / "one")


def test_later_steps_see_the_cut_texts(tmp_path):
    """Two pages that differ in a footer alone are equal texts after it; signals are measured on what is written."""
    records = [page(n, FOOTER) for n in range(7)] + [
        page(7, "x"),
        page(7) | {"id": "twin", "text": page(7, "x")["text"] + "\n" + FOOTER},
    ]
    steps = [
        {"keep": {"char_count": {"min": 1}}},
        {"dedup": {"lines": {}}},
        {"dedup": {"exact": {"keep": {"best": "word_count"}}}},
    ]
    out = cut(tmp_path, steps, shards(records), output=", signals: [char_count, word_count]")
    assert manifest(out)["rejected"] == {"03.dedup.exact": {"exact_duplicate": 1}}
    for row in kept(out):
        assert row["signals"]["word_count"] == len(row["text"].split()), "measured at the end"
    assert sum(row["signals"]["char_count"] > len(row["text"]) for row in kept(out)) >= 7, "measured by the rule before"


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([{"dedup": {"exact": {}}}, {"dedup": {"lines": {}}}], "put it before exact"),
        ([{"dedup": {"substrings": {}}}, {"dedup": {"lines": {}}}], "put it before substrings"),
        ([{"dedup": {"lines": {"max_repeat": 3}}}], "max_repeats"),
        ([{"dedup": {"lines": {"unit": "word"}}}], "unit"),
        ([{"dedup": {"substring": {}}}], "substrings"),
        ([{"dedup": {"lines": {}}, "where": {"lang": "en"}}], "takes no where"),
    ],
)
def test_wrong_recipes(steps, says, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(RecipeError, match=says):
        job_of(tmp_path, steps)
