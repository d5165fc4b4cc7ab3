"""The kernels over texts against their plain twins: the same integers on any text, in any memory layout."""

import gzip
import json
import os
import re
import subprocess
import sys
import unicodedata
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import Texts, characters, counts, plain_texts
from filters.kinds import kind_table
from filters.lines import c4_lines
from filters.words import split_words
from kernels import characters as bits
from kernels.hashes import hash_words

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ("in_sentences", "in_marks", "in_words", "in_ngrams", "in_lines", "in_characters")  # sentences alone first

FEW = st.text(st.sampled_from("ab .\n"), max_size=150)  # few characters: repetition of all kinds
ODD = st.text(st.sampled_from("a \n\r\x0b\x0c\x1c\x1f\x85\u2028\xa0\u3000\x00#….-•é中カ。😀{"), max_size=90)
MARKS = st.text(st.sampled_from("aZ9.,-–—'’s$%+#*/:()[]!?…\"=tn中。😀_\u0301 ǅا²"), max_size=60)
ASCII = st.text(st.characters(max_codepoint=127), max_size=70)
TAILS = st.text(st.sampled_from("cannotdmslrevkgB'’.,-+:/25°é "), max_size=70)  # contractions, units, addresses
AGAIN = st.lists(st.sampled_from("abcde"), max_size=150).map(" ".join)  # n-grams that branch
CHUNKS = """
cannot Cannot 5km don't it’s 3.5MB a5km abcd5km http://a.b/c the and be. U.S. e.g. a-b --- —— (word word) 12% $5 2023. NOT.
AB. aB. x=1 `a`. "b?" lorem ipsum Lorem IPSUM [1] [edit] [٣] JavaScript coo\u212aies cookies uses use of terms cookie policy
www. wwww.b http://www.a xhttps://b:// httpſ://c ftp://é sftp://" HTTPS://< privacy ΑΣ İ www.a.b HTTP://x 中文字 カナ ... .. …
"""
GAPS = [" ", "\n", "\n\n", "\r\n", "\u2028", ". ", "x" * 70, "[citation needed]", "lorem ipsum", "9" * 60]
PIECES = st.lists(st.sampled_from([*CHUNKS.split(), *GAPS]), max_size=40)
ANY_TEXT = st.one_of(
    st.text(max_size=100),
    FEW,
    ODD,
    MARKS,
    ASCII,
    TAILS,
    AGAIN,
    PIECES.map("".join),
    PIECES.map(" ".join),
    st.text("中文字，。 ", max_size=80),
)


def column(texts: list[str | None]) -> Texts:
    return Texts(pa.array(texts, pa.large_string()))


def assert_same_counts(texts: Texts, plain: list[str]) -> None:
    """All families, exactly."""
    for family in FAMILIES:
        found = texts.once(getattr(counts, family))
        expected = getattr(plain_texts, family)(plain)
        assert expected.keys() == set(found.columns)
        for name, numbers in expected.items():
            assert found[name].tolist() == numbers.tolist(), (family, name)
    assert counts.different_words(texts).tolist() == plain_texts.different_words(plain).tolist()
    assert counts.url_chars(texts).tolist() == plain_texts.url_chars(plain).tolist()
    assert texts.chars.tolist() == [len(text) for text in plain]
    assert counts.in_runs(texts, 13).tolist() == [list(plain_texts.repeated_runs(text, 13)) for text in plain]


@settings(max_examples=400)
@given(st.lists(ANY_TEXT, min_size=1, max_size=3))
def test_every_count_has_its_plain_twin(texts):
    assert_same_counts(column(texts), texts)


def test_sentences_alone_around_each_dot():
    """Every text of up to four of these: a dot is passed over where a small letter or digit follows."""
    texts = ["".join(parts) for size in range(1, 5) for parts in product(".aZ5!'\" -(", repeat=size)]
    texts = [f"x. {text} y" if at % 2 else text for at, text in enumerate(texts)]
    expected = plain_texts.in_sentences(texts)["sentences"]
    assert counts.in_sentences(column(texts))["sentences"].tolist() == expected.tolist()


@pytest.mark.parametrize("end", [". B", ".B c", "! (b", "。b c", "é. b", ".\u2028b. c", "--. -- c"])
def test_sentences_alone_behind_chunks_of_any_length(end):
    """What is passed over and where a chunk begins is found by masks of some 57 bytes."""
    texts = [f"{'x y ' * lead}{'a' * size}{end} d" for lead in (0, 1, 15) for size in range(1, 130)]
    expected = plain_texts.in_sentences(texts)["sentences"]
    assert counts.in_sentences(column(texts))["sentences"].tolist() == expected.tolist()


@pytest.mark.parametrize("gap", ["\n", " \n ", "\n\n\n", " \r\n \x1c", " \x1f ", "\n" + " " * 70, " " * 70 + "\n"])
def test_a_line_begins_behind_any_gap_across_blocks(gap):
    texts = [" " * lead + "a" * before + gap + "b. c" for lead in (0, 3) for before in range(56, 132)]
    assert_same_counts(column(texts), texts)


