"""Stop words per language, and the rule sets that ask for them."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from cases_files import cases
from hypothesis import given
from hypothesis import strategies as st

import filters
from filters import Texts, counts
from filters.rules import keep_rules, load_rule_set
from filters.signals.stop_words import LISTS
from pipeline.recipes.keep import rule_sets

SETS = {name.removeprefix("fineweb2_"): path for name, path in rule_sets().items() if name.startswith("fineweb2_")}
WORDS = st.sampled_from([*LISTS["de"].split(), *LISTS["zh"].split(), "Mühle", "x1", ",", "\n"])


def plain(texts: Texts, listed: tuple[str, ...]) -> np.ndarray:
    """The twin of counts.word_matches."""
    rows = [[len(set(words) & set(listed)), sum(word in listed for word in words), len(words)] for words in texts.words]
    return np.array(rows, np.int64).reshape(-1, 3)


@given(st.lists(st.lists(WORDS, max_size=12).map(" ".join), max_size=6), st.sampled_from(sorted(LISTS)))
def test_kernel_path_equals_the_plain_one(pieces, lang):
    listed = tuple(LISTS[lang].split())
    texts = Texts(pa.array(pieces, pa.large_string()))
    expected = plain(texts, listed)
    assert np.array_equal(counts.word_matches(texts, listed), expected)
    rows = np.arange(len(pieces))[::-2].copy()
    assert np.array_equal(counts.word_matches(texts.take(rows), listed), expected[rows])


def test_values():
    filters.load_builtin()
    texts = Texts(pa.array(["der und der Mühle", "", "Der UND"], pa.large_string()))
    assert filters.SIGNALS["stop_word_count_de"].function(texts).tolist() == [2.0, 0.0, 0.0]
    assert filters.SIGNALS["stop_word_ratio_en"].function(Texts(pa.array(["that of the mill"]))).tolist() == [0.75]
    assert filters.SIGNALS["stop_word_ratio_de"].function(texts).tolist() == [0.75, 0.0, 0.0]


@pytest.fixture(scope="module")
def paragraphs(small_data):
    """Paragraphs that people wrote or translated, by language."""
    found = {}
    for line in gzip.decompress((small_data / "stop_words" / "prose.jsonl.gz").read_bytes()).splitlines():
        record = json.loads(line)
        found.setdefault(record["lang"][:2], []).append(record["text"])
    return found


@pytest.mark.parametrize("lang", sorted(SETS))
def test_sets_keep_prose_of_their_language_and_drop_what_is_none(lang, paragraphs):
    """At least nine in ten paragraphs of two hundred words stay; a repeated line, a table and another language go."""
    rules = load_rule_set(SETS[lang]).rules
    joined = ["\n".join(paragraphs[lang][i : i + 3]) for i in range(0, len(paragraphs[lang]), 3)]
    _, why = keep_rules(rules)(pa.table({"text": pa.array(joined, pa.large_string())}))
    kept = why.null_count / len(why)
    assert kept >= 0.9, [reason["reason"] for reason in why.to_pylist() if reason]
    bad = ["Weiter | Zurück\n" * 60, "12 34 56 78 90\n" * 30, "kala maja puu vesi taevas " * 30]
    _, why = keep_rules(rules)(pa.table({"text": pa.array(bad, pa.large_string())}))
    assert why.null_count == 0


def published(config):
    """The rules that a configuration file of FineWeb-2 and its pipeline ask for, as (signal, min, max)."""
    han = config["lang"] in ("zh", "ja")  # mean word length is left out there: a character is a word here
    rules = {
        ("word_count", 50, None),
        ("duplicate_char_ratio", None, 0.1),
        (f"stop_word_count_{config['lang']}", 2, None),
    }
    rules |= {
        ("duplicate_line_ratio", None, config["dup_line_frac"]),
        ("newline_word_ratio", None, config["new_line_ratio"]),
    }
    rules |= {("alpha_word_ratio", config["max_non_alpha_words_ratio"], None)}
    rules |= {(f"top_{n}gram_char_ratio", None, bound) for n, bound in config["top_n_grams"]}
    rules |= {(f"duplicate_{n}gram_char_ratio", None, bound) for n, bound in config["dup_n_grams"]}
    low, high, ends = config["min_avg_word_length"], config["max_avg_word_length"], config["line_punct_thr"]
    rules |= set() if han else {("mean_word_length", low or None, high)}
    return rules | ({("terminal_line_ratio", ends, None)} if ends else set())


@pytest.mark.parametrize("config", cases("fineweb2", text=False), ids=lambda config: config["lang"])
def test_thresholds_are_the_published_ones(config):
    """tests/cases/fineweb2.jsonl: huggingface/fineweb-2, configs/ (commit d0defb24, 2025-10), without the stop words."""
    rules = load_rule_set(SETS[config["lang"]]).rules
    assert {(rule.signal, rule.min, rule.max) for rule in rules} == published(config)


@pytest.mark.parametrize("lang", sorted(SETS))
def test_every_bound_keeps_what_is_on_it_and_drops_what_is_beyond(lang, monkeypatch):
    for rule in load_rule_set(SETS[lang]).rules:
        for bound, away in ((rule.min, -np.inf), (rule.max, np.inf)):
            if bound is None:
                continue
            values = np.array([bound, np.nextafter(bound, away), np.nextafter(bound, -away)])
            measured = replace(filters.SIGNALS[rule.signal], function=lambda texts, values=values: values[: len(texts)])
            monkeypatch.setitem(filters.SIGNALS, rule.signal, measured)
            _, why = keep_rules([rule])(pa.table({"text": pa.array(["a", "b", "c"], pa.large_string())}))
            assert why.is_null().to_pylist() == [True, False, True], (rule, bound)
            monkeypatch.undo()
