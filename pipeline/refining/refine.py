"""Stage refine: shards in; kept documents, rejects, quarantine and what dedup needs, out. The hot path.

One task reads one shard (or a bundle of small ones) in batches and takes each batch through all row steps.
Files of task 3, below the output folder:

    .work/refine/000003.docs.arrow         kept so far: the columns of a kept record and _shard, _record
    .work/refine/000003.features.arrow     one row a kept document: key, text hash, size, band hashes, end of its shingles
    .work/refine/000003.shingles.u64       the shingle sets, one after another (sorted uint64)
    .work/refine/000003.rejects.parquet    the ledger's rows so far
    .work/refine/000003.quarantine.jsonl   records that could not be read

The files are the same whatever the batch size (see `pipeline.files.tables`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from filters.step import set_column
from pipeline import ledger
from pipeline.chat.tables_out import SHAPE
from pipeline.crawls import wat
from pipeline.cutting import decontaminated
from pipeline.documents import DocumentFiles, with_signals
from pipeline.errors import GristmillError, InputError
from pipeline.files import storage
from pipeline.files.commit import Attempt
from pipeline.files.tables import SteadyWriter, conform
from pipeline.job import Job
from pipeline.mixtures import labels
from pipeline.readers import Batch, Columns, Options, read
from pipeline.refining import values
from pipeline.refining.isolation import Cell, watched
from pipeline.refining.row_steps import KEPT_STEP, apply, build_steps


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