@settings(max_examples=400)
@given(st.lists(ANY_TEXT, min_size=1, max_size=3))
def test_words_are_those_of_the_plain_rule(texts):
    rows = column(texts).once(counts._word_rows)
    for text, first, end in zip(texts, rows.firsts, rows.ends, strict=True):
        words = split_words(text)
        assert rows.words.widths[first:end].tolist() == [len(word) for word in words]
        hashes = hash_words([word.encode() for word in words]) if words else np.zeros(0, np.uint64)
        assert rows.words.hashes[first:end].tolist() == hashes.tolist()


@settings(max_examples=400)
@given(
    st.lists(ANY_TEXT, min_size=1, max_size=3),
    st.fixed_dictionaries(
        {"min_words": st.integers(-1, 4), "max_word_length": st.sampled_from([-1, 0, 3, 1000])}
        | {name: st.booleans() for name in ("terminal_punctuation", "javascript", "policy", "citations")}
    ),
)
def test_c4_lines_has_its_plain_twin(texts, options):
    edited = c4_lines(column(texts), **options)
    edited.validate(full=True)
    assert edited.to_pylist() == plain_texts.c4_lines(texts, **options)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "a",
            "\n",
            " " * 64,
            "x" * 63 + "\n",
            "x" * 64,
            "x" * 65,
            "é" * 64,
            "中" * 500,
            "a" * 63 + "…" + "b" * 62 + "..",
        ],
        *["(" * 3000, "." * 3000, "a." * 3000, "a'" * 3000, "5-" * 3000, "-" * 3001, "\n" * 3000, "\u2028" * 300],
        *[
            "a b " * 2000,
            "Σ" * 50 + "a" * 50,
            ("line one.\n" * 3 + "\n") * 50,
            "\r\n" * 200,
            "\r" * 200 + "\n",
            "a\x00b " * 99,
        ],
    ],
    ids=lambda text: f"{text[:6]!r}x{len(text)}",
)
def test_long_and_edgy_texts(text):
    assert_same_counts(column([text, "between", text]), [text, "between", text])
    assert c4_lines(column([text]), min_words=1).to_pylist() == plain_texts.c4_lines([text], min_words=1)


@pytest.mark.shared
def test_real_texts(shared_data):
    texts = []
    for path in sorted((shared_data / "text").glob("multilingual_*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines][::40]
    for path in sorted((shared_data / "dirty" / "strings").iterdir()):
        texts.append(path.read_text(encoding="utf-8", errors="replace"))
    assert len(texts) > 250
    assert_same_counts(column(texts), texts)
    assert c4_lines(column(texts)).to_pylist() == plain_texts.c4_lines(texts)


TEXTS = ["One line.\nTwo.", "", "Déjà vu, déjà vu 中文", None, "x" * 200, "tail…"]
PLAIN = [text or "" for text in TEXTS]


def foreign() -> pa.Array:
    """TEXTS with nothing readable behind the last byte, and with bytes below the null."""
    pieces = ["bytes" if text is None else text for text in TEXTS]
    offsets = np.cumsum([0, *[len(piece.encode()) for piece in pieces]]).astype(np.int32)
    valid = np.packbits([text is not None for text in TEXTS], bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer("".join(pieces).encode())]
    return pa.Array.from_buffers(pa.string(), len(TEXTS), buffers)


LAYOUTS = {
    "large strings": pa.array(TEXTS, pa.large_string()),
    "strings": pa.array(TEXTS, pa.string()),
    "slice": pa.array(["before", *TEXTS, "behind"], pa.string()).slice(1, len(TEXTS)),
    "slice of a long array": pa.array(["before" * 9, *TEXTS, "behind" * 90], pa.large_string()).slice(1, len(TEXTS)),
    "chunks": pa.chunked_array([TEXTS[:2], [], TEXTS[2:3], TEXTS[3:]], pa.string()),
    "dictionary": pa.array(TEXTS).dictionary_encode(),
    "foreign": foreign(),
    "parts of foreign ones": pa.chunked_array([foreign().slice(0, 3), foreign().slice(3)]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_memory_layouts(name):
    array = LAYOUTS[name]
    texts = Texts(array)
    assert_same_counts(texts, PLAIN)
    offsets, data = texts.buffers
    assert [data[first:last].tobytes().decode() for first, last in pairwise(offsets)] == PLAIN
    assert len(data) >= offsets[-1] + 128 and offsets.dtype == np.int64
    assert c4_lines(Texts(array), min_words=1).to_pylist() == plain_texts.c4_lines(PLAIN, min_words=1)


def test_a_slice_is_read_where_it_lies():
    whole = pa.array(["a" * 1000, "b", "c" * 1000], pa.large_string())
    _, data = Texts(whole.slice(0, 2)).buffers
    assert data.ctypes.data == whole.buffers()[2].address
    _, copied = Texts(whole).buffers
    assert copied.ctypes.data != whole.buffers()[2].address


@pytest.mark.parametrize("array", [pa.array([], pa.string()), pa.chunked_array([], pa.large_string()), pa.nulls(2)])
def test_nothing_to_read(array):
    texts = Texts(array)
    assert_same_counts(texts, [""] * len(array)) if len(array) else None
    assert texts.once(counts.in_lines)["lines"].tolist() == [0] * len(array)
    assert c4_lines(texts).to_pylist() == [""] * len(array)


def test_taken_rows_are_not_counted_again(monkeypatch):
    texts = column(["one two.", "three", "four four four five"])
    before = texts.once(counts.in_words)
    part = texts.take(np.array([2, 0])).take(np.array([0]))
    assert part.once(counts.in_words).table.tolist() == before.table[[2]].tolist()
    assert part.once(counts.in_ngrams)["top_2"].tolist() == [18]  # from the words of the whole
    assert part.array.to_pylist() == ["four four four five"]
    assert part.strings == ["four four four five"]


def test_bytes_that_are_no_text_raise_as_before():
    array = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 3], np.int32)), pa.py_buffer(b"a\xff\xfe")]
    )
    with pytest.raises(UnicodeDecodeError):
        Texts(array).once(counts.in_lines)


