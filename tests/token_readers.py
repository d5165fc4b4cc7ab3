"""Plain readers of the formats that hold tokens, each from the format's description: a folder's sequences as lists of ids.

They share no code with what writes. Sources: Megatron-LM's `core/datasets/readme.md`; MosaicML streaming's "Dataset Format";
litdata's `BinaryWriter`; datatrove's `TokenizedFile`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

CODES = {8: "H", 4: "i", 16: "i", 20: "H"}


def parquet(folder: Path) -> list[list[int]]:
    return [ids for file in sorted(folder.glob("*.parquet")) for ids in pq.read_table(file)["input_ids"].to_pylist()]


def megatron(folder: Path) -> list[list[int]]:
    found = []
    for file in sorted(folder.glob("*.idx")):
        index, data = file.read_bytes(), file.with_suffix(".bin").read_bytes()
        version, code, count, documents = struct.unpack_from("<QBQQ", index, 9)
        assert index[:9] == b"MMIDIDX\0\0" and version == 1 and documents == count + 1
        lengths = struct.unpack_from(f"<{count}i", index, 34)
        pointers = struct.unpack_from(f"<{count}q", index, 34 + 4 * count)
        ends = struct.unpack_from(f"<{count + 1}q", index, 34 + 12 * count)
        assert list(ends) == list(range(count + 1)) and len(index) == 34 + 12 * count + 8 * (count + 1)
        found += [list(struct.unpack_from(f"<{n}{CODES[code]}", data, at)) for n, at in zip(lengths, pointers)]
    return found


def mds(folder: Path) -> list[list[int]]:
    found = []
    for shard in json.loads((folder / "index.json").read_text())["shards"]:
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(data) == shard["raw_data"]["bytes"]
        count = struct.unpack_from("<I", data)[0]
        assert count == shard["samples"]
        offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
        for start, end in pairwise(offsets):
            variable = sum(size is None for size in shard["column_sizes"])
            given, at, column = list(struct.unpack_from(f"<{variable}I", data, start)), start + 4 * variable, {}
            for name, size in zip(shard["column_names"], shard["column_sizes"]):
                size = given.pop(0) if size is None else size
                column[name], at = data[at : at + size], at + size
            assert at == end
            body = column["tokens"]
            skip = 1 + (1 << (body[0] & 3)) if shard["column_sizes"][-1] is None else 0
            found.append(list(struct.unpack_from(f"<{(len(body) - skip) // 4}i", body, skip)))
    return found


def litdata(folder: Path) -> list[list[int]]:
    index, found = json.loads((folder / "index.json").read_text()), []
    code = CODES[int(index["config"]["data_format"][0].split(":")[1])]
    for chunk in index["chunks"]:
        data = (folder / chunk["filename"]).read_bytes()
        count = struct.unpack_from("<I", data)[0]
        offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
        size = struct.calcsize(code)
        assert (len(data), count) == (chunk["chunk_bytes"], chunk["chunk_size"])
        assert chunk["dim"] * size == offsets[-1] - offsets[0]
        found += [list(struct.unpack_from(f"<{(b - a) // size}{code}", data, a)) for a, b in pairwise(offsets)]
    return found


def nanotron(folder: Path) -> list[list[int]]:
    """Documents (or runs) by the index: a sequence is no notion of this format."""
    found = []
    for file in sorted(folder.glob("*.ds")):
        size, total = Path(f"{file}.metadata").read_text().split("\n")[0].rsplit("|")[-1], file.stat().st_size
        index = Path(f"{file}.index").read_bytes()
        ends = struct.unpack(f"<{len(index) // 8}Q", index)
        assert ends[-1] * int(size) == total
        ids = struct.unpack(f"<{ends[-1]}{'H' if size == '2' else 'I'}", file.read_bytes())
        found += [list(ids[a:b]) for a, b in zip((0, *ends), ends)]
    return found


PLAIN: dict[str, Callable[[Path], list[list[int]]]] = {
    "parquet-tokens": parquet,
    "megatron": megatron,
    "mds": mds,
    "litdata": litdata,
    "nanotron": nanotron,
}
