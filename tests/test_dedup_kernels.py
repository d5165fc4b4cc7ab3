"""Each kernel of dedup that reads text against its plain twin: the same integers."""

import gzip
import hashlib

import numpy as np
import orjson
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup.exact as exact
import dedup.plain as plain
import dedup.shingles as shingles
from dedup.characters import character_table
from dedup.columns import char_counts, row_blocks
from dedup.exact import normalise, text_hashes
from dedup.minhash import Bands, band_hashes, signatures
from dedup.shingles import shingle_sets
from kernels.shingles import PLACES

# every assigned plane whole, every 97th of what is unassigned or private
CODES = [*range(0xD800), *range(0xE000, 0x33480), *range(0x33480, 0x110000, 97), *range(0xE0000, 0xE0200)]
# case that changes length, sigmas and what they look at, marks, joiners, scripts without spaces, blanks, NUL
ODD = "aZ_09 \n\t\x1c\0.'-\u00adİıßẞΣσςΑΌ\u0345ʰⅧǅKÅȺﬁéÉe\u0301\u200d\u200c\ufe0f\u3099กั้ภာमे한ᄒ힣ﾊﾟ東々〇かー𠀀𝔸Ⓐ𞤀😀\u3000\u0085\u2028½"
TEXT = st.text(st.sampled_from(ODD), max_size=80) | st.text(max_size=50)


def column(*texts):
    return pa.array(texts, pa.large_string())


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.dtype == other.dtype and np.array_equal(one, other)


# --- lower case


@pytest.mark.parametrize("frame", ["{}", "aΣ{}", "{}Σ", "a{}Σ", "aΣ{}b", "'{}'Σ{}"])
def test_lower_case_of_every_character(frame):
    """Beside sigmas, through the normal form: what `str.lower` and `str.split` give."""
    texts = [frame.format(chr(code), chr(code)) for code in CODES]
    forms = [bytes(form).decode() for form in exact._normal_forms(column(*texts))]
    assert forms == [normalise(text) for text in texts]


@pytest.mark.parametrize("before", range(60, 70))
def test_normal_forms_of_64_bytes_at_once(before):
    """Each kind of character at each place of a block, between ASCII and letters without case, beside one blank and two."""
    codes = [*range(0, 0x3400), *range(0x3400, 0x11000, 61), 0x1F600, 0x20000, 0xE0101]
    frame = "{0}" + "Word " * 20 + "{0}" + "中文、か" * 6 + "{0} A" + "\u00a0 b" * 30
    texts = ["x" * before + frame.format(chr(code)) for code in codes if not 0xD800 <= code < 0xE000]
    assert [bytes(form).decode() for form in exact._normal_forms(column(*texts))] == [normalise(text) for text in texts]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sampled_from(["a", "B", " ", "\n", "\t", "é", "É", "中", "，", "　", "가", "ش", "ก", "😀", "Σ", "\u2003"]),
        max_size=300,
    )
)
def test_normal_forms_of_long_mixtures(parts):
    text = "".join(parts)
    assert [bytes(form).decode() for form in exact._normal_forms(column(text))] == [normalise(text)]


def test_classes_of_every_character():
    """Each character between letters: parts, joins, or stands alone as in the twin."""
    texts = column(*(f"a{chr(code)}b {chr(code)}1" for code in CODES))
    assert_same(shingle_sets(texts, 1), plain.shingle_sets(texts, 1))


def test_lower_case_is_at_most_half_as_long_again():
    longer = [c for c in map(chr, CODES) if 2 * len(c.lower().encode()) > 3 * len(c.encode())]
    assert longer == []
    assert character_table()[0x130] & 0x1FFFFF == ord("i")


# --- columns of text


@settings(deadline=None, max_examples=300)
@given(st.lists(TEXT | st.none(), max_size=8), st.integers(1, 6))
def test_texts(texts, n):
    array = column(*texts)
    assert_same(shingle_sets(array, n), plain.shingle_sets(array, n))
    assert np.array_equal(text_hashes(array), plain.text_hashes(array))


FOLDED = st.text(st.sampled_from(ODD + "ＡＺａｚ０９＇．！～㐀漢汉髮發发乾干著着後后，。 "), max_size=60) | TEXT
FOLDS = st.sampled_from([(), ("width",), ("simplified",), ("width", "simplified")])


