"""Earlier corpora that new documents are compared with: `dedup: {minhash: {against: [OUT, s3://bucket/OUT2]}}`.

What is needed of an old document are its features (id, keys, text hash, band hashes) and its shingles, not its text. An
index holds them: a run leaves one with `output: {index: true}`, `gristmill index` makes one for any corpus.

    index/manifest.json                {"sketch": {...}, "documents": 812, "parts": [{"features", "shingles", "rows", "sha256"}]}
    index/part-00000.features.arrow    features of kept documents, and `heldout`: outside the largest split
    index/part-00000.shingles.u64

A corpus of gristmill without an index is read as text by the stage `index`, which costs more. Old documents are
numbered after the new ones, rank before them under any keep policy, and are compared with new ones only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from dedup.columns import row_blocks
from filters.step import set_column
from pipeline.documents import DocumentFiles, documents, features_schema
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, Files, manifests
from pipeline.job import Job, fingerprint

STAGE = "older"
BLOCK_SHINGLES = 8 << 20
"""Shingles of an index copied at once: 64 MB, whatever the size of a shard."""
NOT_MIXED: dict[str, Any] = {"carried": [], "mix_tokens": False, "labels": None, "split": None}
"""What mixtures, labels and splits ask of documents is not asked of earlier ones."""


def compared(job: Job) -> list[dict[str, Any]]:
    """Manifests of all documents that dedup looks at, the run's own first, each with its task's number."""
    own = documents(job)
    return [*own, *_renumbered(_older(job), len(own))]


def first_number(job: Job) -> np.uint64:
    """All new documents have numbers below this, old ones from it on."""
    return np.uint64(len(documents(job)) << DOC_BITS)


def _older(job: Job) -> Iterator[dict[str, Any]]:
    if any("shards" in entry for entry in job.older):
        for manifest in manifests(job.output, "index"):
            docs = {"name": "docs", "path": "", "rows": manifest["counts"]["rows"]}
            corpus = job.older[manifest["counts"]["corpus"]]["path"]
            yield {**manifest, "outputs": [*manifest["outputs"], docs], "corpus": corpus}
    for entry in job.older:
        for part in entry.get("parts", []):
            outputs = [{"name": name, "path": part[name], "rows": part["rows"]} for name in ("features", "shingles")]
            outputs.append({"name": "docs", "path": "", "rows": part["rows"]})
            yield {"task": part["sha256"], "root": entry["folder"], "outputs": outputs, "corpus": entry["path"]}


def _renumbered(found: Iterator[dict[str, Any]], start: int) -> list[dict[str, Any]]:
    return [{**manifest, "stage": STAGE, "index": start + number} for number, manifest in enumerate(found)]


# -- before a run ----------------------------------------------------------------------------------


def find_older(path: str, number: int, sketch: dict[str, Any]) -> dict[str, Any]:
    """What `against` means by its path of this number: {"path", "folder", "identity", "parts"} of an index, or {"path", "identity",
    "shards"} of a corpus without one. Errors: InputError."""
    for folder in (storage.join(path, "index"), path):
        if storage.exists(storage.join(folder, "manifest.json")):
            text = storage.read_bytes(storage.join(folder, "manifest.json"))
            found = json.loads(text)
            entry = {"path": path, "folder": folder, "identity": hashlib.sha256(text).hexdigest()}
            if "sketch" in found:
                _check_sketch(path, found["sketch"], sketch)
                return {**entry, "parts": found["parts"]}
            if "splits" in found:
                return {**entry, "shards": _shards(path, number, found)}
    raise InputError(
        f"{path} is no finished corpus of gristmill and no index: it has neither manifest.json nor index/manifest.json. "
        "Make an index of any corpus with 'gristmill index'."
    )


def layout_of(manifest: dict[str, Any]) -> str | None:
    """The layout that a corpus was written in; None where its records have their text in a column of its own."""
    name: str | None = manifest["recipe"]["output"].get("layout")
    return None if name == "text" else name


def _check_sketch(path: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    differing = [key for key in dict.fromkeys([*theirs, *ours]) if theirs.get(key) != ours.get(key)]
    if differing:
        told = ", ".join(f"{key} {theirs.get(key)} there, {ours.get(key)} here" for key in differing)
        raise InputError(
            f"the index in {path} was made with another minhash: {told}. Ask for the same here, or make another index "
            "with 'gristmill index'."
        )


def _shards(path: str, number: int, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    largest = max(manifest["splits"], key=lambda name: manifest["splits"][name])
    layout = layout_of(manifest)
    shards = []
    for file in manifest["files"]:
        split = file["path"].split("/")[0]
        if split in manifest["splits"]:
            place = storage.join(path, file["path"])
            kind = "parquet" if place.endswith(".parquet") else "jsonl"
            shards.append(
                {
                    "path": place,
                    "name": place,
                    "size": file["bytes"],
                    "version": file["sha256"],
                    "input": number,
                    "format": kind,
                    "heldout": split != largest,
                    **({"layout": layout} if layout else {}),
                }
            )
    return shards


# -- stage index: texts that have no features yet --------------------------------------------------


def index(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Features and shingles of the documents of some shards, as they are."""
    from pipeline.refining.refine import records

    part = {**job.refine, "criteria": [], "signals": [], **NOT_MIXED}
    prefix = f"part-{task['index']:05d}" if job.publish["index"] == "only" else f".work/index/{task['index']:06d}"
    sink = DocumentFiles(part, attempt, prefix, texts=False, heldout=True)
    rows = quarantined = 0
    for shard in task["shards"]:
        for batch in records(job, shard, ours="heldout" in shard):
            if batch.quarantined and "heldout" in shard:
                raise InputError(f"{shard['path']}: {batch.quarantined[0]['error']}; 'gristmill check' tells more.")
            held = pa.array([shard.get("heldout", False)] * len(batch.table), pa.bool_())
            sink.write(set_column(batch.table, "heldout", held))
            rows += len(batch.table)
            quarantined += len(batch.quarantined)
    sink.close()
    return {"rows": rows, "quarantined": quarantined, "corpus": task["shards"][0]["input"]}


