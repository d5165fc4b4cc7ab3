"""What `gristmill check` proves of rows that were written more than once: copies of a mixture, and augmented ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dedup.exact import record_keys, text_hashes
from pipeline.files import storage
from pipeline.mixtures.augmented import copy_name, noisy_texts
from pipeline.mixtures.mixing import draws
from pipeline.tasks import job_path

Parts = Callable[[str], Iterator[pa.Table]]
"""The rows of a split, table by table."""
SHORT = 20  # characters
Proof = tuple[str, list[str]]
"""(what was looked at, what is wrong)."""


def proofs(output: str, manifest: dict[str, Any], parts: Parts) -> list[Proof]:
    """Those that the corpus calls for."""
    found = [copies(manifest, parts)] if manifest.get("mix") else []
    if not manifest.get("augment"):
        return found
    spec = json.loads(storage.read_bytes(job_path(output)))["job"]["publish"]["augment"]
    found.append(beside_origin(manifest, parts))
    # tokens may not give a text back letter by letter
    return found if "format" in manifest.get("tokens", {}) else [*found, noise_again(manifest, spec, parts)]


def beside_origin(manifest: dict[str, Any], parts: Parts) -> Proof:
    """By the ids: each augmented row names a document of its own split, and there are as many as the manifest says."""
    split, wrong, rows = manifest["augment"]["split"], [], 0
    for name in manifest["splits"]:
        own: set[str] = set()
        made: list[tuple[str, str]] = []
        for table in parts(name):
            origin = table["augmented_from"]
            own.update(table["id"].filter(pc.is_null(origin)).to_pylist())
            mine = table.filter(pc.is_valid(origin))
            made += zip(mine["id"].to_pylist(), mine["augmented_from"].to_pylist())
        rows += len(made)
        for number, origin in made:
            if name != split:
                wrong.append(f"{number} stands in {name}; augmented rows belong into {split}")
            elif origin not in own:
                wrong.append(f"{number} in {name} is made from {origin}, which does not stand there")
    if rows != manifest["augment"]["rows"]:
        wrong.append(f"{rows} augmented rows, {manifest['augment']['rows']} in the manifest")
    return f"every augmented row stands in {split}, beside its origin", wrong


def noise_again(manifest: dict[str, Any], spec: dict[str, Any], parts: Parts) -> Proof:
    """By the texts: the noise is made again, and no copy of a document stands in another split, whatever its row says."""
    split, wrong = manifest["augment"]["split"], []
    elsewhere: dict[bytes, str] = {}
    for name in manifest["splits"]:
        for table in parts(name) if name != split else ():
            elsewhere |= {_hash(text): f"{number} in {name}" for text, number in _texts(table)}
    most, there = 0, dict[str, set[bytes]]()
    for table in parts(split):
        for text, copy in _texts(table.filter(pc.is_valid(table["augmented_from"]))):
            most = max(most, int(copy.rsplit("#aug", 1)[-1]))
            there.setdefault(copy, set()).add(_hash(text))
    for origins in _origins(parts, split):
        texts, ids = origins["text"].to_pylist(), origins["id"].to_pylist()
        seeds = _seeds(spec, origins)
        for turn in range(1, most + 1) if ids else ():
            for name, text, again in zip(ids, texts, noisy_texts(texts, seeds, turn, spec["noise"])):
                copy, made = copy_name(name, turn), _hash(again)
                # so short a text can be another document's by chance
                if made in elsewhere and again != text and (copy in there or len(again) >= SHORT):
                    wrong.append(f"{elsewhere[made]} is a copy with noise of {name} in {split}")
                if made not in there.get(copy, {made}):
                    wrong.append(f"{copy} in {split} is not the text of {name} with the noise that it should have")
    return "no copy with noise of a document stands on another side than the document", wrong


def _origins(parts: Parts, split: str) -> Iterator[pa.Table]:
    """The documents of a split, each once."""
    for table in parts(split):
        first = pc.is_null(table["augmented_from"])
        if "epoch" in table.schema.names:
            first = pc.and_(first, pc.equal(table["epoch"], 0))
        yield table.filter(first)


def _seeds(spec: dict[str, Any], table: pa.Table) -> Any:
    keys, texts = record_keys(table["source"], table["id"]), text_hashes(table["text"])
    columns = {"key0": keys[:, 0], "key1": keys[:, 1], "text0": texts[:, 0]}
    return draws(spec, pa.table({name: pa.array(values) for name, values in columns.items()}))


def _texts(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["text"].to_pylist(), table["id"].to_pylist())


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def copies(manifest: dict[str, Any], parts: Parts) -> Proof:
    """Copies stand in the mixture's split alone, numbered without a gap, and are as many as the manifest says."""
    split, wrong = manifest["mix"]["split"], []
    epochs: dict[str, list[int]] = {}
    rows = 0
    for name in manifest["splits"]:
        for table in parts(name):
            if "augmented_from" in table.schema.names:
                table = table.filter(pc.is_null(table["augmented_from"]))
            for number, epoch in zip(table["id"].to_pylist(), table["epoch"].to_pylist()):
                if name == split:
                    epochs.setdefault(number, []).append(epoch)
                elif epoch:
                    wrong.append(f"{number} stands in {name} as copy {epoch}; copies belong into {split}")
            rows += len(table) if name == split else 0
    for number, found in epochs.items():
        # records that share an id have each their own epochs
        counts = [found.count(epoch) for epoch in range(max(found) + 1)]
        if sorted(counts, reverse=True) != counts or 0 in counts:
            wrong.append(f"{number} in {split} has the epochs {sorted(found)}: one is missing")
    told = sum(bucket["rows"] for bucket in manifest["mix"]["buckets"].values())
    if rows != told:
        wrong.append(f"{split} has {rows} rows, {told} in the manifest's mix")
    return f"copies stand in {split} alone, each numbered, and are as many as the mixture says", wrong
