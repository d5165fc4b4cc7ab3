"""The language of each document, by fastText's identification model.

In: the column `text`. Out: the columns `lang` (the name in `in` that the text answers to, else the model's label: ISO 639-1 in lid.176 where
there is one, else 639-3) and `lang_score` (the model's probability, 0 to 1).

    text="Die Mühle mahlt langsam, aber fein."   ->   lang="de", lang_score=0.98

Reasons: "language" (detail: the language found, value: its score) and "language_score.min". A text without any letter or
digit is not asked about: lang "und" (ISO 639-3: undetermined), score 0. `in` may name scripts too (zh_Hans, sr_Latn): see
filters/language_codes.py and filters/scripts.py. Several languages in one document: the one with most evidence wins here; the edit
`language_paragraphs` looks at each paragraph. The model is read and asked by kernels/fasttext.py;
filters/plain_language.py is the same by the fastText library.
"""

import functools
import json
import re
from importlib import resources

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.fasttext_model import Model, load, text_buffers
from filters.language_codes import CHINESE, UNDETERMINED, Name, check_names, choose_names
from filters.rows import plain, put_rows
from filters.scripts import chinese_names, in_scripts, script_names
from filters.short_language import check_installed, name_short_texts
from filters.step import Step, reasons, set_column
from filters.texts import Texts
from kernels.fasttext import has_word_character

_LETTER = re.compile(r"\w")


def language(
    *,
    in_: list[str] | None = None,
    min_score: float = 0.0,
    model: str | None = None,
    second: bool = False,
    script: bool = False,
    short: int = 0,
) -> Step:
    """A step that labels each document and keeps those in the languages `in_` (all if None) with `min_score` or more.

    `model`: path of a fastText classifier whose labels are languages; None is the lid.176.ftz of this package.
    `second`: also record the second best language: the signal `second_language_score`, and `second_language` in the metadata.
    `script`: also record the script of the text as `script` in the metadata (filters/scripts.py).
    `short`: texts of fewer characters are named by py3langid (see filters/short_language.py; 60 is a good number).
    Errors: ValueError for a language that the model does not know, an empty list, a score outside 0 to 1, a
    file that is no such model, or py3langid wanted and not installed (at once, not at the first document).
    """
    if not 0.0 <= min_score <= 1.0:
        raise ValueError(f"language: min_score is a probability, from 0 to 1, not {min_score}")
    if in_ is not None:
        check_names(in_, labels(model))
    if short < 0:
        raise ValueError(f"language: short is a number of characters, 0 or more, not {short}")
    if short:
        check_installed()

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        texts = Texts(table["text"])
        numbers, probabilities = _ranked(texts, model, 2 if second else 1)
        names = [*load_model(model).labels, UNDETERMINED]  # number -1 is the last one
        found, scores = [names[number] for number in numbers[:, 0]], probabilities[:, 0]
        if short:
            found, scores = name_short_texts(texts, short, found, scores, labels(model))
        if script:
            table = _with_metadata(table, "script", script_names(texts.once(in_scripts)))
        if second:
            table = set_column(table, "signal.second_language_score", pa.array(probabilities[:, 1]))
            table = _with_metadata(table, "second_language", [names[number] for number in numbers[:, 1]])
        other = np.zeros(len(found), bool)
        if in_ is not None:
            found, other = _answers(texts, found, in_)
        table = set_column(table, "lang", pa.array(found, pa.string()))
        table = set_column(table, "lang_score", pa.array(scores, pa.float64()))
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


def _answers(texts: Texts, found: list[str], wanted: list[str]) -> tuple[list[str], np.ndarray]:
    """For each label found the name in `wanted` that it answers to, or the label itself; and where it answers to none (bool)."""
    fitting = {label: choose_names(wanted, label) for label in set(found)}
    asking = {label for label, names in fitting.items() if any(name.asks_script(Name.of(label)) for name in names)}
    scripts: dict[int, str] = {}
    rows = np.array([row for row, label in enumerate(found) if label in asking], np.int64)
    if len(rows):
        counts = in_scripts(texts.take(rows))
        chinese = [Name.of(found[row]).code in CHINESE for row in rows]  # its pages may hold more program text than Han
        read = np.where(chinese, chinese_names(counts), script_names(counts))
        scripts = dict(zip(rows.tolist(), read.tolist(), strict=True))
    answers = [_answer(label, fitting[label], scripts.get(row)) for row, label in enumerate(found)]
    return [answer for answer, _ in answers], np.array([not fits for _, fits in answers], bool)


def _answer(label: str, names: list[Name], script: str | None) -> tuple[str, bool]:
    for name in names:
        if script is None or not name.asks_script(Name.of(label)) or name.script == script:
            return name.text, True
    return (label if script is None else f"{Name.of(label).code}_{script}"), False


def _with_metadata(table: pa.Table, key: str, values: list[str]) -> pa.Table:
    """`table` with `key` set in the JSON objects of its column `metadata`."""
    text = pa.nulls(len(table), pa.large_string()) if "metadata" not in table.schema.names else table["metadata"]
    text = pc.fill_null(plain(Texts(text)), "{}")
    body = pc.utf8_slice_codeunits(text, 0, -1)
    fields = [f"{json.dumps(key)}:{json.dumps(value)}}}" for value in values]
    comma = pc.if_else(pc.equal(text, "{}"), pa.scalar("", pa.large_string()), pa.scalar(",", pa.large_string()))
    joined = pc.binary_join_element_wise(
        body, comma, pa.array(fields, pa.large_string()), pa.scalar("", pa.large_string())
    )
    taken = np.flatnonzero(pc.match_substring(text, json.dumps(key)).to_numpy(zero_copy_only=False))
    again = [json.loads(text[row].as_py()) | {key: values[row]} for row in taken.tolist()]
    written = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in again]
    return set_column(table, "metadata", put_rows(joined, taken, written))


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
    offsets, data = text_buffers(texts.array)
    numbers, probabilities = load_model(model).predict_buffers(offsets, data, k)
    scores = np.minimum(1.0, probabilities.astype(np.float64))  # fastText adds 1e-5 before the logarithm: 1.00001
    for row in np.flatnonzero(~has_word_character(offsets, data)):
        if not _LETTER.search(texts.array[row].as_py() or ""):
            numbers[row], scores[row] = -1, 0.0
    return numbers, scores
