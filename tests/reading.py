"""What the tests of the readers share: read a file whole, and check that each record is accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.readers import Batch, Columns, format_of, read


def load(path: Path | str, **options: Any) -> list[Batch]:
    settings = {
        "format": format_of(str(path)) or "warc",
        "columns": Columns(),
        "default_source": "s",
        **options,
    }
    return list(read(str(path), **settings))


def rows(batches: list[Batch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.table.to_pylist()]


def quarantined(batches: list[Batch]) -> list[dict[str, Any]]:
    return [entry for batch in batches for entry in batch.quarantined]


def skipped(batches: list[Batch]) -> dict[str, int]:
    return dict(sum((Counter(batch.skipped) for batch in batches), Counter()))


def account(batches: list[Batch], gaps: bool = False) -> None:
    """Each ordinal is a row, a quarantined record or a skipped one, once; entries can be written as JSON.

    `gaps`: one entry can stand for several records (the rest of a Parquet row group).
    """
    told = [row["_record"] for row in rows(batches)]
    told += [entry["record"] for entry in quarantined(batches) if entry["record"] is not None]
    assert len(set(told)) == len(told)
    count = len(told) + sum(skipped(batches).values())
    assert all(ordinal < count for ordinal in told) or gaps
    for entry in quarantined(batches):
        assert set(entry) - {"tail"} == {"shard", "record", "offset", "error", "sample", "first_bytes"}
        assert ":" in entry["error"] and len(entry["sample"]) <= 200 and entry["sample"].isprintable()
        assert entry["first_bytes"] == bytes.fromhex(entry["first_bytes"])[:64].hex()
        json.dumps(entry).encode()
