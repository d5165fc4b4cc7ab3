"""The split: groups and pages on one side, on corpora with planted ties, against a plain twin; the same bytes."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from corpus import manifest, many_tasks, rejected, same_splits, sums
from splitting import NEAR, TIMES, dated_corpus, mill, near, sides, sound, text, together

from pipeline.errors import RunError
from pipeline.files.stage_files import Files
from pipeline.splits.options import Split
from pipeline.splits.report import split_words
from pipeline.splits.sides import _Deciding
from pipeline.splits.unit_rows import WIDTH, merged

# --- groups


def grouped_corpus(seed=1, n=600, authors=120):
    """Documents of authors and sites; some sites share an author, some documents have neither."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(n):
        author = int(rng.integers(authors))
        site = author if rng.random() < 0.97 else int(rng.integers(authors))
        record = {
            "id": f"d{i}",
            "text": text(rng),
            "author": f"Author {author}",
            "url": f"https://www.site{site}.co.uk/{i}",
        }
        if rng.random() < 0.1:
            del record["author"]
        if rng.random() < 0.1:
            del record["url"]
        records.append(record)
    return records


@pytest.mark.parametrize(
    ("by", "links"),
    [
        ("domain", lambda r: [r["url"].split("/")[2]] if "url" in r else []),
        ("metadata.author", lambda r: [r["author"]] if "author" in r else []),
        (
            "[domain, author]",
            lambda r: [*([r["url"].split("/")[2]] if "url" in r else []), *([r["author"]] if "author" in r else [])],
        ),
    ],
)
def test_groups_stay_on_one_side(tmp_path, by, links):
    records = grouped_corpus()
    out = mill(records, tmp_path, f"{{train: 0.7, validation: 0.15, test: 0.15, by: {by}}}")
    found = sides(out)
    components = together(records, links)
    for component in components:
        assert len({found[doc] for doc in component}) == 1
    told = manifest(out)["split"]
    assert told["largest"][0]["documents"] == max(map(len, components))
    assert all(count > 20 for count in Counter(found.values()).values()), "a side is missing"
    sound(out)


def test_a_group_keeps_its_side_when_documents_come(tmp_path):
    records = grouped_corpus(n=600)
    split = "{train: 0.7, test: 0.3, by: author}"
    before = sides(mill(records[:300], tmp_path / "a", split))
    after = sides(mill(records, tmp_path / "b", split))
    assert all(after[doc] == side for doc, side in before.items())


def test_near_duplicates_join_groups_and_removed_ones_do_not(tmp_path):
    """Kept documents of a cluster tie their groups; a copy that dedup removes ties nothing."""
    rng = np.random.default_rng(2)
    records, chains = [], []
    for chain in range(40):
        base = text(rng, 160)
        for step in range(3):
            records.append({"id": f"c{chain}-{step}", "text": near(base, rng), "author": f"a{chain}-{step}"})
        chains.append([f"c{chain}-{step}" for step in range(3)])
    marked = mill(
        records, tmp_path / "marked", "{train: 0.5, test: 0.5, by: author}", "[dedup: {minhash: {keep: none-removed}}]"
    )
    found = sides(marked)
    assert len(found) == 120 and all(len({found[doc] for doc in chain}) == 1 for chain in chains)
    assert manifest(marked)["split"]["largest"][0]["groups"] == 3
    out = mill(records, tmp_path / "removed", "{train: 0.5, test: 0.5, by: author}", NEAR)
    assert len(sides(out)) == 40 and manifest(out)["split"]["largest"][0]["groups"] == 1
    for folder in (marked, out):
        sound(folder)


def test_who_stays_hangs_on_no_group(tmp_path):
    rng = np.random.default_rng(3)
    base = [text(rng, 80) for _ in range(60)]
    records = [
        {"id": f"{i}", "text": near(base[i % 60], rng, int(rng.integers(0, 4))), "author": f"a{rng.integers(9)}"}
        for i in range(240)
    ]
    plain = mill(records, tmp_path / "a", "{train: 0.8, test: 0.2}", NEAR)
    grouped = mill(records, tmp_path / "b", "{train: 0.8, test: 0.2, by: author}", NEAR)
    assert set(sides(plain)) == set(sides(grouped))


