"""Flagged words per language: how much of a text is made of words that a list calls dirty.

    flagged_word_ratio_en   "Damn the shit mill."   ->   4 / 19

The lists are LDNOOBW's (configs/flagged/README.md: source and licence). Scripts with spaces are matched by whole words and phrases, those
without (Chinese, Japanese, Thai) anywhere in the text; case does not count. What of a list is used, and what is not:
filters/phrases.py. A list knows no context: "sex" in a text on health, "breast" in one on cancer count as they do anywhere.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from filters.counts import in_lines
from filters.registry import signal
from filters.texts import Texts, ratio

if TYPE_CHECKING:
    from kernels.phrases import Trie

LISTS = Path(__file__).resolve().parent.parent.parent / "configs" / "flagged"
LANGUAGES = tuple(sorted(path.stem for path in LISTS.glob("*.txt")))
SOURCE = "LDNOOBW word lists (CC-BY-4.0)"


@cache
def flagged_words(lang: str) -> frozenset[str]:
    """The words of the list of `lang` that are looked for."""
    from filters.phrases import used

    return used((LISTS / f"{lang}.txt").read_text(encoding="utf-8").splitlines())


def _found(texts: Texts, lang: str) -> np.ndarray:
    """int64 of shape (texts, 2): flagged words, their characters."""
    from filters.phrases import class_table, small_table
    from kernels.phrases import count_phrases

    spans = texts.spans
    return count_phrases(spans.starts, spans.ends, spans.data, small_table(), class_table(), _trie(lang))


@cache
def _trie(lang: str) -> "Trie":
    from filters.phrases import trie_of

    return trie_of(flagged_words(lang))


def _zh(texts: Texts) -> np.ndarray:
    return _found(texts, "zh")


def _register(lang: str) -> None:
    def share(texts: Texts) -> np.ndarray:
        found = texts.once(_zh) if lang == "zh" else _found(texts, lang)
        return ratio(found[:, 1], texts.chars)

    share.__name__ = f"flagged_word_ratio_{lang}"
    share.__doc__ = f"Characters in words of the list of flagged words of '{lang}' / characters."
    signal(family="flagged words", source=SOURCE)(share)


for _lang in LANGUAGES:
    _register(_lang)


@signal(family="flagged words", source="Chen et al. 2023, ChineseWebText (arXiv 2311.01149); " + SOURCE)
def flagged_words_per_line_zh(texts: Texts) -> np.ndarray:
    """Words of the list of flagged words of 'zh' / lines that are not blank."""
    return ratio(texts.once(_zh)[:, 0], texts.once(in_lines)["filled_rows"])
