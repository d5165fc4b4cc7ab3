"""Each kernel of dedup against its plain twin: the same integers, the same floats."""

import gzip
import hashlib
import tempfile

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
from dedup.candidates import candidate_pairs, twins
from dedup.characters import character_table
from dedup.columns import frozen, row_blocks
from dedup.exact import normalise, text_hashes
from dedup.join import HeldoutIndex
from dedup.minhash import Bands, band_hashes, signatures
from dedup.shingles import shingle_sets
from dedup.similarity import jaccards_between, similarities_of
from dedup.survivors import components, survivors
from kernels.compile import kernel
from kernels.gather import copy_rows, read_rows
from kernels.graph import order_rows
from kernels.shingles import PLACES
from kernels.sorting import COUNTS, sort_unique

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


# --- numbers


@kernel(cache=False)
def sorted_unique(source, target, low, counts):
    return sort_unique(source, len(source), target, low, counts)


def sort(values):
    target = np.zeros(len(values) + 7, np.uint64)
    count = sorted_unique(np.array(values, np.uint64), target, 3, np.empty(COUNTS, np.uint32))
    assert not target[:3].any() and not target[3 + len(values) :].any()
    return target[3 : 3 + count]


HASH = st.integers(0, 2**64 - 1) | st.integers(0, 5) | st.integers(2**64 - 5, 2**64 - 1)


@settings(deadline=None)
@given(st.lists(HASH, min_size=1, max_size=80))
def test_sorting(values):
    assert sort(values).tolist() == sorted(set(values))


@pytest.mark.parametrize("count", [4095, 4096, 4097, 9000, 300_000])
@pytest.mark.parametrize("kind", ["even", "small", "two", "one", "down", "close"])
def test_sorting_many(count, kind):
    chance = np.random.default_rng(count)
    values = {
        "even": chance.integers(0, 2**64, count, np.uint64),
        "small": chance.integers(0, 1000, count).astype(np.uint64),
        "two": chance.choice(np.array([5, 9], np.uint64), count),
        "one": np.full(count, 7, np.uint64),
        "down": np.arange(count, 0, -1, dtype=np.uint64),
        "close": chance.integers(0, 2**40, count, np.uint64) + np.uint64(2**63),
    }[kind]
    assert np.array_equal(sort(values), np.unique(values))


ROWS = st.lists(st.lists(HASH, max_size=30), min_size=1, max_size=6)


def sets_of(rows):
    arrays = [np.unique(np.array(row, np.uint64)) for row in rows]
    return np.concatenate(([0], np.cumsum([len(a) for a in arrays]))), np.concatenate([*arrays, np.zeros(0, np.uint64)])


