"""Stage refine: shards in; kept documents, rejects, quarantine and what dedup needs, out. The hot path.

One task reads one shard (or a bundle of small ones) in batches and takes each batch through all row steps.
Files of task 3, below the output folder:

    .work/refine/000003.docs.parquet       kept so far: the columns of a kept record and _shard, _record
    .work/refine/000003.features.arrow     one row a kept document: key, text hash, size, band hashes, end of its shingles
    .work/refine/000003.shingles.u64       the shingle sets, one after another (sorted uint64)
    .work/refine/000003.rejects.parquet    the ledger's rows so far
    .work/refine/000003.quarantine.jsonl   records that could not be read

The files are the same whatever the batch size (see `pipeline.files.tables`).
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

import filters
from filters.chat.tokens import use as use_chat
from filters.step import Step, all_kept, reasons, set_column
from filters.texts import Views, texts_of
from filters.tokens import use as use_tokenizer
from pipeline import ledger
from pipeline.chat.tables_out import SHAPE, fitting
from pipeline.crawls import wat
from pipeline.cutting import decontaminated
from pipeline.documents import DocumentFiles, with_signals
from pipeline.errors import GristmillError, InputError
from pipeline.files import storage
from pipeline.files.commit import Attempt
from pipeline.files.tables import SteadyWriter, conform
from pipeline.job import Job, load_user_module
from pipeline.mixtures import labels
from pipeline.readers import Batch, Columns, Options, read
from pipeline.recipes.build import build
from pipeline.recipes.steps import RowStep
from pipeline.refining import values
from pipeline.refining.fit import bounds
from pipeline.refining.isolation import Cell, watched
from pipeline.splits.columns import STEP as SPLIT_STEP
from pipeline.splits.columns import timed


@dataclass(frozen=True)
class Named:
    """A row step with the name that the ledger gives it."""

    name: str
    step: Step
    edits: bool
    judges: bool = False  # it is a `filters.rules.Judge`: takes the table's `Views` and leaves the texts as they are


class Steps(Protocol):
    """The row steps of a job, wherever they run."""

    def apply(self, table: pa.Table) -> Iterable[tuple[str, Any]]:
        """What becomes of a batch; see `apply` below."""

    def close(self) -> None:
        """Leaves no process behind."""


class Here:
    """In this process. One that hangs is ended, and the task is tried again in a `pipeline.refining.isolation.Cell`."""

    def __init__(self, job: Job) -> None:
        self._job, self._steps = job, build_steps(job)

    def apply(self, table: pa.Table) -> list[tuple[str, Any]]:
        """The batch through all steps."""
        with watched(self._job):
            return list(apply(self._steps, table))

    def close(self) -> None:
        """Nothing to end."""


def refine(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Does one refine task. Returns its counts: account (whole and for each shard), edits, bytes."""
    prefix = f".work/refine/{task['index']:06d}"
    writers = _Writers(job.refine, attempt, prefix)
    counts: dict[str, Any] = {
        "account": ledger.new_account(),
        "shards": [],
        "edited": {},
        "bytes": 0,
        "skipped": {},
        "contaminated": {},
        "shape": 0,
        "values": {},
        "split": {},
        "labels": {},
        "wat": {},
    }
    isolated = task.get("isolate", False) or job.isolate == "always"
    with contextlib.closing(Cell(job) if isolated else Here(job)) as steps:
        for shard in task["shards"]:
            given_up = task.get("give_up", {}).get(shard["path"])
            if "mark" in task:
                storage.write_bytes(task["mark"], shard["path"].encode())
            if given_up:
                found = _quarantined(shard, given_up, writers)
            else:
                found = _refine_shard(job, shard, steps, writers, counts)
            counts["shards"].append(found)
            ledger.add(counts["account"], found["account"])
    writers.close()
    counts["contaminated"] = decontaminated.as_json(counts["contaminated"])
    ledger.assert_balanced(counts["account"], f"refine task {task['index']}")
    return counts


