"""manifest.json and the data set card of a finished corpus."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from pipeline.chat import snippets
from pipeline.cutting.decontaminated import table_lines
from pipeline.files import storage
from pipeline.job import Job
from pipeline.matching.clusters import corpus_schema
from pipeline.mixtures.labels import labels_table
from pipeline.mixtures.mixture import mix_table
from pipeline.splits.report import split_words, strata_table

BINARY = ("megatron", "mds", "litdata", "nanotron")
"""Formats that `datasets` does not read."""

_INTS = ["    sequence: int32"]
TOKEN_FEATURES = {
    "documents": ["  - name: id", "    dtype: string", "  - name: input_ids", *_INTS],
    "packed": ["  - name: input_ids", *_INTS, "  - name: lengths", *_INTS],
}
TYPES = {"string": "string", "large_string": "string", "double": "float64", "int64": "int64", "bool": "bool"}


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
    lines += _training(job, manifest)
    lines += table_lines(manifest.get("decontamination", {}))
    lines += labels_table(manifest.get("labels"))
    lines += mix_table(manifest.get("mix"))
    lines += ["", "`metadata` holds, as JSON text, the fields of a record that have no column of their own.", ""]
    lines += ["Recipe:", "", "```json", json.dumps(manifest["recipe"], ensure_ascii=False, indent=1), "```", ""]
    return "\n".join(lines)


def write_snippets(job: Job, manifest: dict[str, Any]) -> None:
    """What trainers want beside conversations in a layout."""
    if job.publish["layout"]:
        for name, text in snippets.files(*_written(job, manifest)).items():
            storage.write_bytes(storage.join(job.output, name), text.encode())


def _training(job: Job, manifest: dict[str, Any]) -> list[str]:
    return snippets.card_lines(*_written(job, manifest)) if job.publish["layout"] else []


def _written(job: Job, manifest: dict[str, Any]) -> tuple[dict[str, str], pa.Schema, list[str], str]:
    splits = [name for name, rows in manifest["splits"].items() if rows]
    return job.publish["layout"], corpus_schema(job), splits, job.publish["format"]


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
        labels = ["  - name: labels", *_INTS] if job.publish["tokens"]["chat"] else []
        return TOKEN_FEATURES["packed" if job.publish["tokens"]["pack"] else "documents"] + labels
    return [line for column in corpus_schema(job) for line in _feature(column, "  ")]


def _feature(column: pa.Field, indent: str) -> list[str]:
    """A column as an item of a list of features."""
    return [f"{indent}- name: {column.name}", *_type(column.type, indent + "  ")]


def _type(kind: pa.DataType, indent: str) -> list[str]:
    if pa.types.is_struct(kind):
        return [f"{indent}struct:", *(line for field in kind for line in _feature(field, indent))]
    if not pa.types.is_list(kind):
        return [f"{indent}dtype: {TYPES[str(kind)]}"]
    if pa.types.is_struct(kind.value_type):
        return [f"{indent}list:", *(line for field in kind.value_type for line in _feature(field, indent))]
    if pa.types.is_list(kind.value_type):
        return [f"{indent}list:", *_type(kind.value_type, indent + "  ")]
    return [f"{indent}list: {TYPES[str(kind.value_type)]}"]
