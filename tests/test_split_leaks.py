"""Planted leaks: what the split keeps from crossing, and what `check` finds of what was planted after the run."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
from splitting import claim, mill, near, sides, sound, text
from test_run import rejected

from dedup.urls import canonical_url


def test_check_finds_every_planted_leak_and_nothing_else(tmp_path, capsys):
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
