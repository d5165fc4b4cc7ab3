"""index.json of a split, for the formats that name all their shards in one file; and a corpus of tokens read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.chat.canonical import loads, plain_text
from pipeline.files import storage
from pipeline.tokenized import DOCUMENTS
from pipeline.tokenized.formats import SUFFIX, litdata_type, mds_columns, read_stream
from pipeline.tokenized.publish import tokenizer_of

INT32, UINT16 = 16, 20
"""Numbers of types in litdata (litdata/constants.py, 0.2.76)."""


def write_indexes(output: str, publish: dict[str, Any], published: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Writes them; returns their entries for manifest.json. The same shards give the same bytes."""
    if publish["format"] not in ("mds", "litdata"):
        return []
    entries = []
    for split in publish["splits"]:
        shards = [m for m in published if m["counts"]["split"] == split and m["counts"]["tokens"]["index"]]
        if not shards:
            continue
        made = _mds if publish["format"] == "mds" else _litdata
        data = json.dumps(made(publish["tokens"], shards), sort_keys=True).encode()
        path = f"{split}/index.json"
        storage.write_bytes(storage.join(output, path), data)
        entries.append({"path": path, "rows": 0, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return entries


def _mds(tokens: dict[str, Any], shards: list[dict[str, Any]]) -> dict[str, Any]:
    found = [m["counts"]["tokens"]["index"] for m in shards]
    raw = [{"basename": one["basename"], "bytes": one["bytes"], "hashes": {}} for one in found]
    common = {**mds_columns(tokens["pack"]), "zip_data": None}
    return {
        "version": 2,
        "shards": [{**common, "raw_data": data, "samples": one["samples"]} for data, one in zip(raw, found)],
    }


def _litdata(tokens: dict[str, Any], shards: list[dict[str, Any]]) -> dict[str, Any]:
    sums = "".join(output["sha256"] for m in shards for output in m["outputs"])
    return {
        "chunks": [m["counts"]["tokens"]["index"] for m in shards],
        "config": {
            "chunk_bytes": None, "chunk_size": None, "compression": None, "encryption": None, "item_loader": "TokensLoader",
            "data_format": [f"no_header_tensor:{UINT16 if litdata_type(tokens).itemsize == 2 else INT32}"],
            "data_spec": json.dumps([1, {"type": None, "context": None, "children_spec": []}]),
        },
        # litdata names its cache folder after this: a time there, the content's hash here
        "updated_at": str(int(hashlib.sha256(sums.encode()).hexdigest()[:12], 16)),
    }  # fmt: skip


# -- read back -------------------------------------------------------------------------------------


def documents(output: str, manifest: dict[str, Any], publish: dict[str, Any], split: str) -> Iterator[pa.Table]:
    """The documents of one split as tables with `text`, decoded from its tokens (without marks). `publish`: the job's part.

    Errors: RunError if the tokenizer is not there any more.
    """
    tokenizer, kind = tokenizer_of(publish["tokens"]), publish["format"]
    begin, end = (int(publish["tokens"][mark] is not None) for mark in ("bos", "eos"))
    paths = {entry["path"] for entry in manifest["files"]}
    for path in sorted(path for path in paths if path.startswith(f"{DOCUMENTS}/{split}/")):
        with storage.local_copy(storage.join(output, path)) as local:
            table = pq.read_table(local, use_threads=False)
        shard = path.removeprefix(f"{DOCUMENTS}/").removesuffix(".parquet") + SUFFIX[kind]
        stream = np.empty(0, np.uint32)
        if shard in paths:
            with storage.local_copy(storage.join(output, shard)) as local:
                stream = read_stream(local, kind, publish["tokens"])
        texts = []
        chats = table["conversation"].to_pylist() if "conversation" in table.schema.names else [None] * len(table)
        for runs, chat in zip(table["runs"].to_pylist(), chats, strict=True):
            if chat is not None and publish["tokens"]["chat"]:  # what the template writes around it is none of its text
                texts.append(plain_text(loads(chat)))
                continue
            pieces = [stream[run["start"] : run["start"] + run["length"]] for run in runs]
            ids = np.concatenate([np.empty(0, stream.dtype), *pieces])
            texts.append(tokenizer.decode(ids[begin : len(ids) - end]))
        yield table.append_column("text", pa.array(texts, pa.large_string()))
