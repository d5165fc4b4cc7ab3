"""Sizes and shares of kinds of characters, for rules of one's own.

Kinds are those of Unicode, so they hold for every script. Shares are over all characters (code points) of the
text, line ends and white space included.
"""

import numpy as np
import pyarrow.compute as pc

from filters.counts import different_words, in_characters, in_lines, url_chars
from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "common usage; Unicode character properties"


@signal(family="plain", source=SOURCE)
def byte_count(texts: Texts) -> np.ndarray:
    """Bytes of the text in UTF-8."""
    return np.asarray(pc.fill_null(pc.binary_length(texts.array), 0), dtype=np.float64)


@signal(family="plain", source=SOURCE)
def char_count(texts: Texts) -> np.ndarray:
    """Characters (Unicode code points)."""
    return texts.chars.astype(np.float64)


@signal(family="plain", source=SOURCE)
def line_count(texts: Texts) -> np.ndarray:
    """Lines, blank ones too; a line end at the very end begins no new line."""
    return texts.once(in_lines)["lines"].astype(np.float64)


@signal(family="plain", source=SOURCE)
def mean_line_length(texts: Texts) -> np.ndarray:
    """Characters that are not line ends / lines."""
    counts = texts.once(in_lines)
    return ratio(counts["line_chars"], counts["lines"])


@signal(family="plain", source=SOURCE)
def digit_ratio(texts: Texts) -> np.ndarray:
    """Digits of any script / characters."""
    return ratio(texts.once(in_characters)["digits"], texts.chars)


@signal(family="plain", source=SOURCE)
def upper_ratio(texts: Texts) -> np.ndarray:
    """Upper-case letters / characters."""
    return ratio(texts.once(in_characters)["upper"], texts.chars)


@signal(family="plain", source=SOURCE)
def punctuation_ratio(texts: Texts) -> np.ndarray:
    """Characters of the Unicode categories P* (so not $ + < = > ^ ` | ~) / characters."""
    return ratio(texts.once(in_characters)["punctuation"], texts.chars)


@signal(family="plain", source=SOURCE)
def whitespace_ratio(texts: Texts) -> np.ndarray:
    """White space, line ends included / characters."""
    return ratio(texts.once(in_characters)["white"], texts.chars)


@signal(family="plain", source=SOURCE)
def han_ratio(texts: Texts) -> np.ndarray:
    """Han characters (Chinese, also those in Japanese text) / characters."""
    return ratio(texts.once(in_characters)["han"], texts.chars)


@signal(family="plain", source=SOURCE)
def url_ratio(texts: Texts) -> np.ndarray:
    """Characters in web addresses (http://, https://, ftp://, www.) / characters."""
    return ratio(url_chars(texts), texts.chars)


@signal(family="plain", source=SOURCE)
def unique_word_ratio(texts: Texts) -> np.ndarray:
    """Different words and symbols / words and symbols."""
    return ratio(different_words(texts), texts.word_counts)


@signal(family="plain", source="Shannon 1948")
def byte_entropy(texts: Texts) -> np.ndarray:
    """Entropy of the bytes in bits: 0 for one byte repeated, about 4.5 for English prose, at most 8."""
    from kernels.entropy import byte_entropies

    spans = texts.spans
    return byte_entropies(spans.starts, spans.ends, spans.data)
