"""Stop words per language: running text of a language has some of its commonest words, a menu or a table has none.

The lists are those of FineWeb-2 (Penedo et al. 2025, arXiv 2506.20920; huggingface/fineweb-2, configs/, 2025-10), which took
the commonest words of each language's Wikipedia; forms with an apostrophe are left out, as the affix rule cuts them
elsewhere. English has Gopher's eight (Rae et al. 2021, section A.1.1; how many occur is `stop_word_count`). Words compare case-sensitively, as there.
"""

import numpy as np

from filters.counts import word_matches
from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "Penedo et al. 2025 (arXiv 2506.20920)"
GOPHER = "Rae et al. 2021 (arXiv 2112.11446), section A.1.1"

LISTS = {
    "en": "the be to of and that have with",
    "de": "der und die in von im den des mit das er dem als wurde für",
    "fr": "de la le et à en des du les est un une il dans par au",
    "es": "de la en el y a que del los se por un con una las su",
    "ru": "в и на с года по году из был к не от что за для его как а он также до после",
    "ja": "の に を は た て が と で 年 し ・ 月 れ さ",
    "zh": "的 年 在 月 是 和 日 了 於 · 為 有 被 人 中 为 他 與 後 也 而 由",
}


def _register(lang: str, words: tuple[str, ...]) -> None:
    def matches(texts: Texts) -> np.ndarray:
        return word_matches(texts, words)

    def count(texts: Texts) -> np.ndarray:
        return texts.once(matches)[:, 0].astype(np.float64)

    def share(texts: Texts) -> np.ndarray:
        found = texts.once(matches)
        return ratio(found[:, 1], found[:, 2])

    count.__name__, share.__name__ = f"stop_word_count_{lang}", f"stop_word_ratio_{lang}"
    count.__doc__ = f"How many of the {len(words)} commonest words of '{lang}' occur (each counted once)."
    share.__doc__ = f"Words that are one of the {len(words)} commonest of '{lang}' / words and symbols."
    english = lang == "en"
    for function in (share,) if english else (count, share):
        signal(family="stop words", source=GOPHER if english else SOURCE)(function)


for _lang, _words in LISTS.items():
    _register(_lang, tuple(_words.split()))
