"""Planted leaks: what the split keeps from crossing, and what `check` finds of what was planted after the run."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from corpus import manifest, many_tasks, rejected
from splitting import claim, kept_of, mill, near, planted, sides, sound, text

from dedup.urls import canonical_url
from pipeline.commands.explain import explain


def test_check_finds_every_planted_leak_and_nothing_else(tmp_path, capsys, monkeypatch):
    """A corpus split by hash alone, of which the manifest says that groups, pages and times were kept apart."""
    rng = np.random.default_rng(15)
    records = []
    for i in range(900):
        year = int(rng.integers(2020, 2026))
        url = f"http://site{i // 6}.org/{i // 3}?utm_source={i}" if i % 3 else f"http://site{i // 6}.org/alone{i}"
        records.append(
            {"id": f"d{i}", "text": text(rng, 12), "author": f"A {i // 4}", "url": url, "date": f"{year}-05-01"}
        )
    plain = {"train": 0.6, "validation": 0.2, "test": 0.2, "urls": "apart"}
    out = mill(records, tmp_path, json.dumps(plain))
    found = sides(out)
    assert claim(out, plain) == {}

    def across(value):
        stand = defaultdict(set)
        for record in records:
            stand[value(record)].add(found[record["id"]])
        return {key for key, where in stand.items() if len(where) > 1}

    wrong = claim(out, {**plain, "urls": "together", "by": ["author", "domain"]})
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.commands.check_sides.PART_ROWS", 100)
        assert {
            what: set(letters)
            for what, letters in claim(out, {**plain, "urls": "together", "by": ["author", "domain"]}).items()
        } == {what: set(letters) for what, letters in wrong.items()}
    planted = {
        "no page stands on two sides of the split": across(lambda r: canonical_url(r["url"])),
        "no metadata.author stands on two sides of the split": across(lambda r: r["author"].lower()),
        "no domain stands on two sides of the split": across(lambda r: r["url"].split("/")[2]),
    }
    assert set(wrong) == set(planted)
    for what, letters in wrong.items():
        told = sum(int(line.split()[2].replace(",", "")) if line.startswith("...") else 1 for line in letters)
        assert told == len(planted[what]) > 50
        names = {line.split("'")[1] for line in letters if not line.startswith("...")}
        assert names <= planted[what] and len(names) == min(100, len(planted[what]))
        for line in letters[:20]:
            for doc, side in (part.split(" in ") for part in line.split(": ", 1)[1].split(", ")):
                assert found[doc] == side
    times = {
        "train": {"before": "2022-01-01"},
        "validation": {"after": "2022-01-01", "before": "2024-01-01"},
        "test": {"after": "2024-01-01"},
    }
    wrong = claim(out, {**times, "urls": "apart"})
    bounds = {"train": ("0", "2022"), "validation": ("2022", "2024"), "test": ("2024", "9")}
    misplaced = {r["id"] for r in records if not bounds[found[r["id"]]][0] <= r["date"] < bounds[found[r["id"]]][1]}
    assert {line.split()[0] for line in wrong["every document is of the time of its side"]} == misplaced
    wrong = claim(out, {"train": 0.6, "validation": 0.4, "test": {"after": "2024-01-01"}, "urls": "apart"})
    misplaced = {r["id"] for r in records if (found[r["id"]] == "test") != (r["date"] >= "2024")}
    assert {line.split()[0] for line in wrong["every document is of the time of its side"]} == misplaced
    with capsys.disabled():
        print(
            f"\nplanted across sides: {', '.join(str(len(p)) for p in planted.values())} pages, authors, domains; {len(misplaced)} dates; all found, no other"
        )


def test_leaks_across_time_by_near_duplicates(tmp_path, capsys):
    """Near-duplicates, pages and authors planted across a date: none is left on two sides, and nothing else is lost."""
    rng = np.random.default_rng(16)
    records, planted = [], set()
    for i in range(200):
        late = {"id": f"late{i}", "date": "2024-03-01", "text": text(rng, 80)}
        early = {"id": f"early{i}", "date": "2023-03-01", "text": text(rng, 80)}
        kind = i % 5
        if kind == 0:
            late["text"] = near(early["text"], rng) + " and more"
        elif kind == 1:
            early["url"], late["url"] = f"http://a.org/{i}", f"https://www.a.org/{i}/#x"
        elif kind == 2:
            early["writer"] = late["writer"] = f"W{i}"
        elif kind == 3:
            late["text"] = early["text"]
        planted |= {i} if kind < 4 else set()
        records += [early, late]
    out = mill(
        records,
        tmp_path,
        "{train: {before: 2024-01-01}, test: {after: 2024-01-01}, by: writer}",
        "[dedup: {exact: {}}, dedup: {minhash: {}}]",
    )
    found, gone = sides(out), rejected(out)
    reasons = Counter(row["reason"] for row in gone)
    assert reasons == {"near_duplicate": 40, "exact_duplicate": 40, "leaks_across_time": 80}
    assert all(f"early{i}" in found and f"late{i}" in found for i in range(200) if i not in planted)
    assert all((f"early{i}" in found) != (f"late{i}" in found) for i in planted)
    sound(out)
    with capsys.disabled():
        print(
            f"\nplanted across time: {len(planted)} pairs, {len(gone)} documents out, {400 - len(gone)} kept, none on two sides"
        )


@pytest.mark.parametrize("by", ["", ", by: author, stratify: source"])
def test_parts_of_a_text_stay_on_one_side(tmp_path, monkeypatch, by):
    """Without URLs, and without a word in the recipe: each of 50 texts is split in two steps, some into dozens of parts."""
    many_tasks(monkeypatch)
    rng = np.random.default_rng(22)
    records = [{"id": f"d#{i}", "text": text(rng, 8 + 4 * (i % 12)), "author": f"a{i // 2}"} for i in range(50)]
    steps = "[length: {max_chars: 200, too_long: split}, keep: {char_count: {min: 1}}, length: {max_chars: 30, too_long: split}]"
    out = mill(records, tmp_path, f"{{train: 0.6, test: 0.4{by}}}", steps)
    told = manifest(out)
    rows = {row["id"]: (row["part_of"], split) for split in told["splits"] for row in kept_of(out, told, split)}
    stands = defaultdict(set)
    for name, (part_of, split) in rows.items():
        assert name.startswith(f"{part_of}#")
        stands[part_of].add(split)
    assert set(stands) == {record["id"] for record in records} and all(len(each) == 1 for each in stands.values())
    assert len(rows) > 400 and any(name.count("#") == 3 for name in rows) and min(told["splits"].values()) > 50
    sound(out)
    for name in (next(name for name in rows if name.count("#") == count) for count in (2, 3)):
        life = explain(str(out), name)
        assert f"read     record {int(rows[name][0][2:]) % 10} of" in life and "kept     in" in life

    def leak(rows):
        rows["test"].append(rows["train"].pop())

    wrong = [finding for finding in planted(out, leak) if "split into parts" in finding.what]
    assert len(wrong) == 1 and len(wrong[0].wrong) == 1 and "stands on 2 sides" in wrong[0].wrong[0]


def test_recipes_that_split_no_texts_have_no_trace_of_it(tmp_path):
    out = mill([{"id": f"{i}", "text": f"text {i}"} for i in range(20)], tmp_path / "a", "{train: 0.5, test: 0.5}")
    assert "part_of" not in kept_of(out, manifest(out), "train")[0]
    steps = "[length: {max_chars: 99, too_long: split}]"
    whole = mill(
        [{"id": f"{i}", "text": f"text {i}"} for i in range(20)], tmp_path / "b", "{train: 0.5, test: 0.5}", steps
    )
    assert sides(whole) == sides(out) and kept_of(whole, manifest(whole), "train")[0]["part_of"] is None
