"""Kinds of shingles end to end: characters, by language, folded; and what a recipe may say of them."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from corpus import kept, manifest, rejected
from test_near import dedup, words

from dedup.characters import folding
from dedup.shingles import shingle_set, shingle_sets
from dedup.shingling import document_sets, kind_of, salt_of
from pipeline.commands.check import check
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError
from pipeline.job import resolve as resolve_job
from pipeline.progress import Silent
from pipeline.recipes.recipe import read
from pipeline.run import run


def char_sets(text, n):
    """The definition over Python strings, without hashes."""
    bare = "".join(text.lower().split())
    return {bare[i : i + n] for i in range(max(1, len(bare) - n + 1))}


def similarity(a, b):
    return len(a & b) / len(a | b)


def test_character_shingles_are_those_of_python_strings():
    texts = ["天地玄黃，宇宙洪荒。", "天地\n玄黃，宇宙 洪荒。", "天地玄黃、宇宙洪荒", "ABC abd", "a", "", "İx y"]
    offsets, values = shingle_sets(pa.array(texts), 3, "chars")
    sets = [set(values[low:high].tolist()) for low, high in pairwise(offsets)]
    for a, one in zip(texts, sets):
        for b, other in zip(texts, sets):
            assert similarity(one, other) == similarity(char_sets(a, 3), char_sets(b, 3)), (a, b)
    assert sets[0] == sets[1], "a line broken elsewhere changes nothing"


def test_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match="tokens, chars"):
        shingle_sets(pa.array(["a"]), 3, "words")


SPEC = {"tokens": 5, "by_lang": {"zh": {"chars": 4}, "de": {"tokens": 3}, "en": {"tokens": 5}}}


def test_kinds_by_language_share_nothing():
    texts = pa.array(["天地玄黃宇宙洪荒"] * 4 + ["a b c d e f"] * 3)
    langs = pa.array(["zh", None, "de", "zh", "en", "fr", "de"])
    offsets, values = document_sets(texts, langs, SPEC)
    sets = [values[low:high].tolist() for low, high in pairwise(offsets)]
    assert [len(s) for s in sets] == [5, 4, 6, 5, 2, 2, 4]
    assert sets[0] == sets[3] and sets[4] == sets[5]
    for one, other in [(0, 1), (1, 2), (0, 2), (4, 6)]:
        assert not set(sets[one]) & set(sets[other])
    assert sets[4] == shingle_set("a b c d e f").tolist(), "five tokens are the plain sets"


def test_salts_of_kinds_differ():
    kinds = [(unit, n) for unit in ("tokens", "chars") for n in range(1, 60)]
    assert len({salt_of(kind) for kind in kinds}) == len(kinds)
    assert salt_of(kind_of({"tokens": 5})) == 0


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows):
    offsets, values = document_sets(pa.array(["a"] * rows, pa.string()), pa.array(["zh"] * rows, pa.string()), SPEC)
    assert len(offsets) == rows + 1 and len(values) == rows


# --- in a recipe


def without_spaces(rng, count):
    return "".join(chr(c) for c in rng.integers(0x4E00, 0x9FA5, count))


def test_characters_find_what_tokens_do_not(tmp_path):
    """Thai writes no spaces: a phrase is one token, and a change in it changes all five shingles that it is in."""
    rng = np.random.default_rng(1)
    letters = "".join(chr(c) for c in range(0x0E01, 0x0E2F))
    phrases = ["".join(rng.choice(list(letters), 40)) for _ in range(20)]
    changed = [p[:20] + "ก" + p[21:] if i % 4 == 0 else p for i, p in enumerate(phrases)]
    records = [{"id": "a", "text": " ".join(phrases)}, {"id": "b", "text": " ".join(changed)}]
    true = similarity(char_sets(records[0]["text"], 5), char_sets(records[1]["text"], 5))
    assert 0.9 < true < 1
    (tmp_path / "tokens").mkdir()
    assert len(kept(dedup(records, tmp_path / "tokens"))) == 2
    out = dedup(records, tmp_path, more=", shingle: {chars: 5}")
    (row,) = rejected(out)
    assert row["similarity"] == true and row["reason"] == "near_duplicate"
    assert manifest(out)["dedup"]["shingle"] == {"chars": 5}


BY_LANG = """
input: {{paths: '{path}', lang: lang}}
steps:
  - dedup: {{minhash: {{threshold: 0.8{more}}}}}
