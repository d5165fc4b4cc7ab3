"""The numbers behind the Gopher quality rules: is this running text at all?

Definitions follow Rae et al. 2021 (arXiv 2112.11446), section A.1.1, as datatrove 0.10 counts them: "words"
are the words and symbols of the affix rule (filters/words.py); where the rule speaks of words proper, those
made of symbols alone are left out.
"""

import numpy as np

from filters.characters import SYMBOLS
from filters.registry import signal
from filters.texts import Texts, lengths, ratio, sums

SOURCE = "Rae et al. 2021 (arXiv 2112.11446), section A.1.1"
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = ("•", "-")
ELLIPSES = ("...", "…")


@signal(family="gopher", source=SOURCE)
def word_count(texts: Texts) -> np.ndarray:
    """Words that are not made of symbols alone."""
    return texts.once(_word_kinds)["words"].astype(np.float64)


@signal(family="gopher", source=SOURCE)
def mean_word_length(texts: Texts) -> np.ndarray:
    """Characters of the words counted by word_count / word_count."""
    kinds = texts.once(_word_kinds)
    return ratio(kinds["chars"], kinds["words"])


@signal(family="gopher", source=SOURCE)
def alpha_word_ratio(texts: Texts) -> np.ndarray:
    """Words and symbols with at least one letter / words and symbols."""
    return ratio(texts.once(_word_kinds)["alpha"], texts.word_counts)


@signal(family="gopher", source=SOURCE)
def stop_word_count(texts: Texts) -> np.ndarray:
    """How many of the, be, to, of, and, that, have, with occur (lower case, each counted once)."""
    table = texts.word_table
    number = {word: at for at, word in enumerate(STOP_WORDS)}
    stop = np.fromiter((number.get(word, -1) for word in table.vocabulary), np.int64, len(table.vocabulary))
    stop_of_word = stop[table.ids]
    is_stop = stop_of_word >= 0
    present = np.zeros((len(texts), len(STOP_WORDS)), dtype=bool)
    present[table.text_of_word[is_stop], stop_of_word[is_stop]] = True
    return present.sum(axis=1).astype(np.float64)


@signal(family="gopher", source=SOURCE)
def hash_ratio(texts: Texts) -> np.ndarray:
    """Hash signs / words and symbols."""
    return ratio([text.count("#") for text in texts.strings], texts.word_counts)


@signal(family="gopher", source=SOURCE)
def ellipsis_ratio(texts: Texts) -> np.ndarray:
    """Ellipses ("..." or "…") / words and symbols."""
    return ratio([text.count("...") + text.count("…") for text in texts.strings], texts.word_counts)


@signal(family="gopher", source=SOURCE)
def bullet_line_ratio(texts: Texts) -> np.ndarray:
    """Lines that begin with a bullet or hyphen / lines."""
    bullets = [sum(line.lstrip().startswith(BULLETS) for line in lines) for lines in texts.lines]
    return ratio(bullets, lengths(texts.lines))


@signal(family="gopher", source=SOURCE)
def ellipsis_line_ratio(texts: Texts) -> np.ndarray:
    """Lines that end with an ellipsis / lines."""
    ended = [sum(line.rstrip().endswith(ELLIPSES) for line in lines) for lines in texts.lines]
    return ratio(ended, lengths(texts.lines))


def _word_kinds(texts: Texts) -> dict[str, np.ndarray]:
    """For each text: words proper, their characters, and words and symbols with a letter; int64 each."""
    table = texts.word_table
    vocabulary = table.vocabulary
    proper = np.fromiter((not SYMBOLS.issuperset(word) for word in vocabulary), bool, len(vocabulary))
    alpha = np.fromiter((word.isalpha() or any(map(str.isalpha, word)) for word in vocabulary), bool, len(vocabulary))
    chars = lengths(vocabulary) * proper
    return {
        "words": sums(proper[table.ids], table.starts),
        "chars": sums(chars[table.ids], table.starts),
        "alpha": sums(alpha[table.ids], table.starts),
    }
