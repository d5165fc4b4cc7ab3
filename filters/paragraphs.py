"""Several languages in one document: an edit that takes out the paragraphs of other languages, a signal that measures their share.

language_paragraphs {in: [en]}
    "The mill grinds slowly but fine, day and night.\\nDie Mühle mahlt langsam, aber fein, bei Tag und bei Nacht."
    ->   "The mill grinds slowly but fine, day and night."

A paragraph is what stands between two line feeds, as crawled text has it. One with fewer than `min_letters` letters (a Han, kana or Hangul letter
counts as three) or with a model's probability below `min_score` cannot be judged: a heading, a list item, a line of numbers. It goes out
only where the nearest paragraphs that can be judged, above and below, both do. So do empty lines.

lid.176 calls one line in sixteen of Chinese web articles Japanese. Japanese is written with kana: a line with Han and without them counts as Chinese, one
with a kana for every ten Han or more as Japanese. Not covered: two languages inside one paragraph; program text, which the model
calls by whatever it resembles, mostly English.
"""

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.language_codes import CHINESE, JAPANESE, Name, check_names, choose_names
from filters.registry import edit, signal
from filters.rows import plain, put_rows
from filters.scripts import HAN, KANA, in_scripts, is_japanese
from filters.texts import Texts, ratio

if TYPE_CHECKING:
    from filters.fasttext_model import Model

SOURCE = "this project; models of language identification as in `keep: language`"
MIN_SCORE, MIN_LETTERS = 0.5, 30
UNJUDGED = -1


class Paragraphs(NamedTuple):
    """The lines of a column of texts, line i of text t at begins[t] + i."""

    lines: pa.Array
    begins: np.ndarray  # int64 (texts + 1,)
    found: np.ndarray  # int64: the number of the label of each line, UNJUDGED
    letters: np.ndarray  # int64


@edit(source=SOURCE)
def language_paragraphs(
    texts: Texts,
    *,
    in_: list[str] | None = None,
    min_score: float = MIN_SCORE,
    min_letters: int = MIN_LETTERS,
    model: str | None = None,
) -> pa.Array:
    """Take out the paragraphs (lines) of other languages than those of `in`.

    `in`: names as in `keep: language`; only labels count, not the script of a paragraph. `min_score`, `min_letters`: what a paragraph
    must have to be judged; others go with their neighbours. `model`: path of a fastText model, lid.176.ftz by default. Nothing left
    gives "". Null stays null. Errors: ValueError for a missing or unknown language, a score outside 0 to 1, min_letters < 1, a broken model.
    """
    if not in_:
        raise ValueError("language_paragraphs: say which languages stay: {in: [en, zh]}")
    if not 0.0 <= min_score <= 1.0 or min_letters < 1:
        raise ValueError(
            f"language_paragraphs: min_score {min_score} is a probability, from 0 to 1, and min_letters {min_letters} is 1 or more"
        )
    names = _model(model).labels
    check_names(in_, names)
    wanted = np.array([_fits(in_, label) for label in names] + [False])  # the last one stands for UNJUDGED
    part = judge(texts, min_score, min_letters, model)
    goes = np.where(part.found == UNJUDGED, 0, np.where(wanted[part.found], -1, 1))
    gone = _spread(goes, part.begins)
    return _without(plain(texts), part, gone)


@signal(family="language", source=SOURCE)
def other_language_ratio(texts: Texts) -> np.ndarray:
    """Letters in paragraphs of another language than the commonest one of the text / letters in paragraphs that can be judged."""
    part = judge(texts, MIN_SCORE, MIN_LETTERS, None)
    known = np.flatnonzero(part.found != UNJUDGED)
    row = np.searchsorted(part.begins, known, side="right") - 1
    size = len(_model().labels)
    pairs, place = np.unique(row * size + part.found[known], return_inverse=True)
    sums = np.bincount(place, part.letters[known], len(pairs))
    most, total = np.zeros(len(texts)), np.zeros(len(texts))
    np.maximum.at(most, pairs // size, sums)
    np.add.at(total, pairs // size, sums)
    return ratio(total - most, total)


def judge(texts: Texts, min_score: float, min_letters: int, model: str | None) -> Paragraphs:
    """The language of each line of the texts, where it can be told."""
    lines = pc.split_pattern(pc.fill_null(plain(texts), ""), "\n")
    begins, flat = lines.offsets.to_numpy() - lines.offsets[0].as_py(), lines.flatten()
    counts = in_scripts(Texts(flat))
    letters = counts.sum(axis=1)
    long = np.flatnonzero(letters >= min_letters)
    numbers, probabilities = _model(model).predict(flat.take(pa.array(long)), 1)
    sure = (numbers[:, 0] >= 0) & (probabilities[:, 0] >= min_score)
    found = np.full(len(flat), UNJUDGED, np.int64)
    found[long[sure]] = _read_by_kana(numbers[sure, 0].astype(np.int64), counts[long[sure]], model)
    return Paragraphs(flat, begins.astype(np.int64), found, letters)


def _read_by_kana(found: np.ndarray, counts: np.ndarray, model: str | None) -> np.ndarray:
    """`found` with Chinese and Japanese told apart by their kana, where the model has both."""
    chinese, japanese = _numbers(model, CHINESE), _numbers(model, JAPANESE)
    if not len(chinese) or not len(japanese):
        return found
    han, kana = counts[:, HAN].sum(axis=1), counts[:, KANA]
    found = np.where(np.isin(found, japanese) & (han > 0) & (kana == 0), chinese[0], found)
    return np.where(np.isin(found, chinese) & is_japanese(han, kana), japanese[0], found)


def _model(path: str | None = None) -> "Model":
    from filters.language import load_model  # imports the kernels, and so numba: when it is needed

    return load_model(path)


@functools.cache
def _numbers(model: str | None, codes: frozenset[str]) -> np.ndarray:
    return np.flatnonzero([Name.of(label).code in codes for label in _model(model).labels])


def _fits(wanted: list[str], label: str) -> bool:
    return bool(choose_names(wanted, label))


def _spread(goes: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """goes: 1 out, -1 stays, 0 as its neighbours in the same text. True where a line goes out."""
    at = np.arange(len(goes))
    first = np.repeat(begins[:-1], np.diff(begins))
    last = np.repeat(begins[1:], np.diff(begins))
    known = goes != 0
    above = np.maximum.accumulate(np.where(known, at, -1))
    below = np.minimum.accumulate(np.where(known, at, len(goes))[::-1])[::-1]
    padded = np.append(goes, 0)
    up = np.where(above >= first, padded[above], 0)
    down = np.where(below < last, padded[below], 0)
    return (np.minimum(up, down) >= 0) & (up + down > 0)


def _without(array: pa.Array, part: Paragraphs, gone: np.ndarray) -> pa.Array:
    """`array` without the lines that go."""
    rows = np.unique(np.searchsorted(part.begins, np.flatnonzero(gone), side="right") - 1)
    left = [
        "\n".join(part.lines[begin:end].filter(pa.array(~gone[begin:end])).to_pylist())
        for begin, end in zip(part.begins[rows].tolist(), part.begins[rows + 1].tolist(), strict=True)
    ]
    return put_rows(array, rows, left)
