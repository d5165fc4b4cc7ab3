"""One output shard of tokens as files of a training library; and the stream read back.

    parquet-tokens   NAME.parquet             a row a sequence: input_ids, id (or, packed, lengths: of the documents in it), and of chats labels
    megatron         NAME.bin NAME.idx        Megatron's IndexedDataset; a sequence is a document of it
    mds              NAME.mds                 MosaicML streaming 2: tokens, and id (or lengths); index.json in the split's folder
    litdata          NAME.bin                 for litdata's TokensLoader; index.json in the split's folder
    nanotron         NAME.ds .index .metadata datatrove's tokenized file: the stream, where documents end, the tokenizer

Each function writes the same bytes for the same sequences. The layouts are those of megatron-core 0.16, mosaicml-streaming
0.13, litdata 0.2 and datatrove 0.10, read back by them in tests/test_tokens_formats.py. Little-endian throughout.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import RunError
from pipeline.files.commit import Attempt, Output
from pipeline.files.tables import ZSTD_LEVEL
from pipeline.tokenized.sequences import Sequences
from pipeline.tokenized.trained import labels

GROUP_TOKENS = 1 << 21
"""Tokens of a Parquet row group, 8 MB of int32."""

Index = dict[str, Any] | None
Writer = Callable[[Attempt, str, Sequences, pa.Array, dict[str, Any]], Index]


def _create(attempt: Attempt, path: str, rows: int) -> Output:
    output = attempt.create(path, path)
    output.rows = rows
    return output


def _id_type(tokens: dict[str, Any], wide: type[Any], below: int = 1 << 16) -> np.dtype[Any]:
    """uint16 where all ids fit, else `wide`."""
    return np.dtype(np.uint16 if tokens["ids_below"] <= below else wide).newbyteorder("<")


def write_parquet(attempt: Attempt, base: str, sequences: Sequences, names: pa.Array, tokens: dict[str, Any]) -> Index:
    """`names`: ids of the documents, in order; used where a row is a document. `labels` where not all is trained on."""
    output = _create(attempt, f"{base}.parquet", len(sequences))
    lists = pa.list_(pa.int32())
    packed = tokens["pack"] is not None
    schema = pa.schema(
        [("input_ids", lists), ("lengths", lists)] if packed else [("id", pa.string()), ("input_ids", lists)]
    )
    trained = None if sequences.mask is None else labels(sequences)
    if trained is not None:
        schema = schema.append(pa.field("labels", lists))
    lengths, length_ends = sequences.lengths()
    with pq.ParquetWriter(output.temp, schema, compression="zstd", compression_level=ZSTD_LEVEL, version="2.6") as sink:
        for low, high in _groups(sequences):
            ids = _lists(sequences.ids, sequences.ends, low, high)
            columns = [ids, _lists(lengths, length_ends, low, high)] if packed else [names.slice(low, high - low), ids]
            if trained is not None:
                columns.append(_lists(trained, sequences.ends, low, high))
            sink.write_table(pa.table(columns, schema=schema))
    return None


def _groups(sequences: Sequences) -> list[tuple[int, int]]:
    """Rows of each row group: as many as GROUP_TOKENS tokens make, at least one."""
    groups, low = [], 0
    while low < len(sequences):
        before = sequences.ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(sequences.ends, before + GROUP_TOKENS, side="right")))
        groups.append((low, high))
        low = high
    return groups


def _lists(values: np.ndarray, ends: np.ndarray, low: int, high: int) -> pa.Array:
    begin = int(ends[low - 1]) if low else 0
    offsets = np.concatenate([[0], ends[low:high] - begin]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[begin : int(ends[high - 1])].astype(np.int32)))


def write_megatron(attempt: Attempt, base: str, sequences: Sequences, names: pa.Array, tokens: dict[str, Any]) -> Index:
    """.bin holds the stream, .idx: magic, version, type code, counts, lengths (int32), offsets in bytes (int64), documents (int64)."""
    kind = _id_type(tokens, np.int32, below=65499)
    data, index = (_create(attempt, f"{base}.{suffix}", len(sequences)) for suffix in ("bin", "idx"))
    sequences.ids.astype(kind).tofile(data.temp)
    count = len(sequences)
    with open(index.temp, "wb") as file:
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8 if kind.itemsize == 2 else 4, count, count + 1))
        file.write(np.diff(sequences.ends, prepend=0).astype("<i4").tobytes())
        file.write((sequences.starts * kind.itemsize).astype("<i8").tobytes())
        file.write(np.arange(count + 1, dtype="<i8").tobytes())
    return None


def write_mds(attempt: Attempt, base: str, sequences: Sequences, names: pa.Array, tokens: dict[str, Any]) -> Index:
    """Count, offsets (uint32), the columns as JSON, then the samples: sizes of the columns that have no fixed one, and their bytes."""
    columns = mds_columns(tokens["pack"])
    head = json.dumps(columns, sort_keys=True).encode()
    extra, extra_ends = sequences.lengths()
    ids = sequences.ids.astype("<i4")
    samples = []
    for row, (start, end) in enumerate(zip(sequences.starts.tolist(), sequences.ends.tolist())):
        if tokens["pack"]:
            runs = _array_column(extra[(extra_ends[row - 1] if row else 0) : extra_ends[row]])
            samples.append(struct.pack("<I", len(runs)) + runs + ids[start:end].tobytes())
        else:
            name, body = names[row].as_py().encode(), _array_column(ids[start:end])
            samples.append(struct.pack("<II", len(name), len(body)) + name + body)
    first = 4 + 4 * (len(samples) + 1) + len(head)
    offsets = first + np.cumsum([0, *map(len, samples)])
    if offsets[-1] >= 1 << 32:
        raise RunError(
            f"{base}.mds would have {offsets[-1]:,} bytes; an MDS shard ends at 4 GiB. Give a smaller output.shard_size."
        )
    output = _create(attempt, f"{base}.mds", len(sequences))
    with open(output.temp, "wb") as file:
        file.write(struct.pack("<I", len(samples)) + offsets.astype("<u4").tobytes() + head)
        file.writelines(samples)
    return {"basename": os.path.basename(base) + ".mds", "bytes": int(offsets[-1]), "samples": len(samples)}


def mds_columns(pack: dict[str, Any] | None) -> dict[str, Any]:
    """What an MDS shard says of itself, in its head and in index.json."""
    if pack:
        names, encodings, sizes = (
            ["lengths", "tokens"],
            ["ndarray:int32", f"ndarray:int32:{pack['length']}"],
            [None, 4 * pack["length"]],
        )
    else:
        names, encodings, sizes = ["id", "tokens"], ["str", "ndarray:int32"], [None, None]
    return {
        "version": 2, "format": "mds", "compression": None, "hashes": [], "size_limit": None,
        "column_names": names, "column_encodings": encodings, "column_sizes": sizes,
    }  # fmt: skip


def _array_column(values: np.ndarray) -> bytes:
    """A one-dimensional int32 array as MDS writes it: how its length is written and that it has one dimension, length, values."""
    width = next(code for code in range(3) if len(values) < 1 << (8 << code))
    return bytes([1 << 2 | width]) + len(values).to_bytes(1 << width, "little") + values.astype("<i4").tobytes()


def write_litdata(attempt: Attempt, base: str, sequences: Sequences, names: pa.Array, tokens: dict[str, Any]) -> Index:
    """Count and offsets (uint32) of the items, then the stream."""
    kind = litdata_type(tokens)
    first = 4 * (len(sequences) + 2)
    offsets = first + np.concatenate([[0], sequences.ends]) * kind.itemsize
    if offsets[-1] >= 1 << 32:
        raise RunError(
            f"{base}.bin would have {offsets[-1]:,} bytes; a litdata chunk ends at 4 GiB. Give a smaller output.shard_size."
        )
    output = _create(attempt, f"{base}.bin", len(sequences))
    with open(output.temp, "wb") as file:
        file.write(struct.pack("<I", len(sequences)) + offsets.astype("<u4").tobytes())
        file.write(sequences.ids.astype(kind).tobytes())
    return {
        "filename": os.path.basename(base) + ".bin", "chunk_bytes": int(offsets[-1]), "chunk_size": len(sequences),
        "dim": len(sequences.ids),
    }  # fmt: skip


def litdata_type(tokens: dict[str, Any]) -> np.dtype[Any]:
    """The type of ids in a litdata chunk."""
    return _id_type(tokens, np.int32)


def write_nanotron(attempt: Attempt, base: str, sequences: Sequences, names: pa.Array, tokens: dict[str, Any]) -> Index:
    """The index holds where each document (packed: each run, and each padding) ends, in tokens, uint64."""
    kind = _id_type(tokens, np.uint32)
    data, index, about = (_create(attempt, f"{base}.ds{end}", len(sequences)) for end in ("", ".index", ".metadata"))
    sequences.ids.astype(kind).tofile(data.temp)
    ends = sequences.run_starts + sequences.run_lengths
    if tokens["pack"]:
        ends = np.unique(np.concatenate([ends, sequences.run_starts, sequences.ends]))
    ends[ends > 0].astype("<u8").tofile(index.temp)
    with open(about.temp, "w", encoding="utf-8") as file:
        name = os.path.basename(tokens["tokenizer"]["path"])
        file.write(f"{name}|{kind.itemsize}\n{len(sequences.ids)}\n{len(sequences.ids):,} T")
    return None


WRITERS: dict[str, Writer] = {
    "parquet-tokens": write_parquet,
    "megatron": write_megatron,
    "mds": write_mds,
    "litdata": write_litdata,
    "nanotron": write_nanotron,
}


# -- read back -------------------------------------------------------------------------------------

SUFFIX = {"parquet-tokens": ".parquet", "megatron": ".bin", "mds": ".mds", "litdata": ".bin", "nanotron": ".ds"}
"""The ending of the file that holds a shard's stream."""


