"""Augmentation: noisy copies of training documents, beside their origin; in deal, and told.

    "r7"  ->  rows "r7#aug1", "r7#aug2" with `augmented_from: r7`; how many of each document is a mixture (`pipeline.mixtures.mixing`) by label

They are made after dedup and split, so nothing removes them and none can stand on another side than its origin. The noise of a
copy hangs on source, id and text of its origin and on its number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from filters.augment import noisy, spread
from filters.step import set_column
from pipeline.job import Job
from pipeline.matching.clusters import moved

FIRST_PLACE = 1 << 20
"""Copies of a mixture are moved by 1, 2, ...; those of augmentation by this and more."""


def augmented(job: Job, table: pa.Table, parts: np.ndarray, account: dict[str, int]) -> Iterator[pa.Table]:
    """The noisy copies of some rows, the first of each document, then the second, and so on. `table` has split, position,
    part, `augmented` (how many) and `noise_seed`; `account` counts rows and those that stayed as their origin is."""
    spec = job.publish["augment"]
    many = table["augmented"].to_numpy() if spec else np.zeros(0, np.int64)
    for number in range(1, int(many.max(initial=0)) + 1):
        rows = table.filter(pa.array(many >= number))
        ids, texts = rows["id"].to_pylist(), rows["text"].to_pylist()
        found = noisy_texts(texts, rows["noise_seed"].to_numpy(), number, spec["noise"])
        account["rows"] += len(rows)
        account["unchanged"] += sum(a == b for a, b in zip(texts, found))
        rows = set_column(rows, "augmented_from", pa.array(ids, pa.string()))
        rows = set_column(rows, "id", pa.array([copy_name(name, number) for name in ids], pa.string()))
        rows = set_column(rows, "text", pa.array(found, pa.large_string()))
        if "signals" in rows.schema.names:  # they were measured on the origin
            rows = set_column(rows, "signals", pa.nulls(len(rows), rows.schema.field("signals").type))
        if job.publish["mix"]:
            rows = set_column(rows, "epoch", pa.array(np.zeros(len(rows), np.int64)))
        yield moved(job, rows, parts, FIRST_PLACE + number)


def noisy_texts(texts: list[str], seeds: np.ndarray, number: int, rates: dict[str, float]) -> list[str]:
    """Copy `number` (from 1) of each text; `seeds` are those of the documents (uint64)."""
    own = spread(seeds + np.uint64(number))
    return [noisy(text or "", rates, seed) for text, seed in zip(texts, own.tolist())]


def copy_name(name: str, number: int) -> str:
    """The id of a document's copy."""
    return f"{name}#aug{number}"


def augment_summary(job: Job, mixed: dict[str, Any] | None, dealt: list[dict[str, Any]]) -> dict[str, Any]:
    """For manifest.json: rows, those that noise left as they were, and documents and rows of each label."""
    spec = job.publish["augment"]
    total = {key: sum(m["counts"]["augmented"][key] for m in dealt) for key in ("rows", "unchanged")}
    labels = {
        name: {"documents": found["documents"], "augmented": found["rows"]}
        for name, found in (mixed or {"buckets": {}})["buckets"].items()
        if found["documents"]
    }
    return {
        "split": job.publish["splits"][spec["split"]],
        "noise": spec["noise"],
        "seed": spec["seed"],
        **total,
        "labels": labels,
    }


def augment_words(told: dict[str, Any] | None) -> list[str]:
    """Lines for a terminal."""
    if not told:
        return []
    noise = ", ".join(f"{name} {rate:g}" for name, rate in told["noise"].items())
    same = f"; {told['unchanged']:,} came out as their origin is" if told["unchanged"] else ""
    lines = [f"{told['rows']:,} augmented rows in {told['split']} ({noise}){same}"]
    return lines + [
        f"  {name}: {found['augmented']:,} of {found['documents']:,} documents"
        for name, found in told["labels"].items()
    ]
