"""MinHash signatures and their bands: which documents are worth comparing.

The chance that one of the `hashes` minima agrees is the Jaccard similarity s of the two sets (Broder 1997).
Bands of r minima agree with chance s**r, at least one of b bands with 1 - (1 - s**r)**b (Leskovec, Rajaraman
and Ullman, Mining of Massive Datasets, section 3.4). Nothing is decided here: candidates are verified by
their true similarity.

    choose_bands(0.8)  ->  Bands(bands=20, rows=7)        # 140 hashes, expected recall 0.9910 at 0.8, 0.9996 at 0.85
"""

import math
from dataclasses import dataclass

import numpy as np

from dedup.columns import frozen
from dedup.hashing import GOLDEN, mix_in_place, mix_int
from kernels.minhash import bands as hash_bands
from kernels.minhash import minima

_VECTOR = 16  # numbers of 32 bits in the widest vector of a CPU today


@dataclass(frozen=True)
class Bands:
    """`bands` groups of `rows` minima each."""

    bands: int
    rows: int

    @property
    def hashes(self) -> int:
        """Length of the signature."""
        return self.bands * self.rows

    def probability(self, similarity: float) -> float:
        """The chance that a pair of this similarity shares at least one band."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands


# The cost of one document in microseconds of CPU on one core, by which `choose_bands` compares its candidates.
HASH_COST = 0.031  # one minimum over 900 shingles, the mean of manual pages: 140 hashes, 230,000 documents/s
BAND_COST = 0.45  # one bucket row: hashed 0.01, dealt 0.05, sorted into groups 0.17, its 24 bytes through a file 0.2
PAIR_COST = 3.0  # one candidate verified: both sets gathered 2, compared 1
# Pairs a document has in each unit of similarity. 11,492 manual pages have 13, spread evenly from 0.1 to 0.55
# and falling above; a larger corpus has more, so six times that. What it gives, and what half or twice the
# density would give:
#   0.7: 26 x 5 (130 hashes), 26 x 5, 37 x 6
#   0.8: 20 x 7 (140 hashes), 16 x 6, 32 x 9
#   0.9: 14 x 12 (168 hashes), 11 x 10, 20 x 15
# The optimum is flat: at 0.8 and this density 26 x 8 costs 1 % more, 32 x 9 2 %, 16 x 6 5 %; so few hashes it is.
# (14 x 8, as FineWeb has it, finds a pair of 0.8 with a chance of 0.92.)
PAIR_DENSITY = 80.0


def choose_bands(threshold: float, recall: float = 0.99, max_hashes: int = 512) -> Bands:
    """The cheapest bands that find a pair at the threshold with at least the given chance, and one 0.05 above it with
    a tenth of the misses: 0.99 and 0.999.

    For each number of rows there is one smallest number of bands with that recall; of these, within
    `max_hashes`, the one with the least cost of hashes, bucket rows and false candidates (the area under the
    curve below the threshold) is taken. ValueError if none has the recall within `max_hashes`, or a number is
    out of its range.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold: expected a similarity above 0 and up to 1, got {threshold}")
    if not 0.0 < recall < 1.0:
        raise ValueError(f"recall: expected a number between 0 and 1, got {recall}")
    fitting = [bands for rows in range(1, max_hashes + 1) if (bands := _fewest(threshold, recall, rows, max_hashes))]
    if not fitting:
        raise ValueError(
            f"no bands of up to {max_hashes} hashes find a pair of similarity {threshold} with a chance "
            f"of {recall}; allow more hashes, or ask for less recall"
        )
    return min(fitting, key=lambda bands: _cost(bands, threshold))


def _fewest(threshold: float, recall: float, rows: int, max_hashes: int) -> Bands | None:
    """The smallest number of bands of so many rows with that recall, and with nine tenths of what it misses found
    0.05 above; None if that is more than `max_hashes`."""
    agree = threshold**rows
    exact = 1.0 if agree >= 1.0 else math.log1p(-recall) / math.log1p(-agree)
    if exact > max_hashes / rows:
        return None
    count = max(1, math.ceil(exact - 1e-9))
    while not _reaches(Bands(count, rows), threshold, recall):
        count += 1
    return Bands(count, rows) if count * rows <= max_hashes else None


def _reaches(bands: Bands, threshold: float, recall: float) -> bool:
    above = min(threshold + 0.05, 1.0)
    return bands.probability(threshold) >= recall and bands.probability(above) >= 1.0 - (1.0 - recall) / 10


def _cost(bands: Bands, threshold: float) -> float:
    similarity = (np.arange(1000) + 0.5) / 1000 * threshold
    false_share = float(np.mean(1.0 - (1.0 - similarity**bands.rows) ** bands.bands)) * threshold
    return bands.hashes * HASH_COST + bands.bands * BAND_COST + PAIR_DENSITY * false_share * PAIR_COST


def recall_curve(bands: Bands) -> list[tuple[float, float]]:
    """(similarity, chance to become a candidate) from 0 to 1 in steps of 0.05."""
    return [(step / 20, bands.probability(step / 20)) for step in range(21)]


def signatures(offsets: np.ndarray, values: np.ndarray, hashes: int, seed: int) -> np.ndarray:
    """MinHash signatures of shingle sets (CSR: offsets int64 (n + 1), values uint64): uint32, shape (n,
    hashes).

    Minimum j is taken of (a_j * h + b_j) mod 2**32 over the upper 32 bits h of each shingle hash, a_j odd. On
    real text this cheap family has the error of ideal random permutations, sqrt(s (1 - s) / hashes). An empty
    row gives 2**32 - 1 throughout.
    """
    factors, terms = _family(hashes, seed)
    spare = -hashes % _VECTOR  # functions whose minima nobody asks for, so that the loop has whole vectors
    factors, terms = (frozen(np.concatenate((part, part[:1].repeat(spare))), np.uint32) for part in (factors, terms))
    out = np.empty((len(offsets) - 1, hashes), np.uint32)
    minima(frozen(offsets, np.int64), frozen(values, np.uint64), factors, terms, out)
    return out


def _family(hashes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd factors and terms, uint32, drawn by SplitMix64 so that they hang on no library's generator."""
    drawn = np.arange(1, 2 * hashes + 1, dtype=np.uint64) * np.uint64(GOLDEN) + np.uint64(mix_int(seed))
    upper = (mix_in_place(drawn) >> np.uint64(32)).astype(np.uint32)
    return upper[:hashes] | np.uint32(1), upper[hashes:]


def band_hashes(signatures: np.ndarray, bands: Bands) -> np.ndarray:
    """One 64-bit hash of each band of each signature: uint64, shape (n, bands). Equal minima in different
    bands, or in another order, give different hashes (each place has its own salt)."""
    if signatures.shape[1] != bands.hashes:
        raise ValueError(f"signatures of {bands.hashes} hashes expected, got {signatures.shape[1]}")
    out = np.empty((len(signatures), bands.bands), np.uint64)
    hash_bands(frozen(signatures, np.uint32), bands.rows, out)
    return out
