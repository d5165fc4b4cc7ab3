"""What a run tells of its split: sides asked for and come to, the largest unit, strata and rare ones.

{"asked": {"train": 0.9, "test": 0.1}, "by": ["cluster", "domain"], "documents": {"train": 81170, "test": 9040},
 "largest": [{"documents": 31200, "share": 0.3459, "groups": 412, "one": "doc-17"}], "strata": {...}, "rare": [...]}

All of it is of documents, each counted once: what a mixture leaves out or writes again is no part of a split.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.files.stage_files import manifests
from pipeline.job import Job
from pipeline.splits.options import asked_for
from pipeline.splits.units import needed

RARE = 10
"""Documents of a stratum in one side; fewer say little of it."""

LARGE, ONE_LARGE = 0.01, 0.1
"""Share of all documents from which on a unit is worth a line at the end: of several groups, of one."""

OFF = 0.01
"""A side that is so far from its share is told of, and a stratum of COUNTED documents or more."""

COUNTED = 1000

SHOWN = 3


def add_strata(total: dict[str, list[int]], strata: pa.ChunkedArray, split: Any, many: int) -> None:
    """Adds the kept documents of each stratum in each split to `total`."""
    coded = pc.dictionary_encode(strata.combine_chunks())
    names, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    kept = split >= 0
    found = np.zeros((len(names), many), np.int64)
    np.add.at(found, (codes[kept], split[kept]), 1)
    for name, counts in zip(names, found.tolist()):
        if any(counts):
            total[name] = [a + b for a, b in zip(total.get(name, [0] * many), counts)]


def split_summary(job: Job, final_round: int, splits: dict[str, Any]) -> dict[str, Any]:
    """The manifest's `split`; empty where the recipe asks for shares alone. `splits`: of each its documents as "rows", each
    counted once (`plan.final_splits(..., once=True)`)."""
    more = job.publish["split"]
    asked = {key: more[key] for key in ("by", "stratify", "folds", "counts", "times") if more[key]}
    if not asked or not needed(job):
        return {}
    counts = manifests(job.output, f"sides-{final_round}")[0]["counts"]
    told: dict[str, Any] = {"asked": asked_for(job.publish), "by": ["cluster", *more["by"]]}
    told["documents"] = {name: found["rows"] for name, found in splits.items()}
    documents = sum(told["documents"].values())
    told["largest"] = [
        {**unit, "share": round(unit["documents"] / max(documents, 1), 4)} for unit in counts.get("largest", [])
    ]
    if any(counts.get("missing", [])):
        names = [job.publish["splits"][number] for number, _ in more["counts"]]
        told["missing"] = {name: left for name, left in zip(names, counts["missing"]) if left}
    if more["stratify"]:
        told |= _strata(job, final_round)
    return told


def _strata(job: Job, final_round: int) -> dict[str, Any]:
    """Documents of each stratum in each split, those that are few, and those whose shares are off."""
    many, names = len(job.publish["splits"]), job.publish["splits"]
    total: dict[str, list[int]] = {}
    for manifest in manifests(job.output, f"assign-{final_round}"):
        for stratum, counts in manifest["counts"]["strata"].items():
            before = total.setdefault(stratum, [0] * many)
            total[stratum] = [a + b for a, b in zip(before, counts)]
    strata, rare, off = {}, [], []
    for stratum, counts in sorted(total.items()):
        named = _named(job, stratum)
        strata[named] = dict(zip(names, counts))
        dealt = sum(count for count, share in zip(counts, job.publish["shares"]) if share)
        for name, count, share in zip(names, counts, job.publish["shares"]):
            if share and count < RARE:
                rare.append({"stratum": named, "split": name, "documents": count})
            if share and dealt >= COUNTED and abs(count / dealt - share) > OFF:
                off.append({"stratum": named, "split": name, "asked": share, "share": round(count / dealt, 4)})
    return {"strata": strata, "rare": rare, "off": off}


def _named(job: Job, stratum: str) -> str:
    """'["en", null]' -> 'lang=en, label=(none)'. What has no value is not what has the value "none"."""
    columns = [name.removeprefix("metadata.") for name in job.publish["split"]["stratify"]]
    values = json.loads(stratum)
    return ", ".join(f"{column}={'(none)' if value is None else value}" for column, value in zip(columns, values))


# -- for people ------------------------------------------------------------------------------------


def split_words(manifest: dict[str, Any]) -> list[str]:
    """Lines for the end of a run and the card: what is large, missing, off or rare. Empty where all is as asked."""
    told = manifest.get("split")
    if not told:
        return []
    lines = [
        _large(unit) for unit in told["largest"][:1] if unit["share"] >= (LARGE if unit["groups"] > 1 else ONE_LARGE)
    ]
    for name, left in told.get("missing", {}).items():
        lines.append(f"{name} is {left:,} short of the {told['asked'][name]} asked for: nothing that is left fits.")
    shares = {name: side for name, side in told["asked"].items() if isinstance(side, float)}
    dealt = max(sum(told["documents"][name] for name in shares), 1)
    for name, side in shares.items():
        share = told["documents"][name] / dealt
        if abs(share - side) > OFF:
            lines.append(f"{name} has {share:.1%} of the documents; {side:.1%} were asked for.")
    lines += [
        f"{one['stratum']} has {one['share']:.1%} in {one['split']}; {one['asked']:.1%} were asked for."
        for one in told.get("off", [])[:SHOWN]
    ]
    if told.get("rare"):
        few = "; ".join(f"{one['stratum']}: {one['documents']} in {one['split']}" for one in told["rare"][:SHOWN])
        strata = len({one["stratum"] for one in told["rare"]})
        lines.append(
            f"{strata:,} of {len(told['strata']):,} strata have fewer than {RARE} documents in a side ({few})."
        )
    return lines


def _large(unit: dict[str, Any]) -> str:
    if unit["groups"] == 1:
        return f"{unit['documents']:,} documents ({unit['share']:.1%}) are of one group and share a side, {unit['one']} for one."
    return (
        f"{unit['documents']:,} documents ({unit['share']:.1%}) hang together through {unit['groups']:,} groups and clusters and share a side, "
        f"{unit['one']} for one."
    )


def strata_table(manifest: dict[str, Any]) -> list[str]:
    """The card's table of strata, the largest first."""
    strata = manifest.get("split", {}).get("strata")
    if not strata:
        return []
    names = list(manifest["splits"])
    rows = sorted(strata.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    lines = ["", f"| stratum | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    lines += [f"| {name} | {' | '.join(f'{counts[n]:,}' for n in names)} |" for name, counts in rows[:50]]
    return lines + (
        [f"| ... and {len(rows) - 50:,} more in manifest.json |{' |' * len(names)}"] if len(rows) > 50 else []
    )
