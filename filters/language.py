"""The language of each document, by fastText's identification model.

In: the column `text`. Out: the columns `lang` (the model's label, ISO 639-1 where there is one, else 639-3) and `lang_score` (the
model's probability, 0 to 1).

    text="Die Mühle mahlt langsam, aber fein."   ->   lang="de", lang_score=0.98

Reasons: "language" (detail: the label found, value: its score) and "language_score.min". A text without any letter or
digit is not asked about: lang "und" (ISO 639-3: undetermined), score 0. Not covered: several languages in one
document (the one with most evidence wins), scripts as such, and simplified against traditional Chinese (both "zh").
The model is read and asked by kernels/fasttext.py; filters/plain_language.py is the same by the fastText library.
"""

import functools
import re
from collections.abc import Collection
from importlib import resources

import numpy as np
import pyarrow as pa

from filters.fasttext_model import Model, load, text_buffers
from filters.registry import nearest
from filters.short_language import check_installed, name_short_texts
from filters.step import Step, reasons, set_column
from filters.texts import Texts
from kernels.fasttext import has_word_character

UNDETERMINED = "und"
_LETTER = re.compile(r"\w")


def language(
    *,
    in_: list[str] | None = None,
    min_score: float = 0.0,
    model: str | None = None,
    second: bool = False,
    short: int = 0,
) -> Step:
    """A step that labels each document and keeps those in the languages `in_` (all if None) with `min_score` or more.

    `model`: path of a fastText classifier whose labels are languages; None is the lid.176.ftz of this package.
    `second`: also add the signal `second_language_score`, the probability of the second best language.
    `short`: texts of fewer characters are named by py3langid (see filters/short_language.py; 60 is a good number).
    Errors: ValueError for a language that the model does not know, an empty list, a score outside 0 to 1, a
    file that is no such model, or py3langid wanted and not installed (at once, not at the first document).
    """
    if not 0.0 <= min_score <= 1.0:
        raise ValueError(f"language: min_score is a probability, from 0 to 1, not {min_score}")
    if in_ is not None:
        _check_labels(in_, labels(model))
    wanted = None if in_ is None else frozenset(in_)
    if short < 0:
        raise ValueError(f"language: short is a number of characters, 0 or more, not {short}")
    if short:
        check_installed()

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        texts = Texts(table["text"])
        found, scores = identify(texts, model)
        if short:
            found, scores = name_short_texts(texts, short, found, scores, labels(model))
        table = set_column(table, "lang", pa.array(found, pa.string()))
        table = set_column(table, "lang_score", pa.array(scores, pa.float64()))
        if second:
            table = set_column(table, "signal.second_language_score", pa.array(_ranked(texts, model, 2)[1][:, 1]))
        other = np.zeros(len(found), bool)
        if wanted is not None:
            other = np.array([label not in wanted for label in found], bool)
        unsure = ~other & (scores < min_score)
        rows = np.flatnonzero(other | unsure)
        return table, reasons(
            len(found),
            rows,
            ["language" if other[row] else "language_score.min" for row in rows],
            value=scores[rows],
            threshold=[None if other[row] else min_score for row in rows],
            detail=[found[row] for row in rows],
        )

    return step


def identify(texts: Texts, model: str | None = None) -> tuple[list[str], np.ndarray]:
    """Labels (without "__label__") and float64 probabilities, one a text; ("und", 0.0) where there is nothing to read."""
    numbers, scores = _ranked(texts, model, 1)
    names = [*load_model(model).labels, UNDETERMINED]  # number -1 is the last one
    return [names[number] for number in numbers[:, 0]], scores[:, 0]


def load_model(path: str | None = None) -> Model:
    """The model at `path` (None: the packaged lid.176.ftz), loaded once a process.

    Errors: FileNotFoundError, or ValueError if the file is no fastText model or its labels are missing.
    """
    packaged = str(resources.files("filters.models") / "lid.176.ftz")
    return load(path or packaged, "language", advice="; leave `model` out to use lid.176.ftz")


@functools.cache
def labels(path: str | None = None) -> frozenset[str]:
    """What the model can answer: {"en", "zh", ...}."""
    return frozenset(load_model(path).labels)


def _ranked(texts: Texts, model: str | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the `k` best labels and their probabilities (float64), shape (n, k); -1 and 0.0 for a text without words."""
    numbers, probabilities = load_model(model).predict(texts.array, k)
    scores = np.minimum(1.0, probabilities.astype(np.float64))  # fastText adds 1e-5 before the logarithm: 1.00001
    for row in np.flatnonzero(~has_word_character(*text_buffers(texts.array))):
        if not _LETTER.search(texts.array[row].as_py() or ""):
            numbers[row], scores[row] = -1, 0.0
    return numbers, scores


def _check_labels(wanted: Collection[str], known: Collection[str]) -> None:
    if not wanted:
        raise ValueError(
            "language: `in` is an empty list: no document could stay. Leave `in` out to keep every language"
        )
    for name in wanted:
        if name not in known and name != UNDETERMINED:
            raise ValueError(
                f"language: the model has no language {name!r}{nearest(name, known)}; "
                f"labels are ISO 639 codes such as 'en' and 'zh', and the model knows {len(known)} of them"
            )