def test_one_page_and_one_id_stay_on_one_side(tmp_path, monkeypatch):
    """Without a word in the recipe: other texts of one URL, other texts of one id, in files of three groups."""
    many_tasks(monkeypatch)
    opened, arrow = Counter(), Files.arrow

    def counted(self, found, name):
        opened.update([name] * (name == "ties"))
        return arrow(self, found, name)

    monkeypatch.setattr(Files, "arrow", counted)
    rng = np.random.default_rng(4)
    records = []
    for i in range(150):
        for version in range(2):
            url = f"http{'s' * version}://{'www.' * version}a.org/{i}{'/' * version}"
            records.append({"id": f"u{i}-{version}", "text": text(rng), "url": url})
    for i in range(100):
        base = text(rng, 80)
        records += [
            {"id": f"r{i}", "text": base},
            {"id": f"r{i}", "text": text(rng)},
            {"id": f"s{i}", "text": near(base, rng)},
        ]
    rng.shuffle(records)
    together_ = mill(records, tmp_path / "a", "{train: 0.5, test: 0.5}", "[dedup: {minhash: {keep: none-removed}}]")
    found = sides(together_)
    assert all(found[f"u{i}-0"] == found[f"u{i}-1"] for i in range(150))
    assert opened == {"ties": 2}, "once in each of two rounds for the one partition, not once for each group"
    sound(together_)
    apart = sides(mill(records, tmp_path / "b", "{train: 0.5, test: 0.5, urls: apart}"))
    assert 40 < sum(apart[f"u{i}-0"] != apart[f"u{i}-1"] for i in range(150)) < 110
    assert manifest(together_).get("split") is None


def test_a_group_too_large_for_its_side_goes_to_the_main_one(tmp_path):
    """A group of half of the corpus never makes up the test set, whatever the seed."""
    rng = np.random.default_rng(5)
    records = [{"id": f"{i}", "text": text(rng, 10), "author": "one" if i % 2 else f"a{i}"} for i in range(400)]
    for seed in range(3):
        out = mill(
            records, tmp_path / f"{seed}", "{train: 0.5, test: 0.25, dev: 0.25, by: author}", more=f", seed: {seed}"
        )
        found = sides(out)
        assert {found[f"{i}"] for i in range(1, 400, 2)} == {"train"}
        largest = manifest(out)["split"]["largest"][0]
        assert largest["documents"] == 200 and largest["share"] == 0.5


# --- the same bytes


def told(row):
    return [str(row[name]) for name in ("id", "step", "reason", "duplicate_of", "similarity", "detail")]


def test_the_same_bytes_however_it_is_done(tmp_path, monkeypatch):
    records = dated_corpus(n=300)
    rng = np.random.default_rng(14)
    base = [text(rng, 80) for _ in range(30)]
    records += [{**r, "id": f"n{i}", "text": near(base[i % 30], rng)} for i, r in enumerate(records[:150])]
    split = "{train: 0.6, validation: 0.3, dev: 0.1, five: 20, test: {after: 2025-01-01}, by: author}"
    first = mill(records, tmp_path, split, NEAR, out="first")
    other = mill(records, tmp_path, split, NEAR, batch=7, memory="64MB", out="other")
    assert sums(first) == sums(other)
    one = mill(records[::-1], tmp_path / "turned", split, NEAR, files=1)
    many_tasks(monkeypatch)
    many = mill(records, tmp_path, split, NEAR, out="many")
    assert same_splits(first, one) and same_splits(first, many)
    assert manifest(many)["split"] == manifest(first)["split"]
    assert len(list((many / "rejected").iterdir())) == 5 and len(manifest(first)["splits"]) == 5
    assert sorted(map(told, rejected(first))) == sorted(map(told, rejected(many)))


@pytest.mark.parametrize(
    "split",
    [
        "{folds: 3, dev: 40, by: author}",
        "{train: 0.8, test: 0.2, stratify: [label, source], by: author}",
        TIMES + ", by: author}",
    ],
)
def test_parts_change_nothing(tmp_path, monkeypatch, split):
    """Kept documents are sorted in parts; of 1,000 documents in 64 parts the same is decided as of one."""
    records = [{**r, "label": f"l{len(r['id']) % 2}"} for r in dated_corpus(n=1000)]
    whole = mill(records, tmp_path, split, out="whole")
    monkeypatch.setattr("pipeline.splits.sides.PART_ROWS", 16)
    assert sums(mill(records, tmp_path, split, out="parts")) == sums(whole)


