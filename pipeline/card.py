"""manifest.json and the data set card of a finished corpus."""

from __future__ import annotations

import json
from typing import Any

from pipeline import storage
from pipeline.clusters import published_schema
from pipeline.decontaminated import table_lines
from pipeline.job import Job
from pipeline.split_report import split_words, strata_table

BINARY = ("megatron", "mds", "litdata", "nanotron")
"""Formats that `datasets` does not read."""

_INTS = ["    sequence: int32"]
TOKEN_FEATURES = {
    "documents": ["  - name: id", "    dtype: string", "  - name: input_ids", *_INTS],
    "packed": ["  - name: input_ids", *_INTS, "  - name: lengths", *_INTS],
}
TYPES = {"string": "string", "large_string": "string", "double": "float64", "int64": "int64"}


def write_manifest(job: Job, manifest: dict[str, Any]) -> None:
    """The last file of a run: a corpus without it is not finished."""
    text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    storage.write_bytes(storage.join(job.output, "manifest.json"), text.encode())


def write_card(job: Job, manifest: dict[str, Any]) -> None:
    storage.write_bytes(storage.join(job.output, "README.md"), card(job, manifest).encode())


def card(job: Job, manifest: dict[str, Any]) -> str:
    """A data set card whose header tells `datasets.load_dataset(FOLDER)` the splits and the columns."""
    account = manifest["account"]
    lines = [*([] if job.publish["format"] in BINARY else _header(job, manifest)), "# Corpus", ""]
    lines += [f"Made by gristmill {manifest['versions']['gristmill']} from {manifest['shards']['read']} input files."]
    lines += [
        f"{account['read']:,} documents were read, {account['kept']:,} are here, {account['rejected']:,} are in `rejected/` with the",
        f"reason, {account['quarantined']:,} could not be read (`quarantine/`).", "",
    ]  # fmt: skip
    lines += [*_splits(manifest), *strata_table(manifest)]
    lines += ["", *split_words(manifest)] if split_words(manifest) else []
    lines += ["", "| step | reason | documents |", "|---|---|---|"]
    lines += [
        f"| {step} | {reason} | {n:,} |"
        for step, reasons in manifest["rejected"].items()
        for reason, n in reasons.items()
    ]
    lines += table_lines(manifest.get("decontamination", {}))
    lines += ["", "`metadata` holds, as JSON text, the fields of a record that have no column of their own.", ""]
    lines += ["Recipe:", "", "```json", json.dumps(manifest["recipe"], ensure_ascii=False, indent=1), "```", ""]
    return "\n".join(lines)


def _header(job: Job, manifest: dict[str, Any]) -> list[str]:
    splits = [name for name, rows in manifest["splits"].items() if rows]
    lines = ["---", "configs:", "- config_name: default", *(["  data_files:"] if splits else [])]
    for name in splits:
        lines += [f"  - split: {name}", f"    path: {name}/part-*"]
    return [*lines, "dataset_info:", "  features:", *_features(job), "---", ""]


def _splits(manifest: dict[str, Any]) -> list[str]:
    """The table of splits; with tokens where the recipe names a tokenizer."""
    tokens = manifest.get("tokens")
    if tokens is None:
        return [
            "| split | documents |",
            "|---|---|",
            *(f"| {n} | {rows:,} |" for n, rows in manifest["splits"].items()),
        ]
    lines = ["| split | documents | tokens | sequences | padding |", "|---|---|---|---|---|"]
    for name, rows in manifest["splits"].items():
        found = tokens["splits"][name]
        padding = f"{found['padding_share']:.2%}" if "padding_share" in found else ""
        lines.append(f"| {name} | {rows:,} | {found['tokens']:,} | {found.get('sequences', '')} | {padding} |")
    about = tokens["tokenizer"]
    lines += [
        "",
        f"Tokens of {about['path']} ({about['kind']}, {about['vocab']:,} ids, sha256 {about['sha256'][:16]}...), without",
    ]
    lines += ["marks at the ends of documents."]
    if "format" in tokens:
        lines += [f"Written as {tokens['format']}; `documents/` tells which document stands where."]
    return lines


def _features(job: Job) -> list[str]:
    if job.publish["format"] == "parquet-tokens":
        return TOKEN_FEATURES["packed" if job.publish["tokens"]["pack"] else "documents"]
    lines = []
    for column in published_schema(job):
        if column.name == "signals":
            lines.append("  - name: signals")
            lines.append("    struct:")
            lines += [f"    - name: {name}\n      dtype: float64" for name in job.refine["signals"]]
        else:
            lines += [f"  - name: {column.name}", f"    dtype: {TYPES[str(column.type)]}"]
    return lines
