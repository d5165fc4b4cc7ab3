"""The affix rule, sentence counting and the c4_lines edit: cases as data, and that no character gets lost."""

import unicodedata

import pyarrow as pa
import pytest
from cases_files import cases
from hypothesis import given
from hypothesis import strategies as st

from filters.characters import SENTENCE_ENDS
from filters.lines import c4_lines
from filters.texts import Texts
from filters.words import count_sentences, split_chunk, split_words

# marks, letters and digits that the rules speak of, so that generated chunks meet them
TRICKY = st.text(st.sampled_from("aZ9.,-–'’s$%+#*/:()[]!?…\"=tn é中カ。😀_\u0301 \n"), max_size=40)
ANY_TEXT = st.one_of(TRICKY, st.text(max_size=60))


@pytest.mark.parametrize("case", cases("words"), ids=lambda case: repr(case["text"]))
def test_words(case):
    assert split_words(case["text"]) == case["words"]


@pytest.mark.parametrize("case", cases("sentences"), ids=lambda case: repr(case["text"]))
def test_sentences(case):
    assert count_sentences(case["text"]) == case["sentences"]


@pytest.mark.parametrize("case", cases("c4_lines"), ids=lambda case: repr(case["text"][:40]))
def test_c4_lines(case):
    edited = c4_lines(Texts(pa.array([case["text"]])), **case["options"])
    assert edited.type == pa.large_string()
    assert edited.to_pylist() == [case["expected"]]


@given(ANY_TEXT)
def test_words_are_the_text_without_white_space(text):
    words = split_words(text)
    assert "".join(words) == "".join(text.split())
    assert all(words)


@given(ANY_TEXT)
def test_sentences_are_as_counted_over_the_words(text):
    words = split_words(text)
    count, ended = min(len(words), 1), False
    for word in words:
        if word in SENTENCE_ENDS:
            ended = True
        elif ended and not all(unicodedata.category(char).startswith("P") for char in word):
            count, ended = count + 1, False
    assert count_sentences(text) == count


@pytest.mark.parametrize(
    "chunk", ["(" * 200_000, "." * 200_000, "a." * 100_000, "a'" * 100_000, "5-" * 100_000, "-" * 200_001]
)
def test_a_huge_chunk_takes_linear_time(chunk):
    assert "".join(split_chunk(chunk)) == chunk


def test_the_memory_of_seen_chunks_is_bounded(monkeypatch):
    from filters import words

    monkeypatch.setattr(words._Tokens, "FULL", 10)
    split_words(" ".join(f"word{n}" for n in range(100)))
    assert len(words._TOKENS) <= 10
