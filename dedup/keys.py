"""Documents that are equal by a key: a URL, a column, a field of the metadata, or several together.

Two documents of one key need not have one text, so each pair of a group is an edge of its own. A null, an empty value
or a missing field is no key: it equals nothing.

    key_hashes(table, ["url"], normalize=True)   ->  (uint64 (n, 2), bool (n,): rows that have a key)
    key_pairs(first, second, doc, ranks)         ->  pairs of equal keys, and how many pairs were left out
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
import orjson
import pyarrow as pa

from dedup.candidates import changes, ordered
from dedup.columns import Column
from dedup.exact import normalise
from dedup.turns import PARTS, parts
from dedup.urls import canonical_urls

# Documents of one key up to which all pairs are edges. Of more, the first 64 by the keep policy have edges to all: that
# is the same unless all 64 are duplicates of documents with other keys.
KEY_CAP = 64


def key_hashes(table: pa.Table, by: list[str], normalize: bool) -> tuple[np.ndarray, np.ndarray]:
    """blake2b-128 of the values of `by` in each row (uint64, shape (n, 2)), and which rows have all of them.

    `normalize`: URLs in their canonical form (`dedup.urls`), other values in lower case with single spaces.
    """
    columns = [column_values(table, name, normalize) for name in by]
    hashes = np.zeros((len(table), 2), np.uint64)
    has = np.ones(len(table), bool)
    for row, values in enumerate(zip(*columns)):
        if not all(values):
            has[row] = False
            continue
        # a JSON list tells ("ab", "c") and ("a", "bc") apart
        digest = hashlib.blake2b(json.dumps(values).encode(), digest_size=16).digest()
        hashes[row] = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
    return hashes, has


def column_values(table: pa.Table, name: str, normalize: bool = False) -> list[str | None]:
    """A column, or a field of the metadata (`metadata.a.b`), as text."""
    if name.startswith("metadata."):
        values = _fields(table["metadata"], name.split(".")[1:])
    elif name in PARTS:
        values = parts(table["conversation"], name) if "conversation" in table.schema.names else [None] * len(table)
    elif name == "url" and normalize:
        return canonical_urls(table["url"]).to_pylist()
    else:
        values = table[name].to_pylist()
    return [normalise(value) if value else None for value in values] if normalize else values


def _fields(metadata: Column, path: list[str]) -> list[str | None]:
    """A field of each JSON object as text; None where it is missing, null or empty."""
    found: list[str | None] = []
    for text in metadata.to_pylist():
        value = orjson.loads(text) if text else None
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None or value == "" or isinstance(value, str):
            found.append(value)
        else:
            found.append(json.dumps(value, sort_keys=True, ensure_ascii=False))
    return found


Ranks = Callable[[np.ndarray], np.ndarray]


def key_pairs(
    first: np.ndarray, second: np.ndarray, doc: np.ndarray, ranks: Ranks, cap: int = KEY_CAP
) -> tuple[np.ndarray, int]:
    """Pairs of documents of equal 128-bit key (two halves, uint64 each): uint64 (m, 2), the smaller number first, each
    once; and how many pairs were left out. `ranks` gives documents their place under the keep policy."""
    order = ordered(first, second, doc)
    first, second, doc = first[order], second[order], doc[order]
    starts = np.flatnonzero(changes(first) | changes(second))
    sizes = np.diff(np.append(starts, len(doc)))
    pairs = [np.zeros((0, 2), np.uint64)]
    for size in np.unique(sizes[(sizes > 1) & (sizes <= cap)]).tolist():
        members = doc[starts[sizes == size][:, None] + np.arange(size)]
        left, right = np.triu_indices(size, 1)
        pairs.append(np.stack((members[:, left].ravel(), members[:, right].ravel()), axis=1))
    left_out = 0
    for group in np.flatnonzero(sizes > cap).tolist():
        members = doc[starts[group] : starts[group] + sizes[group]]
        members = members[np.argsort(ranks(members))]
        left, right = np.triu_indices(cap, 1, len(members))
        pairs.append(np.stack((members[left], members[right]), axis=1))
        rest = len(members) - cap
        left_out += rest * (rest - 1) // 2
    return np.sort(np.concatenate(pairs), axis=1), left_out
