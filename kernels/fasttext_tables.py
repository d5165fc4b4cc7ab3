"""The tables that a fastText model is asked through: built once, when it is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compile import kernel, part

FNV_BASIS, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)

_LINE = 64  # bytes of a cache line


@part
def hash_step(hashed: Any, byte: Any) -> Any:
    """FNV-1a, 32 bits; bytes above 127 count as negative numbers, as in the library."""
    return np.uint32(np.uint32(hashed ^ np.uint32(np.int32(np.int8(byte)))) * _FNV_PRIME)


@kernel
def read_entries(data: Any, size: int) -> Any:
    """The `size` dictionary entries at the front of `data`: text, zero byte, count (int64), kind (int8).

    Gives starts, ends, counts, kinds and where the entries end; -1 for the latter if `data` is too short.
    """
    starts, ends = np.zeros(size, np.int64), np.zeros(size, np.int64)
    counts, kinds = np.zeros(size, np.int64), np.zeros(size, np.int8)
    at = 0
    for entry in range(size):
        starts[entry] = at
        while at < len(data) and data[at] != 0:
            at += 1
        if at + 10 > len(data):
            return starts, ends, counts, kinds, -1
        ends[entry] = at
        for byte in range(8):
            counts[entry] |= np.int64(data[at + 1 + byte]) << (8 * byte)
        kinds[entry] = np.int8(data[at + 9])
        at += 10
    return starts, ends, counts, kinds, at


@kernel
def word_table(words: Any, starts: Any, ends: Any) -> Any:
    """A hash table of the entries, open addressing by the FNV-1a hash, at most half full: entry numbers, int32."""
    size = 64
    while size < 2 * len(starts):
        size *= 2
    table = np.full(size, -1, np.int32)
    for entry in range(len(starts)):
        hashed = FNV_BASIS
        for at in range(starts[entry], ends[entry]):
            hashed = hash_step(hashed, words[at])
        slot = np.int64(hashed) & (size - 1)
        while table[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        table[slot] = entry
    return table


def bucket_ranks(buckets: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For 64 buckets at a time: a bit for each that is in `buckets` (ascending), uint64; how many came before, int32."""
    blocks = count // 64 + 1
    bits = aligned_zeros(blocks, np.uint64)
    np.bitwise_or.at(bits, buckets // 64, np.uint64(1) << (buckets % 64).astype(np.uint64))
    return bits, np.searchsorted(buckets, np.arange(blocks) * 64).astype(np.int32)


def remainder_by(bucket: int) -> tuple[int, int]:
    """`magic` and `shift` with which x // bucket is (x * magic) >> shift, or one less than that, for x below 2**32."""
    shift = 32 + max(0, bucket.bit_length() - 1)
    return (-(-(1 << shift) // bucket) if bucket else 0), shift


def aligned_zeros(count: int, dtype: Any) -> np.ndarray:
    """`np.zeros` that begins at a cache line: rows of 64 bytes then touch one line each and not two."""
    size = count * np.dtype(dtype).itemsize
    room = np.zeros(size + _LINE, np.uint8)
    first = -room.ctypes.data % _LINE
    return room[first : first + size].view(dtype)
