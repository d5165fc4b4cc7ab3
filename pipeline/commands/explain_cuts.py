"""What the steps that cut texts took from one document, told from the ledger of removed pieces."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup.lines import units
from pipeline.files import storage
from pipeline.job import Job

SHOWN = 20


def cut_words(job: Job, manifest: dict[str, Any], table: pa.Table) -> list[str]:
    """Lines of text for a document (a one-row table) as it came to these steps."""
    told: list[str] = []
    for kind, options in job.refine["cuts"].items():
        found = FOUND[kind](job, manifest, table)
        told.append(f"  {options['name']:<28} {'cut ' + str(len(found)) if found else 'nothing cut'}")
        told += [f"      {line}" for line in found[:SHOWN]]
        told += [f"      ... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return told


def _lines(job: Job, manifest: dict[str, Any], table: pa.Table) -> list[str]:
    options = job.refine["cuts"]["lines"]
    found = units(table["text"], options["unit"] == "paragraph")
    asked = found.chars >= options["min_chars"]
    rows = _removed(
        job, manifest, "lines", pc.field("hash").isin(pa.array(np.unique(found.hashes[asked]), pa.uint64()))
    )
    removed = {row["hash"]: row for row in rows}
    text = (table["text"][0].as_py() or "").encode()
    told = []
    for number in np.flatnonzero(asked & np.isin(found.hashes, np.array(list(removed), np.uint64))).tolist():
        row = removed[int(found.hashes[number])]
        if options["keep"] == "first" and (row["id"], row["source"]) == (
            table["id"][0].as_py(),
            table["source"][0].as_py(),
        ):
            row["id"] = None  # here it stands first, and stays once
            continue
        line = text[found.starts[number] : found.ends[number]].decode()
        told.append(f"{_short(line)}  (in {row['documents']:,} documents)")
    return told


def _substrings(job: Job, manifest: dict[str, Any], table: pa.Table) -> list[str]:
    mine = (pc.field("id") == table["id"][0].as_py()) & (pc.field("record") == table["_record"][0].as_py())
    rows = _removed(job, manifest, "substrings", mine)
    return [
        f"{row['tokens']:,} tokens, characters {row['start']:,} to {row['end']:,}: {_short(row['text'])}"
        for row in rows
    ]


FOUND = {"lines": _lines, "substrings": _substrings}


def _removed(job: Job, manifest: dict[str, Any], kind: str, where: pc.Expression) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for entry in manifest["files"]:
        if entry["path"].startswith(f"removed/{kind}-"):
            with storage.local_copy(storage.join(job.output, entry["path"])) as path:
                rows += pq.read_table(path, filters=where).to_pylist()
    return rows


def _short(text: str) -> str:
    return textwrap.shorten(text, 120, placeholder=" ...")