@settings(deadline=None, max_examples=300)
@given(
    st.lists(FOLDED | st.none(), max_size=8),
    st.integers(1, 7),
    st.sampled_from(["tokens", "chars"]),
    FOLDS,
    st.sampled_from([0, 1, 2**64 - 1]),
)
def test_kinds_of_shingles(texts, n, unit, fold, salt):
    array = column(*texts)
    assert_same(shingle_sets(array, n, unit, fold, salt), plain.shingle_sets(array, n, unit, fold, salt))


def test_every_character_as_a_shingle():
    texts = column(*(f"a{chr(code)}b {chr(code)}1" for code in CODES))
    assert_same(shingle_sets(texts, 2, "chars"), plain.shingle_sets(texts, 2, "chars"))
    fold = ("width", "simplified")
    assert_same(shingle_sets(texts, 1, "tokens", fold), plain.shingle_sets(texts, 1, "tokens", fold))


LONG = ["a" * 31, "B" * 32, "c" * 33 + " d", "é" * 40, "x" * 5000, "Aa" * 40 + "é", "_" * 64 + "." * 64 + "İ" * 20]


@pytest.mark.parametrize("text", LONG)
def test_tokens_longer_than_the_table(text):
    assert 31 < PLACES < 33
    array = column(text, f"{text} {text} b", f"...{text}", f"é{text}\u0301{text}")
    assert_same(shingle_sets(array), plain.shingle_sets(array))


@pytest.mark.parametrize("length", [1, 7, 8, 9, 30, 31, 32, 33, 34, 63, 64, 65, 96, 97, 129])
def test_tokens_at_each_place_of_a_block(length):
    texts = [
        f"{' .' * before}{'x' * (before % 2)} {'Ab_9' * 40:.{length}} b c{end}"
        for before in range(66)
        for end in ("", " é", "d" * 70)
    ]
    assert_same(shingle_sets(column(*texts), 2), plain.shingle_sets(column(*texts), 2))


@pytest.mark.parametrize(
    "text",
    [
        "a b " * 30_000,
        "a " * 5,
        "x y z w v u " * 900,
        " ".join(map(str, range(40_000))),
        "東" * 9000,
        "Σ'" * 9000,
        "\0" * 99,
    ],
)
def test_long_and_repetitive_texts(text):
    array = column(text, "b", text + "!")
    assert_same(shingle_sets(array), plain.shingle_sets(array))
    assert_same(shingle_sets(array, 20, "chars"), plain.shingle_sets(array, 20, "chars"))
    assert np.array_equal(text_hashes(array), plain.text_hashes(array))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@settings(deadline=None)
@given(st.lists(st.lists(TEXT | st.text(min_size=60) | st.none(), max_size=4), max_size=4), st.integers(0, 5))
def test_characters_are_counted(kind, chunks, start):
    texts = pa.chunked_array([pa.array(chunk, kind) for chunk in chunks], kind).slice(start)
    assert char_counts(texts).tolist() == [len(text or "") for text in texts.to_pylist()]


@settings(deadline=None)
@given(st.lists(st.lists(TEXT | st.none(), max_size=4), max_size=4), st.integers(0, 5), st.integers(0, 9), st.data())
def test_slices_chunks_and_kinds_of_string(chunks, start, length, data):
    kind = data.draw(st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]))
    whole = pa.chunked_array([pa.array(chunk, kind) for chunk in chunks], kind)
    part = whole.slice(start, length)
    flat = column(*part.to_pylist())
    assert_same(shingle_sets(part), plain.shingle_sets(flat))
    assert np.array_equal(text_hashes(part), plain.text_hashes(flat))


def test_nulls_over_bytes_count_as_empty():
    offsets, data = pa.py_buffer(np.array([0, 3, 6], np.int64)), pa.py_buffer(b"abcdef")
    array = pa.LargeStringArray.from_buffers(2, offsets, data, pa.py_buffer(b"\x02"))
    assert array.to_pylist() == [None, "def"]
    assert_same(shingle_sets(array), plain.shingle_sets(array))
    assert np.array_equal(text_hashes(array), plain.text_hashes(array))


