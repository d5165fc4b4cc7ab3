"""The numbers behind the Gopher repetition rules: how much of a text says the same thing again?

Rae et al. 2021 (arXiv 2112.11446), table A1, as datatrove 0.10 counts them. All shares of characters are over
every character of the text, white space included.
"""

import numpy as np

from filters.counts import in_lines, in_ngrams
from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "Rae et al. 2021 (arXiv 2112.11446), table A1"


@signal(family="repetition", source=SOURCE)
def duplicate_line_ratio(texts: Texts) -> np.ndarray:
    """Lines that stand in the text before / lines (split at runs of line feeds)."""
    counts = texts.once(in_lines)
    return ratio(counts["duplicate_parts"], counts["parts"])


@signal(family="repetition", source=SOURCE)
def duplicate_line_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of lines that stand in the text before / characters."""
    counts = texts.once(in_lines)
    return ratio(counts["duplicate_part_chars"], counts["chars"])


@signal(family="repetition", source=SOURCE)
def duplicate_paragraph_ratio(texts: Texts) -> np.ndarray:
    """Paragraphs that stand in the text before / paragraphs (split at empty lines)."""
    counts = texts.once(in_lines)
    return ratio(counts["duplicate_paragraphs"], counts["paragraphs"])


@signal(family="repetition", source=SOURCE)
def duplicate_paragraph_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of paragraphs that stand in the text before / characters."""
    counts = texts.once(in_lines)
    return ratio(counts["duplicate_paragraph_chars"], counts["chars"])


@signal(family="repetition", source=SOURCE)
def top_2gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of all occurrences of the most frequent pair of words / characters."""
    return ratio(texts.once(in_ngrams)["top_2"], texts.chars)


@signal(family="repetition", source=SOURCE)
def top_3gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of all occurrences of the most frequent 3 words in a row / characters."""
    return ratio(texts.once(in_ngrams)["top_3"], texts.chars)


@signal(family="repetition", source=SOURCE)
def top_4gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of all occurrences of the most frequent 4 words in a row / characters."""
    return ratio(texts.once(in_ngrams)["top_4"], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_5gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 5 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(in_ngrams)["duplicate_5"], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_6gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 6 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(in_ngrams)["duplicate_6"], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_7gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 7 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(in_ngrams)["duplicate_7"], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_8gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 8 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(in_ngrams)["duplicate_8"], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_9gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 9 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(in_ngrams)["duplicate_9"], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_10gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 10 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(in_ngrams)["duplicate_10"], texts.chars)
