"""Big files in parts, so that several tasks share one; by rules that depend on the file's name and size alone.

    {"path": "/d/a.jsonl", "name": "a.jsonl", "size": 600 << 20}
    ->  [{..., "name": "a.jsonl#0-209715200", "part": [0, 209715200]}, ...]

A record belongs to the part that its first byte lies in, so the parts together are the file, each record once.
"""

from __future__ import annotations

from typing import Any

PART_BYTES = 256 << 20
"""About what a task takes of an uncompressed file: tens of seconds of work, so that starting it costs nothing."""
SPLITTABLE = {"jsonl", "parquet", "warc", "wet"}


def cut(shard: dict[str, Any], unit: str | None) -> list[dict[str, Any]]:
    """The shard, or its parts if it is big and of a format that can be read from the middle."""
    return [shard]
