"""The numbers behind the Gopher quality rules: is this running text at all?

Definitions follow Rae et al. 2021 (arXiv 2112.11446), section A.1.1, as datatrove 0.10 counts them: "words"
are the words and symbols of the affix rule (filters/words.py); where the rule speaks of words proper, those
made of symbols alone are left out.
"""

import numpy as np

from filters.counts import in_lines, in_marks, in_words
from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "Rae et al. 2021 (arXiv 2112.11446), section A.1.1"


@signal(family="gopher", source=SOURCE)
def word_count(texts: Texts) -> np.ndarray:
    """Words that are not made of symbols alone."""
    return texts.once(in_words)["proper"].astype(np.float64)


@signal(family="gopher", source=SOURCE)
def mean_word_length(texts: Texts) -> np.ndarray:
    """Characters of the words counted by word_count / word_count."""
    counts = texts.once(in_words)
    return ratio(counts["proper_chars"], counts["proper"])


@signal(family="gopher", source=SOURCE)
def alpha_word_ratio(texts: Texts) -> np.ndarray:
    """Words and symbols with at least one letter / words and symbols."""
    counts = texts.once(in_words)
    return ratio(counts["with_letter"], counts["words"])


@signal(family="gopher", source=SOURCE)
def stop_word_count(texts: Texts) -> np.ndarray:
    """How many of the, be, to, of, and, that, have, with occur (lower case, each counted once)."""
    return texts.once(in_words)["stop_words"].astype(np.float64)


@signal(family="gopher", source=SOURCE)
def hash_ratio(texts: Texts) -> np.ndarray:
    """Hash signs / words and symbols."""
    return ratio(texts.once(in_marks)["hash_signs"], texts.once(in_words)["words"])


@signal(family="gopher", source=SOURCE)
def ellipsis_ratio(texts: Texts) -> np.ndarray:
    """Ellipses ("..." or "…") / words and symbols."""
    return ratio(texts.once(in_marks)["ellipses"], texts.once(in_words)["words"])


@signal(family="gopher", source=SOURCE)
def bullet_line_ratio(texts: Texts) -> np.ndarray:
    """Lines that begin with a bullet or hyphen / lines."""
    counts = texts.once(in_lines)
    return ratio(counts["bullet_lines"], counts["lines"])


@signal(family="gopher", source=SOURCE)
def ellipsis_line_ratio(texts: Texts) -> np.ndarray:
    """Lines that end with an ellipsis / lines."""
    counts = texts.once(in_lines)
    return ratio(counts["ellipsis_lines"], counts["lines"])
