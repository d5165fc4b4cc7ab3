"""A column of texts with what the signals look at found once: words, lines, paragraphs, lengths.

    texts = Texts(pa.array(["One line.\\nTwo.", None]))
    texts.words    [["One", "line", ".", "Two", "."], []]
    texts.lines    [["One line.", "Two."], []]
    texts.chars    [14, 0]

Everything is computed when it is first asked for and kept; `take` carries what is there over to a part of the
rows.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.words import split_words

T = TypeVar("T")
_BLANK_LINES = re.compile(r"\n{2,}")


class Texts:
    """`n` texts from an Arrow (large_)string array; a null counts as ""."""

    def __init__(self, array: pa.Array | pa.ChunkedArray) -> None:
        self.array = array
        self._kept: dict[Callable[[Texts], Any], Any] = {}

    def __len__(self) -> int:
        return len(self.array)

    def once(self, find: Callable[["Texts"], T]) -> T:
        """`find(self)`, worked out once and kept.

        What `find` gives must have one entry a text, so that `take` can cut it: a list, a numpy array with
        texts along the first axis, a dict or tuple of those, or an object with a `take(rows)` of its own.
        """
        if find not in self._kept:
            self._kept[find] = find(self)
        return self._kept[find]

    def take(self, rows: np.ndarray) -> "Texts":
        """The texts at `rows` (int64 row numbers), with all that was found already."""
        part = Texts(self.array.take(pa.array(rows)))
        part._kept = {find: _cut(found, rows) for find, found in self._kept.items()}
        return part

    @property
    def strings(self) -> list[str]:
        """The texts as Python strings."""
        return self.once(_strings)

    @property
    def words(self) -> list[list[str]]:
        """The words and symbols of each text by the affix rule (see filters/words.py)."""
        return self.once(_words)

    @property
    def lines(self) -> list[list[str]]:
        """The lines of each text, split as `str.splitlines` does (so also at form feeds and U+2028)."""
        return self.once(_lines)

    @property
    def paragraphs(self) -> list[list[str]]:
        """The paragraphs of each text, white space at its ends stripped: what stands between empty lines."""
        return self.once(_paragraphs)

    @property
    def chars(self) -> np.ndarray:
        """Code points of each text, int64 of shape (n,)."""
        return self.once(_chars)

    @property
    def word_table(self) -> "WordTable":
        """The words of all texts as numbers, for counting over the whole column at once."""
        return self.once(_word_table)

    @property
    def word_counts(self) -> np.ndarray:
        """Words and symbols of each text, int64 of shape (n,): the length of each entry of `words`."""
        return self.once(_word_counts)


@dataclass(frozen=True)
class WordTable:
    """The words of n texts one after the other, as numbers: word i is `vocabulary[ids[i]]`.

    The words of text t are ids[starts[t]:starts[t + 1]].
    """

    ids: np.ndarray  # int64, one a word
    starts: np.ndarray  # int64, shape (n + 1,)
    vocabulary: list[str]  # each different word once

    @property
    def text_of_word(self) -> np.ndarray:
        """int64, one a word: which text it stands in."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def take(self, rows: np.ndarray) -> "WordTable":
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate(([0], np.cumsum(counts)))
        moved = np.repeat(self.starts[rows] - starts[:-1], counts)
        return WordTable(self.ids[np.arange(starts[-1]) + moved], starts, self.vocabulary)


def sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The sum of values[starts[t]:starts[t + 1]] for each t, int64; 0 for an empty range."""
    running = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    return running[starts[1:]] - running[starts[:-1]]


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """`numerator / denominator` as float64, and 0.0 where the denominator is 0.

    The only place that decides what an empty text scores: a share of nothing is no share.
    """
    above = np.asarray(numerator, dtype=np.float64)
    below = np.asarray(denominator, dtype=np.float64)
    out = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    return np.divide(above, below, out=out, where=below != 0)


def _cut(found: Any, rows: np.ndarray) -> Any:
    if isinstance(found, dict):
        return {key: _cut(each, rows) for key, each in found.items()}
    if isinstance(found, tuple):
        return tuple(_cut(each, rows) for each in found)
    if hasattr(found, "take"):  # a numpy array, a WordTable
        return found.take(rows, axis=0) if isinstance(found, np.ndarray) else found.take(rows)
    return [found[row] for row in rows]


def _strings(texts: Texts) -> list[str]:
    return pc.fill_null(texts.array, "").to_pylist()


def _words(texts: Texts) -> list[list[str]]:
    return [split_words(text) for text in texts.strings]


def _lines(texts: Texts) -> list[list[str]]:
    return [text.splitlines() for text in texts.strings]


def _paragraphs(texts: Texts) -> list[list[str]]:
    return [_BLANK_LINES.split(text.strip()) for text in texts.strings]


def _chars(texts: Texts) -> np.ndarray:
    return lengths(texts.strings)


def _word_table(texts: Texts) -> WordTable:
    words = pa.array(chain.from_iterable(texts.words), pa.large_string()).dictionary_encode()
    starts = np.concatenate(([0], np.cumsum(texts.word_counts)))
    return WordTable(words.indices.to_numpy().astype(np.int64), starts, words.dictionary.to_pylist())


def _word_counts(texts: Texts) -> np.ndarray:
    return lengths(texts.words)


def lengths(things: Sequence[Sequence[Any]]) -> np.ndarray:
    """`len` of each, int64 of shape (n,)."""
    return np.fromiter(map(len, things), dtype=np.int64, count=len(things))
