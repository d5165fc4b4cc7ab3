"""Columns of more than 2**31 bytes: offsets are 64 bits wide all the way."""

import mmap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import filters
from dedup.exact import text_hashes
from dedup.shingles import shingle_sets
from filters import Texts, counts
from filters.language import identify
from filters.lines import c4_lines
from filters.rows import plain
from filters.texts import PAD

filters.load_builtin()
FAR = (1 << 31) + 12_345
TEXTS = [
    "The mill grinds slowly, but it doesn't stop. It's fine... # really?\n\n- one line\n- one line\n",
    "",
    "磨坊主慢慢地磨着麦子。面粉从石头之间流出来！\u2028Ünï cödé 5km. Mail: miller@mill.org",
    "a b a b a b a b a b a b { lorem ipsum",
]


def behind(path: Path, first: int, tail: int) -> tuple[pa.Buffer, np.ndarray]:
    """A buffer with TEXTS from byte `first` on and `tail` bytes behind, the rest of it a hole; and their offsets."""
    pieces = [text.encode() for text in TEXTS]
    with open(path, "w+b") as file:
        file.seek(first)
        file.write(b"".join(pieces))
        file.truncate(file.tell() + tail)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.py_buffer(mapped), np.cumsum([first, *map(len, pieces)])


def column(path: Path, first: int, layout: str) -> pa.Array | pa.ChunkedArray:
    data, offsets = behind(path, first, 0 if layout == "foreign" else PAD)
    if layout == "slice":  # the row in front is all that lies before: never read
        offsets = np.concatenate([[0], offsets])
        buffers = [None, pa.py_buffer(offsets), data]
        return pa.Array.from_buffers(pa.large_string(), len(TEXTS) + 1, buffers).slice(1)
    valid = pa.py_buffer(np.packbits([True, False, True, True], bitorder="little")) if layout == "null" else None
    array = pa.Array.from_buffers(pa.large_string(), len(TEXTS), [valid, pa.py_buffer(offsets), data])
    return pa.chunked_array([array.slice(0, 1), array.slice(1, 2), array.slice(3)]) if layout == "chunks" else array


@pytest.mark.parametrize("layout", ["plain", "slice", "foreign", "null", "chunks"])
def test_texts_behind_the_first_2_gib_count_the_same(tmp_path, layout):
    far = column(tmp_path / "far", FAR, layout)
    near = pa.array([TEXTS[0], None if layout == "null" else "", *TEXTS[2:]], pa.large_string())
    texts, same = Texts(far), Texts(near)
    if layout in ("plain", "slice"):
        assert texts.spans.starts[0] == FAR  # read where they lie
    for family in ("in_sentences", "in_marks", "in_words", "in_ngrams", "in_lines", "in_characters"):
        find = getattr(counts, family)
        assert texts.once(find).table.tolist() == same.once(find).table.tolist(), family
    for name, signal in filters.SIGNALS.items():
        if signal.function.__module__.startswith("filters.") and signal.family not in ("tokens", "chat"):
            assert signal.function(texts).tolist() == signal.function(same).tolist(), name
    assert c4_lines(texts, min_words=1).to_pylist() == c4_lines(same, min_words=1).to_pylist()
    for name in ("scrub_pii", "repair_unicode", "normalize_whitespace"):
        edit = filters.EDITS[name].function
        assert edit(Texts(far)).to_pylist() == edit(Texts(near)).to_pylist(), name
    found, expected = identify(texts), identify(same)
    assert found[0] == expected[0] and found[1].tolist() == expected[1].tolist()
    assert text_hashes(far).tolist() == text_hashes(near).tolist()
    assert [each.tolist() for each in shingle_sets(far)] == [each.tolist() for each in shingle_sets(near)]


def test_chunks_of_more_than_2_gib_together():
    """33 times the same 64 MiB of strings with 32-bit offsets: what is new is one column of 2.1 GiB."""
    text = ("mill # " * 10 + "\n").ljust(1 << 8)
    chunk = pa.array([text * (1 << 17), text * (1 << 16), text * (1 << 16)], pa.string())
    texts = Texts(pa.chunked_array([chunk] * 33))
    assert texts.spans.ends[-1] == 33 << 26
    assert texts.chars.tolist() == [1 << 25, 1 << 24, 1 << 24] * 33
    assert texts.once(counts.in_marks)["hash_signs"].tolist() == [10 << 17, 10 << 16, 10 << 16] * 33
    last = texts.take(np.array([97, 98])).spans
    assert [last.data[first : first + 256].tobytes().decode() for first in last.starts.tolist()] == [text] * 2
    del texts, last
    whole = plain(Texts(pa.chunked_array([chunk] * 33)))
    assert whole.type == pa.large_string() and len(whole) == 99 and whole[98].as_py()[-256:] == text
