"""The numbers behind the rules that FineWeb adds: menus, lists and pages that repeat their lines.

Penedo et al. 2024 (arXiv 2406.17557), custom filters, as datatrove 0.10 counts them. Lines end at line feeds
only here, and lines of white space alone are no lines.
"""

import numpy as np

from filters.characters import SENTENCE_ENDS
from filters.registry import signal
from filters.signals.repetition import count_duplicates
from filters.texts import Texts, lengths, ratio

SOURCE = "Penedo et al. 2024 (arXiv 2406.17557), custom filters"
SHORT_LINE = 30  # characters


@signal(family="fineweb", source=SOURCE)
def terminal_line_ratio(texts: Texts) -> np.ndarray:
    """Lines whose last character ends a sentence, in any script / lines that are not blank."""
    lines = texts.once(_filled_lines)
    return ratio([sum(line[-1] in SENTENCE_ENDS for line in each) for each in lines], lengths(lines))


@signal(family="fineweb", source=SOURCE)
def short_line_ratio(texts: Texts) -> np.ndarray:
    """Lines of at most 30 characters / lines that are not blank."""
    lines = texts.once(_filled_lines)
    return ratio([sum(len(line) <= SHORT_LINE for line in each) for each in lines], lengths(lines))


@signal(family="fineweb", source=SOURCE)
def duplicate_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of lines that stand in the text before / characters that are not line feeds."""
    return ratio(count_duplicates(texts.once(_filled_lines))["chars"], texts.chars - texts.once(_line_feeds))


@signal(family="fineweb", source=SOURCE)
def newline_word_ratio(texts: Texts) -> np.ndarray:
    """Line feeds / words and symbols."""
    return ratio(texts.once(_line_feeds), texts.word_counts)


def _filled_lines(texts: Texts) -> list[list[str]]:
    return [[line for line in text.split("\n") if line and not line.isspace()] for text in texts.strings]


def _line_feeds(texts: Texts) -> np.ndarray:
    return np.fromiter((text.count("\n") for text in texts.strings), np.int64, len(texts))
