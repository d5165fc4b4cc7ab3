"""Labels of a classification set: what the recipe asks for, the row step that checks them, and what the manifest says.

In:  labels: {column: label, values: [ham, spam]}          a record {"text": "...", "label": "spam"}
Out: a column `label` ("spam"); documents without one or with another are rejected (`label.missing`, `label.unknown`)

Near-duplicates with different labels are found by `pipeline.mixtures.conflicts`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup.keys import column_values
from filters.registry import nearest
from filters.step import Step, reasons, set_column
from pipeline.recipes.recipe import Labels

STEP = "00.labels"
CONFLICT = "label.conflict"
COLUMNS = ("source", "lang", "url", "date")
"""Columns of a document that can hold a label, such as `source`: the name of the folder. All else is looked up in the metadata."""
MOST_UNKNOWN = 20
KNOWN_UNKNOWN = 1000
"""Values that a task counts one by one, the first in order; a column of free text has as many as records."""
OTHERS = "..."
"""What all others are counted as."""


def labels_part(given: Labels | None) -> dict[str, Any] | None:
    """What the row step depends on, as plain data."""
    if given is None:
        return None
    field = given.column if given.column in COLUMNS else f"metadata.{given.column}"
    return {
        "field": field,
        "values": given.values,
        "missing": given.missing,
        "unknown": given.unknown,
        "conflicts": given.conflicts,
    }


def labels_step(part: dict[str, Any]) -> Step:
    """The step: adds the column `label` and turns away what has none, or none of the recipe's."""
    known = part["values"]

    def check(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        found = [value.strip() or None if value else None for value in column_values(table, part["field"])]
        table = set_column(table, "label", pa.array(found, pa.string()))
        missing = [row for row, value in enumerate(found) if value is None] if part["missing"] == "drop" else []
        unknown = []
        if known is not None and part["unknown"] == "drop":
            allowed = set(known)
            unknown = [row for row, value in enumerate(found) if value is not None and value not in allowed]
        rows = np.array([*missing, *unknown], np.int64)
        told = {value: _told(value, known) for value in dict.fromkeys(str(found[row]) for row in unknown)}
        why = ["label.missing"] * len(missing) + ["label.unknown"] * len(unknown)
        detail = [None] * len(missing) + [told[str(found[row])] for row in unknown]
        return table, reasons(len(table), rows, why, detail=detail)

    return check


def _told(value: str, known: list[str] | None) -> str:
    return f"{value[:100]}{nearest(value, known or [])}"


def tally(counts: dict[str, int], why: pa.StructArray) -> None:
    """Adds the values of `label.unknown` to `counts`, as the ledger tells them: the first of them in order, so that it does not matter
    in which batches they come, and the rest as OTHERS."""
    for reason, detail in zip(why.field("reason").to_pylist(), why.field("detail").to_pylist()):
        if reason == "label.unknown":
            counts[detail] = counts.get(detail, 0) + 1
    for value in sorted(counts.keys() - {OTHERS})[KNOWN_UNKNOWN:] if len(counts) > KNOWN_UNKNOWN else ():
        counts[OTHERS] = counts.get(OTHERS, 0) + counts.pop(value)


def count(splits: list[str], kept: pa.Table, counts: dict[str, dict[str, int]]) -> None:
    """Adds kept documents by split and label; a kept document without a label counts as ""."""
    split = kept["split"].to_numpy()
    for number in np.unique(split).tolist():
        mine = pc.fill_null(kept["label"].filter(pa.array(split == number)), "")
        at = counts.setdefault(splits[number], {})
        for each in pc.value_counts(mine).to_pylist():
            at[each["values"]] = at.get(each["values"], 0) + each["counts"]


def labels_summary(
    job: Any,
    refined: list[dict[str, Any]],
    dealt: list[dict[str, Any]],
    rejected: dict[str, Any],
    conflicts: dict[str, Any],
) -> dict[str, Any]:
    """For manifest.json: ids of labels, documents of each in each split, what had none, and conflicts."""
    splits: dict[str, dict[str, int]] = {name: {} for name in job.publish["splits"]}
    for manifest in dealt:
        for name, found in manifest["counts"]["labels"].items():
            for label, n in found.items():
                splits[name][label] = splits[name].get(label, 0) + n
    seen = sorted({label for found in splits.values() for label in found if label})
    given = job.refine["labels"]["values"]
    names = seen if given is None else [*given, *(label for label in seen if label not in given)]
    unknown: dict[str, int] = {}
    for manifest in refined:
        for value, n in manifest["counts"]["labels"].items():
            unknown[value] = unknown.get(value, 0) + n
    others = {OTHERS: unknown.pop(OTHERS)} if OTHERS in unknown else {}
    most = [*sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:MOST_UNKNOWN], *others.items()]
    why = rejected.get(STEP, {})
    return {
        "field": job.refine["labels"]["field"],
        "ids": {name: number for number, name in enumerate(names)},
        "splits": {split: dict(sorted(found.items())) for split, found in splits.items()},
        "missing": why.get("label.missing", 0) + sum(found.get("", 0) for found in splits.values()),
        "unknown": {"documents": why.get("label.unknown", 0), "values": dict(most)},
        "conflicts": conflicts,
    }


def labels_words(told: dict[str, Any] | None) -> list[str]:
    """Lines for a terminal: documents of each label in each split, then conflicts."""
    if not told:
        return []
    names = [*told["ids"], *([""] if any("" in found for found in told["splits"].values()) else [])]
    rows = [["label", *told["splits"]]]
    rows += [[name or "(none)", *(f"{found.get(name, 0):,}" for found in told["splits"].values())] for name in names]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(w) if at else cell.ljust(w) for at, (cell, w) in enumerate(zip(row, widths)))
        for row in rows
    ]
    found = told["conflicts"]
    if found["pairs"]:
        lines.append(
            f"{found['documents']:,} documents are like one with another label ({found['pairs']:,} pairs, in labels/conflicts.parquet)"
        )
    return lines


def labels_table(told: dict[str, Any] | None) -> list[str]:
    """The same as Markdown for the card."""
    if not told:
        return []
    lines = ["", f"| label | id | {' | '.join(told['splits'])} |", "|---" * (2 + len(told["splits"])) + "|"]
    for name, number in told["ids"].items():
        lines.append(
            f"| {name} | {number} | {' | '.join(f'{found.get(name, 0):,}' for found in told['splits'].values())} |"
        )
    return lines
