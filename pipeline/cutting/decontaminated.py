"""What decontamination found, counted and told: in a task's manifest, in manifest.json, on the card, in the terminal.

A step `02.decontaminate` leaves a column ``contaminated:02.decontaminate``: for each document in which it found something,
the numbers of the items, all files counted through. So it is counted once, whatever becomes of the document.

    {"02.decontaminate": {"bench/gsm8k.jsonl": {"items": 2638, "too_short": 0, "items_hit": 50, "documents": 50}}}
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

COLUMN = "contaminated:"


def tally(steps: list[dict[str, Any]], counts: dict[str, Any], table: pa.Table) -> None:
    """Adds what was found in the rows of `table` to `counts`: step -> file -> {"documents", "items": set of numbers}."""
    for step in steps:
        column = COLUMN + step["name"]
        if step["kind"] != "decontaminate" or column not in table.schema.names:
            continue
        files = step["options"]["files"]
        ends = np.cumsum([file["items"] for file in files])
        for items in table[column].drop_null().to_pylist():
            numbers = np.searchsorted(ends, items, side="right")
            for number in np.unique(numbers).tolist():
                at = counts.setdefault(step["name"], {}).setdefault(
                    files[number]["name"], {"documents": 0, "items": set()}
                )
                at["documents"] += 1
                first = int(ends[number]) - files[number]["items"]
                at["items"] |= {item - first for item, file in zip(items, numbers.tolist()) if file == number}


def as_json(counts: dict[str, Any]) -> dict[str, Any]:
    """`tally`'s counts with lists for sets."""
    return {
        step: {name: {**found, "items": sorted(found["items"])} for name, found in sorted(files.items())}
        for step, files in counts.items()
    }


def summary(steps: list[dict[str, Any]], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """For manifest.json: step -> file -> {"items", "too_short", "items_hit", "documents"}, of all tasks together."""
    told: dict[str, Any] = {}
    for step in steps:
        if step["kind"] != "decontaminate":
            continue
        files = told.setdefault(step["name"], {})
        for file in step["options"]["files"]:
            found = [part[step["name"]][file["name"]] for part in parts if file["name"] in part.get(step["name"], {})]
            files[file["name"]] = {
                "items": file["items"],
                "too_short": file["too_short"],
                "items_hit": len(set().union(*(each["items"] for each in found))),
                "documents": sum(each["documents"] for each in found),
            }
    return told


def table_lines(told: dict[str, Any]) -> list[str]:
    """`summary` as a table of the data set card."""
    if not told:
        return []
    lines = ["", "| decontamination | benchmark | items | too short | found | documents |", "|---|---|---|---|---|---|"]
    for step, files in told.items():
        for name, found in files.items():
            numbers = " | ".join(f"{found[key]:,}" for key in ("items", "too_short", "items_hit", "documents"))
            lines.append(f"| {step} | {name} | {numbers} |")
    return lines
