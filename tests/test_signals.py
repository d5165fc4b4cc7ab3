"""Every registered signal: its cases, sane values on any text, the same value in any company, and plain
twins."""

import math
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from cases_files import cases
from hypothesis import given, settings
from hypothesis import strategies as st

import filters
from filters import SIGNALS, Texts, edit, ratio, signal
from filters.registry import EDITS, get_edit, get_signal
from filters.rules import measure

filters.load_builtin()
# token_count needs a tokenizer (tests/test_tokens.py), signals of conversations conversations (tests/test_chat_rules.py)
OURS = {name: each for name, each in SIGNALS.items() if each.function.__module__.startswith("filters.")}
BUILTIN = sorted(name for name, each in OURS.items() if each.family not in ("tokens", "chat"))

# hash signs and ellipses within a word, empty lines and overlapping n-grams can be more than the whole
ABOVE_ONE = {"hash_ratio", "ellipsis_ratio", "newline_word_ratio"} | {f"top_{n}gram_char_ratio" for n in (2, 3, 4)}

FEW = st.text(st.sampled_from("ab .\n"), max_size=120)  # few characters: repetition of all kinds
ODD = st.text(st.sampled_from("a \n\r\x0b\x0c\x1c\x85\u2028\x00#….-•é中。😀"), max_size=60)
ANY_TEXT = st.one_of(st.text(max_size=80), FEW, ODD)  # st.text() has no surrogates, as Arrow has none


def values(name: str, texts: list[str | None]) -> list[float]:
    return measure(SIGNALS[name], Texts(pa.array(texts, pa.large_string()))).tolist()


@pytest.mark.parametrize("case", cases("signals"), ids=lambda case: f"{case['signal']}-{case['text'][:20]!r}")
def test_case(case):
    assert values(case["signal"], [case["text"]]) == [pytest.approx(case["value"], abs=0, rel=1e-15)]


@pytest.mark.parametrize("name", BUILTIN)
def test_an_empty_and_a_null_text_measure_zero(name):
    assert values(name, ["", None]) == [0.0, 0.0]


@pytest.mark.parametrize("name", BUILTIN)
def test_no_texts_give_no_numbers(name):
    assert values(name, []) == []


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_signal_explains_itself(name):
    each = SIGNALS[name]
    assert each.family and each.source and each.doc.endswith(".")


@settings(max_examples=150)
@given(ANY_TEXT)
def test_any_text_gives_sane_numbers(text):
    texts = Texts(pa.array([text], pa.large_string()))
    for name in BUILTIN:
        (value,) = measure(SIGNALS[name], texts)
        assert math.isfinite(value) and value >= 0, name
        if name.endswith("_ratio") and name not in ABOVE_ONE:
            assert value <= 1, name
        assert value <= 4 * len(text.encode()) + 1, name


@settings(max_examples=60)
@given(st.lists(ANY_TEXT, min_size=2, max_size=6), st.data())
def test_company_does_not_matter(batch, data):
    """A text measures the same alone, among others, and in what `take` leaves of a measured column."""
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(batch) - 1)))), dtype=np.int64)
    texts = Texts(pa.chunked_array([pa.array(batch[:1]), pa.array(batch[1:])]))
    alone = [Texts(pa.array([text])) for text in batch]
    for name in BUILTIN:
        together = measure(SIGNALS[name], texts)
        assert together.tolist() == [measure(SIGNALS[name], one)[0] for one in alone], name
    fresh = Texts(pa.array([batch[row] for row in rows], pa.string()))
    part = texts.take(rows)
    for name in BUILTIN:  # the numbers that were measured already
        assert measure(SIGNALS[name], part).tolist() == measure(SIGNALS[name], fresh).tolist(), name
    part._kept = {find: kept for find, kept in part._kept.items() if find.__module__ == "filters.texts"}
    for name in BUILTIN:  # measured again from the words and lines that were found already
        assert measure(SIGNALS[name], part).tolist() == measure(SIGNALS[name], fresh).tolist(), name


