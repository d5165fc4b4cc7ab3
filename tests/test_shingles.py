"""Tokens and shingle sets: a plain-Python twin, and against the published similarities of real pairs."""

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import version_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup.shingles as shingles
from dedup.exact import normalise
from dedup.hashing import GOLDEN, mix_int
from dedup.shingles import shingle_set, shingle_sets, tokens
from dedup.similarity import jaccard, jaccards

# letters, Han, kana, Hangul, marks of several scripts, blanks, digits, case that changes length
ALPHABET = "aBé_ß9 \n\t.-İΣς京東かガーハ한글ᄒ힣हिन्दीกั́\u3099\u200d\ufe0f½²Ⅷ😀𠀀ℵ々〇ﾊﾟ\u00a0"
TEXT = st.text(st.sampled_from(ALPHABET), max_size=60) | st.text(max_size=40)


def column(*texts):
    return pa.array(texts, pa.large_string())


def is_single(character):
    name = unicodedata.name(character, "")
    kinds = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "HANGUL", "HALFWIDTH")
    return character.isalnum() and (name.startswith(kinds) or character in "々〇")


def plain_tokens(text):
    """One character at a time: the definition, without arrays."""
    found, kind = [], None
    for character in text.lower():
        if unicodedata.category(character)[0] == "M":
            if kind:
                found[-1] += character
        elif not (character.isalnum() or character == "_"):
            kind = None
        elif kind == "run" and not is_single(character):
            found[-1] += character
        else:
            found.append(character)
            kind = "single" if is_single(character) else "run"
    return found


def plain_token_hash(token):
    return mix_int(sum(mix_int((place << 32 | ord(c)) + GOLDEN) for place, c in enumerate(token)))


def plain_shingle_set(text, n=5):
    words = [plain_token_hash(token) for token in plain_tokens(text)]
    if not words:
        return {shingles._text_hash(text)}
    length = min(n, len(words))
    runs = (words[i : i + length] for i in range(len(words) - length + 1))
    step = shingles._STEP
    return {mix_int(sum(h * step**k for k, h in enumerate(run)) + length * GOLDEN) for run in runs}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's 5 o'clock", ["it", "s", "5", "o", "clock"]),
        ("東京tower_2塔", ["東", "京", "tower_2", "塔"]),
        ("カタカナー ﾊﾟ", ["カ", "タ", "カ", "ナ", "ー", "ﾊ", "ﾟ"]),
        ("한국어", ["한", "국", "어"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs and virama are marks, not ends of words
        ("ภาษาไทย ก็", ["ภาษาไทย", "ก็"]),
        ("e\u0301a \u0301 か\u3099き", ["e\u0301a", "か\u3099", "き"]),  # a mark alone is no token
        ("İstanbul ΣΑΣ", ["i\u0307stanbul", "σας"]),
        ("می\u200cخواهم", ["می", "خواهم"]),
        ("...!?\n", []),
        ("", []),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


@settings(deadline=None)
@given(TEXT)
def test_tokens_are_the_plain_definition(text):
    assert tokens(text) == plain_tokens(text)


@settings(deadline=None)
@given(st.lists(TEXT | st.none(), max_size=8), st.integers(1, 6))
def test_sets_are_those_of_plain_python(texts, n):
    offsets, values = shingle_sets(column(*texts), n)
    assert offsets[0] == 0 and len(offsets) == len(texts) + 1 and offsets[-1] == len(values)
    for row, text in enumerate(texts):
        expected = sorted(plain_shingle_set(text or "", n))
        assert values[offsets[row] : offsets[row + 1]].tolist() == expected


@settings(deadline=None)
@given(st.lists(TEXT, max_size=6), st.integers(1, 5), st.integers(1, 12))
def test_sizes_of_blocks_and_pieces_do_not_show(texts, piece, block):
    whole = shingle_sets(column(*texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "_PIECE_CHARS", piece)
        patch.setattr(shingles, "_BLOCK_CHARS", block)
        cut = shingle_sets(column(*texts))
    assert all(np.array_equal(a, b) for a, b in zip(whole, cut))


def test_chunked_empty_and_null_columns():
    chunked = pa.chunked_array([column("a b", None), column(), column("")])
    offsets, values = shingle_sets(chunked)
    assert offsets.tolist() == [0, 1, 2, 3] and values[1] == values[2]
    offsets, values = shingle_sets(column())
    assert offsets.tolist() == [0] and values.dtype == np.uint64 and not len(values)


def test_lone_surrogates_are_hashed():
    assert len(shingles._token_hashes(shingles._code_points("a\ud800b"))[0]) == 2


SHORT = st.lists(st.sampled_from(["a", "b", "c", "京", "!", "?", " "]), max_size=4).map(" ".join)


@settings(deadline=None)
@given(SHORT, SHORT)
def test_short_documents_are_alike_only_if_their_tokens_are(a, b):
    """Fewer than five tokens: compared whole; none at all: by the text. Never as an empty set."""
    similarity = jaccard(shingle_set(a), shingle_set(b))
    if tokens(a) or tokens(b):
        assert similarity == (tokens(a) == tokens(b))
    else:
        assert similarity == (normalise(a) == normalise(b))


def test_a_short_document_is_no_shingle_of_a_longer_one():
    sets = [shingle_set(" ".join("abcdef"[:count])) for count in range(7)]
    assert [len(s) for s in sets] == [1, 1, 1, 1, 1, 1, 2]
    assert [jaccard(a, b) for a, b in pairwise(sets[:6])] == [0.0] * 5
    assert jaccard(sets[5], sets[6]) == 0.5


@settings(deadline=None)
@given(TEXT, st.sampled_from([" ", "\n\n", "\t \r\n", "\u3000", "\x1f"]))
def test_equal_normal_form_gives_equal_sets(text, blank):
    other = blank + text.upper().lower().replace(" ", blank * 2) + blank
    if normalise(text) == normalise(other):
        assert np.array_equal(shingle_set(text), shingle_set(other))


def test_fixed_values():
    """The hashes are part of every stored signature: they must not change by accident."""
    assert [f"{h:016x}" for h in shingle_set("the quick brown fox jumps")] == FIXED["run"]
    assert [f"{h:016x}" for h in shingle_set("東京")] == FIXED["short"]
    assert [f"{h:016x}" for h in shingle_set("")] == FIXED["empty"]


FIXED = {"run": ["652aa1b06e7c247c"], "short": ["cc3c044ad0e66218"], "empty": ["e4a6a0577479b2b4"]}


@pytest.mark.shared
def test_published_similarities(shared_data):
    """The jaccard5 column of 1,144 real pairs, to its four decimals."""
    pairs = version_pairs.read(shared_data)
    found = jaccards(pairs.offsets, pairs.values, pairs.left, pairs.right)
    assert len(found) == 1144
    assert [f"{similarity:.4f}" for similarity in found] == pairs.jaccard
