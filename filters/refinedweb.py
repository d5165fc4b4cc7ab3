"""RefinedWeb's line-wise corrections: menus, counters and calls to action that extraction left between paragraphs.

    "Sign in\\nThe mill grinds the grain of the village.\\n3 likes"   ->   "The mill grinds the grain of the village."

A line goes out if it is mostly upper case, a number, a counter ("1,204 views"), one word, or short (up to ten words) with
one of the phrases that the paper names at its beginning, end or anywhere. If such lines hold more than 5 % of the words,
the paper drops the page: that is the signal below and configs/rules/refinedweb.yaml, which stands before the edit.
"Mostly" and the counters are not spelt out there; the numbers are those of DCLM's reproduction. Words are what white
space divides, so the rules say nothing about Chinese or Japanese.
"""

import re

import numpy as np
import pyarrow as pa

from filters.registry import edit, signal
from filters.texts import Texts, ratio

SOURCE = (
    "Penedo et al. 2023 (RefinedWeb, arXiv 2306.01116), section 3.2 and appendix G.2; numbers of DCLM's reproduction"
)

UPPER_SHARE = 0.5  # DCLM: uppercase_ratio_modifier
SHORT = 10  # words
_COUNTER = re.compile(
    r"\W*\d[\d,.]*[kmb]?\s+(?:likes?|shares?|comments?|retweets?|reposts?|quotes?|bookmarks?|upvotes?|downvotes?|downloads?"
    r"|views?|followers?)\W*",
    re.IGNORECASE,
)
_PHRASES = re.compile(r"^sign[- ]in\b|\bread more(?:\.{3}|…)?\W*$|\bitems in (?:your )?cart\b", re.IGNORECASE)


def is_flagged(line: str) -> bool:
    """Whether the line goes out. An empty line never does: it parts paragraphs."""
    words = line.split()
    if not words:
        return False
    if len(words) == 1:
        return True
    letters = sum(map(str.isalpha, line))
    if letters == 0:
        return any(map(str.isdigit, line))
    if sum(map(str.isupper, line)) > UPPER_SHARE * letters:
        return True
    return bool(_COUNTER.fullmatch(line)) or (len(words) <= SHORT and bool(_PHRASES.search(line.strip())))


@signal(family="refinedweb", source=SOURCE)
def flagged_line_word_ratio(texts: Texts) -> np.ndarray:
    """Words in lines that the edit refinedweb_lines takes out / words; words are what white space divides."""
    flagged, words = np.zeros(len(texts)), np.zeros(len(texts))
    for row, text in enumerate(texts.strings):
        for line in text.split("\n"):
            count = len(line.split())
            words[row] += count
            flagged[row] += count * is_flagged(line)
    return ratio(flagged, words)


@edit(source=SOURCE)
def refinedweb_lines(texts: Texts) -> pa.Array:
    """Take out lines that are upper case, numbers, counters, single words, or short calls to action."""
    kept = ["\n".join(line for line in text.split("\n") if not is_flagged(line)) for text in texts.strings]
    return pa.array(kept, pa.large_string())
