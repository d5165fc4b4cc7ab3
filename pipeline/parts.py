"""Big files in parts, so that several tasks share one; by rules that depend on the file's name and size alone.

    {"path": "/d/a.jsonl", "name": "a.jsonl", "size": 600 << 20}
    ->  [{..., "name": "a.jsonl#0-209715200", "size": 209715200, "part": [0, 209715200]}, ...]

A line belongs to the part that its first byte lies in, a row group of Parquet likewise: the parts together are the file,
each record once (see `pipeline.readers.ranges`). Compressed files stay whole: where a member begins is known only behind
the one before it. Parquet is cut only where a task can read from the middle without fetching the rest.
"""

from __future__ import annotations

import itertools
from typing import Any

from pipeline.readers.streams import named_compression

PART_BYTES = 256 << 20
"""About what a task takes of a big file: tens of seconds of work, so that starting it costs nothing beside."""


def cut(shard: dict[str, Any], unit: str | None) -> list[dict[str, Any]]:
    """The shard, or its parts if it is big and of a format that can be read from the middle."""
    size, path = shard["size"], shard["path"]
    lines = shard["format"] == "jsonl" or (shard["format"] == "text" and unit == "line")
    groups = shard["format"] == "parquet" and "://" not in path
    if size <= PART_BYTES or not (groups or (lines and not named_compression(path))):
        return [shard]
    count = -(-size // PART_BYTES)
    edges = [size * i // count for i in range(count + 1)]
    return [
        shard | {"name": f"{shard['name']}#{start}-{end}", "size": end - start, "part": [start, end]}
        for start, end in itertools.pairwise(edges)
    ]
