"""The pairs of `dedup/version_pairs.tsv` (the same file in two releases) with their texts, read once."""

import csv
import gzip
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from dedup.shingles import shingle_sets


class VersionPairs(NamedTuple):
    """Rows of the CSR (offsets, values) of the texts named in the pairs; `jaccard` as printed, 4 decimals."""

    offsets: np.ndarray
    values: np.ndarray
    left: np.ndarray
    right: np.ndarray
    jaccard: list[str]


@cache
def read(shared_data: Path) -> VersionPairs:
    with open(shared_data / "dedup" / "version_pairs.tsv", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    wanted = dict.fromkeys(row[side] for row in rows for side in ("id_a", "id_b"))
    texts: dict[str, str] = {}
    for path in sorted((shared_data / "text").glob("multilingual_*.jsonl.gz")):
        with gzip.open(path) as lines:
            records = (orjson.loads(line) for line in lines)
            texts.update((record["id"], record["text"]) for record in records if record["id"] in wanted)
    number = {identity: i for i, identity in enumerate(wanted)}
    offsets, values = shingle_sets(pa.array([texts[i] for i in wanted], pa.large_string()))
    left = np.array([number[row["id_a"]] for row in rows])
    right = np.array([number[row["id_b"]] for row in rows])
    return VersionPairs(offsets, values, left, right, [row["jaccard5"] for row in rows])
