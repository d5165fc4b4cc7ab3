"""Normal form, text hashes, record keys."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.exact import normalise, record_keys, text_hashes
from dedup.hashing import mix_in_place, mix_int
from dedup.shingles import tokens


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Hello\n\tWORLD ", "hello world"),
        ("a\u3000b\u00a0c\x85d", "a b c d"),
        ("ÉCOLE", "école"),
        ("a.b", "a.b"),
        (" \n", ""),
        ("", ""),
    ],
)
def test_normalise(text, normal):
    assert normalise(text) == normal


@settings(deadline=None)
@given(st.text())
def test_normalising_changes_no_token(text):
    assert tokens(normalise(text)) == tokens(text)
    assert normalise(normalise(text)) == normalise(text)


def test_text_hashes_are_sha256_of_the_normal_form():
    hashes = text_hashes(pa.chunked_array([["Two  Words", None], ["two words\n", "two-words"]]))
    assert hashes.dtype == np.uint64 and hashes.shape == (4, 2)
    digest = hashlib.sha256(b"two words").hexdigest()[:32]
    assert f"{hashes[0, 0]:016x}{hashes[0, 1]:016x}" == digest
    assert np.array_equal(hashes[0], hashes[2])
    assert not np.array_equal(hashes[0], hashes[3])
    assert np.array_equal(hashes[1], text_hashes(pa.array([""]))[0])


def test_no_rows():
    assert text_hashes(pa.array([], pa.large_string())).shape == (0, 2)
    assert record_keys(pa.array([], pa.string()), pa.array([], pa.string())).shape == (0, 2)


def test_record_keys_tell_source_and_id_apart():
    keys = record_keys(pa.array(["a", "a", "ab", "a", None]), pa.array(["bc", "bd", "c", "bc", "x"]))
    assert np.array_equal(keys[0], keys[3])
    assert len(np.unique(keys, axis=0)) == 4
    digest = hashlib.blake2b(b"a\0bc", digest_size=16).digest()
    assert keys[0].tolist() == [int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1)))
def test_mixing_arrays_and_integers_agree(values):
    assert mix_in_place(np.array(values, np.uint64)).tolist() == [mix_int(value) for value in values]


def test_mix_is_that_of_splitmix64():
    """The generator's published stream from seed 1234567 (its state goes up by the golden ratio)."""
    golden = 0x9E3779B97F4A7C15
    stream = [mix_int(1234567 + step * golden) for step in range(1, 4)]
    assert stream == [6457827717110365317, 3203168211198807973, 9817491932198370423]
