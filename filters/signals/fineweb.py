"""The numbers behind the rules that FineWeb adds: menus, lists and pages that repeat their lines.

Penedo et al. 2024 (arXiv 2406.17557), custom filters, as datatrove 0.10 counts them. Lines end at line feeds
only here, and lines of white space alone are no lines.
"""

import numpy as np

from filters.counts import in_lines, in_words
from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "Penedo et al. 2024 (arXiv 2406.17557), custom filters"


@signal(family="fineweb", source=SOURCE)
def terminal_line_ratio(texts: Texts) -> np.ndarray:
    """Lines whose last character ends a sentence, in any script / lines that are not blank."""
    counts = texts.once(in_lines)
    return ratio(counts["terminal_rows"], counts["filled_rows"])


@signal(family="fineweb", source=SOURCE)
def short_line_ratio(texts: Texts) -> np.ndarray:
    """Lines of at most 30 characters / lines that are not blank."""
    counts = texts.once(in_lines)
    return ratio(counts["short_rows"], counts["filled_rows"])


@signal(family="fineweb", source=SOURCE)
def duplicate_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of lines that stand in the text before / characters that are not line feeds."""
    counts = texts.once(in_lines)
    return ratio(counts["duplicate_filled_chars"], counts["chars"] - counts["line_feeds"])


@signal(family="fineweb", source=SOURCE)
def newline_word_ratio(texts: Texts) -> np.ndarray:
    """Line feeds / words and symbols."""
    return ratio(texts.once(in_lines)["line_feeds"], texts.once(in_words)["words"])
