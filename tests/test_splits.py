"""The split: groups, pages, numbers, times, strata and folds, on corpora with planted ties, against a plain twin."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from corpus import sums
from test_run import manifest, rejected

from dedup.urls import canonical_url
from pipeline.check import check
from pipeline.engines.local import LocalEngine
from pipeline.errors import RunError
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


# --- times

TIMES = "{train: {before: 2023-01-01}, validation: {after: 2023-01-01, before: 2024-01-01}, test: {after: 2024-01-01}"


def dated_corpus(seed=8, n=400):
    rng = np.random.default_rng(seed)
    records = []
    for i in range(n):
        year, month, day = int(rng.integers(2020, 2026)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
        author = f"a{rng.integers(250)}"
        records.append({"id": f"d{i}", "text": text(rng), "date": f"{year}-{month:02d}-{day:02d}", "author": author})
    return records


def side_of(date):
    return "train" if date < "2023" else "validation" if date < "2024" else "test"


def test_times_and_what_has_none(tmp_path):
    records = dated_corpus(n=120)
    odd = {
        "no": None, "word": "last May", "month 13": "2021-13-01", "year": "2022", "this year": "2023", "wide": "2024-02",
        "edge": "2022-12-31T23:30:00-01:00", "utc": "2023-01-01T00:30:00+01:00", "zulu": "2023-12-31T23:59:59Z", "space": "2024-01-01 00:00",
    }  # fmt: skip
    rng = np.random.default_rng(9)
    records += [{"id": name, "text": text(rng), "date": date} for name, date in odd.items()]
    out = mill(records, tmp_path / "a", TIMES + "}", shards=2)
    found = sides(out)
    assert all(found[r["id"]] == side_of(r["date"]) for r in records[:120])
    gone = {row["id"]: (row["step"], row["reason"], row["detail"]) for row in rejected(out)}
    assert gone == {
        "no": ("99.split", "no_date", None), "word": ("99.split", "no_date", "last May"), "month 13": ("99.split", "no_date", "2021-13-01"),
    }  # fmt: skip
    expected = {
        "year": "train",
        "this year": "validation",
        "wide": "test",
        "edge": "validation",
        "utc": "train",
        "zulu": "validation",
        "space": "test",
    }
    assert {name: found[name] for name in expected} == expected
    sound(out)
    undated = sides(mill(records, tmp_path / "b", TIMES + ", undated: validation}"))
    assert all(undated[name] == "validation" for name in ("no", "word", "month 13"))


def test_a_date_that_names_two_sides_is_none(tmp_path):
    rng = np.random.default_rng(10)
    records = [
        {"id": date, "text": text(rng), "date": date}
        for date in ("2024", "2024-06", "2024-05", "2024-07", "2023", "2025-01-01")
    ]
    out = mill(records, tmp_path, "{train: {before: 2024-06-15}, test: {after: 2024-06-15, before: 2025-01-01}}")
    assert sides(out) == {"2024-05": "train", "2023": "train", "2024-07": "test"}
    reasons = {row["id"]: row["reason"] for row in rejected(out)}
    assert reasons == {"2024": "no_date", "2024-06": "no_date", "2025-01-01": "outside_time"}


@pytest.mark.parametrize("spanning", ["drop", "earliest"])
def test_what_spans_times_does_not_leak(tmp_path, spanning):
    records = dated_corpus()
    out = mill(records, tmp_path, TIMES + f", by: author, spanning: {spanning}}}", shards=3)
    found, dates = sides(out), {r["id"]: r["date"] for r in records}
    late = {row["id"] for row in rejected(out)}
    for component in together(records, lambda r: [r["author"]]):
        first = side_of(min(dates[doc] for doc in component))
        stay = {doc for doc in component if spanning == "earliest" or side_of(dates[doc]) == first}
        assert {doc for doc in component if doc in found} == stay
        assert {found[doc] for doc in stay} == {first} and component - stay <= late
    assert {row["reason"] for row in rejected(out)} == ({"leaks_across_time"} if spanning == "drop" else set())
    assert bool(late) == (spanning == "drop")
    sound(out)


def test_who_was_removed_for_a_document_that_leaks_is_accounted_for(tmp_path):
    """m goes as a near-duplicate of the longer l, and l goes for what it shares with the earlier e: m still names l."""
    rng = np.random.default_rng(18)
    base = text(rng, 160)
    records = [
        {"id": "e", "date": "2022-01-01", "text": text(rng), "author": "x"},
        {"id": "l", "date": "2025-01-01", "text": base + " and a longer end", "author": "x"},
        {"id": "m", "date": "2022-05-01", "text": base},
        {"id": "t", "date": "2025-01-01", "text": text(rng)},
    ]
    out = mill(records, tmp_path, TIMES + ", by: author}", NEAR)
    assert sides(out) == {"e": "train", "t": "test"}
    gone = {row["id"]: (row["reason"], row["duplicate_of"]) for row in rejected(out)}
    assert gone == {"m": ("near_duplicate", "l"), "l": ("leaks_across_time", None)}
    sound(out)
    told = manifest(out)
    assert told["rejected"]["99.split"] == {"leaks_across_time": 1} and told["account"]["rejected"] == 2


def test_shares_and_numbers_of_what_no_time_takes(tmp_path):
    records = dated_corpus(n=1200)
    for record in records:
        del record["author"]
    split = "{train: 0.9, validation: 0.1, dev: 50, test: {after: 2024-01-01}, undated: rest}"
    records += [{"id": "undated", "text": "some words without a date"}]
    found = sides(mill(records, tmp_path, split))
    assert all((found[r["id"]] == "test") == (r.get("date", "") >= "2024") for r in records)
    count = Counter(found.values())
    assert count["dev"] == 50 and abs(count["validation"] / (count["train"] + count["validation"]) - 0.1) < 0.03


# --- strata and folds


def labelled_corpus(seed=11, sizes=(("en", 3000), ("zh", 1200), ("sw", 60), ("is", 7))):
    rng = np.random.default_rng(seed)
    return [{"id": f"{label}{i}", "text": text(rng, 6), "label": label} for label, size in sizes for i in range(size)]


def stratum_shares(found, records):
    """label -> {split: share}."""
    count = defaultdict(Counter)
    for record in records:
        count[record["label"]][found[record["id"]]] += 1
    return {label: {split: n / sum(c.values()) for split, n in c.items()} for label, c in count.items()}


@pytest.mark.parametrize("seed", range(4))
def test_strata_keep_shares(tmp_path, seed):
    """Within 1 % for strata of 1,000 or more, and half a document where less can be had; by hash alone some miss it."""
    records = labelled_corpus()
    asked = {"train": 0.8, "validation": 0.1, "test": 0.1}
    out = mill(records, tmp_path, "{train: 0.8, validation: 0.1, test: 0.1, stratify: label}", more=f", seed: {seed}")
    shares = stratum_shares(sides(out), records)
    for label in ("en", "zh"):
        assert all(abs(shares[label].get(split, 0) - share) <= 0.01 for split, share in asked.items()), (
            label,
            shares[label],
        )
    assert all(abs(shares["sw"].get(split, 0) - share) <= 1.5 / 60 for split, share in asked.items())
    told = manifest(out)["split"]
    assert sum(told["strata"]["label=is"].values()) == 7 and told["off"] == []
    assert {one["stratum"] for one in told["rare"]} == {"label=is", "label=sw"}


def test_small_shares_of_strata(tmp_path):
    records = labelled_corpus(sizes=(("en", 1000), ("zh", 5000)))
    for seed in range(3):
        found = sides(
            mill(
                records,
                tmp_path / f"{seed}",
                "{train: 0.98, test: 0.02, stratify: [label, source]}",
                more=f", seed: {seed}",
            )
        )
        shares = stratum_shares(found, records)
        assert 0.017 <= shares["en"]["test"] <= 0.023 and 0.018 <= shares["zh"]["test"] <= 0.022


def test_strata_with_documents_that_come(tmp_path, capsys):
    """Sides change only near edges that moved: fewer than by a rank alone would."""
    records = labelled_corpus(sizes=(("en", 6000), ("zh", 2400)))
    half = [record for i, record in enumerate(records) if i % 2]
    split = "{train: 0.8, validation: 0.1, test: 0.1, stratify: label}"
    before, after = sides(mill(half, tmp_path / "a", split)), sides(mill(records, tmp_path / "b", split))
    moved = sum(after[doc] != side for doc, side in before.items()) / len(before)
    with capsys.disabled():
        print(f"\nstrata twice as large: {moved:.2%} of the documents change sides")
    assert moved < 0.02


def test_strata_with_groups_of_several(tmp_path):
    """Units of two labels are counted where they stand; units of one make up for it."""
    rng = np.random.default_rng(12)
    records = labelled_corpus(sizes=(("en", 2000), ("zh", 1500)))
    for record in records:
        record["author"] = f"a{rng.integers(900)}" if rng.random() < 0.3 else record["id"]
    out = mill(records, tmp_path, "{train: 0.8, test: 0.2, stratify: label, by: author}")
    found = sides(out)
    for component in together(records, lambda r: [r["author"]]):
        assert len({found[doc] for doc in component}) == 1
    shares = stratum_shares(found, records)
    assert all(abs(shares[label]["test"] - 0.2) <= 0.01 for label in ("en", "zh"))
    sound(out)


@pytest.mark.parametrize("stratify", ["", ", stratify: label"])
def test_folds(tmp_path, stratify):
    rng = np.random.default_rng(13)
    records = labelled_corpus(sizes=(("en", 1500), ("zh", 1000)))
    for i, record in enumerate(records):
        record["author"] = f"a{i // 2}"
    out = mill(records, tmp_path, f"{{folds: 5, test: 0.1, by: author{stratify}}}", NEAR)
    told = manifest(out)
    assert list(told["splits"]) == ["test", *(f"fold_{k}" for k in range(5))]
    for split in told["splits"]:
        for row in kept_of(out, told, split):
            assert row["fold"] == (int(split[-1]) if split != "test" else None)
    found = sides(out)
    assert all(found[r["id"]] == found[records[i ^ 1]["id"]] for i, r in enumerate(records))
    for label, shares in stratum_shares(found, records).items():
        assert all(abs(shares[f"fold_{k}"] - 0.18) < (0.01 if stratify else 0.05) for k in range(5)), label
    sound(out)
    del rng


# --- the same bytes


def test_the_same_bytes_however_it_is_done(tmp_path):
    records = dated_corpus(n=300)
    rng = np.random.default_rng(14)
    base = [text(rng, 80) for _ in range(30)]
    records += [{**r, "id": f"n{i}", "text": near(base[i % 30], rng)} for i, r in enumerate(records[:150])]
    split = "{train: 0.6, validation: 0.3, dev: 0.1, five: 20, test: {after: 2025-01-01}, by: author}"
    first = mill(records, tmp_path / "a", split, NEAR, shards=3)
    other = mill(records, tmp_path / "b", split, NEAR, shards=3, batch=7, memory="64MB")
    again = mill(records, tmp_path / "c", split, NEAR, shards=1)
    names = [
        {path: total for path, total in sums(out).items() if path.split("/")[0] in manifest(out)["splits"]}
        for out in (first, other, again)
    ]
    assert names[0] == names[1] == names[2] and len(names[0]) == 5


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
    whole = sides(mill(records, tmp_path / "a", split))
    monkeypatch.setattr("pipeline.sides.PART_ROWS", 16)
    assert sides(mill(records, tmp_path / "b", split)) == whole


def test_a_column_that_nobody_has_is_told_before_anything_is_published(tmp_path):
    records = dated_corpus(n=20)
    for option in ("by: conversation", "stratify: [source, metadata.topic]"):
        with pytest.raises(RunError, match=r"goes by 'metadata.(conversation|topic)', and none of 20 documents has it"):
            mill(records, tmp_path / option[:2], f"{{train: 0.5, test: 0.5, {option}}}")
        assert not (tmp_path / option[:2] / "out" / "train").exists()


def test_strata_of_nearly_every_document_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.strata.MOST", 10)
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


# --- planted leaks


def claim(out, split):
    """Lets the manifest say that the corpus was split in another way."""
    told = manifest(out)
    told["recipe"]["output"]["split"] = split
    (out / "manifest.json").write_text(json.dumps(told))
    return {finding.what: finding.wrong for finding in check(str(out)) if not finding.ok}


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
