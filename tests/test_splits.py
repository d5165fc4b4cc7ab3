"""The split: groups, pages, numbers, times, strata and folds, on corpora with planted ties, against a plain twin."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from test_run import manifest

from pipeline.check import check
from pipeline.engines.local import LocalEngine
from pipeline.job import resolve as resolve_job
from pipeline.progress import Silent
from pipeline.recipe import read
from pipeline.run import run

PAGE = """
input: {{paths: ['{path}']}}
steps: {steps}
output: {{path: '{out}', split: {split}{more}}}
run: {{engine: local, max_source_loss: 1, batch_size: {batch}, memory: {memory}}}
"""
NEAR = "[dedup: {minhash: {threshold: 0.8}}]"


def mill(records, folder, split, steps="[]", more="", shards=1, batch=1000, memory="2GB"):
    """Runs a recipe; returns the output folder."""
    (folder / "in").mkdir(parents=True)
    for number in range(shards):
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records[number::shards]]
        (folder / "in" / f"{number}.jsonl").write_text("".join(lines), encoding="utf-8")
    page = PAGE.format(
        path=folder / "in", out=folder / "out", split=split, steps=steps, more=more, batch=batch, memory=memory
    )
    recipe, source = read(page, "r.yaml")
    run(resolve_job(recipe, source), recipe.run, LocalEngine(), Silent())
    return folder / "out"


def sides(out):
    """id -> split of every kept document."""
    told = manifest(out)
    found = {}
    for split in told["splits"]:
        for row in kept_of(out, told, split):
            found[row["id"]] = split
    return found


def kept_of(out, told, split):
    from pipeline.deal import read_part

    parts = [f["path"] for f in told["files"] if f["path"].startswith(f"{split}/")]
    return [row for part in parts for t in read_part(str(out / part), part.split(".", 1)[1]) for row in t.to_pylist()]


def sound(out):
    findings = check(str(out))
    assert all(finding.ok for finding in findings), findings


def text(rng, count=40):
    return " ".join(f"w{n}" for n in rng.integers(0, 10**9, count))


def near(base, rng, changed=1):
    """The text with some words changed: similarity above 0.8 at one of 60 or more."""
    found = base.split()
    for place in rng.choice(len(found), changed, replace=False):
        found[place] = f"x{rng.integers(10**9)}"
    return " ".join(found)


def together(records, links):
    """Components of records by the values that `links` gives of each: a list of sets of ids."""
    parent = {record["id"]: record["id"] for record in records}

    def root(name):
        while parent[name] != name:
            name = parent[name]
        return name

    first = {}
    for record in records:
        for link in links(record):
            other = first.setdefault(link, record["id"])
            parent[root(record["id"])] = root(other)
    found = defaultdict(set)
    for record in records:
        found[root(record["id"])].add(record["id"])
    return list(found.values())


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
    out = mill(records, tmp_path, f"{{train: 0.7, validation: 0.15, test: 0.15, by: {by}}}", shards=3)
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


def test_one_page_and_one_id_stay_on_one_side(tmp_path):
    """Without a word in the recipe: other texts of one URL, other texts of one id."""
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
    together_ = mill(records, tmp_path / "a", "{train: 0.5, test: 0.5}", "[dedup: {minhash: {keep: none-removed}}]")
    found = sides(together_)
    assert all(found[f"u{i}-0"] == found[f"u{i}-1"] for i in range(150))
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


# --- numbers


@pytest.mark.parametrize("seed", [0, 7])
def test_numbers_are_met_and_move_little(tmp_path, seed):
    rng = np.random.default_rng(6)
    records = [{"id": f"d{i}", "text": text(rng, 8)} for i in range(3000)]
    split, more = "{train: 0.9, dev: 0.1, validation: 100, test: 300 documents}", f", seed: {seed}"
    small = sides(mill(records[:1500], tmp_path / "a", split, more=more))
    large = sides(mill(records, tmp_path / "b", split, more=more))
    for found, n in ((small, 1500), (large, 3000)):
        count = Counter(found.values())
        assert count["validation"] == 100 and count["test"] == 300
        assert abs(count["dev"] / (n - 400) - 0.1) < 0.03
    moved = [doc for doc, side in small.items() if large[doc] != side]
    # of those 400 half must leave, for the new ones are as good; a document of the shares stays or is never asked for
    assert len(moved) < 230, len(moved)
    assert all(small[doc] in ("validation", "test") for doc in moved)


def test_numbers_with_groups_are_exact_where_something_fits(tmp_path):
    rng = np.random.default_rng(7)
    records = [{"id": f"d{i}", "text": text(rng, 8), "author": f"a{i // 7 if i < 700 else i}"} for i in range(900)]
    out = mill(records, tmp_path / "a", "{train: rest, test: 200, by: author}")
    found = sides(out)
    assert Counter(found.values())["test"] == 200
    for a in range(100):
        assert len({found[f"d{i}"] for i in range(7 * a, 7 * a + 7)}) == 1
    sevens = [{**record, "author": f"a{i // 7}"} for i, record in enumerate(records[:896])]
    out = mill(sevens, tmp_path / "b", "{train: rest, test: 200, by: author}")
    assert Counter(sides(out).values())["test"] == 196, "28 groups of 7"
    assert manifest(out)["split"]["missing"] == {"test": 4}
