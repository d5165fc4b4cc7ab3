"""Flagged words: the kernel against its plain twin, edges of words, what of a list is used, attribution."""

from __future__ import annotations

import gzip
import json
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import filters
from filters import Texts
from filters.phrases import _class, class_table, plain_counts, small_table, trie_of, used
from filters.signals.flagged import LANGUAGES, LISTS, _found, flagged_words
from kernels.phrases import count_phrases

filters.load_builtin()
LIST = used(["ab", "ab cd", "aba", "ΣΑ", "İx", "性交", "性交易", "B性", "ก ข", "é", "éa"])
PIECES = [*"abcdAB xΣσΑİ性交易ก ée\u0301\n.-_1", "ab", "ab cd", "性交", "𠀀", "\u0947"]


def count(texts, phrases):
    spans = Texts(pa.array(texts, pa.large_string())).spans
    return count_phrases(spans.starts, spans.ends, spans.data, small_table(), class_table(), trie_of(phrases)).tolist()


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=20), max_size=4))
def test_kernel_equals_the_plain_twin(texts):
    assert count(texts, LIST) == [list(plain_counts(text, LIST)) for text in texts]


@pytest.mark.parametrize(
    ("text", "found", "chars"),
    [
        ("ab", 1, 2),
        ("AB, aBa!", 2, 5),
        ("xab abx ab1 1ab", 0, 0),  # inside a word
        ("ab\u0301", 0, 0),  # a mark belongs to its letter
        ("ab_", 1, 2),
        ("ab cd", 1, 5),  # the longest wins
        ("ab cde", 1, 2),  # which must end with a word too
        ("是性交。", 1, 2),
        ("异性交易所", 1, 3),
        ("xB性", 0, 0),  # a Latin letter before a Latin letter
        ("是B性x", 1, 2),
        ("", 0, 0),
    ],
)
def test_edges(text, found, chars):
    assert count([text], LIST) == [[found, chars]]
    assert plain_counts(text, LIST) == (found, chars)


def test_class_table_is_its_definition():
    table = class_table()
    spans = ((0, 0xD800), (0xE000, 0x40000), (0xE0000, 0xE1000))
    assert all(table[code] == _class(chr(code)) for first, end in spans for code in range(first, end, 7))


def test_lists_are_used_without_what_says_nothing():
    assert {path.stem for path in LISTS.glob("*.txt")} == set(LANGUAGES) and len(LANGUAGES) == 27
    assert "CC-BY-4.0" in (LISTS / "README.md").read_text("utf-8")
    assert used(["13.", "性", "A", " Ab ", "13点", ""]) == {"ab", "13点"}
    for lang in LANGUAGES:
        lines = (LISTS / f"{lang}.txt").read_text("utf-8").splitlines()
        words = flagged_words(lang)
        left_out = [line for line in lines if not used([line])]
        assert words and all(unicodedata.is_normalized("NFC", word) for word in words)
        assert all(len(line.strip()) <= 1 or not any(map(str.isalpha, line)) for line in left_out), lang


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flagged_word_ratio_en", "Damn the SHIT mill.", 4 / 19),
        ("flagged_word_ratio_en", "Scunthorpe, Essex, a class of grasses and a cockpit", 0.0),
        ("flagged_word_ratio_de", "So eine Scheiße!", 7 / 16),
        ("flagged_word_ratio_ru", "Блядь, мельница", 5 / 15),
        ("flagged_word_ratio_zh", "这家色情网站", 2 / 6),
        ("flagged_word_ratio_zh", "可能性、性能和乳制品、卵石", 0.0),
        ("flagged_words_per_line_zh", "色情电影\n\n招妓\n好\n色情", 3 / 4),
    ],
)
def test_values(name, text, value):
    (found,) = filters.SIGNALS[name].function(Texts(pa.array([text], pa.large_string())))
    assert found == pytest.approx(value)


@pytest.mark.shared
@pytest.mark.parametrize("lang", ["en", "zh", "ja", "ru"])
def test_twin_on_real_text(shared_data, lang):
    with gzip.open(shared_data / "text/multilingual_1.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [row["text"][:20000] for row in map(json.loads, lines) if row["lang"][:2] == lang][:40]
    words = flagged_words(lang)
    found = _found(Texts(pa.array(texts, pa.large_string())), lang)
    assert texts and np.array_equal(found, np.array([plain_counts(text, words) for text in texts]))
