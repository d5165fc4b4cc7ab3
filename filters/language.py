"""The language of each document, by fastText's identification model.

In: the column `text`. Out: the columns `lang` (the model's label, ISO 639-1 where there is one, else 639-3) and `lang_score` (the
model's probability, 0 to 1).

    text="Die Mühle mahlt langsam, aber fein."   ->   lang="de", lang_score=0.98

Reasons: "language" (detail: the label found, value: its score) and "language_score.min". A text without any letter or
digit is not asked about: lang "und" (ISO 639-3: undetermined), score 0. Not covered: several languages in one
document (the one with most evidence wins), scripts as such, and simplified against traditional Chinese (both "zh").
"""

import functools
import re
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from filters.registry import nearest
from filters.step import Step, reasons, set_column
from filters.texts import Texts

UNDETERMINED = "und"
_PREFIX = "__label__"
_LETTER = re.compile(r"\w")


def language(*, in_: list[str] | None = None, min_score: float = 0.0, model: str | None = None) -> Step:
    """A step that labels each document and keeps those in the languages `in_` (all if None) with `min_score` or more.

    `model`: path of a fastText classifier whose labels are languages; None is the lid.176.ftz of this package.
    Errors: ValueError for a language that the model does not know, an empty list, a score outside 0 to 1, or
    a file that is no such model (at once, not at the first document).
    """
    if not 0.0 <= min_score <= 1.0:
        raise ValueError(f"language: min_score is a probability, from 0 to 1, not {min_score}")
    if in_ is not None:
        _check_labels(in_, labels(model))
    wanted = None if in_ is None else frozenset(in_)

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        found, scores = identify(Texts(table["text"]), model)
        table = set_column(table, "lang", pa.array(found, pa.string()))
        table = set_column(table, "lang_score", pa.array(scores, pa.float64()))
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
    predict = load_model(model).predict
    found = [UNDETERMINED] * len(texts)
    scores = np.zeros(len(texts))
    for row, text in enumerate(texts.strings):
        if _LETTER.search(text):
            names, probabilities = predict(_one_line(text))  # k=1
            found[row] = names[0].removeprefix(_PREFIX)
            scores[row] = min(1.0, float(probabilities[0]))  # fastText adds 1e-5 before the logarithm: 1.00001
    return found, scores


@functools.cache
def load_model(path: str | None = None) -> Any:
    """The fastText model at `path` (None: the packaged lid.176.ftz), loaded once a process.

    Errors: FileNotFoundError, or ValueError if the file is no fastText model or its labels are missing.
    """
    import fasttext

    file = Path(path) if path else Path(str(resources.files("filters.models") / "lid.176.ftz"))
    if not file.is_file():
        near = nearest(file.name, [each.name for each in file.parent.iterdir()] if file.parent.is_dir() else [])
        raise FileNotFoundError(f"language: there is no model file {str(file)!r}{near}; leave `model` out to use lid.176.ftz")
    _check_magic(file)
    try:
        # not fasttext.load_model(): that prints a warning to stderr for each process
        model = fasttext.FastText._FastText(model_path=str(file))
    except Exception as error:  # fastText raises what its C++ meets: MemoryError, ValueError, RuntimeError
        raise ValueError(f"language: {str(file)!r} is a broken fastText model ({error}); get it again from its source") from error
    if not _labels(model):
        raise ValueError(
            f"language: {str(file)!r} is a fastText model without labels (word vectors, not a classifier); "
            f"a language identification model such as lid.176.bin is needed"
        )
    return model


@functools.cache
def labels(path: str | None = None) -> frozenset[str]:
    """What the model can answer: {"en", "zh", ...}."""
    return frozenset(_labels(load_model(path)))


def _labels(model: Any) -> list[str]:
    if model.f.getArgs().model.name != "supervised":  # for word vectors get_labels() gives the words
        return []
    return [name.removeprefix(_PREFIX) for name in model.get_labels() if name.startswith(_PREFIX)]


def _check_magic(file: Path) -> None:
    """fastText reads any bytes as sizes and may ask for terabytes: look at its magic number first (fasttext.cc)."""
    with file.open("rb") as stream:
        if stream.read(4) != (793712314).to_bytes(4, "little"):
            raise ValueError(f"language: {str(file)!r} is no fastText model (the file does not begin with its magic number)")


def _check_labels(wanted: Collection[str], known: Collection[str]) -> None:
    if not wanted:
        raise ValueError("language: `in` is an empty list: no document could stay. Leave `in` out to keep every language")
    for name in wanted:
        if name not in known and name != UNDETERMINED:
            raise ValueError(
                f"language: the model has no language {name!r}{nearest(name, known)}; "
                f"labels are ISO 639 codes such as 'en' and 'zh', and the model knows {len(known)} of them"
            )


def _one_line(text: str) -> str:
    """fastText refuses "\\n" in a text; a zero character would end it in C++."""
    return text.replace("\n", " ").replace("\x00", " ")