def test_a_text_beyond_all_measure_is_refused(monkeypatch):
    monkeypatch.setattr("filters.texts.LONGEST", 10)
    with pytest.raises(ValueError, match="a text of 11 bytes: the longest that can be measured has 10"):
        column(["short", "x" * 11]).once(counts.in_words)


def test_the_table_of_kinds_says_what_the_sets_say():
    table = kind_table()
    tests = {
        bits.SPACE: str.isspace,
        bits.ALPHA: str.isalpha,
        bits.ALNUM: str.isalnum,
        bits.DIGIT: str.isdigit,
        bits.DECIMAL: str.isdecimal,
        bits.UPPER: str.isupper,
        bits.LOWER: str.islower,
        bits.TITLE: str.istitle,
        bits.SYMBOL: characters.SYMBOLS.__contains__,
        bits.PUNCTUATION: characters.is_punctuation,
        bits.SENTENCE_END: characters.SENTENCE_ENDS.__contains__,
        bits.LEAD: characters.can_lead,
        bits.TRAIL: characters.can_trail,
        bits.QUOTE: characters.QUOTES.__contains__,
        bits.PICTOGRAPH: characters.is_pictograph,
    }
    chars = [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    codes = np.array([ord(char) for char in chars])
    for bit, test in tests.items():
        found = table[codes] & bit != 0
        if bit == bits.TITLE:  # istitle holds for a capital alone too
            found |= table[codes] & bits.UPPER != 0
        assert np.array_equal(found, np.fromiter(map(test, chars), bool, len(chars))), bit
    cjk = [len(split_words(f"中{char}中")) == 3 for char in ("㐀", "豈", "𠀀", "カ", "〇")]
    assert all(cjk) and all(table[ord(char)] & bits.CJK for char in "㐀豈𠀀カ〇")
    beyond = {unicodedata.category(chr(code)) for code in (*range(0x40000, 0xE0000, 97), *range(0xE1000, 0x110000, 97))}
    assert beyond <= {"Cn", "Co"} and not table[0x40000:0xE0000].any() and not table[0xE1000:].any()


def test_no_other_characters_become_ascii_in_lower_case():
    """What kernels/c4.py knows of phrases in any case."""
    cases = {chr(code) for code in range(0x110000) if re.fullmatch("[htpsfw]", chr(code), re.IGNORECASE)}
    assert cases == {*"htpsfwHTPSFW", "ſ"}  # and kernels/urls.py of addresses
    ascii_lower = {chr(code) for code in range(128, 0x110000) if any(c < "\x80" for c in chr(code).lower())}
    assert ascii_lower == {"\u0130", "\u212a"}


WITHOUT_SIMD = """
import json, sys
import pyarrow as pa
from filters import Texts, counts
from filters.lines import c4_lines
from kernels import simd
assert not simd.SIMD
texts = json.load(sys.stdin)
column = Texts(pa.array(texts, pa.large_string()))
out = [column.once(getattr(counts, family)).table.tolist() for family in ("in_sentences", "in_words", "in_ngrams", "in_lines", "in_marks")]
json.dump([out, c4_lines(column).to_pylist()], sys.stdout)
"""


def test_the_same_without_vector_code():
    texts = [
        *PLAIN,
        "It's “odd”… lorem ipsum #1 {x}\u2028\x85new\r\nline... " * 9,
        "JavaScript uses cookies.\nA b c [1].",
        "中文。" * 70,
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SIMD],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"GRISTMILL_SIMD": "0", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    column_ = column(texts)
    tables = [
        column_.once(getattr(counts, family)).table.tolist()
        for family in ("in_sentences", "in_words", "in_ngrams", "in_lines", "in_marks")
    ]
    assert json.loads(done.stdout) == [tables, c4_lines(column_).to_pylist()]
