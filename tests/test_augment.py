"""Noise: against a plain reading of each kind; where augmented rows stand; planted leaks."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import CHECKOUT, kept, manifest, many_tasks, same_splits
from hypothesis import given
from hypothesis import strategies as st
from test_labels import run_of

from filters.augment import HAN, KINDS, LETTER, MARK, neighbours, noisy, uniform
from filters.augment import kind_of as kind_of_one
from pipeline.commands.check import check
from pipeline.commands.check_copies import proofs
from pipeline.commands.explain import explain
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError, RunError
from pipeline.job import prepare
from pipeline.progress import Silent, funnel
from pipeline.run import run

PIECES = [
    "The ",
    "quick ",
    "Fox",
    "x",
    ", ",
    "!",
    "今天",
    "天气",
    "很好",
    "。",
    "，",
    "ＡＢ",
    "1",
    "é",
    "e\u0301",
    "ß",
    "ǅ",
    "👩‍🔬",
    " ",
    "\n",
    "Привет",
    "ع",
]
TEXTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))

# -- a plain reading of each kind --------------------------------------------------------------------


def plain_kind(text: str, name: str, rate: float, draws: list[float]) -> str:
    """The same as filters.augment, character by character."""
    kinds = [kind_of_one(c) if ord(c) < 0x32400 - 1 else 0 for c in text]
    free = [not (i + 1 < len(text) and kinds[i + 1] & MARK) for i in range(len(text))]
    drawn = [draw < rate for draw in draws]
    alnum = [bool(kinds[i] & LETTER) or unicodedata.category(c) == "Nd" for i, c in enumerate(text)]
    alnum = [yes and ord(c) < 0x32400 - 1 for yes, c in zip(alnum, text)]
    out, i = [], 0
    if name == "drops" and all(d and f for d, f, a in zip(drawn, free, alnum) if a):
        return text
    while i < len(text):
        c, han = text[i], bool(kinds[i] & HAN)
        after_han = i + 1 < len(text) and bool(kinds[i + 1] & HAN)
        if name == "spacing":
            before_han = i > 0 and bool(kinds[i - 1] & HAN)
            if not (c == " " and (before_han or after_han) and drawn[i]):
                out.append(c)
            if han and after_han and drawn[i]:
                out.append(" ")
        elif name == "width" and drawn[i] and 32 < ord(c) < 127:
            out.append(chr(ord(c) + 0xFEE0))
        elif name == "width" and drawn[i] and 0xFF00 < ord(c) < 0xFF5F:
            out.append(chr(ord(c) - 0xFEE0))
        elif name == "punctuation" and unicodedata.category(c)[0] == "P" and ord(c) < 0x32400 - 1:
            out.append("" if draws[i] < rate / 2 else c * 2 if drawn[i] else c)
        elif name == "case" and drawn[i] and ord(c) < 0xD800:
            other = c.swapcase()
            out.append(other if len(other) == 1 and other.swapcase() == c else c)
        elif name == "swaps" and drawn[i] and i + 1 < len(text) and all(
            kinds[j] & LETTER and free[j] for j in (i, i + 1)
        ):  # fmt: skip
            out += [text[i + 1], c]
            i += 1
        elif name == "drops" and drawn[i] and free[i] and alnum[i]:
            pass
        elif name == "typos" and drawn[i] and free[i] and c.isascii() and c.isalpha():
            near = neighbours()[c.lower()]
            other = near[int(draws[i] / rate * len(near))]
            out.append(other if c.islower() else other.upper())
        else:
            out.append(c)
        i += 1
    return "".join(out)


@pytest.mark.parametrize("name", KINDS)
@given(TEXTS, st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 2**64 - 1))
def test_each_kind_is_its_plain_reading(name, text, rate, seed):
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    draws = uniform(seed, 3, len(points))
    found = KINDS[name](points, rate, lambda count: draws[:count])
    assert found.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass") == plain_kind(
        text, name, rate, draws.tolist()
    )


@given(TEXTS, st.integers(0, 2**64 - 1))
def test_the_same_seed_is_the_same_noise(text, seed):
    rates = dict.fromkeys(KINDS, 0.2)
    assert noisy(text, rates, seed) == noisy(text, rates, seed)
    assert noisy(text, {}, seed) == text


def test_rates_are_met_and_draws_are_uniform():
    text = "abcdefghij" * 5000
    for name in ("drops", "typos", "case"):
        found = noisy(text, {name: 0.03}, 11)
        changed = len(text) - len(found) if name == "drops" else sum(a != b for a, b in zip(text, found))
        assert changed / len(text) == pytest.approx(0.03, rel=0.1)
    draws = np.concatenate([uniform(seed, stream, 5000) for seed in range(5) for stream in range(4)])
    assert np.abs(np.histogram(draws, 20, (0, 1))[0] / len(draws) - 0.05).max() < 0.003
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.01
    assert len({noisy("The same words.", {"typos": 0.3}, seed) for seed in range(50)}) > 40


def test_spacing_and_width_of_chinese():
    text = "今天天气很好，我们去 Python 课堂。"
    spaced = {noisy(text, {"spacing": 0.3}, seed) for seed in range(20)}
    assert len(spaced) > 10 and all(each.replace(" ", "") == text.replace(" ", "") for each in spaced)
    wide = {noisy(text, {"width": 0.5}, seed) for seed in range(20)}
    assert (
        all(unicodedata.normalize("NFKC", each) == unicodedata.normalize("NFKC", text) for each in wide)
        and len(wide) > 10
    )
    assert any("Ｐ" in each for each in wide) and any("," in each for each in wide)


# -- in a run --------------------------------------------------------------------------------------

LABELS = "{values: [a, b]}"
NOISE = "typos: 0.03, drops: 0.02, swaps: 0.02, spacing: 0.1"


def texts(count=240):
    """A fifth are of label b; a third are Chinese."""
    chance = random.Random(3)
    han = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"
    for number in range(count):
        words = [f"{chance.choice('bcdfgh')}{chance.choice('aeiou')}{chance.choice('lmnrst')}e" for _ in range(14)]
        text = "".join(chance.choice(han) for _ in range(30)) if number % 3 == 0 else " ".join(words)
        yield {"id": f"r{number}", "text": text, "label": "b" if number % 5 == 0 else "a"}


def rows_of(out, split):
    return [row for part in sorted((out / split).iterdir()) for row in pq.read_table(part).to_pylist()]


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("augment")
    return run_of(folder, list(texts()), LABELS, "parquet", f"augment: {{balance: true, {NOISE}}}")


def test_classes_are_balanced_in_train_alone(balanced):
    train = rows_of(balanced, "train")
    assert len(set(Counter(row["label"] for row in train).values())) == 1
    origins = {row["id"]: row for row in train if row["augmented_from"] is None}
    made = [row for row in train if row["augmented_from"]]
    per_origin = Counter(row["augmented_from"] for row in made)
    assert max(per_origin.values()) - min(per_origin.values()) <= 1 and set(per_origin) <= set(origins)
    for row in made:
        origin = origins[row["augmented_from"]]
        assert row["id"].startswith(f"{origin['id']}#aug") and row["label"] == origin["label"] == "b"
        assert row["text"] != origin["text"]
    assert len({row["text"] for row in train}) == len(train) == len({row["id"] for row in train})
    assert all(row["augmented_from"] is None for row in rows_of(balanced, "test"))
    told = manifest(balanced)
    assert told["augment"]["rows"] == len(made) and told["account"]["kept"] == 240
    assert told["labels"]["splits"]["train"] == Counter(row["label"] for row in origins.values())
    assert f"{len(made)} augmented rows in train" in funnel(told)
    assert all(finding.ok for finding in check(str(balanced))), [f.wrong for f in check(str(balanced))]
    assert f"{made[0]['augmented_from']} with noise" in explain(str(balanced), made[0]["id"])


def test_copies_by_label_with_a_mixture_and_the_same_bytes(tmp_path, monkeypatch):
    more = f"mix: {{by: label, epochs: {{a: 0.5, b: 2}}}}\naugment: {{copies: {{b: 1.5}}, {NOISE}}}"
    one = run_of(tmp_path, list(texts()), LABELS, "parquet", more, name="one")
    monkeypatch.setattr("pipeline.matching.groups.PARTITION_ROWS", ((256, 1 << 31),))
    many_tasks(monkeypatch)
    two = run_of(tmp_path, list(texts()), LABELS, "parquet", more, batch=7, name="two")
    assert same_splits(one, two) and manifest(one)["augment"] == manifest(two)["augment"]
    assert manifest(one)["mix"] == manifest(two)["mix"]
    train = rows_of(one, "train")
    documents = {row["id"] for row in train if row["augmented_from"] is None and row["label"] == "b"}
    made = [row for row in train if row["augmented_from"]]
    assert len(made) == pytest.approx(1.5 * len(documents), abs=0.51) and {row["epoch"] for row in made} == {0}
    assert {row["augmented_from"] for row in made} == documents
    told = manifest(one)
    assert told["copies"] == len(documents) and told["mix"]["buckets"]["a"]["left_out"] > 50
    assert told["account"]["kept"] + told["account"]["rejected"] == 240
    assert all(finding.ok for finding in check(str(one))), [f.wrong for f in check(str(one))]


def planted(balanced, folder, moves):
    """A copy of the corpus with rows moved: [(row, split it goes to, whether its marks are taken off)]."""
    out = folder / "planted"
    shutil.copytree(balanced, out)
    tables = {split: rows_of(out, split) for split in ("train", "test")}
    for row, split, stripped in moves:
        here = next(name for name, rows in tables.items() if row in rows)
        tables[here].remove(row)
        tables[split].append({**row, "id": f"new-{row['id'][1:4]}", "augmented_from": None} if stripped else row)
    for split, rows in tables.items():
        for part in (out / split).iterdir():
            schema = pq.read_schema(part)
            part.unlink()
        pq.write_table(pa.Table.from_pylist(rows, schema), out / split / "part-00000.parquet")
    return out


def wrong_of(out):
    from pipeline.commands.check import _Corpus

    return [
        line for _, wrong in proofs(str(out), manifest(out), _Corpus(str(out), manifest(out)).parts) for line in wrong
    ]


def test_every_planted_leak_is_caught_and_none_falsely(balanced, tmp_path):
    """30 augmented copies moved to the test split as they are, 30 with id and mark taken off, 10 origins moved away from their copies."""
    train = rows_of(balanced, "train")
    made = [row for row in train if row["augmented_from"]]
    origins = [row for row in train if any(row["id"] == each["augmented_from"] for each in made)]
    marked, bare, moved = made[:30], made[30:60], origins[-10:]
    # an origin is moved alone: its copies stay, so a copy of it is no plant of the other kinds
    gone = {row["id"] for row in moved}
    marked, bare = ([row for row in rows if row["augmented_from"] not in gone] for rows in (marked, bare))
    moves = [(row, "test", False) for row in marked] + [(row, "test", True) for row in bare]
    moves += [(row, "test", False) for row in moved]
    lines = wrong_of(planted(balanced, tmp_path, moves))
    assert len(marked) > 15 and len(bare) > 15 and len(moved) == 10
    for row in marked:
        assert any(line.startswith(f"{row['id']} stands in test") for line in lines)
    for row in bare:
        assert any(
            line.startswith(f"new-{row['id'][1:4]} in test is a copy with noise of {row['augmented_from']}")
            for line in lines
        )
    left = [row for row in made if row not in marked and row not in bare]
    for row in left:
        caught = any(line.startswith(f"{row['id']} in train is made from") for line in lines)
        assert caught == (row["augmented_from"] in gone)
    assert wrong_of(balanced) == []
    # nothing else is said: of each marked plant two things, and the number of augmented rows
    said = 2 * len(marked) + len(bare) + sum(row["augmented_from"] in gone for row in left) + 1
    assert len(lines) == said, lines


def test_a_text_that_is_not_its_origin_s_noise_is_found(balanced, tmp_path):
    train = rows_of(balanced, "train")
    row = next(row for row in train if row["augmented_from"])
    out = planted(balanced, tmp_path, [])
    changed = [{**each, "text": "something else"} if each["id"] == row["id"] else each for each in train]
    part = out / "train" / "part-00000.parquet"
    pq.write_table(pa.Table.from_pylist(changed, pq.read_schema(part)), part)
    assert wrong_of(out) == [
        f"{row['id']} in train is not the text of {row['augmented_from']} with the noise that it should have"
    ]


def test_augmented_copies_in_the_input_do_not_cross_the_split(tmp_path):
    """Copies with light noise planted in the input: near-duplicates by 4-character shingles, so all are removed, and nothing else."""
    rows = list(texts())
    chosen = random.Random(1).sample([row for row in rows if row["label"] == "a"], 60)
    plants = [
        {"id": f"plant-{row['id']}", "label": row["label"], "text": noisy(row["text"], {"typos": 0.02, "case": 0.1}, 7)}
        for row in chosen
    ]
    # case alone is no change to shingles; a text whose letters did not change is an exact duplicate
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows + plants))
    page = tmp_path / "r.yaml"
    page.write_text(
        f"input: {{paths: {tmp_path}/in.jsonl}}\nlabels: {{}}\nsteps:\n  - dedup: {{exact: {{}}}}\n"
        "  - dedup: {minhash: {threshold: 0.5, shingle: {chars: 4}}}\n"
        f"output: {{path: {tmp_path}/out, split: {{train: 0.5, test: 0.5}}}}\nrun: {{engine: local, max_source_loss: 1}}\n"
    )
    job, settings = prepare(str(page))
    run(job, settings.run, LocalEngine(), Silent())
    assert {row["id"].removeprefix("plant-") for row in kept(tmp_path / "out")} == {row["id"] for row in rows}
    assert len(kept(tmp_path / "out")) == len(rows)
    assert all(finding.ok for finding in check(str(tmp_path / "out")))


# -- the recipe ------------------------------------------------------------------------------------


def test_the_life_of_a_copy_of_a_part(tmp_path):
    """r#1#aug1 is a noisy copy of the first part of r: its life begins where r was read."""
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts(30)))
    page = tmp_path / "r.yaml"
    page.write_text(
        f"input: {{paths: {tmp_path}/in.jsonl}}\nsteps:\n  - length: {{max_chars: 20, too_long: split}}\n"
        f"augment: {{copies: 1, typos: 0.2}}\noutput: {{path: {tmp_path}/out, format: jsonl, split: {{train: 0.5, test: 0.5}}}}\n"
        "run: {engine: local}\n"
    )
    job, settings = prepare(str(page))
    run(job, settings.run, LocalEngine(), Silent())
    row = next(row for row in kept(tmp_path / "out") if row["augmented_from"] == "r1#1")
    assert (row["id"], row["part_of"]) == ("r1#1#aug1", "r1")
    life = explain(str(tmp_path / "out"), row["id"])
    assert "read     record 1 of" in life and "01.length" in life and "r1#1 with noise" in life
    assert all(finding.ok for finding in check(str(tmp_path / "out")))


