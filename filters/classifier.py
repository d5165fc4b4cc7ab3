"""Quality, topic, safety: the probability of one label of a fastText classifier as a signal, and a step that judges by it.

    classifier(model="models/quality.bin", label="hq", min=0.5)

    text="The mill grinds slowly."   ->   signal.quality=0.31, reason "quality.min", value 0.31, threshold 0.5

The signal is named after the model's file, or `name`. A text is given to the model as it is: line ends count as spaces,
nothing is lower-cased or taken off, which is also what filters/train.py trains on. Not covered: models of other kinds.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from filters.fasttext_model import load
from filters.registry import nearest
from filters.step import Step, reasons, set_column
from filters.texts import Texts

_PREFIX = "__label__"


def classifier(
    *, model: str, label: str, min: float | None = None, max: float | None = None, name: str | None = None
) -> Step:
    """A step that adds the column `signal.NAME` and keeps the documents whose probability of `label` is in [min, max].

    `name`: by default the name of the model's file without its ending. Without `min` and `max` all are kept.
    Errors, at once: those of `fasttext_signal`; ValueError for a bound outside 0 to 1, or min above max.
    """
    measure = fasttext_signal(model, label)
    name = name or Path(model).stem
    for bound in (min, max):
        if bound is not None and not 0.0 <= bound <= 1.0:
            raise ValueError(f"classifier: a bound is a probability, from 0 to 1, not {bound}")
    low, high = 0.0 if min is None else min, 1.0 if max is None else max
    if low > high:
        raise ValueError(f"classifier: min {low:g} is above max {high:g}: nothing passes")

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        values = measure(Texts(table["text"]))
        table = set_column(table, f"signal.{name}", pa.array(values, pa.float64()))
        rows = np.flatnonzero((values < low) | (values > high))
        below = values[rows] < low
        return table, reasons(
            len(values),
            rows,
            [f"{name}.min" if each else f"{name}.max" for each in below],
            value=values[rows],
            threshold=np.where(below, low, high),
        )

    return step


def fasttext_signal(model: str, label: str) -> Callable[[Texts], np.ndarray]:
    """A signal: the probability of `label` (with or without "__label__") by the classifier in the file `model`.

    float64, one a text, 0 to 1; 0.0 where the model does not name the label. Errors: FileNotFoundError and ValueError
    for a file that is no classifier or one without that label.
    """
    loaded = load(model, "classifier")
    wanted = label.removeprefix(_PREFIX)
    if wanted not in loaded.labels:
        raise ValueError(
            f"classifier: {model!r} has no label {label!r}{nearest(wanted, loaded.labels)}; "
            f"it knows {', '.join(sorted(loaded.labels)[:20])}"
        )
    number = loaded.labels.index(wanted)

    def signal(texts: Texts) -> np.ndarray:
        found, probabilities = loaded.predict(texts.array, k=len(loaded.labels))
        scores = np.where(found == number, probabilities, 0.0).sum(axis=1, dtype=np.float64)
        return np.minimum(1.0, scores)

    return signal
