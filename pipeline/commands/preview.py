"""A dry run on a sample, in this process: the funnel, three examples for each reason, an estimate for the whole."""

from __future__ import annotations

import dataclasses
import tempfile
import textwrap
import time
from typing import Any

import pyarrow.parquet as pq

from pipeline.engines.local import LocalEngine
from pipeline.files import storage
from pipeline.job import Job
from pipeline.mixtures.mixture import mix_lines, scaled, unmixed
from pipeline.progress import Silent, funnel
from pipeline.recipes.recipe import Run
from pipeline.refining.refine import records
from pipeline.run import run
from pipeline.splits.report import split_words

SHARDS = 8
"""Input files that a sample is taken from, evenly spaced over the sorted list."""

EXAMPLES = 3

COUNTED = 8 << 20
"""Bytes of a sampled file, as stored, in which documents are counted for the estimate."""


def preview(job: Job, documents: int) -> tuple[str, dict[str, Any]]:
    """Runs the recipe on the first documents of some shards. Returns the report and the sample's manifest."""
    count = min(SHARDS, len(job.shards), documents)
    chosen = [job.shards[i * len(job.shards) // count] for i in range(count)]
    with tempfile.TemporaryDirectory(prefix="gristmill-preview-") as folder:
        sample = dataclasses.replace(
            job,
            output=folder,
            shards=chosen,
            limit=-(-documents // count),
            refine={**job.refine, "rejected_text": True},
            publish=_without_numbers(unmixed(job)),
        )
        started = time.perf_counter()
        outcome = run(sample, Run(engine="local"), LocalEngine(), Silent())
        seconds = time.perf_counter() - started
        examples = _examples(folder, outcome.manifest)
    factor = _factor(job, chosen, outcome.manifest)
    if job.publish["mix"] and factor:
        outcome.manifest["mix"] = scaled(job, outcome.manifest["mix"], factor)
    return "\n".join(
        [
            _head(job, chosen, outcome.manifest),
            "",
            funnel(outcome.manifest),
            *split_words(outcome.manifest),
            *_numbers(job),
            "",
            examples,
            _estimate(job, outcome.manifest, factor, seconds),
            *_mixture(job, outcome.manifest),
        ]
    ), outcome.manifest


def _head(job: Job, chosen: list[dict[str, Any]], manifest: dict[str, Any]) -> str:
    return f"A sample of {manifest['account']['read']:,} documents from {len(chosen)} of {len(job.shards)} input files. Nothing is written."


def _without_numbers(publish: dict[str, Any]) -> dict[str, Any]:
    """Sides of so many documents take none: of a sample they would take most, and no mixture could be seen."""
    return {**publish, "split": {**publish["split"], "counts": []}}


def _numbers(job: Job) -> list[str]:
    names = [job.publish["splits"][number] for number, _ in job.publish["split"]["counts"]]
    told = f"{', '.join(names)}: a number of documents is of the whole; none of the sample stands there."
    return [told] if names else []


def _examples(folder: str, manifest: dict[str, Any]) -> str:
    """Three rejected documents for each reason, with value, threshold and the beginning of the text."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in manifest["files"]:
        if entry["path"].startswith("rejected/"):
            for row in pq.read_table(storage.join(folder, entry["path"])).to_pylist():
                rows = found.setdefault((row["step"], row["reason"]), [])
                if len(rows) < EXAMPLES:
                    rows.append(row)
    lines = []
    for (step, reason), rows in sorted(found.items()):
        lines.append(f"{step}  {reason}")
        lines += [f"  {row['id']}{_measured(row)}\n    {_beginning(row['text'])}" for row in rows]
    return "\n".join(lines) + "\n" if lines else ""


def _measured(row: dict[str, Any]) -> str:
    if row["duplicate_of"]:
        alike = "" if row["similarity"] is None else f", similarity {row['similarity']:.3f}"
        return f"  duplicate of {row['duplicate_of']}{alike}"
    parts = [] if row["value"] is None else [f"value {row['value']:.4g}"]
    parts += [] if row["threshold"] is None else [f"threshold {row['threshold']:g}"]
    parts += [row["detail"]] if row["detail"] else []
    return "  " + ", ".join(parts) if parts else ""


def _beginning(text: str | None) -> str:
    return textwrap.shorten(text, 160, placeholder=" ...") if text else "(no text)"


def _factor(job: Job, chosen: list[dict[str, Any]], manifest: dict[str, Any]) -> float:
    """How many times the sample the whole is, by the number of records in the sampled files and their share of all bytes; 0 if
    nothing was read."""
    read = manifest["account"]["read"]
    records = sum(_records(job, shard) for shard in chosen)
    total, sampled = (sum(shard["size"] for shard in shards) for shards in (job.shards, chosen))
    return max(1.0, records * total / max(sampled, 1) / read) if read and records else 0.0


def _estimate(job: Job, manifest: dict[str, Any], factor: float, seconds: float) -> str:
    """The whole, from the sample."""
    if not factor:
        return "No document was read: no estimate."
    account, total = manifest["account"], sum(shard["size"] for shard in job.shards)
    return (
        f"For all {len(job.shards)} files ({total / 1e6:,.1f} MB as stored): about {account['read'] * factor:,.0f} documents, "
        f"{account['kept'] * factor:,.0f} kept, {seconds * factor:,.0f} s on one core. "
        "More duplicates will be found in the whole than in a sample."
    )


def _mixture(job: Job, manifest: dict[str, Any]) -> list[str]:
    return ["", "expected " + "\n".join(mix_lines(manifest["mix"]))] if job.publish["mix"] and manifest["mix"] else []


def _records(job: Job, shard: dict[str, Any]) -> float:
    """Documents in a shard: counted in its first COUNTED bytes, and scaled."""
    seen = 0
    for batch in records(job, shard):
        seen += len(batch.table)
        if batch.consumed >= COUNTED:
            return seen * shard["size"] / batch.consumed
    return seen
