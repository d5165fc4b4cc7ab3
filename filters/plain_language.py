"""What filters/language.py computes, written out with the fastText library: the readable twin, for the tests."""

import functools
import re
from typing import Any

import numpy as np

from filters.texts import Texts

_LETTER = re.compile(r"\w")


def identify_plain(texts: Texts, model: str) -> tuple[list[str], np.ndarray]:
    """Labels (without "__label__") and float64 probabilities, one a text; ("und", 0.0) where there is nothing to read."""
    found = ["und"] * len(texts)
    scores = np.zeros(len(texts))
    for row, text in enumerate(texts.strings):
        if _LETTER.search(text):
            names, probabilities = predict_plain(model, text, 1)
            if names:
                found[row] = names[0]
                scores[row] = min(1.0, probabilities[0])  # fastText adds 1e-5 before the logarithm: 1.00001
    return found, scores


def predict_plain(model: str, text: str, k: int) -> tuple[list[str], list[float]]:
    """The `k` best labels and their probabilities, as the library gives them."""
    names, probabilities = library_model(model).predict(_one_line(text), k=k)
    return [name.removeprefix("__label__") for name in names], [float(each) for each in probabilities]


@functools.cache
def library_model(path: str) -> Any:
    """The fastText library's model."""
    import fasttext

    # not fasttext.load_model(): that prints a warning to stderr for each process
    return fasttext.FastText._FastText(model_path=path)


def _one_line(text: str) -> str:
    """fastText refuses "\\n" in a text; a zero character would end it in C++."""
    return text.replace("\n", " ").replace("\x00", " ")
