"""The numbers behind the Gopher repetition rules: how much of a text says the same thing again?

Rae et al. 2021 (arXiv 2112.11446), table A1, as datatrove 0.10 counts them. All shares of characters are over
every character of the text, white space included.

An n-gram can only be repeated if both (n-1)-grams in it are, so each round looks at the survivors of the
round before: on ordinary text little is left after n = 4.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from filters.registry import signal
from filters.texts import Texts, WordTable, lengths, ratio

SOURCE = "Rae et al. 2021 (arXiv 2112.11446), table A1"
_LINE_ENDS = re.compile(r"\n+")
TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)


@signal(family="repetition", source=SOURCE)
def duplicate_line_ratio(texts: Texts) -> np.ndarray:
    """Lines that stand in the text before / lines (split at runs of line feeds)."""
    found = texts.once(_duplicate_lines)
    return ratio(found["duplicates"], found["parts"])


@signal(family="repetition", source=SOURCE)
def duplicate_line_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of lines that stand in the text before / characters."""
    return ratio(texts.once(_duplicate_lines)["chars"], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_paragraph_ratio(texts: Texts) -> np.ndarray:
    """Paragraphs that stand in the text before / paragraphs (split at empty lines)."""
    found = texts.once(_duplicate_paragraphs)
    return ratio(found["duplicates"], found["parts"])


@signal(family="repetition", source=SOURCE)
def duplicate_paragraph_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of paragraphs that stand in the text before / characters."""
    return ratio(texts.once(_duplicate_paragraphs)["chars"], texts.chars)


@signal(family="repetition", source=SOURCE)
def top_2gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of all occurrences of the most frequent pair of words / characters."""
    return ratio(texts.once(_ngram_chars)[2], texts.chars)


@signal(family="repetition", source=SOURCE)
def top_3gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of all occurrences of the most frequent 3 words in a row / characters."""
    return ratio(texts.once(_ngram_chars)[3], texts.chars)


@signal(family="repetition", source=SOURCE)
def top_4gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters of all occurrences of the most frequent 4 words in a row / characters."""
    return ratio(texts.once(_ngram_chars)[4], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_5gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 5 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(_ngram_chars)[5], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_6gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 6 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(_ngram_chars)[6], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_7gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 7 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(_ngram_chars)[7], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_8gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 8 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(_ngram_chars)[8], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_9gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 9 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(_ngram_chars)[9], texts.chars)


@signal(family="repetition", source=SOURCE)
def duplicate_10gram_char_ratio(texts: Texts) -> np.ndarray:
    """Characters in 10 words in a row that stand in the text before / characters; no character twice."""
    return ratio(texts.once(_ngram_chars)[10], texts.chars)


def count_duplicates(texts: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """For the parts of each text: how many, how many stand before in it, and the characters of those; int64
    each."""
    rows = []
    for parts in texts:
        different = set(parts)
        repeated = len(parts) - len(different)
        chars = sum(map(len, parts)) - sum(map(len, different)) if repeated else 0
        rows.append((len(parts), repeated, chars))
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return {"parts": table[:, 0], "duplicates": table[:, 1], "chars": table[:, 2]}


def _duplicate_lines(texts: Texts) -> dict[str, np.ndarray]:
    # a line feed at the very start or end of a text leaves an empty line there, which counts
    return count_duplicates([_LINE_ENDS.split(text) for text in texts.strings])


def _duplicate_paragraphs(texts: Texts) -> dict[str, np.ndarray]:
    return count_duplicates(texts.paragraphs)


def _ngram_chars(texts: Texts) -> dict[int, np.ndarray]:
    """For each n of TOP and DUPLICATE the characters that its rule counts, int64 of shape (texts,)."""
    table = texts.word_table
    widths = lengths(table.vocabulary)[table.ids]
    ends = np.concatenate(([0], np.cumsum(widths)))  # ends[i + n] - ends[i]: characters of the words i .. i + n - 1
    found = {}
    for n, positions, grams in _repeated_ngrams(table):
        count = _top_chars if n in TOP else _duplicate_chars
        if n in TOP or n in DUPLICATE:
            found[n] = count(n, positions, grams, table, ends)
    return found


def _repeated_ngrams(table: WordTable) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For n = 1 .. 10: n, the word positions (ascending) where an n-gram begins that occurs more than once in
    its text, and a number for that n-gram, the same for the same n-gram of the same text."""
    text_of_word = table.text_of_word
    positions = np.arange(len(table.ids))
    keys = text_of_word * len(table.vocabulary) + table.ids
    grams = keys
    for n in range(1, max(DUPLICATE) + 1):
        if n > 1:
            # the n-gram at p is the pair of the (n-1)-grams at p and p + 1
            pairs = np.flatnonzero(np.diff(positions) == 1)
            pairs = pairs[text_of_word[positions[pairs]] == text_of_word[positions[pairs + 1]]]
            keys = grams[pairs] * (grams.max(initial=0) + 1) + grams[pairs + 1]
            positions = positions[pairs]
        _, grams, counts = np.unique(keys, return_inverse=True, return_counts=True)
        repeated = counts[grams] > 1
        positions, grams = positions[repeated], grams[repeated]
        yield n, positions, grams


def _top_chars(n: int, positions: np.ndarray, grams: np.ndarray, table: WordTable, ends: np.ndarray) -> np.ndarray:
    """Occurrences x characters of each text's most frequent n-gram, the first one if several are, one space
    between two words. Where no n-gram is repeated that is the first n-gram of the text, once."""
    out = np.zeros(len(table.starts) - 1, dtype=np.int64)
    enough = np.flatnonzero(np.diff(table.starts) >= n)
    first = table.starts[enough]
    out[enough] = ends[first + n] - ends[first] + n - 1
    _, at, counts = np.unique(grams, return_index=True, return_counts=True)
    where = positions[at]
    text = np.searchsorted(table.starts, where, side="right") - 1
    order = np.lexsort((where, -counts, text))
    leads = order[np.flatnonzero(np.diff(text[order], prepend=-1))]
    out[text[leads]] = (ends[where[leads] + n] - ends[where[leads]] + n - 1) * counts[leads]
    return out


def _duplicate_chars(
    n: int, positions: np.ndarray, grams: np.ndarray, table: WordTable, ends: np.ndarray
) -> np.ndarray:
    """Characters of n-grams seen before, read from left to right; after each one the reading goes on behind
    it."""
    seen: set[int] = set()
    again: list[int] = []
    free = 0
    for position, gram in zip(positions.tolist(), grams.tolist(), strict=True):
        if position < free:
            continue
        if gram in seen:
            again.append(position)
            free = position + n
        else:
            seen.add(gram)
    where = np.array(again, dtype=np.int64)
    text = np.searchsorted(table.starts, where, side="right") - 1
    out = np.zeros(len(table.starts) - 1, dtype=np.int64)
    np.add.at(out, text, ends[where + n] - ends[where])
    return out