def index_job(job: Job) -> Job:
    """The job that makes an index of the input of a recipe, in its output folder: the input as it is, without the
    recipe's row steps, sketched as its minhash step says. Errors: InputError."""
    if job.refine["minhash"] is None:
        raise InputError(
            "the recipe has no minhash step; an index holds what that step compares. Add '- dedup: {minhash: {}}'."
        )
    identity = fingerprint([[shard["path"], shard["size"], shard["version"]] for shard in job.shards])
    entry = {"path": job.output, "identity": identity, "shards": job.shards}
    return replace(job, older=[entry], publish={**job.publish, "index": "only"}, near={**job.near, "names": {}})


# -- the index of a run ----------------------------------------------------------------------------


def write_part(
    job: Job, files: Files, manifest: dict[str, Any], split: np.ndarray, attempt: Attempt, number: int
) -> None:
    """The part of the index for one task's kept documents. `split`: of each of its documents, -1 if removed."""
    features = files.table(manifest, "features")
    kept = np.flatnonzero(split >= 0)
    offsets = np.concatenate([[0], features["shingle_end"].to_numpy()]).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(offsets[kept + 1] - offsets[kept])]).astype(np.int64)
    table = set_column(features.take(pa.array(kept)), "shingle_end", pa.array(ends[1:]))
    table = set_column(table, "heldout", pa.array(split[kept] != job.publish["main"]))
    schema = index_schema(job.refine)
    output = attempt.create("index_features", f"index/part-{number:05d}.features.arrow")
    output.rows = len(kept)
    with pa.ipc.new_file(output.temp, schema) as sink:
        sink.write_table(table.select(schema.names).cast(schema), max_chunksize=1 << 16)
    output = attempt.create("index_shingles", f"index/part-{number:05d}.shingles.u64")
    output.rows = int(ends[-1])
    with open(output.temp, "wb") as file:
        for low, high in row_blocks(ends, BLOCK_SHINGLES):
            values, rows = np.empty(ends[high] - ends[low], np.uint64), kept[low:high]
            files.spans(manifest, "shingles", offsets[rows], offsets[rows + 1], values, ends[low:high] - ends[low])
            file.write(values.astype("<u8", copy=False).data)


def index_schema(refine: dict[str, Any]) -> pa.Schema:
    """Columns of an index's features."""
    return features_schema({**refine, "criteria": [], **NOT_MIXED}).append(pa.field("heldout", pa.bool_()))


def write_index_manifest(folder: str, sketch: dict[str, Any], parts: list[list[dict[str, Any]]]) -> None:
    """`folder`/manifest.json; `parts`: pairs of outputs, features and shingles, with paths inside `folder`."""
    found = [
        {"features": a["path"], "shingles": b["path"], "rows": a["rows"], "sha256": f"{a['sha256']}{b['sha256']}"[:64]}
        for a, b in parts
    ]
    text = {"sketch": sketch, "documents": sum(part["rows"] for part in found), "parts": found}
    storage.write_bytes(storage.join(folder, "manifest.json"), (json.dumps(text, indent=1) + "\n").encode())