def read_stream(path: str, kind: str, tokens: dict[str, Any]) -> np.ndarray:
    """The ids of a local shard, one after another; `tokens` as the writers got it."""
    if kind == "parquet-tokens":
        column = pq.read_table(path, columns=["input_ids"], use_threads=False)["input_ids"].combine_chunks()
        return column.flatten().to_numpy()
    if kind == "mds":
        return _mds_stream(path, tokens["pack"])
    if kind == "litdata":
        count = int(np.fromfile(path, "<u4", 1)[0])
        return np.fromfile(path, litdata_type(tokens), offset=4 * (count + 2))
    wide, below = (np.int32, 65499) if kind == "megatron" else (np.uint32, 1 << 16)
    return np.fromfile(path, _id_type(tokens, wide, below))


def _mds_stream(path: str, pack: dict[str, Any] | None) -> np.ndarray:
    data = open(path, "rb").read()  # noqa: SIM115 (closed when it is read)
    count = struct.unpack_from("<I", data)[0]
    offsets = np.frombuffer(data, "<u4", count + 1, 4)
    pieces = []
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist()):
        if pack:
            begin = end - 4 * pack["length"]
        else:
            _, body = struct.unpack_from("<II", data, start)
            begin = end - body + 1 + (1 << (data[end - body] & 3))
        pieces.append(np.frombuffer(data, "<i4", (end - begin) // 4, begin))
    return np.concatenate(pieces) if pieces else np.empty(0, np.int32)
