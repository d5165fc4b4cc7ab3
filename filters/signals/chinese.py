"""A number that the rules for Chinese web pages add: repetition over characters, where there are no spaces.

Chen et al. 2023, ChineseWebText (arXiv 2311.01149), and its published preprocess.py. The other measures
of that rule set are plain ones: char_count, mean_line_length, han_ratio.
"""

import numpy as np

from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "Chen et al. 2023, ChineseWebText (arXiv 2311.01149)"
N = 13
# a polynomial over code points, mod 2**64; odd, so that no character's share is lost
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@signal(family="chinese", source=SOURCE)
def duplicate_13gram_char_ratio(texts: Texts) -> np.ndarray:
    """Runs of 13 characters that occur more than once / runs of 13 characters.

    Lower case, white space left out. Each occurrence counts, the first one too.
    """
    counted = np.array([_repeated_runs(text) for text in texts.strings], dtype=np.int64).reshape(-1, 2)
    return ratio(counted[:, 0], counted[:, 1])


def _repeated_runs(text: str) -> tuple[int, int]:
    """(occurrences of runs that occur more than once, all runs). Runs with the same 64-bit hash count as the
    same."""
    bare = "".join(text.lower().split())
    runs = len(bare) - N + 1
    if runs < 2:
        return 0, max(runs, 0)
    codes = np.frombuffer(bare.encode("utf-32-le"), np.uint32).astype(np.uint64)
    hashes = np.zeros(runs, dtype=np.uint64)
    for at in range(N):
        hashes = (hashes ^ codes[at : at + runs]) * _FACTOR
        hashes ^= hashes >> np.uint64(29)  # bring the high bits down, a product alone moves them up only
    _, counts = np.unique(hashes, return_counts=True)
    return int(counts[counts > 1].sum()), runs