def test_only_nulls_have_no_bytes():
    for array in (pa.nulls(2, pa.large_string()), pa.nulls(2, pa.string()), pa.nulls(2)):
        assert np.array_equal(text_hashes(array), text_hashes(column("", "")))
        assert_same(shingle_sets(array), shingle_sets(column("", "")))


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 20), st.integers(0, 3))
def test_row_blocks(lengths, limit, before):
    offsets = np.cumsum([before, *lengths])
    ranges = list(row_blocks(offsets, limit))
    assert [row for low, high in ranges for row in range(low, high)] == list(range(len(lengths)))
    assert all(high == low + 1 or offsets[high] - offsets[low] <= limit for low, high in ranges)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_do_not_show(size, monkeypatch):
    array = column("", "a b c d e f", None, "東京" * 40, "", "İ Σ", " ", "g")
    before = shingle_sets(array), text_hashes(array)
    monkeypatch.setattr(shingles, "_BLOCK_CHARS", size)
    monkeypatch.setattr(exact, "_BLOCK_BYTES", size)
    assert_same(shingle_sets(array), before[0])
    assert np.array_equal(text_hashes(array), before[1])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=6))
def test_bytes_that_are_no_text_stay_in_their_rows(rows):
    """Arrow says that text is UTF-8; if it is not, values are anything, but nothing outside is read or written."""
    ends = np.cumsum([0, *map(len, rows)])
    array = pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(ends), pa.py_buffer(b"".join(rows)))
    forms = [bytes(form) for form in exact._normal_forms(array)]
    for row, form in zip(rows, forms):
        alone = pa.LargeStringArray.from_buffers(1, pa.py_buffer(np.array([0, len(row)])), pa.py_buffer(row))
        assert list(map(bytes, exact._normal_forms(alone))) == [form]


@pytest.mark.parametrize("before", [0, 1, 30, 31, 32, 63, 64, 65, 100])
def test_tokens_across_blocks_of_ascii(before):
    """Long words, other letters and ends at every place of the 64 bytes that are looked at together."""
    tails = ["", " b c d e", "é word " * 12, "x" * 70 + " y", "ab" * 40 + "É" + "c" * 64, "中" + "a b " * 20]
    array = column(*("a" * before + tail[:cut] for tail in tails for cut in (1, 2, 63, 64, 65, 66, 67, 200)))
    assert_same(shingle_sets(array), plain.shingle_sets(array))


def test_one_large_document():
    text = "Es war einmal ein Müller, der hatte drei Söhne. " + " ".join(map(str, range(300_000)))
    array = column("before", text, "after")
    assert_same(shingle_sets(array), plain.shingle_sets(array))


def test_hashes_are_those_of_sha256():
    digest = hashlib.sha256("i̇ σας".encode()).digest()
    assert text_hashes(column(" İ\n\nΣΑΣ "))[0].tolist() == [int.from_bytes(digest[i : i + 8], "big") for i in (0, 8)]


# --- real text


def records(path):
    data = path.read_bytes()
    lines = gzip.decompress(data) if path.suffix == ".gz" else zstandard.ZstdDecompressor().stream_reader(data).read()
    return [orjson.loads(line) for line in lines.splitlines() if line.strip()]


def assert_twins(texts):
    array = column(*texts)
    offsets, values = shingle_sets(array)
    assert_same((offsets, values), plain.shingle_sets(array))
    fold = ("width", "simplified")
    assert_same(shingle_sets(array, 8, "chars", fold, 7), plain.shingle_sets(array, 8, "chars", fold, 7))
    assert np.array_equal(text_hashes(array), plain.text_hashes(array))
    found = signatures(offsets, values, 112, 3)
    assert_same([found], [plain.signatures(offsets, values, 112, 3)])
    assert_same([band_hashes(found, Bands(14, 8))], [plain.band_hashes(found, Bands(14, 8))])


def test_demo_documents(request):
    files = sorted((request.config.rootpath / "configs" / "demo").glob("*.jsonl.*"))
    assert files
    for path in files:
        assert_twins([record["text"] for record in records(path) if isinstance(record.get("text"), str)])


@pytest.mark.shared
def test_real_documents(shared_data):
    files = sorted((shared_data / "text").glob("multilingual_*.jsonl.gz"))
    for path in files:
        assert_twins([record["text"] for record in records(path)[::8]])
