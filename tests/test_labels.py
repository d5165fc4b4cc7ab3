"""Labels: what has none, what has another, and near-duplicates that contradict each other."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from collections import Counter, namedtuple
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import kept, manifest, many_tasks, rejected, same_splits, written
from hypothesis import given
from hypothesis import strategies as st

from dedup.contradictions import Contradictions
from dedup.graph_files import Room, Sizes
from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.commands.outlook import outlook
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError
from pipeline.job import prepare
from pipeline.mixtures import labels
from pipeline.mixtures.conflicts import DOCS, WORDS, details
from pipeline.progress import Silent, funnel
from pipeline.run import run

CONFLICTS = "labels/conflicts.parquet"
RECIPE = """
input: {{paths: {path}}}
labels: {labels}
{more}
steps:
  - dedup: {{exact: {{}}}}
  - dedup: {{minhash: {{threshold: 0.6}}}}
output: {{path: {out}, format: {format}, split: {{train: 0.8, test: 0.2}}}}
run: {{engine: local, max_source_loss: 1, batch_size: {batch}}}
"""


def run_of(folder, rows, labels="{values: [spam, ham]}", format="jsonl", more="", batch=1000, name="out"):
    written(folder / "in", rows)
    page = folder / f"{name}.yaml"
    page.write_text(
        RECIPE.format(path=folder / "in", out=folder / name, labels=labels, format=format, more=more, batch=batch)
    )
    job, settings = prepare(str(page))
    run(job, settings.run, LocalEngine(), Silent())
    return folder / name


def families(count=60, members=4):
    """Families of near-copies (one word of 60 differs); in each third one member has the other label, in each sixth the
    last member is the first once more, in other case, with the other label."""
    chance, rows, planted = random.Random(5), [], set()
    for family in range(count):
        words = [f"w{family}i{i}" for i in range(60)]
        label = "spam" if family % 2 else "ham"
        for member in range(members):
            changed = list(words)
            if member:
                changed[chance.randrange(60)] = f"x{member}"
            rows.append({"id": f"{family}-{member}", "text": " ".join(changed), "label": label})
        other = {"spam": "ham", "ham": "spam"}[label]
        if family % 3 == 0:
            rows[-2]["label"] = other
            planted.add(family)
        if family % 6 == 1:
            rows[-1].update(text=rows[-members]["text"].upper(), label=other)
            planted.add(family)
    return rows, planted


@pytest.mark.parametrize("policy", ["list", "drop"])
def test_conflicts_are_all_found_and_none_falsely(tmp_path, policy, monkeypatch):
    monkeypatch.setattr("pipeline.mixtures.conflicts.BLOCK", 7)
    rows, planted = families()
    out = run_of(tmp_path, rows, f"{{values: [spam, ham], conflicts: {policy}}}")
    told = manifest(out)["labels"]["conflicts"]
    assert ("mix" in outlook(prepare(str(tmp_path / "out.yaml"))[0])["stages"]) == (policy == "drop")
    pairs = pq.read_table(out / "labels" / "conflicts.parquet").to_pylist()
    label = {row["id"]: row["label"] for row in rows}
    assert {int(pair["id"].split("-")[0]) for pair in pairs} == planted
    for pair in pairs:
        assert pair["id"].split("-")[0] == pair["other_id"].split("-")[0] and pair["similarity"] >= 0.6
        assert label[pair["id"]] == pair["label"] != pair["other_label"] == label[pair["other_id"]]
    # within a family all are alike, so all of a planted one are contradicted
    assert told["documents"] == 4 * len(planted) and told["pairs"] == len(pairs) and told["examples"] == pairs[:20]
    stay = {int(row["id"].split("-")[0]) for row in kept(out)}
    gone = [row for row in rejected(out) if row["reason"] == "label.conflict"]
    if policy == "drop":
        assert not stay & planted and len(gone) == len(planted) and {row["step"] for row in gone} == {"00.labels"}
        assert f"labelled {label[gone[0]['id']]}, " in gone[0]["detail"]
        assert "label.conflict" in explain(str(out), gone[0]["id"])
    else:
        assert stay == set(range(60)) and not gone
        details = [row for row in rejected(out) if row["detail"] and row["detail"].startswith("labelled ")]
        assert {int(row["id"].split("-")[0]) for row in details} == planted
    account = manifest(out)["account"]
    assert account["read"] == 240 == account["kept"] + account["rejected"]
    assert all(finding.ok for finding in check(str(out))), [f.wrong for f in check(str(out))]
    assert "documents are like one with another label" in funnel(manifest(out))


def test_a_task_makes_strings_of_its_own_conflicts_only(monkeypatch):
    docs = np.concatenate([np.arange(200_000, dtype=np.uint64), np.array([(1 << 32) + 2], np.uint64)])
    table = pa.table([pa.array(docs), pa.array([f"labelled spam, {doc} ham" for doc in docs])], schema=DOCS)
    files = SimpleNamespace(table=lambda manifest, name: table)
    monkeypatch.setattr("pipeline.mixtures.conflicts.manifests", lambda root, stage: [{}])
    job = SimpleNamespace(output="", refine={"labels": {"values": None}})
    tracemalloc.start()
    found = details(job, files, 1, 1, 4).tolist()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [None, None, f"labelled spam, {(1 << 32) + 2} ham", None] and peak < 100_000


def test_missing_and_unknown(tmp_path):
    rows = [{"id": str(i), "text": f"text number {i} " * 5, "label": "spam" if i % 2 else "ham"} for i in range(20)]
    rows[3]["label"], rows[4]["label"], rows[5]["label"] = "spma", None, " spam "
    del rows[6]["label"]
    out = run_of(tmp_path, rows)
    why = {row["id"]: (row["reason"], row["detail"]) for row in rejected(out) if row["step"] == "00.labels"}
    assert why == {
        "3": ("label.unknown", "spma, did you mean 'spam'?"),
        "4": ("label.missing", None),
        "6": ("label.missing", None),
    }
    told = manifest(out)["labels"]
    assert told["ids"] == {"spam": 0, "ham": 1} and told["missing"] == 2
    assert told["unknown"] == {"documents": 1, "values": {"spma, did you mean 'spam'?": 1}}
    labels = {row["id"]: row["label"] for row in kept(out)}
    assert labels["5"] == "spam"
    found = Counter()
    for split, counts in told["splits"].items():
        assert counts == Counter(json.loads(line)["label"] for line in (out / split / "part-00000.jsonl").open())
        found.update(counts)
    assert found == Counter(labels.values())


def test_free_text_for_a_label_is_asked_about_once_and_told_in_short(monkeypatch):
    asked = []
    monkeypatch.setattr(labels, "nearest", lambda value, known: asked.append(value) or "")
    monkeypatch.setattr(labels, "KNOWN_UNKNOWN", 10)
    values = [f"text {i % 50:02d}" for i in range(500)]
    part = {"field": "metadata.label", "values": ["spam"], "missing": "drop", "unknown": "drop"}
    table = pa.table({"metadata": [json.dumps({"label": value}) for value in values]})
    _, why = labels.labels_step(part)(table)
    assert sorted(asked) == sorted(set(values)) and why.field("detail").to_pylist() == values
    for batch in (500, 7):
        counts = {}
        for start in range(0, 500, batch):
            labels.tally(counts, why.slice(start, batch))
        assert counts == {f"text {i:02d}": 10 for i in range(10)} | {"...": 400}


def test_labels_from_the_data_kept_without_and_of_the_folder(tmp_path):
    rows = [
        {"id": str(i), "text": f"text number {i} " * 5, "source": f"s{i % 3}", "stars": i % 4 or None}
        for i in range(40)
    ]
    out = run_of(tmp_path, rows, "{column: stars, missing: keep}", "parquet")
    told = manifest(out)["labels"]
    assert told["ids"] == {"1": 0, "2": 1, "3": 2} and told["missing"] == 10
    assert sum(row["label"] is None for row in kept(out)) == 10
    out = run_of(tmp_path, rows, "{column: source}", name="folder")
    assert manifest(out)["labels"]["ids"] == {"s0": 0, "s1": 1, "s2": 2}
    assert all(row["label"] == row["source"] for row in kept(out))
    assert "| s1 | 1 |" in (out / "README.md").read_text()


def test_same_bytes_and_a_mixture_by_label(tmp_path, monkeypatch):
    rows, planted = families(24)
    more = "mix: {by: label, epochs: {spam: 3}}"
    one = run_of(tmp_path, rows, "{values: [spam, ham], conflicts: drop}", more=more, name="one")
    monkeypatch.setattr("pipeline.matching.groups.PARTITION_ROWS", ((64, 1 << 31),))
    many_tasks(monkeypatch)
    two = run_of(tmp_path, rows, "{values: [spam, ham], conflicts: drop}", more=more, batch=7, name="two")
    assert same_splits(one, two) and manifest(one)["labels"] == manifest(two)["labels"]
    assert sorted(rejected(one), key=str) == sorted(rejected(two), key=str)
    for row in (json.loads(line) for line in (one / "train" / "part-00000.jsonl").open()):
        assert int(row["id"].split("-")[0]) not in planted
    times = Counter(json.loads(line)["id"] for line in (one / "train" / "part-00000.jsonl").open())
    assert {n for name, n in times.items() if int(name.split("-")[0]) % 2} == {3}
    assert all(finding.ok for finding in check(str(one)))


@pytest.mark.parametrize(
    ("labels", "letter"),
    [
        ("{colunm: label}", "did you mean 'column'?"),
        ("{values: []}", "'labels.values' is []; expected Value should have at least 1 item"),
        ("{missing: skip}", "'labels.missing' is 'skip'"),
    ],
)
def test_letters(tmp_path, labels, letter):
    with pytest.raises(RecipeError) as error:
        run_of(tmp_path, [{"text": "a"}], labels)
    assert letter in str(error.value)


def test_mix_by_label_needs_labels(tmp_path):
    page = tmp_path / "r.yaml"
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    page.write_text(
        f"input: {{paths: {tmp_path}/in.jsonl}}\nmix: {{by: label, epochs: {{a: 2}}}}\noutput: {{path: {tmp_path}/o}}\n"
    )
    with pytest.raises(RecipeError, match=r"labels: \{column: label\}"):
        prepare(str(page))


Found = namedtuple("Found", "pairs similarity rows others")


def contradictions(folder, edges, similarity, twins, label, sizes):
    """All that `Contradictions` finds, each chunk of one row."""
    label = np.array(label, np.int64)
    edges, twins = (np.array(pairs, np.int64).reshape(-1, 1, 2) for pairs in (edges, twins))
    near = zip(edges, np.asarray(similarity, float).reshape(-1, 1))
    found = Contradictions(Room(folder, sizes), len(label), twins, near, lambda low, high: label[low:high])
    pairs, alike = (np.concatenate(column) for column in zip(*[(np.empty((0, 2), int), []), *found.pairs()]))
    rows = np.concatenate([np.empty((0, 4), int), *found.rows()])
    assert (label[rows[:, :2]] == rows[:, 2:]).all()
    return Found(pairs, alike, rows[:, 0], rows[:, 1])


@given(st.data())
def test_ranges_do_not_matter(tmp_path_factory, data):
    """Nor does it matter how much is held; of one pair named twice the first similarity stays."""
    n = data.draw(st.integers(1, 30))
    place = st.integers(0, n - 1)
    label = data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    edges = data.draw(st.lists(st.tuples(place, place), max_size=40))
    texts = data.draw(st.integers(1, n))
    twins = [(i % texts, i) for i in range(texts, n)]
    sizes = data.draw(st.builds(Sizes, st.integers(1, 9), st.integers(1, 400), st.integers(1, 400), st.just(1)))
    one, other = (
        contradictions(tmp_path_factory.mktemp("graph"), edges, np.linspace(0.5, 0.9, len(edges)), twins, label, some)
        for some in (Sizes(1000, 1 << 16, 1 << 16, 1), sizes)
    )
    for expected, found in zip(one, other):
        np.testing.assert_array_equal(expected, found)
    listed = one.pairs.tolist()
    assert (np.diff(one.rows) > 0).all() and listed == sorted(listed)


def test_conflicts_do_not_hang_on_memory(tmp_path, monkeypatch):
    """The least that is held of a graph, and all of it: the same bytes."""
    rows, _ = families()
    whole = run_of(tmp_path, rows)
    monkeypatch.setattr("pipeline.mixtures.conflicts.BLOCK", 7)
    whole_in_blocks = run_of(tmp_path, rows, name="blocks")
    seen = []
    monkeypatch.setattr(
        Sizes, "within", classmethod(lambda cls, memory, words: seen.append(memory) or cls(5, 99, 99, 9))
    )
    small = run_of(tmp_path, rows, name="small")
    assert seen and (small / CONFLICTS).read_bytes() == (whole_in_blocks / CONFLICTS).read_bytes()
    assert pq.read_table(small / CONFLICTS).equals(pq.read_table(whole / CONFLICTS))
    for name in ("rejected", "train"):
        for file in (whole / name).iterdir():
            assert file.read_bytes() == (small / name / file.name).read_bytes()


def test_conflicts_keep_to_their_memory(tmp_path):
    """4 MiB for 300,000 documents in 900,000 pairs: 29 MB as they come."""
    chance, n, budget = np.random.default_rng(3), 300_000, 4 << 20
    label, twins = chance.integers(-1, 5, n), np.column_stack([np.arange(n // 10), np.arange(n // 10) + n // 2])

    def near():
        some = np.random.default_rng(4)
        for _ in range(90):
            yield (n * some.random((10_000, 2)) ** 3).astype(np.int64), some.random(10_000)

    tracemalloc.start()
    room = Room(tmp_path, Sizes.within(budget, WORDS))
    found = Contradictions(room, n, iter([twins]), near(), lambda low, high: label[low:high])
    pairs, rows = sum(len(p) for p, _ in found.pairs()), sum(map(len, found.rows()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pairs > 500_000 and rows > 100_000 and peak < 2 * budget, (pairs, rows, peak)


# -- against the plain definition ------------------------------------------------------------------


@given(
    st.lists(st.integers(-1, 2), min_size=1, max_size=12).flatmap(
        lambda label: st.tuples(
            st.just(label),
            st.lists(st.integers(0, 3), min_size=len(label), max_size=len(label)),
            st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=5),
        )
    ),
    st.builds(Sizes, st.integers(1, 6), st.integers(1, 400), st.integers(1, 400), st.just(1)),
)
def test_contradictions_are_what_the_definition_says(tmp_path_factory, case, sizes):
    """All pairs of documents of equal or neighbouring texts, one by one."""
    label, text, near = case
    first = {t: text.index(t) for t in text}
    twins = [(first[t], row) for row, t in enumerate(text) if row != first[t]]
    edges = [(first[a], first[b]) for a, b in near if a != b and a in first and b in first]
    alike = {frozenset((text[a], text[b])) for a, b in edges}
    wrong = {
        (a, b)
        for a, b in itertools.combinations(range(len(label)), 2)
        if (text[a] == text[b] or frozenset((text[a], text[b])) in alike) and -1 < label[a] != label[b] > -1
    }
    found = contradictions(tmp_path_factory.mktemp("graph"), edges, np.full(len(edges), 0.9), twins, label, sizes)
    listed = set(map(tuple, found.pairs.tolist()))
    assert listed <= wrong and len(listed) == len(found.pairs)
    assert set(found.rows.tolist()) == {row for pair in wrong for row in pair}
    assert all(tuple(sorted(pair)) in wrong for pair in zip(found.rows.tolist(), found.others.tolist()))
    # of each text with two labels, and each two texts with two labels between them, one pair at least is listed
    assert {frozenset((text[a], text[b])) for a, b in listed} == {frozenset((text[a], text[b])) for a, b in wrong}
    assert all((s == 1.0) == (text[a] == text[b]) for (a, b), s in zip(found.pairs.tolist(), found.similarity.tolist()))
