"""Containment: a document inside a longer one is found, proven, and never on the other side of a split."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from corpus import kept, manifest, rejected
from hypothesis import given, settings
from hypothesis import strategies as st
from splitting import planted
from test_near import dedup, words

import dedup.containment as containment
from dedup.candidates import shared
from dedup.containment import choose_queries, contained_pairs, found_chance, sample
from dedup.plain import jaccard
from dedup.shingles import shingle_set
from pipeline.commands.check import check
from pipeline.errors import RecipeError
from pipeline.job import prepare

MORE = ", similarity: containment"


def contained(a, b):
    return jaccard(shingle_set(a), shingle_set(b), "containment")


# --- the sample


def mixed(values):
    """The rows of hashes, without the query bit."""
    from dedup.hashing import mix_int

    return [mix_int(value) >> 1 for value in values]


@pytest.mark.parametrize(("size", "rows"), [(3, 3), (64, 64), (200, 64), (5000, None)])
def test_sample_is_the_small_hashes(size, rows):
    chance = np.random.default_rng(size)
    values = np.unique(chance.integers(0, 2**64, size, np.uint64))
    offsets, hashes = sample(np.array([0, size, size, size]), values, 4)
    below = int((values < 2**61).sum())
    assert offsets.tolist() == [0, rows or below] + [rows or below] * 2
    assert (hashes >> np.uint64(1)).tolist() == mixed(values[: offsets[1]].tolist())
    assert (hashes & np.uint64(1)).tolist() == [int(i < 4) for i in range(offsets[1])]
    assert rows or 500 < below < 750


@pytest.mark.parametrize(
    ("threshold", "recall", "queries"), [(0.8, 0.99, 4), (0.5, 0.99, 9), (1.0, 0.99, 1), (0.9, 0.9, 2)]
)
def test_choice_of_queries(threshold, recall, queries):
    assert choose_queries(threshold, recall) == queries
    assert found_chance(queries, threshold) >= recall
    assert found_chance(queries, min(1, threshold + 0.05)) >= 1 - (1 - recall) / 10


@pytest.mark.parametrize("share", [0.8, 0.85, 0.9, 1.0])
@pytest.mark.parametrize(("small", "large"), [(50, 500), (100, 3000), (400, 400), (400, 900), (1000, 9000)])
def test_recall_at_the_threshold(share, small, large):
    """800 pairs of each kind: 0.99 at 0.8 and above, as the curve promises, from 50 shingles on."""
    chance = np.random.default_rng(int(100 * share) + small + large)
    found = 0
    for _ in range(800):
        whole = chance.integers(0, 2**64, large, np.uint64)
        part = whole[: int(np.ceil(share * small))]
        rest = chance.integers(0, 2**64, small - len(part), np.uint64)
        sets = np.sort(np.concatenate((part, rest))), np.sort(whole)
        offsets, hashes = sample(np.array([0, small, small + large]), np.concatenate(sets), choose_queries(0.8))
        doc = np.repeat(np.arange(2, dtype=np.uint64), np.diff(offsets))
        found += len(contained_pairs(hashes, doc, doc).pairs)
    assert found / 800 >= 0.99


ROW = st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 40))


@settings(deadline=None)
@given(
    st.lists(ROW, max_size=80, unique_by=lambda row: (row[0], row[2])),
    st.integers(1, 6),
    st.integers(0, 4),
    st.randoms(),
)
def test_candidates_are_those_of_brute_force_in_any_order(rows, cap, asking, chance):
    groups = defaultdict(dict)
    for shingle, asks, doc in rows:
        groups[shingle][doc] = asks
    pairs, big = set(), set()
    for group in groups.values():
        docs = sorted(group)
        if len(docs) > cap and sum(group.values()) > asking:
            big.add(tuple(docs))
        else:
            pairs |= {(a, b) for a, b in combinations(docs, 2) if group[a] or group[b]}
    chance.shuffle(rows)
    hash = np.array([shingle << 1 | asks for shingle, asks, _ in rows], np.uint64)
    doc = np.array([doc for *_, doc in rows], np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containment, "GROUP_CAP", cap)
        patch.setattr(containment, "QUERY_CAP", asking)
        found = contained_pairs(hash, doc, doc)
    assert [tuple(pair) for pair in found.pairs.tolist()] == sorted(pairs)
    assert [tuple(group.tolist()) for group in found.big] == sorted(big)


@settings(deadline=None)
@given(st.lists(ROW, max_size=80, unique_by=lambda row: (row[0], row[2])), st.integers(1, 5))
def test_rows_dealt_by_what_they_share_have_the_same_candidates(rows, parts):
    hash = np.array([shingle << 1 | asks for shingle, asks, _ in rows], np.uint64)
    doc = np.array([doc for *_, doc in rows], np.uint64)
    chosen, keys = shared(hash >> np.uint64(1), doc, doc, cap=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containment, "GROUP_CAP", 3)
        patch.setattr(containment, "QUERY_CAP", 2)
        whole = contained_pairs(hash, doc, doc)
        parts_of = [chosen[keys % np.uint64(parts) == part] for part in range(parts)]
        found = [contained_pairs(hash[mine], doc[mine], doc[mine]) for mine in parts_of]
    assert {tuple(p) for f in found for p in f.pairs.tolist()} == {tuple(p) for p in whole.pairs.tolist()}
    assert {tuple(g.tolist()) for f in found for g in f.big} == {tuple(g.tolist()) for g in whole.big}


def test_twins_are_one_document():
    hash = np.full(100, 7, np.uint64)
    found = contained_pairs(hash, np.full(100, 3, np.uint64), np.arange(100, dtype=np.uint64))
    assert not len(found.pairs) and not found.big


# --- end to end


def books(rng, count, pages):
    """Long texts, and for each some of its pages with a word in twenty changed."""
    records = []
    for book in range(count):
        text = words(rng, 2000)
        records.append({"id": f"book-{book}", "text": " ".join(text)})
        for page in range(pages):
            start = int(rng.integers(0, 1800))
            part = list(text[start : start + 200])
            part[100] = f"x{book}y{page}"
            records.append({"id": f"page-{book}-{page}", "text": " ".join(part)})
    return records


def test_pages_lie_in_their_books(tmp_path):
    rng = np.random.default_rng(1)
    records = [*books(rng, 20, 4), *({"id": f"own-{i}", "text": " ".join(words(rng, 300))} for i in range(40))]
    texts = {record["id"]: record["text"] for record in records}
    (tmp_path / "jaccard").mkdir()
    assert len(kept(dedup(records, tmp_path / "jaccard"))) > 100, "a page is not like its book by Jaccard"
    out = dedup(records, tmp_path, more=MORE, split="{train: 0.8, test: 0.2}")
    alive = {row["id"] for row in kept(out)}
    assert alive == {name for name in texts if not name.startswith("page")}
    for row in rejected(out):
        true = contained(texts[row["id"]], texts[row["duplicate_of"]])
        assert row["similarity"] == true >= 0.8 and row["duplicate_of"] in alive
    assert manifest(out)["dedup"]["similarity"] == "containment"
    assert all(finding.ok for finding in check(str(out)))


def test_same_result_as_all_pairs(tmp_path):
    """Random parts of random texts: the kept documents are the first independent set over all true pairs."""
    rng = np.random.default_rng(2)
    base = [words(rng, 400) for _ in range(6)]
    records = []
    for i in range(70):
        text = base[i % 6]
        start, size = int(rng.integers(0, 250)), int(rng.integers(80, 400))
        part = [w if rng.random() > 0.02 else f"x{i}" for w in text[start : start + size]]
        records.append({"id": f"{i:02d}", "text": " ".join(part)})
    out = dedup(records, tmp_path, more=MORE)
    sets = {r["id"]: shingle_set(r["text"]) for r in records}
    alive = []
    for record in sorted(records, key=lambda r: -len(r["text"])):
        if all(jaccard(sets[record["id"]], sets[other], "containment") < 0.8 for other in alive):
            alive.append(record["id"])
    assert 6 < len(alive) < 60
    assert sorted(row["id"] for row in kept(out)) == sorted(alive)


def test_no_leak_though_candidates_miss_nearly_all(tmp_path, monkeypatch):
    """With one query of a tiny sample hardly a pair is met; none may cross the split all the same."""
    import pipeline.documents

    def nearly_blind(offsets, values, queries):
        ends, hashes = sample(offsets, values, queries)
        return np.arange(len(ends)), hashes[ends[1:] - 1]

    monkeypatch.setattr(pipeline.documents, "sample", nearly_blind)
    rng = np.random.default_rng(3)
    out = dedup(books(rng, 40, 4), tmp_path, more=MORE, split="{train: 0.7, validation: 0.15, test: 0.15}")
    told = manifest(out)
    assert told["splits"]["train"] > 60, "candidates must have missed pairs for this test to mean anything"
    assert told["dedup"]["split_probes"] > 0
    assert all(finding.ok for finding in check(str(out)))


def test_check_finds_a_planted_leak(tmp_path):
    rng = np.random.default_rng(4)
    out = dedup(
        [{"id": str(i), "text": " ".join(words(rng, 300))} for i in range(60)],
        tmp_path,
        more=MORE,
        split="{train: 0.5, test: 0.5}",
    )

    def leak(rows):
        whole = rows["train"][0]
        rows["test"][0] = {**whole, "id": "leaked", "text": " ".join(whole["text"].split()[50:90])}

    wrong = planted(out, leak)
    assert len(wrong) == 1 and "two sides" in wrong[0].what and "leaked" in wrong[0].wrong[0]


def test_template_pages_stay_linear_and_do_not_share_a_split(tmp_path):
    """800 pages with the same half: every query of the frame is asked by most of them. Nobody is a duplicate, the work
    is linear, and a frame alone draws nobody to one side."""
    rng = np.random.default_rng(5)
    frame = words(rng, 60)
    records = [{"id": f"{i:03d}", "text": " ".join(frame + words(rng, 70))} for i in range(800)]
    out = dedup(records, tmp_path, more=MORE, split="{train: 0.6, test: 0.4}")
    told = manifest(out)
    assert told["account"]["kept"] == 800 and min(told["splits"].values()) > 250
    assert told["dedup"]["pairs_compared"] < 800 * 64 * 24 < 800 * 799 / 2 * 6
    assert told["dedup"]["pairs_left_uncompared"] > 0


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ("similarity: containment, bands: 10, rows: 5", "containment has no bands"),
        ("similarity: contained", "did you mean 'containment'?"),
    ],
)
def test_letters(tmp_path, options, letter):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "r.yaml").write_text(
        f"input: {{paths: {tmp_path}/x.jsonl}}\nsteps:\n  - dedup: {{minhash: {{{options}}}}}\noutput: {{path: {tmp_path}/o}}\n"
    )
    with pytest.raises(RecipeError, match=r"r.yaml:3.*") as error:
        prepare(str(tmp_path / "r.yaml"))
    assert letter in str(error.value)


def test_nothing_gives_nothing():
    none = np.zeros(0, np.uint64)
    found = contained_pairs(none, none, none)
    assert found.pairs.shape == (0, 2) and found.big == []
    offsets, hashes = sample(np.array([0]), none, 4)
    assert offsets.tolist() == [0] and pa.array(hashes).type == pa.uint64()
