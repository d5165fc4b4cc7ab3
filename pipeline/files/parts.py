"""Big files in parts, so that several tasks share one; by rules that depend on the file's name and size alone.

    {"path": "/d/a.jsonl", "name": "a.jsonl", "size": 600 << 20}
    ->  [{..., "name": "a.jsonl#0-209715200", "size": 209715200, "part": [0, 209715200]}, ...]

A line belongs to the part that its first byte lies in, a row group of Parquet, a gzip member or a zstandard frame likewise:
the parts together are the file, each record once (see `pipeline.readers.ranges`, `members` and `framer`). A compressed file of
one member is all in its first part. What must be looked through from its start (frames, one large member, records of a plain
crawl by their lengths) or by a footer (Parquet) is cut only where a task need not fetch the rest for that; crawls in gzip have a
member a record, and are cut anywhere.
"""

from __future__ import annotations

import itertools
from typing import Any

from pipeline.readers import MEMBERS
from pipeline.readers.decoders import named_compression

PART_BYTES = 256 << 20
"""About what a task takes of a big file: tens of seconds of work, so that starting it costs nothing beside."""


def cut(shard: dict[str, Any], unit: str | None) -> list[dict[str, Any]]:
    """The shard, or its parts if it is big and of a format that can be read from the middle."""
    size, path = shard["size"], shard["path"]
    if "wat" in shard:  # read side by side with another file, from its start
        return [shard]
    if size <= PART_BYTES or not _can_be_cut(shard["format"], unit, named_compression(path), "://" not in path):
        return [shard]
    count = -(-size // PART_BYTES)
    edges = [size * i // count for i in range(count + 1)]
    return [
        shard | {"name": f"{shard['name']}#{start}-{end}", "size": end - start, "part": [start, end]}
        for start, end in itertools.pairwise(edges)
    ]


def _can_be_cut(kind: str, unit: str | None, compression: str, here: bool) -> bool:
    """Can a task read a part of such a file? here: the file lies on this machine."""
    if kind in MEMBERS:
        return compression == "gz" or (compression in ("", "zst") and here)
    lines = kind == "jsonl" or (kind == "text" and unit == "line")
    return (kind == "parquet" and here) or (lines and (not compression or (compression in ("gz", "zst") and here)))
