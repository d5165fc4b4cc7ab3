"""`kernels.utf8` against Python's own decoder, and what is said of columns that are no text."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.texts import find_buffers
from kernels.utf8 import is_utf8


def judged(data: bytes, start: int = 0, end: int | None = None) -> bool:
    return is_utf8(np.frombuffer(data, np.uint8), start, len(data) if end is None else end)


def plain(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


EDGES = [
    0x00,
    0x41,
    0x7F,
    0x80,
    0x8F,
    0x90,
    0x9F,
    0xA0,
    0xBF,
    0xC0,
    0xC1,
    0xC2,
    0xDF,
    0xE0,
    0xE1,
    0xEC,
    0xED,
    0xEE,
    0xEF,
]
EDGES += [0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]


def test_all_pairs_of_bytes():
    for pair in itertools.product(range(256), repeat=2):
        assert judged(bytes(pair)) == plain(bytes(pair)), pair


@pytest.mark.parametrize("before", [0, 1, 59, 60, 61, 62, 63, 64, 65, 127])
def test_sequences_at_the_edges_of_blocks(before):
    """Each class of byte that the rules tell apart, in runs of one to four, in one text and across two blocks."""
    for size in (1, 2, 3):
        for some in itertools.product(EDGES, repeat=size):
            data = b"a" * before + bytes(some) + b"z" * (len(some) % 2 * 70)
            assert judged(data) == plain(data), (before, some)
    for some in itertools.product(
        [0xE0, 0xED, 0xF0, 0xF1, 0xF4, 0xF5], EDGES[3:12], [0x7F, 0x80, 0xBF, 0xC2], [0x41, 0x80, 0xBF]
    ):
        data = b"a" * before + bytes(some)
        assert judged(data) == plain(data), (before, some)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.text(max_size=40).map(str.encode) | st.binary(max_size=3) | st.just(b"plain text " * 9), max_size=12)
)
def test_mixtures(parts):
    data = b"".join(parts)
    assert judged(data) == plain(data)


def test_part_of_a_buffer():
    data = "\u00e9tude 中文 ".encode() * 20
    for start, end in itertools.product(range(12), range(len(data) - 70, len(data) + 1)):
        assert judged(data, start, end) == plain(data[start:end])


@pytest.mark.parametrize(
    ("offsets", "data"),
    [
        ([0, 1, 2], "é".encode()),  # UTF-8 as a whole, but not text by text
        ([0, 3], b"a\xffb"),
        ([0, 2, 1, 2], b"ab"),
    ],
)
def test_columns_that_are_no_text_are_refused(offsets, data):
    array = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(np.array(offsets)), pa.py_buffer(data))
    with pytest.raises((pa.ArrowInvalid, UnicodeDecodeError)):
        find_buffers(array)


def test_empty_texts_may_stand_anywhere():
    array = pa.LargeStringArray.from_buffers(3, pa.py_buffer(np.array([0, 2, 2, 4])), pa.py_buffer("éé".encode()))
    offsets, _ = find_buffers(array)
    assert offsets.tolist() == [0, 2, 2, 4]
