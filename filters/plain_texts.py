"""What the kernels count and cut, written plainly: the readable definition, and the twin in the tests.

Each `in_...` gives for a list of texts what the function of the same name in filters/counts.py gives for a column: int64
arrays by name. `c4_lines` is the edit of filters/lines.py.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from filters.characters import HAN_CLASS, SENTENCE_ENDS, SYMBOLS, is_punctuation
from filters.words import STOP_WORDS, count_sentences, split_words

BULLETS = ("•", "-")
ELLIPSES = ("...", "…")
SHORT_LINE = 30  # characters
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
_URL = re.compile(r"(?:https?|ftp)://[^\s<>\"]+|www\.[^\s<>\"]+", re.IGNORECASE)
_LINE_ENDS = re.compile(r"\n+")
_BLANK_LINES = re.compile(r"\n{2,}")
_HAN = re.compile(f"[{HAN_CLASS}]")
# a polynomial over code points, mod 2**64; odd, so that no character's share is lost
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def in_words(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Words and symbols, words proper (not of symbols alone), their characters, words and symbols with a letter,
    different stop words, sentences."""
    rows = []
    for text in texts:
        words = split_words(text)
        proper = [word for word in words if not SYMBOLS.issuperset(word)]
        row = {
            "words": len(words),
            "proper": len(proper),
            "proper_chars": sum(map(len, proper)),
            "with_letter": sum(any(map(str.isalpha, word)) for word in words),
            "stop_words": len(set(words).intersection(STOP_WORDS)),
            "sentences": sum(map(count_sentences, text.splitlines())),
        }
        rows.append(row)
    return _columns(rows)


def in_sentences(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Sentences alone, as among `in_words`."""
    return {"sentences": in_words(texts)["sentences"]} if texts else {}


def in_ngrams(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Characters of all occurrences of the most frequent n-gram of words, the first one if several are, one space
    between two words, n = 2 .. 4; characters of n-grams that stand before, n = 5 .. 10, without the spaces."""
    rows = []
    for text in texts:
        words = split_words(text)
        row = {f"top_{n}": _top_chars(words, n) for n in (2, 3, 4)}
        rows.append(row | {f"duplicate_{n}": _duplicate_chars(words, n) for n in range(5, 11)})
    return _columns(rows)


def _top_chars(words: list[str], n: int) -> int:
    grams = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    if not grams:
        return 0
    gram, count = grams.most_common(1)[0]  # of equals the one first met
    return len(" ".join(gram)) * count


def _duplicate_chars(words: list[str], n: int) -> int:
    """From left to right; behind each n-gram that was seen before the reading goes on."""
    seen = set()
    chars = at = 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            chars += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return chars


def in_marks(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """See COLUMNS in kernels/marks.py."""
    rows = [
        {
            "hash_signs": text.count("#"),
            "ellipses": text.count("...") + text.count("…"),
            "curly": int("{" in text),
            "lorem_ipsum": int("lorem ipsum" in text.lower()),
        }
        for text in texts
    ]
    return _columns(rows)


def in_lines(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """See COLUMNS in kernels/lines.py."""
    rows = []
    for text in texts:
        lines = text.splitlines()
        filled = [line for line in text.split("\n") if line and not line.isspace()]
        parts = _LINE_ENDS.split(text)  # a line feed at the very start or end leaves an empty one there, which counts
        paragraphs = _BLANK_LINES.split(text.strip())
        row = {
            "chars": len(text),
            "line_feeds": text.count("\n"),
            "lines": len(lines),
            "line_chars": sum(map(len, lines)),
            "bullet_lines": sum(line.lstrip().startswith(BULLETS) for line in lines),
            "ellipsis_lines": sum(line.rstrip().endswith(ELLIPSES) for line in lines),
            "filled_rows": len(filled),
            "terminal_rows": sum(line[-1] in SENTENCE_ENDS for line in filled),
            "short_rows": sum(len(line) <= SHORT_LINE for line in filled),
            "duplicate_filled_chars": _repeated_chars(filled),
            "parts": len(parts),
            "duplicate_parts": len(parts) - len(set(parts)),
            "duplicate_part_chars": _repeated_chars(parts),
            "paragraphs": len(paragraphs),
            "duplicate_paragraphs": len(paragraphs) - len(set(paragraphs)),
            "duplicate_paragraph_chars": _repeated_chars(paragraphs),
        }
        rows.append(row)
    return _columns(rows)


def _repeated_chars(parts: list[str]) -> int:
    """Characters of those that stand before."""
    return sum(map(len, parts)) - sum(map(len, set(parts)))


def in_characters(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Digits of any script, upper-case letters, Unicode categories P*, white space, Han characters."""
    rows = [
        {
            "digits": sum(map(str.isdigit, text)),
            "upper": sum(map(str.isupper, text)),
            "punctuation": sum(map(is_punctuation, text)),
            "white": sum(map(str.isspace, text)),
            "han": len(_HAN.findall(text)),
        }
        for text in texts
    ]
    return _columns(rows)


def different_words(texts: Sequence[str]) -> np.ndarray:
    """How many different words and symbols each text has."""
    return np.array([len(set(split_words(text))) for text in texts], np.int64)


def url_chars(texts: Sequence[str]) -> np.ndarray:
    """How many characters of each text stand in web addresses."""
    return np.array([sum(map(len, _URL.findall(text))) for text in texts], np.int64)


def repeated_runs(text: str, n: int) -> tuple[int, int]:
    """(occurrences of runs of n characters that occur more than once, all runs); lower case, white space left out.

    Runs with the same 64-bit hash count as the same.
    """
    bare = "".join(text.lower().split())
    runs = len(bare) - n + 1
    if runs < 2:
        return 0, max(runs, 0)
    codes = np.frombuffer(bare.encode("utf-32-le"), np.uint32).astype(np.uint64)
    hashes = np.zeros(runs, dtype=np.uint64)
    for at in range(n):
        hashes = (hashes ^ codes[at : at + runs]) * _FACTOR
        hashes ^= hashes >> np.uint64(29)  # bring the high bits down, a product alone moves them up only
    _, counts = np.unique(hashes, return_counts=True)
    return int(counts[counts > 1].sum()), runs


def c4_lines(
    texts: Sequence[str],
    *,
    terminal_punctuation: bool = True,
    min_words: int = 3,
    max_word_length: int = 1000,
    javascript: bool = True,
    policy: bool = True,
    citations: bool = True,
) -> list[str]:
    """The edit of that name (filters/lines.py)."""

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

    return [edited(text) for text in texts]


def _columns(rows: list[dict[str, int]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows], np.int64) for name in (rows[0] if rows else ())}
