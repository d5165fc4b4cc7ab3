"""The shingle sets, minima, similarities and survivors of the kernels once more, in plain Python and numpy.

Nothing calls this but tests: it is what the kernels must agree with, to the last bit, and the place to read what they
compute."""

import hashlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

import dedup.shingles as definition
from dedup.characters import folding
from dedup.columns import Column
from dedup.exact import _as_numbers, normalise
from dedup.hashing import GOLDEN, mix_in_place
from dedup.minhash import Bands, _family
from dedup.shingles import SHINGLE_TOKENS

Sets = tuple[np.ndarray, np.ndarray]


def shingle_sets(
    texts: Column, n: int = SHINGLE_TOKENS, unit: str = "tokens", fold: tuple[str, ...] = (), salt: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """As `dedup.shingles.shingle_sets`, over whole arrays of code points."""
    sizes, values = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for block in _blocks(texts, fold):
        block_sizes, block_values = _shingle_block(block, n, unit, salt)
        sizes.append(block_sizes)
        values.append(block_values)
    return np.concatenate(([0], np.cumsum(np.concatenate(sizes)))), np.concatenate(values)


def _blocks(texts: Column, fold: tuple[str, ...]) -> Iterator[list[str]]:
    block: list[str] = []
    held = 0
    for start in range(0, len(texts), 1024):
        for text in texts.slice(start, 1024).to_pylist():
            block.append((text or "").translate(folding(fold)).lower())
            held += len(block[-1])
            if held >= definition._BLOCK_CHARS:
                yield block
                block, held = [], 0
    if block:
        yield block


def _shingle_block(lowered: list[str], n: int, unit: str, salt: int) -> tuple[np.ndarray, np.ndarray]:
    """Set sizes int64 (rows,) and values uint64 of lower-cased texts."""
    token_offsets, hashes = (_tokens if unit == "tokens" else _characters)(lowered)
    counts = np.diff(token_offsets)

    sizes = np.maximum(counts - n + 1, 1)
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    values = np.empty(offsets[-1], np.uint64)
    long = counts >= n
    if long.any():
        windows = _windows(hashes, n, salt)
        first_window = np.repeat(token_offsets[:-1][long] - np.cumsum(sizes[long]) + sizes[long], sizes[long])
        first_window += np.arange(len(first_window))
        values[np.repeat(long, sizes)] = windows[first_window]
        del windows, first_window
    short = np.flatnonzero(~long)
    values[offsets[short]] = _whole(hashes, token_offsets[short], counts[short], n, salt)
    for row in short[counts[short] == 0].tolist():
        values[offsets[row]] = definition._text_hash(lowered[row]) ^ salt
    return _sort_rows(offsets, values)


def _tokens(lowered: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Where the tokens of each text begin among all (rows + 1), and the hash uint64 of each."""
    lengths = np.fromiter(map(len, lowered), np.int64, len(lowered))
    firsts = np.concatenate(([0], np.cumsum(lengths + 1)))  # + 1: a line end keeps neighbours' tokens apart
    starts, hashes = definition._token_hashes(definition._code_points("\n".join(lowered)))
    return np.searchsorted(starts, firsts), hashes


def _characters(lowered: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The same of characters that are no white space."""
    bare = ["".join(text.split()) for text in lowered]
    codes = definition._code_points("".join(bare)).astype(np.uint64) + np.uint64(1)
    return np.concatenate(([0], np.cumsum([len(text) for text in bare]))).astype(np.int64), mix_in_place(codes)


def _windows(hashes: np.ndarray, n: int, salt: int) -> np.ndarray:
    """uint64 (tokens - n + 1,): the hash of each run of n tokens, whatever documents it touches."""
    total = np.zeros(len(hashes) - n + 1, np.uint64)
    for position in range(n):
        total += hashes[position : position + len(total)] * _power(position)
    total += _salt(n, salt)
    return mix_in_place(total)


def _whole(hashes: np.ndarray, first: np.ndarray, counts: np.ndarray, n: int, salt: int) -> np.ndarray:
    """uint64: one hash for all tokens of each document of fewer than n; the count is part of it."""
    total = np.zeros(len(counts), np.uint64)
    for position in range(n - 1):
        has = counts > position
        total[has] += hashes[first[has] + position] * _power(position)
    total += counts.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(salt)
    return mix_in_place(total)


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(definition._STEP, exponent, 1 << 64))


def _salt(count: int, kind: int) -> np.uint64:
    return np.uint64((count * GOLDEN + kind) % (1 << 64))


def _sort_rows(offsets: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort each row where it lies and drop repeats: sizes int64 (rows,), values uint64."""
    bounds = offsets.tolist()
    for low, high in pairwise(bounds):
        if high - low > 1:
            values[low:high].sort()
    first = np.empty(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    first[offsets[:-1]] = True
    return np.add.reduceat(first, offsets[:-1], dtype=np.int64), values[first]


def text_hashes(texts: Column) -> np.ndarray:
    """As `dedup.exact.text_hashes`."""
    forms = (normalise(text or "").encode() for text in texts.to_pylist())
    return _as_numbers(b"".join([hashlib.sha256(form).digest() for form in forms]), 32)


# 8 hashes x 16,384 shingles of uint32 are 512 KB and stay in the second-level cache: 2.7 G multiply-adds/s;
# 16 x 8,192 gives 1.1, 32 x 4,096 gives 1.9, one document at a time 1.1.
_HASHES_AT_ONCE = 8
_VALUES_AT_ONCE = 16_384


def signatures(offsets: np.ndarray, values: np.ndarray, hashes: int, seed: int) -> np.ndarray:
    """As `dedup.minhash.signatures`."""
    rows = len(offsets) - 1
    out = np.full((rows, hashes), 0xFFFFFFFF, np.uint32)
    if not len(values):
        return out
    factors, terms = _family(hashes, seed)
    folded = (values >> np.uint64(32)).astype(np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    starts, ends = offsets[:-1][filled], offsets[1:][filled]
    low = int(starts[0])
    while low < ends[-1]:
        # the rows that touch [low, high); a row longer than a block is met in several
        high = min(low + _VALUES_AT_ONCE, int(ends[-1]))
        first, last = np.searchsorted(ends, low, side="right"), np.searchsorted(starts, high, side="left")
        bounds = np.maximum(starts[first:last], low) - low
        met = filled[first:last]
        for hash_low in range(0, hashes, _HASHES_AT_ONCE):
            some = slice(hash_low, hash_low + _HASHES_AT_ONCE)
            hashed = np.multiply.outer(factors[some], folded[low:high])
            hashed += terms[some, None]
            least = np.minimum.reduceat(hashed, bounds, axis=1).T
            out[met, some] = np.minimum(out[met, some], least)
        low = high
    return out


def band_hashes(signatures: np.ndarray, bands: Bands) -> np.ndarray:
    """As `dedup.minhash.band_hashes`."""
    out = np.zeros((len(signatures), bands.bands), np.uint64)
    for band in range(bands.bands):
        column = out[:, band]
        for place in range(band * bands.rows, (band + 1) * bands.rows):
            salted = signatures[:, place].astype(np.uint64)
            salted += np.uint64((place + 1) << 32)
            column += mix_in_place(salted)
    return mix_in_place(out)


def jaccard(a: np.ndarray, b: np.ndarray, measure: str = "jaccard") -> float:
    """Similarity of two sorted unique uint64 arrays; 0.0 if both are empty (shingle sets never are)."""
    if len(a) > len(b):
        a, b = b, a
    if not len(a):
        return 0.0
    # each hash of the smaller set is looked up in the larger: three times as fast as sorting both together
    places = np.searchsorted(b, a)
    places[places == len(b)] = 0
    shared = int(np.count_nonzero(b[places] == a))
    return shared / (len(a) if measure == "containment" else len(a) + len(b) - shared)


def similarities_of(
    left_sets: Sets,
    right_sets: Sets,
    left: np.ndarray,
    right: np.ndarray,
    min_similarity: float = 0.0,
    measure: str = "jaccard",
) -> np.ndarray:
    """As `dedup.similarity.similarities_of`."""
    (left_offsets, left_values), (right_offsets, right_values) = left_sets, right_sets
    left, right = np.asarray(left, np.int64), np.asarray(right, np.int64)
    left_low, left_high = left_offsets[left], left_offsets[left + 1]
    right_low, right_high = right_offsets[right], right_offsets[right + 1]
    bounds = np.stack((left_low, left_high, right_low, right_high), axis=1).tolist()
    out = np.array([jaccard(left_values[a:b], right_values[c:d], measure) for a, b, c, d in bounds], np.float64)
    out[out < min_similarity] = 0.0
    return out


def first_independent_set(n: int, ends: np.ndarray) -> np.ndarray:
    """bool (n,): nodes kept. `ends` (m, 2): the better first. Edges go in the
    order of their better ends, so whatever could remove a node has its turn before it: one pass decides."""
    alive = bytearray(b"\1") * n
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    for better, worse in zip(ends[:, 0].tolist(), ends[:, 1].tolist()):
        if alive[better]:
            alive[worse] = 0
    return np.frombuffer(bytes(alive), bool)


def keepers(n: int, alive: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each node its most similar kept neighbour (the node itself if none) and the similarity (NaN if
    none)."""
    removed = np.concatenate((ends[:, 1], ends[:, 0]))
    beside = np.concatenate((ends[:, 0], ends[:, 1]))
    weights = np.concatenate((weights, weights))
    use = alive[beside]
    removed, beside, weights = removed[use], beside[use], weights[use]
    best_last = np.lexsort((-beside, weights, removed))
    keeper, similarity = np.arange(n), np.full(n, np.nan)
    # the last of each run is the most similar neighbour, the best-ranked of equally similar ones
    last = np.flatnonzero(np.append(removed[best_last][1:] != removed[best_last][:-1], len(removed) > 0))
    chosen = best_last[last]
    keeper[removed[chosen]], similarity[removed[chosen]] = beside[chosen], weights[chosen]
    return keeper, similarity


def components(n: int, edges: np.ndarray) -> np.ndarray:
    """The smallest member of the connected component of each of n nodes: int64 (n,).

    Each round hooks the larger root of every edge below the smallest root beside it, then shortens all paths,
    and forgets edges inside one component: a root is never above a member, so the result hangs on no order.
    """
    parent = np.arange(n)
    ends = np.asarray(edges, np.int64).reshape(-1, 2)
    while len(ends):
        ends = parent[ends]
        ends = ends[ends[:, 0] != ends[:, 1]]
        np.minimum.at(parent, ends.max(axis=1), ends.min(axis=1))
        while not np.array_equal(shorter := parent[parent], parent):
            parent = shorter
    return parent
