"""Sizes and shares of kinds of characters, for rules of one's own.

Kinds are those of Unicode, so they hold for every script. Shares are over all characters (code points) of the
text, line ends and white space included.
"""

import re

import numpy as np
import pyarrow.compute as pc

from filters.characters import HAN_CLASS, is_punctuation
from filters.registry import signal
from filters.texts import Texts, lengths, ratio, sums

SOURCE = "common usage; Unicode character properties"
_URL = re.compile(r"(?:https?|ftp)://[^\s<>\"]+|www\.[^\s<>\"]+", re.IGNORECASE)
_HAN = re.compile(f"[{HAN_CLASS}]")
_DIGIT, _UPPER, _PUNCTUATION, _SPACE, _HAN_BIT, _SEEN = (1 << bit for bit in range(6))
_KINDS = np.zeros(0x110000, dtype=np.uint8)  # kinds of each code point, filled in as code points turn up


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
    return lengths(texts.lines).astype(np.float64)


@signal(family="plain", source=SOURCE)
def mean_line_length(texts: Texts) -> np.ndarray:
    """Characters that are not line ends / lines."""
    return ratio([sum(map(len, lines)) for lines in texts.lines], lengths(texts.lines))


@signal(family="plain", source=SOURCE)
def digit_ratio(texts: Texts) -> np.ndarray:
    """Digits of any script / characters."""
    return ratio(texts.once(_kinds)[:, 0], texts.chars)


@signal(family="plain", source=SOURCE)
def upper_ratio(texts: Texts) -> np.ndarray:
    """Upper-case letters / characters."""
    return ratio(texts.once(_kinds)[:, 1], texts.chars)


@signal(family="plain", source=SOURCE)
def punctuation_ratio(texts: Texts) -> np.ndarray:
    """Characters of the Unicode categories P* (so not $ + < = > ^ ` | ~) / characters."""
    return ratio(texts.once(_kinds)[:, 2], texts.chars)


@signal(family="plain", source=SOURCE)
def whitespace_ratio(texts: Texts) -> np.ndarray:
    """White space, line ends included / characters."""
    return ratio(texts.once(_kinds)[:, 3], texts.chars)


@signal(family="plain", source=SOURCE)
def han_ratio(texts: Texts) -> np.ndarray:
    """Han characters (Chinese, also those in Japanese text) / characters."""
    return ratio(texts.once(_kinds)[:, 4], texts.chars)


@signal(family="plain", source=SOURCE)
def url_ratio(texts: Texts) -> np.ndarray:
    """Characters in web addresses (http://, https://, ftp://, www.) / characters."""
    return ratio([_url_chars(text) for text in texts.strings], texts.chars)


@signal(family="plain", source=SOURCE)
def unique_word_ratio(texts: Texts) -> np.ndarray:
    """Different words and symbols / words and symbols."""
    return ratio([len(set(words)) for words in texts.words], texts.word_counts)


def _url_chars(text: str) -> int:
    if "://" not in text and "www." not in text.lower():  # ten times faster than a search that finds nothing
        return 0
    return sum(map(len, _URL.findall(text)))


def _kinds(texts: Texts) -> np.ndarray:
    """Digits, upper-case letters, punctuation, white space, Han characters of each text: int64 of shape (n,
    5)."""
    codes = np.frombuffer("".join(texts.strings).encode("utf-32-le"), np.uint32)
    seen = np.zeros(len(_KINDS), dtype=bool)
    seen[codes] = True
    for code in np.flatnonzero(seen & (_KINDS == 0)).tolist():
        _KINDS[code] = _kind(chr(code))
    starts = np.concatenate(([0], np.cumsum(texts.chars)))
    kinds = _KINDS[codes]
    return np.stack(
        [sums(kinds & bit != 0, starts) for bit in (_DIGIT, _UPPER, _PUNCTUATION, _SPACE, _HAN_BIT)], axis=1
    )


def _kind(char: str) -> int:
    kinds = (
        (_DIGIT, char.isdigit()),
        (_UPPER, char.isupper()),
        (_PUNCTUATION, is_punctuation(char)),
        (_SPACE, char.isspace()),
        (_HAN_BIT, _HAN.match(char) is not None),
    )
    return _SEEN + sum(bit for bit, holds in kinds if holds)
