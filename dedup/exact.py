"""Identical texts: the normal form, its 128-bit hash, and the 128-bit key of a record.

    normalise("  Hello\\n\\tWORLD ")  ->  "hello world"

Two texts with equal normal forms have equal tokens (white space and case are no part of a token), so their
shingle sets are equal too and their Jaccard similarity is 1: an exact duplicate is always a near-duplicate.
Not covered: Unicode normalisation, punctuation. Do that in a step before.

The hash stays cryptographic: equal hashes are believed without another look at the texts, so nobody may be able to
write a text that has the hash of another's. It is SHA-256, which most CPUs have instructions for: 1.5 GB/s where BLAKE2b
makes 0.86."""

import hashlib
from collections.abc import Iterator

import numpy as np

from dedup.characters import character_table
from dedup.columns import Column, row_blocks, text_buffers
from kernels.normal import ROOM, normal_forms

_BLOCK_BYTES = 1 << 19  # of texts brought to their normal form together: what is written is still in the cache to hash


def normalise(text: str) -> str:
    """Lower case, each run of white space one space, none at the ends."""
    return " ".join(text.lower().split())


def text_hashes(texts: Column) -> np.ndarray:
    """The first 128 bits of sha256 of each normalised text: uint64, shape (n, 2), first half first. Null counts as ""."""
    sha256 = hashlib.sha256
    return _as_numbers(b"".join([sha256(form).digest() for form in _normal_forms(texts)]), 32)


def record_keys(sources: Column, ids: Column) -> np.ndarray:
    """blake2b-128 of source + NUL + id: uint64, shape (n, 2). The key of ties, splits and shuffles.

    It knows neither file nor row, so a record keeps it wherever it is read from. Null counts as "".
    """
    blake2b = hashlib.blake2b
    pairs = zip(sources.to_pylist(), ids.to_pylist(), strict=True)
    names = (f"{source or ''}\0{identity or ''}".encode("utf-8", "surrogatepass") for source, identity in pairs)
    return _as_numbers(b"".join([blake2b(name, digest_size=16).digest() for name in names]), 16)


def _normal_forms(texts: Column) -> Iterator[memoryview]:
    """Each text as `normalise` has it, in UTF-8; good until the next is taken."""
    table = character_table()
    for offsets, data in text_buffers(texts):
        for low, high in row_blocks(offsets, _BLOCK_BYTES):
            out = np.empty((offsets[high] - offsets[low]) * 3 // 2 + ROOM, np.uint8)
            ends = np.empty(high - low, np.int64)
            normal_forms(offsets, data, low, high, table, out, ends)
            view, start = out.data, 0
            for end in ends.tolist():
                yield view[start:end]
                start = end


def _as_numbers(digests: bytes, size: int) -> np.ndarray:
    """The first 16 bytes of each digest of `size`: uint64, shape (n, 2)."""
    # big-endian, so that the order of the numbers is the order of the digests written in hex
    return np.frombuffer(digests, dtype=">u8").reshape(-1, size // 8)[:, :2].astype(np.uint64)
