"""What a run makes of WAT files: which one goes with a shard, pages that their robots rules bar, and the count for the manifest.

The reading itself is in `pipeline.readers.wat_join`, the pairs of files in `pipeline.crawls.files`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.step import reasons
from pipeline.readers.wat_fields import BARRED, FOUND, Join
from pipeline.refining.values import first


def join(entry: dict[str, Any], shard: dict[str, Any]) -> Join | None:
    """How the WAT file of a shard is read, if it has one. entry: its input, as in the job."""
    if "wat" not in shard:
        return None
    asked = entry["wat"]
    return Join(shard["wat"]["path"], tuple(asked["fields"]), frozenset(asked["refuse"]))


def tally(counts: dict[str, int], table: pa.Table) -> None:
    """Adds the documents of a batch with a WAT record and those without, in place."""
    if FOUND in table.schema.names:
        found = pc.sum(table[FOUND]).as_py() or 0
        add(counts, {"found": found, "missing": len(table) - found})


def add(total: dict[str, int], counts: dict[str, int]) -> None:
    """Adds counts to `total`, in place."""
    for name, n in counts.items():
        total[name] = total.get(name, 0) + n


def words(manifest: dict[str, Any]) -> list[str]:
    """The count as a line for the terminal."""
    if "wat" not in manifest:
        return []
    found, missing = manifest["wat"]["found"], manifest["wat"]["missing"]
    return [f"wat: {found:,} documents with a record, {missing:,} without"]


def refused(table: pa.Table, why: pa.StructArray) -> tuple[pa.Table, pa.StructArray]:
    """Pages whose robots rules the recipe refuses go out, as in the step `extract`; `why` comes first."""
    if BARRED not in table.schema.names:
        return table, why
    barred = table[BARRED].combine_chunks()
    out = np.flatnonzero(pc.is_valid(barred).to_numpy(zero_copy_only=False))
    details = [barred[int(row)].as_py() for row in out]
    return table.drop_columns([FOUND, BARRED]), first(why, reasons(len(table), out, "robots", detail=details))
