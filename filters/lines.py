"""Edits that take lines out of a text.

c4_lines   "Menu\\nHome\\nThis line is a sentence.[12]"  ->  "This line is a sentence."
"""

import re

import pyarrow as pa

from filters.registry import edit
from filters.texts import Texts

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
TERMINAL = (".", "?", "!", '"', "'")
ELLIPSIS = "..."
POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


@edit(source="Raffel et al. 2020 (C4), section 2.2; TensorFlow Datasets c4_utils")
def c4_lines(
    texts: Texts,
    *,
    terminal_punctuation: bool = True,
    min_words: int = 3,
    max_word_length: int = 1000,
    javascript: bool = True,
    policy: bool = True,
    citations: bool = True,
) -> pa.Array:
    """Keep the lines that look like sentences: the line rules of C4.

    A line goes out that has a word longer than `max_word_length` characters; does not end in . ? ! " or ' or
    ends in an ellipsis (`terminal_punctuation`); has fewer than `min_words` words between white space;
    mentions JavaScript (`javascript`), or cookies and terms of use (`policy`). Marks such as [12] and
    [citation needed] are cut out of the lines that stay (`citations`). Lines are stripped and joined by line
    feeds; nothing left gives "".

    C4 looks for "lorem ipsum" and curly brackets in these lines too and drops the page; here that is left to
    the rules of configs/rules/c4.yaml on what remains, so a page whose only such line goes out for another
    reason stays.
    """

    def stays(line: str, words: list[str]) -> bool:
        if len(line) > max_word_length and any(len(word) > max_word_length for word in words):
            return False
        if terminal_punctuation and (not line.endswith(TERMINAL) or line.endswith(ELLIPSIS)):
            return False
        if len(words) < min_words:
            return False
        lower = line.lower()
        if javascript and "javascript" in lower:
            return False
        return not (policy and any(phrase in lower for phrase in POLICY_PHRASES))

    def edited(text: str) -> str:
        kept = []
        for raw in text.splitlines():
            line = raw.strip()
            words = line.split()  # a citation mark that stands alone counts as a word, as in C4
            if citations:
                line = CITATION.sub("", line)
            if stays(line, words):
                kept.append(line)
        return "\n".join(kept).strip()

    return pa.array([edited(text) for text in texts.strings], pa.large_string())