@given(FEW)
def test_top_ngrams_have_a_plain_twin(text):
    words = Texts(pa.array([text])).words[0]
    for n in (2, 3, 4):
        grams = Counter(" ".join(words[at : at + n]) for at in range(len(words) - n + 1))
        top, count = grams.most_common(1)[0] if grams else ("", 0)
        assert values(f"top_{n}gram_char_ratio", [text]) == [len(top) * count / max(len(text), 1)]


@given(FEW)
def test_duplicate_ngrams_have_a_plain_twin(text):
    words = Texts(pa.array([text])).words[0]
    for n in range(5, 11):
        seen, chars, at = set(), 0, 0
        while at + n <= len(words):
            gram = tuple(words[at : at + n])
            chars += sum(map(len, gram)) if gram in seen else 0
            at += n if gram in seen else 1
            seen.add(gram)
        assert values(f"duplicate_{n}gram_char_ratio", [text]) == [chars / max(len(text), 1)]


@given(FEW)
def test_duplicate_parts_have_a_plain_twin(text):
    for name, parts in (("line", re.split(r"\n+", text)), ("paragraph", re.split(r"\n\n+", text.strip()))):
        again = [part for at, part in enumerate(parts) if part in parts[:at]]
        assert values(f"duplicate_{name}_ratio", [text]) == [len(again) / len(parts)]
        assert values(f"duplicate_{name}_char_ratio", [text]) == [sum(map(len, again)) / max(len(text), 1)]


@given(st.text(st.sampled_from("abAB \n"), max_size=80))
def test_character_runs_have_a_plain_twin(text):
    bare = "".join(text.lower().split())
    runs = [bare[at : at + 13] for at in range(len(bare) - 12)]
    repeated = sum(count for count in Counter(runs).values() if count > 1)
    assert values("duplicate_13gram_char_ratio", [text]) == [repeated / len(runs) if runs else 0.0]


def test_ratio_decides_what_nothing_over_nothing_is():
    assert ratio([1, 0, 3], [0, 0, 2]).tolist() == [0.0, 0.0, 1.5]
    assert ratio([], []).shape == (0,)


@pytest.fixture
def registries():
    """The registries as they were, put back afterwards."""
    signals, edits = dict(SIGNALS), dict(EDITS)
    yield
    for registry, before in ((SIGNALS, signals), (EDITS, edits)):
        registry.clear()
        registry.update(before)


def test_a_users_signal_and_edit(registries):
    @signal(family="mine", source="me")
    def question_mark_ratio(texts: Texts) -> np.ndarray:
        """Question marks / characters."""
        return ratio([text.count("?") for text in texts.strings], texts.chars)

    @edit(source="me")
    def shout(texts: Texts, *, times: int = 1) -> pa.Array:
        """Exclamation marks behind each text."""
        return pa.array([text + "!" * times for text in texts.strings], pa.large_string())

    assert values("question_mark_ratio", ["a?"]) == [0.5]
    assert get_signal("question_mark_ratio").doc == "Question marks / characters."
    assert get_edit("shout").function(Texts(pa.array(["a"])), times=2).to_pylist() == ["a!!"]


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(ValueError, match=r"'word_cuont', did you mean 'word_count'\?"):
        get_signal("word_cuont")
    with pytest.raises(ValueError, match=r"'c4_line', did you mean 'c4_lines'\?"):
        get_edit("c4_line")


def test_a_name_is_taken_once(registries):
    def word_count(texts: Texts) -> np.ndarray:
        """Another one."""
        return texts.chars

    with pytest.raises(ValueError, match=r"'word_count' .* known already, from 'filters.signals.gopher'"):
        signal(family="mine", source="me")(word_count)


def test_a_signal_without_docstring_and_an_edit_with_a_loose_option_are_refused(registries):
    def silent(texts: Texts) -> np.ndarray:
        return texts.chars

    def loose(texts: Texts, much: int = 1) -> pa.Array:
        """Loose."""
        return texts.array

    with pytest.raises(ValueError, match="no docstring"):
        signal(family="mine", source="me")(silent)
    with pytest.raises(ValueError, match="'much' must be keyword-only"):
        edit(source="me")(loose)