def test_classification_recipe_on_real_headlines(tmp_path, monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    out = tmp_path / "out"
    job, settings = prepare("configs/classification.yaml", [f"output.path={out}", "run.engine=local"])
    run(job, settings.run, LocalEngine(), Silent())
    told = manifest(out)
    assert told["account"]["read"] == 1000 and told["labels"]["ids"] == {"clickbait": 0, "news": 1}
    train = rows_of(out, "train")
    labels = Counter(row["label"] for row in train)
    assert labels["clickbait"] == labels["news"] > 500
    with gzip.open("tests/data/classification/headlines.jsonl.gz", "rt") as lines:
        given = {row["id"]: row["label"] for row in map(json.loads, lines)}
    assert all(given[row["augmented_from"] or row["id"]] == row["label"] for row in train)
    assert all(finding.ok for finding in check(str(out)))


LETTERS = [
    ("augment: {copies: 2}", "say which noise: one of spacing, width"),
    ("augment: {typo: 0.1}", "did you mean 'typos'?"),
    ("augment: {typos: 2}", "'augment.typos' is 2; expected less than or equal to 1"),
    ("augment: {typos: 0.1, balance: true, copies: 2}", "give copies or balance"),
    ("augment: {typos: 0.1, copies: {aa: 2}}", "there is no label 'aa', did you mean 'a'?"),
    ("augment: {typos: 0.1, copies: 100.5}", "less than or equal to 100"),
    ("augment: {typos: 0.1, split: trian}", "there is no split 'trian', did you mean 'train'?"),
]


@pytest.mark.parametrize(("more", "letter"), LETTERS)
def test_letters(tmp_path, more, letter):
    with pytest.raises(RecipeError) as error:
        run_of(tmp_path, [{"text": "a"}], LABELS, more=more)
    assert letter in str(error.value), str(error.value)


def test_a_label_called_rest_is_not_augmented_by_label(tmp_path):
    """It would be one with the documents that have no label, and get no copies."""
    for options in ("balance: true", "copies: {rest: 2}"):
        with pytest.raises(RecipeError, match="a label called 'rest' would be one with documents that have none"):
            run_of(tmp_path, [{"text": "a"}], "{values: [a, rest]}", more=f"augment: {{typos: 0.1, {options}}}")
    rows = [{"id": f"{i}", "text": f"text number {i}", "label": ("a", "rest")[i % 2]} for i in range(20)]
    with pytest.raises(RunError, match="augment: label has the value 'rest'"):
        run_of(tmp_path, rows, "{}", more="augment: {typos: 0.1, balance: true}", name="found")