@settings(deadline=None)
@given(ROWS, st.integers(1, 40), st.integers(0, 9))
def test_signatures_and_bands(rows, hashes, seed):
    sets = sets_of(rows)
    found = signatures(*sets, hashes, seed)
    assert_same([found], [plain.signatures(*sets, hashes, seed)])
    for size in {1, hashes}:
        bands = Bands(hashes // size, size)
        assert_same([band_hashes(found, bands)], [plain.band_hashes(found, bands)])
    if hashes > 3:  # columns of a wider array
        bands = Bands(3, 1)
        assert_same([band_hashes(found[:, 1:4], bands)], [plain.band_hashes(found[:, 1:4], bands)])


@settings(deadline=None)
@given(
    ROWS,
    ROWS,
    st.data(),
    st.sampled_from([0.0, 0.3, 0.5, 2 / 3, 0.8, 1.0, 1.5]),
    st.sampled_from(["jaccard", "containment"]),
)
def test_similarities(left_rows, right_rows, data, least, measure):
    left_sets, right_sets = sets_of(left_rows), sets_of(right_rows)
    pair = st.tuples(st.integers(0, len(left_rows) - 1), st.integers(0, len(right_rows) - 1))
    pairs = np.array(data.draw(st.lists(pair, max_size=9)), np.int64).reshape(-1, 2)
    arguments = left_sets, right_sets, pairs[:, 0], pairs[:, 1], least, measure
    assert_same([similarities_of(*arguments)], [plain.similarities_of(*arguments)])


@pytest.mark.parametrize("spread", [2**64, 2000, 9000])
@pytest.mark.parametrize("least", [0.0, 0.5, 0.8, 0.81])
def test_similarities_of_larger_sets(spread, least):
    """Sets of up to 900, shares around the threshold, evenly spread and crowded at one end, one part of another."""
    chance = np.random.default_rng(5)
    rows = []
    for share in np.linspace(0, 1, 60):
        pool = chance.integers(0, spread, int(chance.integers(1, 900)), np.uint64)
        cut = int(len(pool) * share)
        rows += [
            pool,
            np.concatenate((pool[:cut], chance.integers(0, spread, len(pool) - cut, np.uint64))),
            np.sort(pool)[:cut],
        ]
    sets, left = sets_of(rows), np.arange(0, 180, 3)
    for right in (left + 1, left + 2, left, (left + 3) % 180):
        for measure in ("jaccard", "containment"):
            arguments = sets, sets, left, right, least, measure
            assert_same([similarities_of(*arguments)], [plain.similarities_of(*arguments)])


@pytest.mark.parametrize("measure", ["jaccard", "containment"])
def test_similarities_of_a_small_set_and_a_large_one(measure):
    """Sets of 1 to 60 in sets of up to 5,000, with shares of 0 to 1: values are searched, not merged."""
    chance = np.random.default_rng(8)
    rows = []
    for size in [*range(1, 61), 300]:
        pool = np.unique(chance.integers(0, 2**64, 5000, np.uint64))
        for share in (0.0, 0.5, 0.8, 1.0):
            own = chance.integers(0, 2**64, size, np.uint64)
            own[: int(share * size)] = chance.choice(pool, int(share * size), replace=False)
            rows += [own, pool, pool[:3], np.array([2**64 - 1], np.uint64)]
    sets, left = sets_of(rows), np.arange(0, len(rows), 4)
    for right in (left + 1, left + 2, left + 3):
        for least in (0.0, 0.5, 0.8, 1.0):
            for pair in ((left, right), (right, left)):
                arguments = sets, sets, *pair, least, measure
                assert_same([similarities_of(*arguments)], [plain.similarities_of(*arguments)])


def test_inputs_are_left_as_they_are(tmp_path):
    """Sets read from files are read-only; hashes come as columns of a table."""
    rows = [[1, 2, 3], [2, 3, 4], [9]]
    offsets, values = sets_of(rows)
    values.astype("<u8").tofile(tmp_path / "values")
    mapped = np.memmap(tmp_path / "values", "<u8", "r")
    ones = np.array([0, 1])
    assert jaccards_between((offsets, mapped), (offsets, values), ones, ones[::-1]).tolist() == [0.5, 0.5]
    assert len(HeldoutIndex(offsets, mapped, 0.5).probe(offsets, mapped)[0]) == 5
    assert np.array_equal(signatures(offsets, mapped, 8, 1), signatures(offsets, values, 8, 1))
    table = np.array([[7, 1, 0], [7, 2, 1]], np.uint64)
    assert candidate_pairs(table[:, 0], table[:, 1], table[:, 2]).pairs.tolist() == [[0, 1]]
    assert values.tolist() == [1, 2, 3, 2, 3, 4, 9]


# --- graphs


@settings(deadline=None)
@given(st.integers(1, 30), st.data())
def test_graphs(n, data):
    edge = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    edges = np.array(data.draw(st.lists(edge, max_size=60)), np.int64).reshape(-1, 2)
    assert np.array_equal(components(n, edges), plain.components(n, edges))
    weights = np.array(data.draw(st.lists(st.sampled_from([0.5, 0.8, 0.9]), min_size=len(edges), max_size=len(edges))))
    found = survivors(np.arange(n), edges, weights, [])
    ends = np.sort(edges, axis=1)
    real = ends[:, 0] != ends[:, 1]
    alive = plain.first_independent_set(n, ends[real])
    keeper, similarity = plain.keepers(n, alive, ends[real], weights[real])
    assert np.array_equal(found.kept, alive)
    assert np.array_equal(found.duplicate_of, np.where(alive, -1, keeper))
    assert np.array_equal(found.similarity, similarity, equal_nan=True)


@pytest.mark.parametrize("count", [40, 3000])
def test_rows_of_one_hash_are_put_in_order(count):
    """A template's group: as many rows of equal hash as there are documents."""
    chance = np.random.default_rng(count)
    hash, twin = np.full(count, 3, np.uint64), chance.integers(0, count, count).astype(np.uint64)
    doc = chance.permutation(count).astype(np.uint64)
    order = np.lexsort((doc, twin))
    first = np.unique(twin[order], return_index=True)[1]
    assert candidate_pairs(hash, twin, doc, cap=5).big[0].tolist() == doc[order][first].tolist()
    same = twins(hash, twin, doc)
    assert len(same) == count - len(first)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 3), st.integers(0, 9)), max_size=60), st.booleans())
def test_rows_in_order(rows, crowded):
    columns = np.array(rows, np.uint64).reshape(-1, 3).T
    if crowded:
        columns[0] %= np.uint64(3)
    first, second, third = (frozen(column, np.uint64) for column in columns)
    order = np.empty(len(first), np.int64)
    order_rows(first, second, third, order)
    assert np.sort(order).tolist() == list(range(len(rows)))
    expected = np.lexsort((third, second, first))
    assert (columns[:, order] == columns[:, expected]).all()


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=8), st.data())
def test_rows_copied(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    offsets = np.cumsum([0, *map(len, rows)])
    ends = np.cumsum([0, *(len(rows[i]) for i in chosen)])
    out = np.empty(ends[-1], np.uint64)
    values = frozen(np.array([v for row in rows for v in row], np.uint64), np.uint64)
    copy_rows(values, frozen(offsets, np.int64), np.array(chosen, np.int64), out, frozen(ends, np.int64))
    assert out.tolist() == [v for i in chosen for v in rows[i]]
    with tempfile.TemporaryFile() as file:
        file.write(values.tobytes())
        file.flush()
        read = np.zeros_like(out)
        asked = frozen(offsets, np.int64), np.array(chosen, np.int64), read, frozen(ends, np.int64)
        assert read_rows(file.fileno(), *asked) == len(chosen) and (read == out).all()
        cut = len(values) // 2
        file.truncate(8 * cut)
        there = read_rows(file.fileno(), *asked)
        assert (there == len(chosen)) == all(offsets[i + 1] <= cut or not rows[i] for i in chosen)
    assert not len(out) or read_rows(-1, *asked) < len(chosen)


def test_hashes_are_those_of_sha256():
    digest = hashlib.sha256("i̇ σας".encode()).digest()
    assert text_hashes(column(" İ\n\nΣΑΣ "))[0].tolist() == [int.from_bytes(digest[i : i + 8], "big") for i in (0, 8)]
