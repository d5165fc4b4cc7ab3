"""What `check` looks for across the sides of a split, in the written files: pages, ids, groups, times.

Each relation is a 64-bit hash of a value of a row (its canonical URL, its source and id, a column that the recipe goes by).
Rows (relation and hash, side) are dealt to files by hash, more files for more rows, and looked at file by file, so memory does
not follow the corpus; only where a value stands on two sides the corpus is read again, for the documents to be named.

    page: "a.org/x" is on two sides: d17 in train, d99 in test
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dedup.exact import record_keys
from dedup.graph_files import Room, Sizes
from filters.length import PART_OF
from pipeline.splits.columns import REST, derived, part_names, periods, value_hashes

PART_ROWS = 1 << 20
"""Rows of a file, about: 24 MB, and some copies while they are sorted."""

MEMORY = 256 << 20
NAMED = 100
"""Values that are named; all are counted."""

Parts = Callable[[str], Iterator[pa.Table]]


@dataclass
class Relation:
    """What documents can share: `hashes` of a table (uint64, null where a row has no value), `values` to show."""

    name: str
    hashes: Callable[[pa.Table], pa.Array]
    values: Callable[[pa.Table], list[str | None]]


def relations(more: dict[str, Any], parts: bool) -> list[Relation]:
    """Those that a split of these options (`publish["split"]`) holds together. A copy of a document (of `upsample`, of an
    augmentation) has its source and id. `parts`: the recipe splits long texts."""
    found = [Relation("source and id", _ids, lambda table: table["id"].to_pylist())]
    found += [Relation(PART_OF, part_names, lambda table: table[PART_OF].to_pylist())] if parts else []
    names = [*(["url"] if more["urls"] else []), *(name for name in more["by"] if not (name == "url" and more["urls"]))]
    return found + [Relation(name, _hashes_of(name), _values_of(name)) for name in names]


def _ids(table: pa.Table) -> pa.Array:
    return pa.array(record_keys(table["source"], table["id"])[:, 0], pa.uint64())


def _hashes_of(name: str) -> Callable[[pa.Table], pa.Array]:
    return lambda table: value_hashes(table, name)


def _values_of(name: str) -> Callable[[pa.Table], list[str | None]]:
    return lambda table: derived(table, name, True)


def shared(splits: dict[str, int], parts: Parts, looked_for: list[Relation]) -> list[list[str]]:
    """For each relation the letters on values that stand on two sides. `splits`: rows of each."""
    bits = (sum(splits.values()) * len(looked_for) // PART_ROWS).bit_length()
    with tempfile.TemporaryDirectory(prefix="gristmill-check-") as folder:
        spool = Room(folder, Sizes.within(MEMORY, 3)).spool("values", 3, 1 << bits)
        for side, split in enumerate(splits):
            for table in parts(split):
                for number, relation in enumerate(looked_for):
                    column = relation.hashes(table)
                    hashes = column.filter(column.is_valid()).to_numpy()
                    rows = np.empty((len(hashes), 3), np.uint64)
                    rows[:, 0], rows[:, 1], rows[:, 2] = hashes, number, side
                    spool.add((hashes >> np.uint64(64 - bits)).astype(np.int64) if bits else 0, rows)
        across: list[np.ndarray] = [np.empty((0, 2), np.uint64)]
        for part in range(len(spool)):
            across.append(_on_two_sides(spool.whole(part)))
            spool.drop(part)
    found = np.concatenate(across)
    return [_named(splits, parts, relation, found[found[:, 1] == i, 0]) for i, relation in enumerate(looked_for)]


def _on_two_sides(rows: np.ndarray) -> np.ndarray:
    """(hash, relation) of values with more than one side, each once."""
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    same = (rows[1:, :2] == rows[:-1, :2]).all(axis=1) & (rows[1:, 2] != rows[:-1, 2])
    return np.unique(rows[1:][same][:, :2], axis=0)


def _named(splits: Iterable[str], parts: Parts, relation: Relation, across: np.ndarray) -> list[str]:
    """A letter on each of the first values, with a document of each side."""
    if not len(across):
        return []
    shown = np.sort(across)[:NAMED]
    found: dict[int, dict[str, tuple[str, str | None]]] = {}
    for split in splits:
        for table in parts(split):
            hashes = relation.hashes(table)
            for row in np.flatnonzero(np.isin(hashes.fill_null(0).to_numpy(), shown)).tolist():
                if hashes[row].is_valid:
                    one = table.slice(row, 1)
                    place = found.setdefault(hashes[row].as_py(), {})
                    place.setdefault(split, (one["id"][0].as_py(), relation.values(one)[0]))
    letters = []
    for sides in found.values():
        value = next(iter(sides.values()))[1]
        told = ", ".join(f"{doc} in {split}" for split, (doc, _) in sides.items())
        letters.append(f"{relation.name} '{value}' stands on {len(sides)} sides: {told}")
    return letters + [f"... and {len(across) - NAMED:,} more values"] * (len(across) > NAMED)


def wrong_times(splits: list[str], parts: Parts, more: dict[str, Any]) -> list[str]:
    """Letters on documents whose date is known (as the run knows dates: of one side's time) and of another side's time."""
    starts = {number: start for number, start, _ in more["times"]}
    letters = []
    for number, split in enumerate(splits):
        expected = number if number in starts else REST
        for table in parts(split):
            period, first, known = periods(table["date"], more)
            for row in np.flatnonzero(known & (period != expected)).tolist():
                told = f"{table['id'][row].as_py()} in {split} is of {table['date'][row].as_py()}"
                letters.append(f"{told}, {_when(splits, period[row], first[row], starts.get(number), expected)}")
    return letters


def _when(splits: list[str], period: int, first: int, start: int | None, expected: int) -> str:
    if expected == REST:
        return f"the time of {splits[period]}"
    return "before its time" if start is not None and first < start else "after its time"
