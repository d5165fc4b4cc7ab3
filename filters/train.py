"""Trains a fastText classifier on labelled JSON Lines and says how good it is on texts that it has not seen.

    train("reviews.jsonl", "text", "quality", "quality.bin")

    one line   {"text": "The mill grinds slowly.", "quality": "low", ...}
    result     {"train": 900, "held_out": 100, "labels": {"low": {"precision": 0.91, "recall": 0.88, "f1": 0.89,
                "train": 610, "held_out": 66, "thresholds": [{"threshold": 0.05, "kept": 0.8, "precision": 0.7,
                "recall": 1.0}, ...]}, ...}}

`precision`, `recall` and `f1` are those of the best label; a threshold's are those of "this label's probability is at
least so much", which is what `filters.classifier` asks, and `kept` is the share of all held-out texts that pass.

Which texts are held out is decided by a hash of the text and the seed, so copies of a text stay on one side. A text is
trained on as it is predicted on: a line of its words, nothing lower-cased; "</s>" ends it and words that begin with
"__label__" are left out, as the library does when it predicts. Not covered: several labels for one text.
"""

import hashlib
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from smart_open import open as open_any

from filters.fasttext_model import read_model
from filters.registry import nearest
from filters.texts import ratio

THRESHOLDS = np.arange(1, 20) / 20  # 0.05 to 0.95
# the library fills its matrix at random in tenths, a thread each, and a rest: what no thread fills is whatever the
# memory held (src/densematrix.cc; seen as "Encountered NaN" with one thread and small data)
LEAST_THREADS = 11
_PREFIX = "__label__"
_SEPARATORS = re.compile(r"[ \t\n\v\f\r\0]+")  # what the library splits words at


def train(
    path: str,
    text_field: str,
    label_field: str,
    out: str,
    *,
    held_out: float = 0.1,
    seed: int = 0,
    **hyper: Any,
) -> dict[str, Any]:
    """Trains on the JSON Lines file `path` (.gz, .zst as well), writes the model to `out`, gives the figures above.

    `out` ends in .bin, or in .ftz for a quantised model. `hyper` goes to fasttext.train_supervised (lr, epoch,
    wordNgrams, dim, loss, minn, maxn, bucket, ...). The split is the same each time, the model is not to the last bit:
    the library's threads learn without locks. Errors: OSError; ValueError for a line without the fields, fewer
    than two labels, an empty side, fewer than 11 threads.
    """
    if not out.endswith((".bin", ".ftz")):
        raise ValueError(f"train: the model's name must end in .bin, or in .ftz for a quantised one, not {out!r}")
    if not 0.0 < held_out < 1.0:
        raise ValueError(f"train: held_out is a share between 0 and 1, not {held_out}")
    if hyper.setdefault("thread", LEAST_THREADS) < LEAST_THREADS:
        raise ValueError(
            f"train: thread must be {LEAST_THREADS} or more: with fewer the library does not set up its whole matrix"
        )
    sides: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for text, label in _read(path, text_field, label_field):
        sides[_is_held_out(text, held_out, seed)].append((text, label))
    learned, tested = sides
    counts = Counter(label for _, label in learned)
    if len(counts) < 2 or not tested:
        raise ValueError(
            f"train: {path!r} has {len(learned)} texts with {len(counts)} labels to train on and {len(tested)} to test on; "
            f"two labels and a text on each side are the least"
        )
    _fit(learned, out, hyper)
    return {"train": len(learned), "held_out": len(tested), "labels": _figures(out, tested, counts)}


def _read(path: str, text_field: str, label_field: str) -> list[tuple[str, str]]:
    """(text, label) of each line."""
    found = []
    with open_any(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"train: {path}, line {number} is not JSON: {error}") from error
            for field in (text_field, label_field):
                if not isinstance(record, dict) or not isinstance(record.get(field), str | int | bool):
                    known = list(record) if isinstance(record, dict) else []
                    raise ValueError(
                        f"train: {path}, line {number} has no field {field!r} with a text or number{nearest(field, known)}; "
                        f"it has {', '.join(known) or 'none'}"
                    )
            label = _SEPARATORS.sub("_", str(record[label_field])).removeprefix(_PREFIX)
            found.append((_one_line(str(record[text_field])), label))
    return found


def _one_line(text: str) -> str:
    """The words that the library sees when it predicts, one space between them."""
    words = [word for word in _SEPARATORS.split(text) if word and not word.startswith(_PREFIX)]
    return " ".join(words[: words.index("</s>")] if "</s>" in words else words)


def _is_held_out(text: str, share: float, seed: int) -> bool:
    digest = hashlib.blake2b(f"{seed}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _fit(learned: list[tuple[str, str]], out: str, hyper: dict[str, Any]) -> None:
    import fasttext

    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "train.txt"
        with lines.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
            stream.writelines(f"{_PREFIX}{label} {text}\n" for text, label in learned)
        model = fasttext.train_supervised(str(lines), **{"verbose": 0, **hyper})
        if out.endswith(".ftz"):
            model.quantize(input=str(lines), retrain=False)
        model.save_model(out)


def _figures(out: str, tested: list[tuple[str, str]], counts: Counter[str]) -> dict[str, dict[str, Any]]:
    model = read_model(out)
    found, probabilities = model.predict(pa.array([text for text, _ in tested], pa.large_string()), k=len(model.labels))
    truth = np.array([label for _, label in tested], dtype=object)
    figures = {}
    for number, label in sorted(enumerate(model.labels), key=lambda each: each[1]):
        is_label = truth == label
        scores = np.where(found == number, probabilities, 0.0).sum(axis=1)
        figures[label] = {
            **_measured(found[:, 0] == number, is_label),
            "train": counts[label],
            "held_out": int(is_label.sum()),
            "thresholds": [
                {
                    "threshold": float(each),
                    "kept": float(np.mean(scores >= each)),
                    **_measured(scores >= each, is_label),
                }
                for each in THRESHOLDS
            ],
        }
    return figures


def _measured(said: np.ndarray, is_label: np.ndarray) -> dict[str, float]:
    right = (said & is_label).sum()
    precision, recall = float(ratio(right, said.sum())), float(ratio(right, is_label.sum()))
    return {"precision": precision, "recall": recall, "f1": float(ratio(2 * precision * recall, precision + recall))}