def _refine_shard(
    job: Job, shard: dict[str, Any], steps: Steps, writers: _Writers, counts: dict[str, Any]
) -> dict[str, Any]:
    """One shard. Returns {"shard", "account"} and, where it holds, "damaged" or "quarantined" with the error."""
    found: dict[str, Any] = {"shard": shard["name"], "account": ledger.new_account()}
    account = found["account"]
    policy = job.refine["inputs"][shard["input"]]["values"]
    try:
        for table, quarantined, skipped in batches(job, shard):
            wat.tally(counts["wat"], table)
            table, odd = values.apply(policy, table)
            account["read"] += len(table) + len(quarantined)
            account["quarantined"] += len(quarantined)
            counts["bytes"] += _text_bytes(table)
            for kind, n in skipped.items():
                counts["skipped"][kind] = counts["skipped"].get(kind, 0) + n
            for entry in quarantined:
                writers.quarantine({**entry, "shard": shard["name"]})
                if entry.get("tail"):
                    found["damaged"] = entry["error"]
            values.add(counts["values"], odd)
            _refine_batch(job.refine, table, shard["name"], steps, writers, account, counts)
    except InputError as error:
        return _given_up(shard, str(error), writers, account)
    except (GristmillError, OSError, MemoryError, AssertionError):
        raise  # storage, machine or our own account: nothing that setting the shard aside would mend
    except Exception as error:
        return _given_up(shard, f"{type(error).__name__}: {error}", writers, account)
    return found


def _given_up(shard: dict[str, Any], error: str, writers: _Writers, account: dict[str, Any]) -> dict[str, Any]:
    """A shard that broke in a way no reader foresaw: what was read of it before stays."""
    rest = _quarantined(shard, error, writers)
    ledger.add(rest["account"], account)
    return rest


def _refine_batch(
    part: dict[str, Any],
    table: pa.Table,
    shard: str,
    steps: Steps,
    writers: _Writers,
    account: dict[str, Any],
    counts: dict[str, Any],
) -> None:
    rejects: list[pa.Table] = []
    for name, outcome in steps.apply(table):
        if name == KEPT_STEP:
            account["kept"] += len(outcome)
            if part["layout"]:
                counts["shape"] |= (
                    int(np.bitwise_or.reduce(outcome[SHAPE].to_numpy(), initial=0)) if len(outcome) else 0
                )
            decontaminated.tally(part["steps"], counts["contaminated"], outcome)
            writers.keep(outcome, shard)
        elif name.startswith("split:"):
            account["read"] += outcome
            counts["split"][name[6:]] = counts["split"].get(name[6:], 0) + outcome
        elif name.startswith("edited:"):
            counts["edited"][name[7:]] = counts["edited"].get(name[7:], 0) + outcome
        else:
            rejected, why = outcome
            decontaminated.tally(part["steps"], counts["contaminated"], rejected)
            ledger.count_rejects(account, name, why.field("reason").to_pylist())
            labels.tally(counts["labels"], why)
            rejects.append(ledger_rows(part, rejected, why, name, pa.array([shard] * len(rejected), pa.string())))
    if rejects:
        # in the order of the input, not of the steps: or the order would hang on the size of the batch
        writers.reject(pa.concat_tables(rejects).sort_by("record"))


def ledger_rows(part: dict[str, Any], table: pa.Table, why: pa.StructArray, step: str, shards: pa.Array) -> pa.Table:
    """Rows that go out, as rows of the ledger."""
    if isinstance(why, pa.ChunkedArray):
        why = why.combine_chunks()
    for name in ("reason", "value", "threshold", "detail"):
        table = set_column(table, name, why.field(name))
    table = set_column(table, "step", pa.array([step] * len(table), pa.string()))
    table = set_column(table, "shard", shards)
    table = set_column(table, "record", table["_record"])
    return conform(with_signals(table, part["signals"]), ledger.rejected_schema(part["signals"], part["rejected_text"]))


