"""What a run found besides its documents, for manifest.json and the terminal: lists of URLs, missing and odd values, fitted bounds.

    {"url_lists": {step: {file: {"entries": 2, ...}}}, "values": {"date": {"missing": 3, "filled": 0, "bad": 1, "example": "31/12/20"}},
     "thresholds": {step: {"signal": ..., "groups": {"en": {"documents": 9120, "min": 3.4, "max": 7.9}}}}, "wat": {"found": 980, "missing": 20}}

A part that a recipe does not ask for is not there.
"""

from __future__ import annotations

from typing import Any

from pipeline.crawls import wat
from pipeline.job import Job
from pipeline.refining import values
from pipeline.refining.fit import bounds, bounds_words


def told(job: Job, refined: list[dict[str, Any]]) -> dict[str, Any]:
    """The parts, from the job and the manifests of stage refine."""
    found: dict[str, Any] = {}
    if any(step["kind"] == "url" for step in job.refine["steps"]):
        from pipeline.refining.urls import summary

        found |= summary(job.refine["steps"])
    if any(step["kind"] == "fitted" for step in job.refine["steps"]):
        found["thresholds"] = bounds(job)
    more: dict[str, int] = {}
    for manifest in refined:
        for step, count in manifest["counts"]["split"].items():
            more[step] = more.get(step, 0) + count
    if more:
        found["split_texts"] = dict(sorted(more.items()))
    paired: dict[str, int] = {}
    for manifest in refined:
        wat.add(paired, manifest["counts"]["wat"])
    if paired:
        found["wat"] = paired
    total: dict[str, Any] = {}
    for manifest in refined:
        values.add(total, manifest["counts"]["values"])
    return {**found, "values": total} if total else found


def told_words(manifest: dict[str, Any]) -> list[str]:
    """The same as lines for a terminal."""
    split = [
        f"{step} split long documents: {n:,} more than were read" for step, n in manifest.get("split_texts", {}).items()
    ]
    lines = [*split, *wat.words(manifest), *values.value_words(manifest), *bounds_words(manifest)]
    if "url_lists" in manifest:
        from pipeline.refining.urls import list_words

        lines += list_words(manifest)
    return lines
