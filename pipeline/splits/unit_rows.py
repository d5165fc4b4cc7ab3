"""Kept documents as stage sides sees them: uint64 rows (unit, period and stratum, time, document, count, other),
those of a task that are alike in the first two made one; and the largest units.

A unit may be most of a corpus (`by: [domain, author]` chains), and it is decided as a whole. So a task has one row for
each unit, time and stratum, however many documents that is.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from dedup.candidates import changes
from dedup.graph_files import Spool
from pipeline.matching.groups import mixed

UNIT, CODE, TIME, DOC, COUNT, OTHER = range(WIDTH := 6)
"""CODE: the number of the split of the document's time + 1, and the number of its stratum (32 bits each). OTHER: 0 if some
document's own name is the unit's. TIME, DOC and OTHER: the least of those made one."""

LARGEST = 5


def periods_of(rows: np.ndarray) -> np.ndarray:
    """int64: the split of each row's time, or REST (-1)."""
    return (rows[:, CODE] >> np.uint64(32)).astype(np.int64) - 1


def strata_of(rows: np.ndarray) -> np.ndarray:
    """int64: the number of each row's stratum."""
    return (rows[:, CODE] & np.uint64(0xFFFFFFFF)).astype(np.int64)


def counts_of(rows: np.ndarray) -> np.ndarray:
    """int64: how many documents each row is."""
    return rows[:, COUNT].astype(np.int64)


def merged(rows: np.ndarray) -> np.ndarray:
    """Rows that are alike in UNIT and CODE made one, with the least TIME, DOC and OTHER and the sum of COUNT."""
    if not len(rows):
        return rows
    alike = (rows[:, CODE] == rows[0, CODE]).all()
    rows = rows[np.argsort(rows[:, UNIT]) if alike else np.lexsort((rows[:, CODE], rows[:, UNIT]))]
    starts = np.flatnonzero(changes(rows[:, UNIT]) | changes(rows[:, CODE]))
    if len(starts) == len(rows):
        return rows
    found = rows[starts]
    for column in (TIME, DOC, OTHER):
        found[:, column] = np.minimum.reduceat(rows[:, column], starts)
    found[:, COUNT] = np.add.reduceat(rows[:, COUNT], starts)
    return found


@dataclass
class Largest:
    """The units of most documents, as [documents, least document, unit, period, whether its own name is none in it], and how many own
    names are in each. `names`: a spool of (own name, unit, period + 1) of those that are not their unit's, dealt by own name;
    `dropping`: only documents of the unit's period stay in it."""

    names: Spool
    dropping: bool
    units: list[list[int]] = field(default_factory=list)

    def see(self, own: np.ndarray, rows: np.ndarray) -> None:
        """The own names (uint64) of a task's documents, and their rows."""
        other = np.flatnonzero(rows[:, OTHER])
        own, unit = own[other], rows[other, UNIT]
        period = (periods_of(rows[other]) + 1).astype(np.uint64) if self.dropping else np.zeros(len(own), np.uint64)
        order = np.lexsort((period, own)) if self.dropping else np.argsort(own)
        named = np.stack([own, unit, period], axis=1)[order]
        named = named[changes(named[:, 0]) | changes(named[:, 2])]
        bits = len(self.names).bit_length() - 1
        drawn = mixed(named[:, 0], 0) >> np.uint64(64 - bits) if bits else np.zeros(len(named), np.uint64)
        self.names.add(drawn.astype(np.int64), named)

    def take(self, rows: np.ndarray, starts: np.ndarray, sizes: np.ndarray, period: np.ndarray) -> None:
        """The units of one part: rows sorted by unit, the first of each unit, its documents and its period."""
        if len(starts):
            least, other = (np.minimum.reduceat(rows[:, column], starts) for column in (DOC, OTHER))
            top = np.lexsort((least, -sizes))[:LARGEST]
            columns = (sizes[top], least[top], rows[starts[top], UNIT], period[top], other[top])
            found = [list(unit) for unit in zip(*(column.tolist() for column in columns))]
            self.units = heapq.nsmallest(LARGEST, [*self.units, *found], key=lambda unit: (-unit[0], unit[1]))

    def groups(self) -> list[int]:
        """Of each of the largest units how many own names are in it."""
        found = [1 - other for *_, other in self.units]
        for part in range(len(self.names)):
            named = self.names.whole(part)
            for number, (_, _, unit, period, _) in enumerate(self.units):
                mine = named[:, 1] == np.uint64(unit)
                if self.dropping:
                    mine &= named[:, 2] == np.uint64(period + 1)
                found[number] += len(np.unique(named[mine, 0]))
        return found