output: {{path: '{out}', split: {{train: 0.6, test: 0.4}}}}
run: {{engine: local, max_source_loss: 1}}
"""


def by_language(records, folder, more):
    folder.mkdir(exist_ok=True)
    path, out = folder / "in.jsonl", folder / "out"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    recipe, source = read(BY_LANG.format(path=path, out=out, more=more), "r.yaml")
    run(resolve_job(recipe, source), recipe.run, LocalEngine(), Silent())
    assert all(finding.ok for finding in check(str(out)))
    return out


def test_each_language_has_its_shingles(tmp_path):
    """0.93 by 5 characters, 0.58 by 40: the choice decides who goes. No document meets one of another kind."""
    rng = np.random.default_rng(2)
    records = []
    for lang in ("zh", "ja"):
        base = without_spaces(rng, 600)
        changed = "".join("变" if i in (100, 200, 300, 400) else c for i, c in enumerate(base))
        records += [{"id": f"{lang}-a", "text": base, "lang": lang}, {"id": f"{lang}-b", "text": changed, "lang": lang}]
    same = without_spaces(rng, 300)
    records += [{"id": "s-zh", "text": same + "。", "lang": "zh"}, {"id": "s-ja", "text": same, "lang": "ja"}]
    wide, narrow = (similarity(char_sets(records[0]["text"], n), char_sets(records[1]["text"], n)) for n in (40, 5))
    assert wide < 0.8 < narrow
    out = by_language(records, tmp_path / "one", ", shingle: {chars: 5, by_lang: {zh: {chars: 40}}}")
    alive = {row["id"] for row in kept(out)}
    assert {"zh-a", "zh-b"} <= alive and len({"ja-a", "ja-b"} & alive) == 1
    assert {"s-zh", "s-ja"} <= alive
    all_five = by_language(records, tmp_path / "two", ", shingle: {chars: 5}")
    assert len({"s-zh", "s-ja"} & {row["id"] for row in kept(all_five)}) == 1


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ("shingle: 0", ["'steps.0.dedup.minhash.shingle.tokens' is 0"]),
        ("shingle: {tokens: 5, chars: 3}", ["{tokens: N} or {chars: N}, one of them"]),
        ("shingle: {}", ["{tokens: N} or {chars: N}, one of them"]),
        ("shingle: {char: 5}", ["unknown key", "did you mean 'chars'?"]),
        ("shingle: {tokens: 5, by_lang: {zh: 5}}", ["by_lang.zh"]),
        ("shingle: {tokens: 5, by_lang: {zh: {chars: 5}}}", ["r.yaml:3", "by_lang asks for the language"]),
        ("fold: {widht: true}", ["did you mean 'width'?"]),
    ],
)
def test_letters(tmp_path, options, letter):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    page = f"input: {{paths: {tmp_path}/x.jsonl}}\nsteps:\n  - dedup: {{minhash: {{{options}}}}}\noutput: {{path: {tmp_path}/o}}\n"
    recipe, source = read(page, "r.yaml")
    with pytest.raises(RecipeError) as error:
        resolve_job(recipe, source)
    for part in letter:
        assert part in str(error.value), str(error.value)


# --- folds


def test_folds_need_no_second_pass():
    """What a character folds to folds to itself, so both sides of a pair meet."""
    pytest.importorskip("opencc")
    to = folding(("width", "simplified"))
    assert all(to.get(target, target) == target for target in to.values())
    assert to[ord("漢")] == ord("汉") and to[ord("Ａ")] == ord("A") and len(to) > 3000


def test_wide_letters(tmp_path):
    rng = np.random.default_rng(3)
    text = " ".join(words(rng, 100))
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    records = [{"id": "a", "text": text + "."}, {"id": "b", "text": wide}]
    (tmp_path / "no").mkdir()
    assert len(kept(dedup(records, tmp_path / "no"))) == 2
    out = dedup(records, tmp_path, more=", fold: {width: true}")
    assert [row["similarity"] for row in rejected(out)] == [1.0]
    assert {row["text"] for row in kept(out)} <= {record["text"] for record in records}, "the text stays as it is"


@pytest.mark.shared
def test_traditional_copies(shared_data, tmp_path):
    """Chinese documents and their copies in traditional characters: no fold finds hardly any, fold finds all."""
    opencc = pytest.importorskip("opencc")
    to_traditional = opencc.OpenCC("s2t").convert
    records = []
    for line in gzip.decompress((shared_data / "text" / "multilingual_0.jsonl.gz").read_bytes()).splitlines():
        record = json.loads(line)
        han = sum("一" <= c <= "鿿" for c in record["text"])
        if record["lang"].startswith("zh") and han > 400 and han > len(record["text"]) / 3 and len(records) < 120:
            text, copy = record["text"], to_traditional(record["text"])
            records += [{"id": record["id"], "text": text}, {"id": f"{record['id']}-t", "text": copy}]
    assert len(records) == 120
    lost = {}
    for name, more in (("no", ""), ("fold", ", fold: {simplified: true, width: true}")):
        (tmp_path / name).mkdir()
        alive = {row["id"] for row in kept(dedup(records, tmp_path / name, more=more))}
        lost[name] = sum(not {r["id"], r["id"] + "-t"} <= alive for r in records if not r["id"].endswith("-t"))
    print(f"copies found of 60: {lost}")
    assert lost["fold"] == 60 and lost["no"] < 10
