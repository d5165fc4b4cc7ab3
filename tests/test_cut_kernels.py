"""Kernels that find and cut repeated lines and runs of tokens, against their plain twins."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dedup_kernels import CODES, ODD, TEXT

from dedup import lines, plain_cuts, substrings
from dedup.shingles import tokens

LINES = st.lists(st.sampled_from(["", " ", "\u3000\t", "a", "B 1", "b2", "!", "好。", "a\r"]), max_size=12).map(
    "\n".join
)
# few words, so that runs come again; marks, brackets and line feeds between them
WORDS = st.lists(
    st.sampled_from(["a ", "b ", "c. ", "好", "世「", "é\u0301 ", "x\n", "y?!\n\n", "(z) "]), max_size=40
).map("".join)


def column(texts):
    return pa.array(texts, pa.large_string())


# -- lines -----------------------------------------------------------------------------------------


def plain_units(texts, paragraphs):
    return [[plain_cuts.unit_text(t, unit) for unit in plain_cuts.units(t, paragraphs)] for t in texts]


@pytest.mark.parametrize("paragraphs", [False, True])
@given(texts=st.lists(TEXT | LINES, max_size=5))
def test_units_and_their_normal_forms(paragraphs, texts):
    found = lines.units(column(texts), paragraphs)
    expected = plain_units(texts, paragraphs)
    assert found.counts.tolist() == [len(units) for units in expected]
    flat = [unit for units in expected for unit in units]
    owners = found.rows().tolist()
    encoded = [text.encode() for text in texts]
    assert [encoded[row][a:b].decode() for row, a, b in zip(owners, found.starts.tolist(), found.ends.tolist())] == flat
    forms = [plain_cuts.normal_form(unit) for unit in flat]
    assert found.chars.tolist() == [len(form) for form in forms]
    for form, number in zip(forms, found.hashes.tolist()):
        assert (number == 0) == (form == "")
    assert len(set(zip(forms, found.hashes.tolist()))) == len(set(forms)) == len(set(found.hashes.tolist()))


def test_normal_form_of_every_character():
    texts = [f"a{chr(code)}b" for code in CODES if code not in (10, *range(0xD800, 0xE000))]
    found = lines.units(column(texts))
    forms = [plain_cuts.normal_form(text) for text in texts]
    assert found.chars.tolist() == [len(form) for form in forms]
    assert len(set(zip(forms, found.hashes.tolist()))) == len(set(forms)) == len(set(found.hashes.tolist()))


@given(texts=st.lists(LINES, max_size=4), paragraphs=st.booleans(), drawn=st.randoms(use_true_random=False))
def test_texts_without_units(texts, paragraphs, drawn):
    found = lines.units(column(texts), paragraphs)
    units = [plain_cuts.units(text, paragraphs) for text in texts]
    cut = [[drawn.random() < 0.4 for _ in row] for row in units]
    expected = [
        plain_cuts.without_lines(text, {n for unit, out in zip(row, flags) if out for n in unit})
        for text, row, flags in zip(texts, units, cut)
    ]
    flags = np.array([flag for row in cut for flag in row], bool)
    # in two chunks and with a slice: offsets that do not begin at 0
    whole = column(["before\nit", *texts])
    parts = pa.chunked_array([whole.slice(1, 1), whole.slice(2)]) if len(texts) > 1 else whole.slice(1)
    assert lines.without_units(parts, found, flags).to_pylist() == expected


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 3)), max_size=60),
    limit=st.integers(1, 3),
    keep_first=st.booleans(),
)
def test_repeats_against_a_count(rows, limit, keep_first):
    """Rows (document, hash, source): what stands in more than `limit` sources goes, the first of it may stay."""
    seen: Counter[int] = Counter()
    table = []
    for doc, value, source in sorted(rows):
        table.append((doc, seen[doc], value, source))
        seen[doc] += 1
    expected = []
    for value in {row[2] for row in table}:
        equal = sorted(
            (-row[0], row[1], row[0], row[3]) for row in table if row[2] == value
        )  # rank: the last comes first
        if len({row[3] for row in equal}) > limit:
            documents = len({row[2] for row in equal})
            for place, (_, number, doc, _) in enumerate(equal):
                cut = place > 0 or not keep_first
                expected.append((doc, number, cut, place == 0, documents, len(equal) - keep_first))
    columns = np.array(table[::-1], np.uint64).reshape(-1, 4).T
    docs, numbers, hashes, sources = (np.ascontiguousarray(c) for c in columns)
    found = lines.repeats(hashes, docs, numbers, sources, np.uint64(9) - docs, limit, keep_first)
    fields = (found.docs, found.numbers, found.cut, found.listed, found.documents, found.removed)
    assert list(zip(*(field.tolist() for field in fields))) == sorted(expected)


# -- runs of tokens --------------------------------------------------------------------------------


def cut_by_kernels(texts, k, keep_first, order=None):
    """The texts after the whole chain: anchors, shared, windows, repeated, cut. `order`: rank of each text."""
    ranks = np.arange(len(texts)) if order is None else np.asarray(order)
    hashes, rows, places = substrings.anchors(column(texts), k)
    again = substrings.shared(hashes)
    found, owners, firsts = substrings.windows(column(texts), rows[again], places[again], k)
    cut = substrings.repeated(found, ranks[owners].astype(np.uint64), owners.astype(np.uint64), firsts, k, keep_first)
    result = substrings.without_windows(column(texts), owners[cut], firsts[cut], k)
    changed = dict(zip(np.unique(owners[cut]).tolist(), result.texts.to_pylist()))
    return [changed.get(row, text) for row, text in enumerate(texts)], result.spans


def cut_plainly(texts, k, keep_first, order=None):
    ranks = list(range(len(texts))) if order is None else order
    spans = {row: plain_cuts.token_spans(text) for row, text in enumerate(texts)}
    in_order = sorted(spans, key=lambda row: ranks[row])
    words = {row: [texts[row][a:b].lower() for a, b in spans[row]] for row in in_order}
    cut = plain_cuts.repeated_windows(words, k, keep_first)
    return [plain_cuts.without_windows(text, cut[row], k) if row in cut else text for row, text in enumerate(texts)]


@settings(max_examples=300)
@given(
    texts=st.lists(WORDS | TEXT, max_size=6),
    k=st.integers(2, 7),
    keep_first=st.booleans(),
    drawn=st.randoms(use_true_random=False),
)
def test_exactly_what_all_windows_would_say(texts, k, keep_first, drawn):
    """The oracle looks at every window of every text: a table of all runs of k tokens."""
    order = list(range(len(texts)))
    drawn.shuffle(order)
    found, spans = cut_by_kernels(texts, k, keep_first, order)
    assert found == cut_plainly(texts, k, keep_first, order)
    assert (spans[:, 3] >= k).all() and (spans[:, 1] < spans[:, 2]).all()


@given(texts=st.lists(TEXT | WORDS, max_size=5))
def test_places_of_tokens_are_those_of_shingles(texts):
    """A cut of every token leaves what is no token: the places agree with the tokens that are hashed."""
    for text in texts:
        assert len(tokens(text)) == len(plain_cuts.token_spans(text))


@pytest.mark.parametrize("code", ODD)
def test_odd_characters_inside_a_copy(code):
    copied = " ".join(f"w{i}{code}" for i in range(12))
    texts = [f"one {copied} two", f"three {copied} four"]
    for keep_first in (True, False):
        assert cut_by_kernels(texts, 8, keep_first)[0] == cut_plainly(texts, 8, keep_first)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2), st.integers(0, 9)), max_size=30, unique=True
    ),
    keep_first=st.booleans(),
)
def test_half_a_hash_in_common_is_no_equality(rows, keep_first):
    """Rows (first half, second half, document, place), each half drawn from few."""
    rows = sorted({(doc, place): (doc, place, one, two) for one, two, doc, place in rows}.values())
    expected = set()
    for one, two in {row[2:] for row in rows}:
        equal = sorted((-doc, doc, place) for doc, place, *hashes in rows if hashes == [one, two])
        apart = [row for row in equal if row[1] != equal[0][1] or row[2] >= equal[0][2] + 3]
        expected |= {row[1:] for row in ((apart if keep_first else equal) if apart else [])}
    table = np.array(rows, np.uint64).reshape(-1, 4)
    docs, places = table[:, 0].copy(), table[:, 1].astype(np.int64)
    found = substrings.repeated(table[:, 2:].copy(), np.uint64(9) - docs, docs, places, 3, keep_first)
    assert [tuple(rows[row][:2]) for row in found.tolist()] == sorted(expected)


def test_places_that_overlap_are_one():
    text = "ha " * 100
    assert cut_by_kernels([text], 50, True)[0] == ["ha " * 50]
    assert cut_by_kernels(["ha " * 99], 50, True)[0] == ["ha " * 99]
    assert cut_by_kernels(["ha " * 99], 50, False)[0] == ["ha " * 99]


@pytest.mark.shared
@pytest.mark.parametrize("keep_first", [True, False])
def test_real_texts(shared_data, keep_first):
    """Releases of the same manuals, most of them Chinese: every cut is the oracle's."""
    texts = []
    for line in gzip.decompress((shared_data / "text" / "multilingual_0.jsonl.gz").read_bytes()).splitlines()[::10]:
        texts.append(json.loads(line)["text"])
    found, spans = cut_by_kernels(texts, 50, keep_first)
    assert found == cut_plainly(texts, 50, keep_first)
    assert len(spans) > 50
    paragraphs = lines.units(column(texts), True)
    units = plain_units(texts, True)
    assert paragraphs.counts.tolist() == [len(row) for row in units]
