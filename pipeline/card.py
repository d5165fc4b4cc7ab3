"""manifest.json and the data set card of a finished corpus."""

from __future__ import annotations

import json
from typing import Any

from pipeline import storage
from pipeline.job import Job
from pipeline.ledger import kept_schema

TYPES = {"string": "string", "large_string": "string", "double": "float64"}


def write_manifest(job: Job, manifest: dict[str, Any]) -> None:
    """The last file of a run: a corpus without it is not finished."""
    text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    storage.write_bytes(storage.join(job.output, "manifest.json"), text.encode())


def write_card(job: Job, manifest: dict[str, Any]) -> None:
    storage.write_bytes(storage.join(job.output, "README.md"), card(job, manifest).encode())


def card(job: Job, manifest: dict[str, Any]) -> str:
    """A data set card whose header tells `datasets.load_dataset(FOLDER)` the splits and the columns."""
    account, splits = manifest["account"], {name: rows for name, rows in manifest["splits"].items() if rows}
    lines = ["---", "configs:", "- config_name: default", *(["  data_files:"] if splits else [])]
    for name in splits:
        lines += [f"  - split: {name}", f"    path: {name}/part-*"]
    lines += ["dataset_info:", "  features:", *_features(job), "---", "", "# Corpus", ""]
    lines += [f"Made by gristmill {manifest['versions']['gristmill']} from {manifest['shards']['read']} input files."]
    lines += [
        f"{account['read']:,} documents were read, {account['kept']:,} are here, {account['rejected']:,} are in `rejected/` with the",
        f"reason, {account['quarantined']:,} could not be read (`quarantine/`).", "", "| split | documents |", "|---|---|",
    ]  # fmt: skip
    lines += [f"| {name} | {rows:,} |" for name, rows in manifest["splits"].items()]
    lines += ["", "| step | reason | documents |", "|---|---|---|"]
    lines += [
        f"| {step} | {reason} | {n:,} |"
        for step, reasons in manifest["rejected"].items()
        for reason, n in reasons.items()
    ]
    lines += ["", "`metadata` holds, as JSON text, the fields of a record that have no column of their own.", ""]
    lines += ["Recipe:", "", "```json", json.dumps(manifest["recipe"], ensure_ascii=False, indent=1), "```", ""]
    return "\n".join(lines)


def _features(job: Job) -> list[str]:
    lines = []
    for column in kept_schema(job.refine["signals"]):
        if column.name == "signals":
            lines.append("  - name: signals")
            lines.append("    struct:")
            lines += [f"    - name: {name}\n      dtype: float64" for name in job.refine["signals"]]
        else:
            lines += [f"  - name: {column.name}", f"    dtype: {TYPES[str(column.type)]}"]
    return lines
