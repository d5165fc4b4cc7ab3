"""The row steps of a job as functions, and a batch of documents on its way through them.

    for name, outcome in apply(build_steps(job), table): ...

A step is a function of a table that gives the table back, maybe edited, and for each row why it goes out, or null. A row on
which a step raises goes out with the exception's name; all others go on.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import filters
from filters.chat.tokens import use as use_chat
from filters.step import Step, all_kept, reasons, set_column
from filters.texts import Views, texts_of
from filters.tokens import use as use_tokenizer
from pipeline.chat.tables_out import fitting
from pipeline.crawls import wat
from pipeline.job import Job, load_user_module
from pipeline.mixtures import labels
from pipeline.recipes.build import build
from pipeline.recipes.row_step import RowStep
from pipeline.refining import values
from pipeline.refining.fit import bounds
from pipeline.splits.columns import STEP as SPLIT_STEP
from pipeline.splits.columns import timed

KEPT_STEP = ""
READ_STEP = "00.read"
LAYOUT_STEP = "98.layout"
EMPTY_STEP = "99.empty"
SIGNALS_STEP = "99.signals"


@dataclass(frozen=True)
class Named:
    """A row step with the name that the ledger gives it."""

    name: str
    step: Step
    edits: bool
    judges: bool = False  # it is a `filters.rules.Judge`: takes the table's `Views` and leaves the texts as they are


def build_steps(job: Job, found: dict[str, Any] | None = None) -> list[Named]:
    """The row steps of a job as functions, with the two that every run has: HTTP status and empty text; and, last, signals that
    are recorded but no rule has measured. `found`: the bounds of fitted rules, those of this run if None."""
    use_tokenizer(job.refine["tokenizer"])
    use_chat(job.refine["template"], job.refine["tokenizer"])
    found = bounds(job) if found is None else found
    return _built(json.dumps(job.refine, sort_keys=True), json.dumps(found, sort_keys=True))


@functools.lru_cache(maxsize=4)
def _built(refine_json: str, bounds_json: str) -> list[Named]:
    part, found = json.loads(refine_json), json.loads(bounds_json)
    for step in part["steps"]:
        if step["name"] in found:
            step["options"]["groups"] = found[step["name"]]["groups"]
    filters.load_builtin()
    for module in part["uses"]:
        load_user_module(module)
    record = bool(part["signals"] or part["criteria"])
    middle = [
        Named(
            step["name"],
            build(RowStep(**step), record),
            _edits(step),
            step["kind"] in ("rules", "fitted") and not step["on"],
        )
        for step in part["steps"]
    ]
    split = part["split"]
    checked = [Named(labels.STEP, labels.labels_step(part["labels"]), False)] if part["labels"] else []
    fits = [Named(LAYOUT_STEP, fitting(part["layout"]), False)] if part["layout"] else []
    last = [Named(SPLIT_STEP, timed(split), False)] if split and split["times"] else []
    first = [Named(READ_STEP, _as_read, False), *checked]
    rest = [Named(SIGNALS_STEP, signals_step(part), False)] if record and not part["cuts"] else []
    return [*first, *middle, *fits, Named(EMPTY_STEP, _not_empty, False), *last, *rest]


def _edits(step: dict[str, Any]) -> bool:
    if step["kind"] == "length":
        return bool(step["options"]["too_long"] == "truncate")
    return step["kind"] == "edit" or (step["kind"] == "decontaminate" and step["options"]["do"] == "cut")


def _as_read(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
    """Rows that lack a value they must have, and error pages, are no documents."""
    table, status = wat.refused(*_http_status(table))
    if values.COLUMN not in table.schema.names:
        return table, status
    return table.drop_columns([values.COLUMN]), values.first(table[values.COLUMN].combine_chunks(), status)


def _http_status(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
    """An error page is no document."""
    if "_status" not in table.schema.names:
        return table, all_kept(len(table))
    status = pc.fill_null(table["_status"], 200).to_numpy()
    out = np.flatnonzero((status < 200) | (status > 299))
    return table, reasons(len(table), out, "http_status", value=status[out].astype(float), threshold=200.0)


def _not_empty(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
    """A document whose text is gone (or never was there) does not reach the corpus."""
    texts = pc.fill_null(table["text"], "")
    # nearly every text shows with its first character that it is none
    out = _blank(pc.utf8_slice_codeunits(texts, 0, 1))
    out = out[_blank(texts.take(pa.array(out)))]
    return table, reasons(len(table), out, "empty_text", value=0.0, threshold=1.0)


def _blank(texts: pa.ChunkedArray) -> np.ndarray:
    """Numbers of the texts that have nothing but white space."""
    return np.flatnonzero(pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0).to_numpy())


def apply(steps: list[Named], table: pa.Table) -> Iterator[tuple[str, Any]]:
    """Takes a batch through the steps.

    Yields (step name, (rows that go out, their reasons)), ("edited:NAME", rows changed), ("split:NAME", rows more) and at last (KEPT_STEP, rows that stay).
    """
    views = None  # what keep steps in a row found; a step of another kind may change the texts
    for named, following in zip(steps, [*steps[1:], None], strict=True):
        if not len(table):
            break
        before = table["text"]
        more = following is not None and following.judges
        views = (views or Views(table, more=more)) if named.judges else None
        table, why = guarded(named.step, table, views)
        if len(table) != len(before):  # split: documents that were not read as such
            yield f"split:{named.name}", len(table) - len(before)
        elif named.edits:
            changed = pc.sum(pc.fill_null(pc.not_equal(before, table["text"]), True)).as_py() or 0
            yield f"edited:{named.name}", changed
        out = pc.is_valid(why)
        if pc.any(out).as_py():
            yield named.name, (table.filter(out), why.filter(out))
            table = table.filter(pc.invert(out))
            views = views and views.take(np.flatnonzero(~np.asarray(out)))
    yield KEPT_STEP, table


def guarded(step: Callable[..., Any], table: pa.Table, views: Views | None = None) -> tuple[pa.Table, pa.StructArray]:
    """`step(table)`; if it raises, the row to blame is found by halving and goes out with the exception's name.

    `views` go to a step that judges, which may raise half way through: so the halves begin anew.
    """
    try:
        table_after, why = step(table) if views is None else step(table, views)
        return table_after, why.combine_chunks() if isinstance(why, pa.ChunkedArray) else why
    except Exception as error:
        if len(table) == 1:
            return table, reasons(1, [0], f"error.{type(error).__name__}", detail=str(error)[:300])
    middle = len(table) // 2
    halves = [guarded(step, half) for half in (table.slice(0, middle), table.slice(middle))]
    together = pa.concat_tables([half[0] for half in halves], promote_options="default")
    return together, pa.concat_arrays([half[1] for half in halves])


def signals_step(part: dict[str, Any]) -> Step:
    """The last step: nobody goes, but whom a signal fails on. With steps that cut texts it comes after these."""
    return lambda table: (measure_rest(part, table), all_kept(len(table)))


def measure_rest(part: dict[str, Any], table: pa.Table) -> pa.Table:
    """Signals that the recipe asks for, of each row that no rule has measured, on the text as it will be written.

    Row by row: whether a rule has looked at some row of a batch must not decide about the others.
    """
    shared: dict[bytes, filters.Texts] = {}
    for name in dict.fromkeys([*part["signals"], *part["criteria"]]):
        column = f"signal.{name}"
        known = table[column] if column in table.schema.names else pa.nulls(len(table), pa.float64())
        rows = np.flatnonzero(pc.is_null(known).to_numpy(zero_copy_only=False))
        signal = filters.SIGNALS.get(name)
        if len(rows) and signal:
            values = known.to_numpy(zero_copy_only=False).astype(np.float64)
            key = rows.tobytes()
            if key not in shared:
                shared[key] = texts_of(table).take(rows)
            values[rows] = signal.function(shared[key])
            table = set_column(table, column, pa.array(values, pa.float64(), from_pandas=False))
    return table
