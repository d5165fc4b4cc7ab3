"""Identical texts: the normal form, its 128-bit hash, and the 128-bit key of a record.

    normalise("  Hello\\n\\tWORLD ")  ->  "hello world"

Two texts with equal normal forms have equal tokens (white space and case are no part of a token), so their
shingle sets are equal too and their Jaccard similarity is 1: an exact duplicate is always a near-duplicate.
Not covered: Unicode normalisation, punctuation. Do that in a step before."""

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pyarrow as pa

Column: TypeAlias = pa.Array | pa.ChunkedArray


def normalise(text: str) -> str:
    """Lower case, each run of white space one space, none at the ends."""
    return " ".join(text.lower().split())


def text_hashes(texts: Column) -> np.ndarray:
    """blake2b-128 of each normalised text: uint64, shape (n, 2), first half first. Null counts as ""."""
    return _hash_rows(normalise(text or "") for text in texts.to_pylist())


def record_keys(sources: Column, ids: Column) -> np.ndarray:
    """blake2b-128 of source + NUL + id: uint64, shape (n, 2). The key of ties, splits and shuffles.

    It knows neither file nor row, so a record keeps it wherever it is read from. Null counts as "".
    """
    pairs = zip(sources.to_pylist(), ids.to_pylist(), strict=True)
    return _hash_rows(f"{source or ''}\0{identity or ''}" for source, identity in pairs)


def _hash_rows(rows: Iterable[str]) -> np.ndarray:
    blake2b = hashlib.blake2b
    digests = b"".join(blake2b(row.encode("utf-8", "surrogatepass"), digest_size=16).digest() for row in rows)
    # big-endian, so that the order of the numbers is the order of the digests written in hex
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
