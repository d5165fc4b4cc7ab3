"""The numbers behind the document rules of C4. The line rules are the edit `c4_lines` (filters/lines.py): it
comes first.

Raffel et al. 2020 (JMLR 21, "Exploring the Limits of Transfer Learning"), section 2.2.
"""

import numpy as np

from filters.counts import in_marks, in_sentences
from filters.registry import signal
from filters.texts import Texts

SOURCE = "Raffel et al. 2020 (C4), section 2.2"


@signal(family="c4", source=SOURCE)
def sentence_count(texts: Texts) -> np.ndarray:
    """Sentences, counted line by line: a word after a sentence end begins a new one, and so does a line."""
    return texts.once(in_sentences)["sentences"].astype(np.float64)


@signal(family="c4", source=SOURCE)
def lorem_ipsum(texts: Texts) -> np.ndarray:
    """1 if the phrase "lorem ipsum" occurs (any case), else 0."""
    return texts.once(in_marks)["lorem_ipsum"].astype(np.float64)


@signal(family="c4", source=SOURCE)
def curly_bracket(texts: Texts) -> np.ndarray:
    """1 if an opening curly bracket occurs, else 0."""
    return texts.once(in_marks)["curly"].astype(np.float64)
