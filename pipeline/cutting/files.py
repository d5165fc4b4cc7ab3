"""What a cut task writes: the documents again, those of which too little is left, and what was removed.

.work/lines-cut/000003.docs.arrow ...   as refine writes them (`pipeline.documents`)
.work/lines-cut/000003.rejects.parquet    documents with fewer than min_left characters left, as rows of the ledger
removed/lines-00003.parquet               a row for each different line, in the part of the document it stands in first
removed/substrings-00003.parquet          a row for each cut
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.step import reasons, set_column
from pipeline import ledger
from pipeline.documents import DocumentFiles, measured, text_stages
from pipeline.files.commit import Attempt
from pipeline.files.tables import SteadyWriter
from pipeline.job import Job
from pipeline.refining.isolation import watched
from pipeline.refining.refine import ledger_rows
from pipeline.refining.row_steps import SIGNALS_STEP, guarded, signals_step

TOP = 20
"""Lines that manifest.json names, those removed most often."""

TOP_CHARS = 200

REASON = "chars_left.min"

REMOVED = {
    "lines": pa.schema(
        [
            ("line", pa.large_string()),
            ("documents", pa.int64()),  # it stood in
            ("removed", pa.int64()),  # times
            ("id", pa.string()),  # of the document it stands in first
            ("source", pa.string()),
            ("hash", pa.uint64()),  # of its normal form
        ]
    ),
    "substrings": pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("start", pa.int64()),  # characters of the text before the cut
            ("end", pa.int64()),
            ("tokens", pa.int64()),
            ("text", pa.large_string()),  # its beginning, unless the recipe asks for rejected_text
            ("shard", pa.string()),
            ("record", pa.int64()),
        ]
    ),
}


@dataclass
class Cut:
    """What became of a table: its texts (large_string), the rows of `removed`, and how many pieces went."""

    texts: pa.Array
    removed: pa.Table
    pieces: int


class CutFiles:
    """Writer of the files of one cut task; `kind` is lines or substrings."""

    def __init__(self, job: Job, attempt: Attempt, task: dict[str, Any], kind: str) -> None:
        self._job, self._part, self._options = job, job.refine, job.refine["cuts"][kind]
        self._attempt, self._kind = attempt, kind
        self._last = text_stages(job)[-1] == task["stage"]
        prefix = f".work/{task['stage']}/{task['index']:06d}"
        self._documents = DocumentFiles(self._part, attempt, prefix, features=self._last)
        self._rejects = attempt.create("rejects", f"{prefix}.rejects.parquet")
        schema = ledger.rejected_schema(self._part["signals"], self._part["rejected_text"])
        self._rejects_writer = SteadyWriter(self._rejects.temp, schema, lasting=False)
        self._removed = attempt.create("removed", f"removed/{kind}-{task['index']:05d}.parquet")
        self._removed_writer = SteadyWriter(self._removed.temp, REMOVED[kind])
        self._account: dict[str, Any] = {"kept": 0, "rejected": {}}
        self._counts = {"documents": 0, "pieces": 0, "bytes": 0}
        self._top: list[list[Any]] = []

    def take(self, table: pa.Table, cut: Cut | None) -> None:
        """A row group of documents, and what was cut of them, if anything was."""
        table = with_signal_columns(table, self._part)
        if cut is not None:
            self._removed_writer.write(cut.removed)
            self._count(table, cut)
            changed = pc.not_equal(table["text"], cut.texts).to_numpy()
            out = changed & (_chars(cut.texts) < self._options["min_left"])
            if out.any():
                self._too_short(table.filter(pa.array(out)), _chars(cut.texts)[out])
            table = set_column(table, "text", cut.texts).filter(pa.array(~out))
        if self._last:
            table = self._measured(table)
        self._account["kept"] += len(table)
        if len(table):
            self._documents.write(table)

    def _measured(self, table: pa.Table) -> pa.Table:
        """With the signals that no rule has measured, without the documents that one of them fails on."""
        with watched(self._job):
            table, why = guarded(signals_step(self._part), table)
        out = pc.is_valid(why)
        if pc.any(out).as_py():
            self._reject(table.filter(out), why.filter(out), SIGNALS_STEP)
        return table.filter(pc.invert(out))

    def _count(self, table: pa.Table, cut: Cut) -> None:
        self._counts["documents"] += int(pc.sum(pc.not_equal(table["text"], cut.texts)).as_py() or 0)
        self._counts["bytes"] += _bytes(table["text"]) - _bytes(cut.texts)
        self._counts["pieces"] += cut.pieces
        if self._kind == "lines":
            rows = cut.removed.to_pylist()
            entries = [[row["removed"], row["documents"], row["line"][:TOP_CHARS], row["id"]] for row in rows]
            self._top = merged_top([self._top, entries])

    def _too_short(self, gone: pa.Table, left: np.ndarray) -> None:
        """The ledger tells of the text before the cut."""
        least = float(self._options["min_left"])
        why = reasons(len(gone), np.arange(len(gone)), REASON, value=left.astype(float), threshold=least)
        self._reject(gone, why, self._options["name"])

    def _reject(self, gone: pa.Table, why: pa.StructArray, name: str) -> None:
        ledger.count_rejects(self._account, name, why.field("reason").to_pylist())
        self._rejects_writer.write(ledger_rows(self._part, gone, why, name, gone["_shard"]))

    def close(self, documents_in: int) -> dict[str, Any]:
        """The counts of the task. Raises AssertionError if a document was lost."""
        self._documents.close()
        self._rejects_writer.close()
        self._removed_writer.close()
        self._rejects.rows, self._removed.rows = self._rejects_writer.rows, self._removed_writer.rows
        if not self._removed.rows:
            self._attempt.drop(self._removed)
        if self._account["kept"] + ledger.rejected_total(self._account) != documents_in:
            raise AssertionError(f"{self._kind}: {documents_in} documents came in, {self._account} went out")
        return {**self._account, "cut": self._counts, "top": self._top}


def with_signal_columns(table: pa.Table, part: dict[str, Any]) -> pa.Table:
    """`table` with a column `signal.NAME` for each field of its struct `signals` that a rule has measured."""
    for at, name in enumerate(part["signals"]):
        if name in measured(part):
            table = set_column(table, f"signal.{name}", pc.struct_field(table["signals"], [at]))
    return table


def merged_top(lists: list[list[list[Any]]]) -> list[list[Any]]:
    """The TOP entries of [times removed, documents, line, id], most often removed first."""
    return sorted((entry for entries in lists for entry in entries), key=lambda e: (-e[0], e[2], e[3]))[:TOP]


def summary(job: Job, counts: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What the corpus's manifest says of cuts: {step: {documents, lines or substrings, bytes, most_removed}}.

    `counts`: of each kind, the counts of its cut tasks.
    """
    told: dict[str, Any] = {}
    for kind, options in job.refine["cuts"].items():
        cuts = [found["cut"] for found in counts[kind]]
        entry: dict[str, Any] = {"documents": sum(c["documents"] for c in cuts), kind: sum(c["pieces"] for c in cuts)}
        entry["bytes"] = sum(c["bytes"] for c in cuts)
        if kind == "lines":
            names = ("removed", "documents", "line", "id")
            top = merged_top([found["top"] for found in counts[kind]])
            entry["most_removed"] = [dict(zip(names, line)) for line in top]
        told[options["name"]] = entry
    return told


def _bytes(texts: pa.Array | pa.ChunkedArray) -> int:
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0)


def _chars(texts: pa.Array) -> np.ndarray:
    """Characters of each text, white space at its ends aside."""
    return pc.utf8_length(pc.utf8_trim_whitespace(texts)).to_numpy()