def test_a_unit_is_held_by_tasks_not_by_documents(tmp_path, monkeypatch):
    """`by: [domain, author]` may chain most of a corpus into one unit: it is a row for each task, side's time and stratum."""
    many_tasks(monkeypatch)
    held, take = [], _Deciding.take
    monkeypatch.setattr(_Deciding, "take", lambda self, part, rows: held.append(len(rows)) or take(self, part, rows))
    rng = np.random.default_rng(20)
    records = [{"id": f"{i}", "text": text(rng, 8), "label": "ab"[i % 2], "author": f"a{i // 400}"} for i in range(500)]
    told = manifest(mill(records, tmp_path, "{train: 0.8, test: 0.2, by: author, stratify: label}"))
    assert held == [5 * 2] and told["split"]["largest"][0]["documents"] == 400
    assert {name: sum(found.values()) for name, found in told["split"]["strata"].items()} == {
        "label=a": 250,
        "label=b": 250,
    }


def test_rows_made_one():
    """Against a plain dictionary."""
    rng = np.random.default_rng(21)
    rows = rng.integers(0, 4, (200, WIDTH), np.uint64)
    plain = defaultdict(list)
    for row in rows.tolist():
        plain[row[0], row[1]].append(row[2:])
    expected = {
        key: [min(r[0] for r in of), min(r[1] for r in of), sum(r[2] for r in of), min(r[3] for r in of)]
        for key, of in plain.items()
    }
    found = merged(rows)
    assert {(row[0], row[1]): row[2:] for row in found.tolist()} == expected and len(found) == len(expected)
    assert len(merged(rows[:0])) == 0


def test_a_column_that_nobody_has_is_told_before_anything_is_published(tmp_path):
    records = dated_corpus(n=20)
    for option in ("by: conversation", "stratify: [source, metadata.topic]"):
        with pytest.raises(RunError, match=r"goes by 'metadata.(conversation|topic)', and none of 20 documents has it"):
            mill(records, tmp_path / option[:2], f"{{train: 0.5, test: 0.5, {option}}}")
        assert not (tmp_path / option[:2] / "out" / "train").exists()


def test_strata_of_nearly_every_document_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.splits.strata.MOST", 10)
    with pytest.raises(RunError, match="makes more than 10 strata"):
        mill(dated_corpus(n=20), tmp_path, "{train: 0.5, test: 0.5, stratify: id}")


def test_copies_and_earlier_corpora(tmp_path):
    """Copies of `upsample` stand in the main side, with groups too; a new corpus is compared with an old one."""
    rng = np.random.default_rng(17)
    base = [text(rng, 160) for _ in range(60)]
    records = [{"id": f"{i}", "text": near(base[i % 60], rng), "author": f"a{i % 60 // 2}"} for i in range(120)]
    split = "{train: 0.6, test: 0.4, by: author}"
    out = mill(records, tmp_path / "a", split, "[dedup: {minhash: {upsample: {2: 3}}}]", more=", index: true")
    told, found = manifest(out), sides(out)
    assert told["splits"] == {
        "train": 3 * sum(side == "train" for side in found.values()),
        "test": sum(side == "test" for side in found.values()),
    }
    sound(out)
    new = [
        {"id": f"n{i}", "text": near(base[i], rng) if i < 30 else text(rng, 160), "author": f"b{i}"} for i in range(60)
    ]
    later = mill(new, tmp_path / "b", split, f"[dedup: {{minhash: {{against: ['{out}']}}}}]")
    assert set(sides(later)) == {f"n{i}" for i in range(30, 60)}
    sound(later)


def test_a_mixture_is_no_part_of_what_is_told_of_the_split(tmp_path):
    """Sides and the largest unit are told of documents, however often a mixture writes them."""
    rng = np.random.default_rng(19)
    records = [{"id": f"d{i}", "text": text(rng, 8), "author": f"a{i // 2}"} for i in range(600)]
    for name, mix in (("plain", ""), ("three", "\nmix: {by: source, epochs: {in: 3}, unit: documents}")):
        split = "{train: 0.9, test: 0.1, by: author, stratify: source}"
        told = manifest(mill(records, tmp_path / name, split, "[]" + mix))
        assert told["split"]["documents"] == {"train": 538, "test": 62} and split_words(told) == []
        assert told["split"]["largest"][0]["share"] == round(2 / 600, 4)
    assert told["splits"] == {"train": 3 * 538, "test": 62}


@pytest.mark.parametrize("name", ["rejected", "index", "labels"])
def test_a_folder_of_the_run_is_no_name_of_a_split(name):
    with pytest.raises(ValueError, match=f"'{name}' cannot be a split's name"):
        Split.model_validate({"train": 0.5, name: 0.5})
