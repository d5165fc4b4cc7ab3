"""A number that the rules for Chinese web pages add: repetition over characters, where there are no spaces.

Chen et al. 2023, ChineseWebText (arXiv 2311.01149), and its published preprocess.py. The other measures
of that rule set are plain ones: char_count, mean_line_length, han_ratio.
"""

import numpy as np

from filters.counts import in_runs
from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "Chen et al. 2023, ChineseWebText (arXiv 2311.01149)"
N = 13


@signal(family="chinese", source=SOURCE)
def duplicate_13gram_char_ratio(texts: Texts) -> np.ndarray:
    """Runs of 13 characters that occur more than once / runs of 13 characters.

    Lower case, white space left out. Each occurrence counts, the first one too.
    """
    counted = in_runs(texts, N)
    return ratio(counted[:, 0], counted[:, 1])