def _quarantined(shard: dict[str, Any], error: str, writers: _Writers) -> dict[str, Any]:
    """A shard that no documents can be had from (any more) is one entry of the quarantine."""
    writers.quarantine(
        {
            "shard": shard["name"],
            "record": None,
            "offset": 0,
            "error": error,
            "sample": "",
            "first_bytes": "",
            "whole_shard": True,
        }
    )
    return {
        "shard": shard["name"],
        "account": {"read": 1, "kept": 0, "quarantined": 1, "rejected": {}},
        "quarantined": error,
    }


def batches(job: Job, shard: dict[str, Any]) -> Iterator[tuple[pa.Table, list[dict[str, Any]], dict[str, int]]]:
    """The records of one shard as (table, quarantined, skipped), at most `job.limit` of them."""
    left = job.limit
    for batch in records(job, shard):
        table = batch.table if left is None else batch.table.slice(0, left)
        yield table, batch.quarantined, batch.skipped
        if left is not None:
            left -= len(table)
            if left <= 0:
                return


def records(job: Job, shard: dict[str, Any], ours: bool = False) -> Iterator[Batch]:
    """What the readers find in one shard. `ours`: it was written by gristmill, so its columns are known."""
    entry: dict[str, Any] = {"layout": shard.get("layout")} if ours else job.refine["inputs"][shard["input"]]
    return read(
        shard["path"],
        format=shard["format"],
        columns=Columns(**{name: entry[name] for name in Columns.__annotations__ if name in entry}),
        options=Options(
            **{name: entry[name] for name in Options.__annotations__ if name in entry},
            made_ids="id" in entry.get("values", {}),
        ),
        default_source=entry.get("dataset") or shard.get("source") or default_source(shard["path"]),
        batch_rows=min(job.batch_size, job.limit or job.batch_size),
        part=shard.get("part"),
        wat=wat.join(entry, shard),
    )


def default_source(path: str) -> str:
    """The name of the folder that a shard lies in: it stays the same when the files in it are cut anew."""
    parts = [part for part in path.replace("\\", "/").split("/") if part]
    return parts[-2] if len(parts) > 1 else "input"


def _text_bytes(table: pa.Table) -> int:
    return sum(int(pc.sum(pc.binary_length(table[name])).as_py() or 0) for name in ("text", "html"))


# -- steps -----------------------------------------------------------------------------------------

KEPT_STEP = ""
READ_STEP = "00.read"
LAYOUT_STEP = "98.layout"
EMPTY_STEP = "99.empty"
SIGNALS_STEP = "99.signals"


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


# -- files -----------------------------------------------------------------------------------------


@dataclass
class _Writers:
    """The files of one refine task, written batch by batch."""

    part: dict[str, Any]
    attempt: Attempt
    prefix: str

    def __post_init__(self) -> None:
        self._documents = DocumentFiles(self.part, self.attempt, self.prefix, features=not self.part["cuts"])
        self._rejects = self.attempt.create("rejects", f"{self.prefix}.rejects.parquet")
        schema = ledger.rejected_schema(self.part["signals"], self.part["rejected_text"])
        self._rejects_writer = SteadyWriter(self._rejects.temp, schema, lasting=False)
        self._quarantine = self.attempt.create("quarantine", f"{self.prefix}.quarantine.jsonl")
        self._quarantine_file = open(self._quarantine.temp, "wb")  # noqa: SIM115 (closed in close())

    def quarantine(self, entry: dict[str, Any]) -> None:
        """Writes one entry, with the error's class and message apart, too."""
        kind, _, message = entry["error"].partition(": ")
        if not kind.isidentifier():
            kind, message = "InputError", entry["error"]  # a letter about the whole shard
        entry = {**entry, "class": kind, "message": message}
        self._quarantine_file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        self._quarantine.rows += 1

    def reject(self, rows: pa.Table) -> None:
        self._rejects_writer.write(rows)

    def keep(self, table: pa.Table, shard: str) -> None:
        """Writes kept rows and their features."""
        if len(table):
            self._documents.write(set_column(table, "_shard", pa.array([shard] * len(table), pa.string())))

    def close(self) -> None:
        self._documents.close()
        self._rejects_writer.close()
        self._rejects.rows = self._rejects_writer.rows
        self._quarantine_file.close()
