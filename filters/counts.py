"""What the built-in signals count in a column of texts: integers by name, from the kernels.

    in_lines(texts)["bullet_lines"]   int64, one a text

Each function is one kernel call over the column; signals ask for it by `texts.once`, so that all of a family share it
and only those kernels run (and are compiled) that a recipe needs. The same counts in plain Python are in
filters/plain_texts.py, under the same names; the names are explained where the kernels have their COLUMNS.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from filters.texts import Texts
from filters.words import STOP_WORDS

if TYPE_CHECKING:
    from kernels.affix import Words


@dataclass(frozen=True)
class Counts:
    """A table of counts with names for its columns."""

    table: np.ndarray  # int64, shape (n, columns)
    columns: tuple[str, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.table[:, self.columns.index(name)]

    def take(self, rows: np.ndarray) -> "Counts":
        return Counts(self.table[rows], self.columns)


@dataclass(frozen=True)
class WordRows:
    """The words of each text as hashes and widths, words.hashes[firsts[i]:ends[i]]; and what is counted over them."""

    words: "Words"
    firsts: np.ndarray  # int64
    ends: np.ndarray  # int64
    counts: Counts

    def take(self, rows: np.ndarray) -> "WordRows":
        return WordRows(self.words, self.firsts[rows], self.ends[rows], self.counts.take(rows))


def in_words(texts: Texts) -> Counts:
    """words, proper, proper_chars, with_letter, stop_words, sentences"""
    return texts.once(_word_rows).counts


def in_sentences(texts: Texts) -> Counts:
    """sentences"""
    from kernels import words

    if texts.more or texts.has(_word_rows):
        return Counts(in_words(texts)["sentences"][:, None], ("sentences",))
    spans = texts.spans
    return Counts(words.count_sentences(spans.starts, spans.ends, spans.data, _kinds())[:, None], ("sentences",))


def in_ngrams(texts: Texts) -> Counts:
    """top_2 .. top_4, duplicate_5 .. duplicate_10: characters"""
    from kernels import ngrams

    rows = texts.once(_word_rows)
    return Counts(ngrams.count_ngrams(rows.words, rows.firsts, rows.ends), ngrams.COLUMNS)


def in_marks(texts: Texts) -> Counts:
    """hash_signs, ellipses, curly, lorem_ipsum"""
    from kernels import marks

    spans = texts.spans
    return Counts(marks.count_marks(spans.starts, spans.ends, spans.data), marks.COLUMNS)


def in_lines(texts: Texts) -> Counts:
    """chars, lines, bullet_lines, terminal_rows, duplicate_parts, paragraphs and more"""
    from kernels import lines

    spans = texts.spans
    return Counts(lines.count_lines(spans.starts, spans.ends, spans.data, _kinds()), lines.COLUMNS)


def in_characters(texts: Texts) -> Counts:
    """digits, upper, punctuation, white, han"""
    from kernels import kinds

    spans = texts.spans
    return Counts(kinds.count_kinds(spans.starts, spans.ends, spans.data, _kinds()), kinds.COLUMNS)


def different_words(texts: Texts) -> np.ndarray:
    """How many different words and symbols each text has, int64."""
    from kernels.ngrams import count_different

    rows = texts.once(_word_rows)
    return count_different(rows.words, rows.firsts, rows.ends)


def word_matches(texts: Texts, listed: tuple[str, ...]) -> np.ndarray:
    """int64 of shape (texts, 3): how many of the (at most 64) listed words occur, how often they do, all words and symbols."""
    from kernels.listed import count_listed

    rows = texts.once(_word_rows)
    return count_listed(rows.words.hashes, rows.firsts, rows.ends, _hashes(listed))


def url_chars(texts: Texts) -> np.ndarray:
    """How many characters of each text stand in web addresses, int64."""
    from kernels.urls import count_url_chars

    spans = texts.spans
    return count_url_chars(spans.starts, spans.ends, spans.data, _kinds())


def in_runs(texts: Texts, n: int) -> np.ndarray:
    """int64 of shape (texts, 2): runs of n characters that occur more than once (each occurrence), all runs."""
    from filters.kinds import lower_table
    from filters.plain_texts import repeated_runs
    from kernels.runs import count_runs

    spans = texts.spans
    counts = count_runs(spans.starts, spans.ends, spans.data, _kinds(), lower_table(), n)
    for row in np.flatnonzero(counts[:, 0] < 0).tolist():
        text = spans.data[spans.starts[row] : spans.ends[row]].tobytes().decode()
        counts[row] = repeated_runs(text, n)
    return counts


def _word_rows(texts: Texts) -> WordRows:
    from kernels import words

    spans = texts.spans
    found, firsts, counts = words.cut_words(spans.starts, spans.ends, spans.data, _kinds(), _stop_hashes())
    return WordRows(found, firsts[:-1], firsts[1:], Counts(counts, words.COLUMNS))


def _kinds() -> np.ndarray:
    from filters.kinds import kind_table  # what imports the kernels, and so numba, waits until it is needed

    return kind_table()


def _stop_hashes() -> np.ndarray:
    return _hashes(STOP_WORDS)


@cache
def _hashes(listed: tuple[str, ...]) -> np.ndarray:
    from kernels.hashes import hash_words

    return hash_words([word.encode() for word in listed])
