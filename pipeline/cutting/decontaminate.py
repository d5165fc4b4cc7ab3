"""The step `decontaminate`: benchmark files in; documents that hold their items go, or lose the passages.

In:  ``{"against": ["bench/gsm8k.jsonl"], "fields": ["question", "answer"], "ngram": 13, "min_overlap": 1, "do": "drop"}``
Out: reason "contaminated", value 9 (n-grams of the item in the document), threshold 1,
     detail ``bench/gsm8k.jsonl, record 17, question: "Janet's ducks lay 16 eggs per day ..."``

An item is one text of a record: each field asked for, each string of a list. Records are numbered from 1. What is looked for
is in `dedup.contamination`. The files' sha256 stands in the resolved step, so they are part of a run's identity. Which items
were found travels with the documents in a column of the step's own, so that `pipeline.cutting.decontaminated` can count them whatever becomes of these.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from dedup.contamination import Found, Index, build_index, find, spans_of
from filters.registry import nearest
from filters.rows import plain, put_rows
from filters.step import Step, all_kept, reasons, set_column
from filters.texts import Texts
from pipeline.cutting.decontaminated import COLUMN
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.patterns import expand
from pipeline.readers import format_of
from pipeline.readers.jsonl import parse
from pipeline.readers.streams import TailError, as_utf8, chunks

FORMATS = ("jsonl", "json", "parquet")

FIELDS = (
    "question", "prompt", "instruction", "input", "answer", "output", "text", "context", "query", "problem", "solution",
    "passage", "story", "premise", "hypothesis", "sentence", "content", "ctx", "goal", "target", "response",
)  # fmt: skip
"""Fields of a record that are items if the recipe names none."""

IDS = ("id", "task_id", "question_id", "qid")
TOLD_CHARS = 100


@dataclass(frozen=True)
class Benchmarks:
    """The items of all files: `index`, and for each item (number of its file, record, field, the record's id or None)."""

    index: Index
    names: list[tuple[int, int, str, Any]]
    files: list[dict[str, Any]]

    def told(self, item: int) -> str:
        """'bench/gsm8k.jsonl, record 17, question'"""
        file, record, field, given = self.names[item]
        of = "" if given is None else f" (id {given})"
        return f"{self.files[file]['name']}, record {record}{of}, {field}"


def decontaminate(
    name: str,
    files: list[dict[str, Any]],
    *,
    against: list[str],
    fields: list[str] | None = None,
    ngram: int = 13,
    min_tokens: int = 8,
    min_overlap: int | float = 1,
    do: Literal["drop", "cut"] = "drop",
    margin: int = 0,
) -> Step:
    """A step that drops documents which share too much with an item of `files` (as `benchmark_files` gives them), or cuts
    what they share.

    `name`: of the step. `against`: the paths that became `files`. `fields`: which make items, FIELDS if None; a dot leads
    into objects and lists. `ngram`: tokens of a run; `min_tokens`: of an item that has fewer and is looked for as a whole.
    `min_overlap`: an int is a number of an item's n-grams, a float the share of them. `margin`: characters that are cut
    on both sides, too. Errors: InputError for files that changed or cannot be read.
    """
    asked = tuple((file["path"], file["name"], file["sha256"]) for file in files)
    benchmarks = load(asked, tuple(fields) if fields is not None else None, ngram, min_tokens)

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        found = find(table["text"], benchmarks.index, min_overlap)
        if not len(found.rows):
            return table, all_kept(len(table))
        texts = {row: (table["text"][row].as_py() or "").encode() for row in np.unique(found.rows).tolist()}
        marked = _marked(table, COLUMN + name, found)
        if do == "drop":
            return marked, _blamed(len(table), found, texts, benchmarks, min_overlap)
        left = [_without(text, *_runs_of(found, row), margin) for row, text in texts.items()]
        array = put_rows(plain(Texts(table["text"])), np.array(list(texts)), left)
        return set_column(marked, "text", array), all_kept(len(table))

    return step


def check_options(options: dict[str, Any]) -> None:
    """Errors: ValueError for numbers that make no sense."""
    share = options["min_overlap"]
    if not (share >= 1 if isinstance(share, int) else 0 < share <= 1):
        raise ValueError(
            f"decontaminate: min_overlap is a number of n-grams (1, 2, ...) or a share of an item's n-grams (above 0, up to 1.0), not {share}"
        )
    for key, least in (("ngram", 2), ("min_tokens", 1), ("margin", 0)):
        if options[key] < least:
            raise ValueError(f"decontaminate: {key} is {options[key]}; expected {least} or more")
    if options["margin"] and options["do"] == "drop":
        raise ValueError("decontaminate: margin is for 'do: cut'; with 'do: drop' the whole document goes")


def _marked(table: pa.Table, column: str, found: Found) -> pa.Table:
    """`table` with the items found in each row (a list; null where there are none)."""
    ends = np.searchsorted(found.rows, np.arange(len(table) + 1)).astype(np.int32)
    mask = pa.array(np.diff(ends) == 0)
    return set_column(table, column, pa.ListArray.from_arrays(pa.array(ends), pa.array(found.items), mask=mask))


def _runs_of(found: Found, row: int, pair: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(first tokens, lengths) of the shared runs of a row; those that `pair` is the first to have, if given."""
    low, high = np.searchsorted(found.run_rows, [row, row + 1]).tolist()
    chosen = slice(low, high)
    firsts, lengths = found.firsts[chosen], found.lengths[chosen]
    own = found.run_pairs[chosen] == pair
    return (firsts[own], lengths[own]) if pair is not None and own.any() else (firsts, lengths)


def _blamed(
    n: int, found: Found, texts: dict[int, bytes], benchmarks: Benchmarks, min_overlap: int | float
) -> pa.StructArray:
    """The reasons: for each document the item it shares most with, the first of equals."""
    shares = found.overlaps.astype(float)
    if isinstance(min_overlap, float):
        shares /= benchmarks.index.counts[found.items]
    order = np.lexsort((found.items, -shares, found.rows))
    best = order[np.searchsorted(found.rows, list(texts))]  # rows are sorted, so each begins where it did before
    details = []
    for pair, (row, text) in zip(best.tolist(), texts.items(), strict=True):
        start, end, _ = spans_of(text, *_runs_of(found, row, pair))[0].tolist()
        matching = " ".join(text[start:end].decode().split())[:TOLD_CHARS]
        details.append(f'{benchmarks.told(int(found.items[pair]))}: "{matching}"')
    return reasons(n, list(texts), "contaminated", shares[best], float(min_overlap), details)


def _without(text: bytes, firsts: np.ndarray, lengths: np.ndarray, margin: int) -> str:
    """The text without the runs and `margin` characters around each."""
    parts: list[bytes] = []
    at = 0
    for start, _, end in spans_of(text, firsts, lengths).tolist():
        if margin:
            start = len(text[:start].decode()[: -margin or None].encode())
            end += len(text[end:].decode()[:margin].encode())
        if start > at:
            parts.append(text[at:start])
        at = end
    return b"".join([*parts, text[at:]]).decode()


# -- benchmark files -------------------------------------------------------------------------------


def benchmark_files(options: dict[str, Any]) -> list[dict[str, Any]]:
    """The files that `against` names: {"path", "name", "sha256", "items", "too_short"}, sorted. Errors: InputError."""
    if not options["against"]:
        raise InputError("decontaminate: 'against' names no file; expected at least one file, folder or glob")
    listed = expand(options["against"], lambda name: format_of(name) in FORMATS)
    asked = []
    for info in listed:
        path = info.path if storage.is_remote(info.path) else os.path.abspath(info.path)
        asked.append((path, info.path, hashlib.sha256(storage.read_bytes(path)).hexdigest()))
    fields = options["fields"]
    loaded = load(tuple(asked), tuple(fields) if fields is not None else None, options["ngram"], options["min_tokens"])
    # kernels are compiled here, once, and not by all workers at the same time
    spans_of(b"one token", *_runs_of(find(pa.array(["one token"]), build_index(["one token"], 2, 2), 1), 0))
    return loaded.files


@functools.lru_cache(maxsize=4)
def load(
    asked: tuple[tuple[str, str, str], ...], fields: tuple[str, ...] | None, ngram: int, min_tokens: int
) -> Benchmarks:
    """The items of files (path, name, sha256) as an index, made once a process. Errors: InputError, as short letters."""
    texts: list[str] = []
    names: list[tuple[int, int, str, Any]] = []
    bounds = [0]
    keys: dict[str, None] = {}
    for number, (path, name, sha256) in enumerate(asked):
        raw = storage.read_bytes(path)
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise InputError(f"{name}: this benchmark file changed while the run went on. Start again with --fresh.")
        here: dict[str, None] = {}
        for record, value in enumerate(_records(raw, name), 1):
            here |= dict.fromkeys(value)
            given = next((value[key] for key in IDS if isinstance(value.get(key), str | int)), None)
            for field, text in _items(value, fields or FIELDS):
                texts.append(text)
                names.append((number, record, field, given))
        if len(texts) == bounds[-1]:
            raise InputError(_no_items(name, fields, list(here)))
        bounds.append(len(texts))
        keys |= here
    met = {field for _, _, field, _ in names}
    missing = next((field for field in fields or () if field not in met), None)
    if missing is not None:
        raise InputError(_no_items(f"decontaminate: {', '.join(name for _, name, _ in asked)}", (missing,), list(keys)))
    index = build_index(texts, ngram, min_tokens)
    short = [int(np.count_nonzero(~index.looked_for[low:high])) for low, high in pairwise(bounds)]
    files = [
        {"path": path, "name": name, "sha256": sha256, "items": high - low, "too_short": few}
        for (path, name, sha256), (low, high), few in zip(asked, pairwise(bounds), short, strict=True)
    ]
    for file in files:
        if file["items"] == file["too_short"]:
            raise InputError(
                f"{file['name']}: none of its {file['items']:,} items has min_tokens ({min_tokens}) tokens: nothing would be looked for. "
                "Name longer fields, or give a smaller min_tokens."
            )
    return Benchmarks(index, names, files)


def _items(record: dict[str, Any], fields: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(field, text) of each item."""
    for field in fields:
        yield from ((field, text) for text in _strings(record, field) if text.strip())


def _no_items(name: str, fields: tuple[str, ...] | None, keys: list[str]) -> str:
    wanted = f"no text in {' or '.join(fields)}" if fields else "none of the usual fields (question, prompt, text, ...)"
    near = nearest(fields[0].split(".")[0], keys) if fields else ""
    shown = ", ".join(keys[:12]) or "nothing: there is no record in it"
    return f"{name}: {wanted}{near} (its records have: {shown}). Give 'fields: [...]'."


def _strings(value: Any, field: str) -> Iterator[str]:
    """The texts at a field; a dot leads into objects, lists are gone through."""
    if isinstance(value, list):
        for each in value:
            yield from _strings(each, field)
    elif isinstance(value, str):
        if not field:
            yield value
    elif isinstance(value, dict) and field:
        if field in value:
            yield from _strings(value[field], "")
        else:
            first, _, rest = field.partition(".")
            yield from _strings(value.get(first), rest) if rest else ()


def _records(raw: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON Lines, of one JSON array, or of Parquet."""
    if format_of(name) == "parquet":
        try:
            yield from pq.read_table(pa.BufferReader(raw)).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{name}: this is no Parquet file that can be read: {error}") from None
        return
    try:
        data = b"".join(as_utf8(chunks(io.BytesIO(raw))))
    except TailError as error:
        raise InputError(f"{name}: the file is cut or damaged: {error}. Fetch it again.") from None
    if format_of(name) == "json" or data[:1000].lstrip()[:1] == b"[":
        lines = _whole(data, name)
    else:
        lines = None
    for number, line in enumerate(data.split(b"\n") if lines is None else lines, 1):
        place = f"{name}, {'line' if lines is None else 'record'} {number}"
        value = line
        if isinstance(line, bytes):
            if not line.strip():
                continue
            value = _parsed(line, place)
        if not isinstance(value, dict):
            raise InputError(f"{place}: expected an object such as {{'question': ...}}, got {type(value).__name__}")
        yield value


def _whole(data: bytes, name: str) -> list[Any] | None:
    """The records of one JSON value: an array, or the first array in an object; None where it is lines after all."""
    try:
        value = _parsed(data, name)
    except InputError:
        if data.lstrip()[:1] == b"[":
            raise
        return None
    if isinstance(value, dict):
        return next((each for each in value.values() if isinstance(each, list) and each), [value])
    return value if isinstance(value, list) else [value]


def _parsed(line: bytes, place: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            return parse(line)  # lone surrogates
        except (ValueError, RecursionError):
            raise InputError(
                f"{place}: this is not JSON ({error}). Expected JSON Lines, one JSON array, or Parquet."
            ) from None
