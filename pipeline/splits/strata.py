"""Shares of strata: by hash, and counted off where the hash alone would miss them.

A share is a range of the hash's values: of n documents it gets n times the share, give or take a few; of 1,000 documents
10 % are 100 with a standard deviation of 9.5. So edges between shares are moved for each stratum, as little as brings
the number of documents below them to within a tolerance of what was asked. An edge within the tolerance stays where it
is, and so do documents when others come.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup.graph_files import Room, Spool
from pipeline.errors import RunError
from pipeline.matching.groups import mixed
from pipeline.splits.unit_rows import UNIT, counts_of, strata_of

TOLERANCE = 0.004
"""Of a stratum's documents: two edges may be off by it in different directions, and a share is then off by 0.8 %."""

OF_SHARE = 0.1
"""The same as a part of the smaller of the two shares that an edge divides: 1 % does not become 1.8 %."""

MOST = 10_000
"""Strata; more of them are no strata but documents."""


def order_seed(publish: dict[str, Any]) -> int:
    """The seed of the hash that units are worked off in the order of. Numbers have one of their own: what they leave is
    still dealt by share."""
    return int(2 * publish["seed"] + ((1 << 32) if publish["split"]["counts"] else 0))


def share_draws(units: np.ndarray, seed: int) -> np.ndarray:
    """float64 in [0, 1), of 53 bits: the hash of each unit."""
    return (mixed(units, seed) >> np.uint64(11)).astype(np.float64) / 2.0**53


def by_share(publish: dict[str, Any], drawn: np.ndarray, edges: np.ndarray | None = None) -> np.ndarray:
    """int64: the split whose share of [0, 1) a hash lies in. `edges`: float64, shape (n, shares - 1), of each document's
    stratum; without them those of the recipe."""
    taking = np.flatnonzero(publish["shares"])
    if not len(taking):
        return np.full(len(drawn), publish["main"])
    if edges is None:
        return taking[np.searchsorted(plain_edges(publish), drawn, side="right")]
    return taking[(drawn[:, None] >= edges).sum(axis=1)]


def plain_edges(publish: dict[str, Any]) -> np.ndarray:
    """float64 (shares - 1,): where one share ends and the next begins."""
    shares = np.array(publish["shares"])
    return np.cumsum(shares[shares > 0])[:-1]


class Strata:
    """Counts documents of each stratum, and finds its edges."""

    def __init__(self, publish: dict[str, Any]) -> None:
        self._publish, self._columns = publish, publish["split"]["stratify"]
        self._codes: dict[str, int] = {}
        self._total, self._fixed = np.zeros(0, np.int64), np.zeros((0, len(publish["splits"])), np.int64)
        self._spool: Spool | None = None

    def codes(self, features: pa.Table) -> np.ndarray:
        """uint64: a number for each document's stratum; 0 without strata. Errors: RunError beyond MOST."""
        if not self._columns:
            return np.zeros(len(features), np.uint64)
        coded = pc.dictionary_encode(features["stratum"].combine_chunks())
        here = [self._codes.setdefault(name, len(self._codes)) for name in coded.dictionary.to_pylist()]
        if len(self._codes) > MOST:
            told = ", ".join(self._columns)
            raise RunError(
                f"output.split.stratify: [{told}] makes more than {MOST:,} strata, such as {list(self._codes)[-1]}. Stratify by columns of "
                "few values; what should stay together is 'by'."
            )
        return np.array(here, np.uint64)[coded.indices.to_numpy()] if len(coded) else np.zeros(0, np.uint64)

    def open(self, room: Room, parts: int) -> None:
        """Once all strata are known."""
        self._total = np.zeros(len(self._codes), np.int64)
        self._fixed = np.zeros((len(self._codes), len(self._publish["splits"])), np.int64)
        self._spool = room.spool("strata", 3, parts)

    def take(
        self, part: int, rows: np.ndarray, starts: np.ndarray, sizes: np.ndarray, free: np.ndarray, to: np.ndarray,
        given: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Counts the units of one part (`pipeline.splits.unit_rows`; `sizes` in documents) that are free. `to`: the side of each by its
        hash. Returns which keep that side whatever the edges: the `given` ones, and those of several strata."""
        code, counts = strata_of(rows), counts_of(rows)
        several = np.minimum.reduceat(code, starts) != np.maximum.reduceat(code, starts)
        given = given | (free & several)
        each = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(rows))))
        np.add.at(self._total, code[free[each]], counts[free[each]])
        fixed = given[each]
        np.add.at(self._fixed, (code[fixed], to[each][fixed]), counts[fixed])
        counted = np.flatnonzero(free & ~given)
        drawn = mixed(rows[starts[counted], UNIT], 2 * self._publish["seed"])
        assert self._spool is not None
        self._spool.add(
            part, np.stack([code[starts[counted]].astype(np.uint64), drawn, sizes[counted].astype(np.uint64)], 1)
        )
        return given

    def present(self) -> dict[str, int]:
        """How many strata have a value in each column."""
        rows = [json.loads(name) for name in self._codes]
        return {name: sum(row[i] is not None for row in rows) for i, name in enumerate(self._columns)}

    def bounds(self) -> dict[str, list[float]]:
        """The edges of strata that have others than the recipe's shares say."""
        if not self._columns or self._spool is None:
            return {}
        plain = plain_edges(self._publish)
        edges = self._edges(plain)
        moved = np.flatnonzero((edges != plain).any(axis=1))
        names = list(self._codes)
        return {names[code]: edges[code].tolist() for code in sorted(moved.tolist(), key=names.__getitem__)}

    def _edges(self, plain: np.ndarray) -> np.ndarray:
        """float64 (strata, shares - 1). Of each edge: the lowest place that has enough documents below, the highest that
        has not too many, and the plain one if it lies between."""
        shares = np.array(self._publish["shares"])
        taking = np.flatnonzero(shares)
        total = self._total[:, None]
        wanted = plain * total - np.cumsum(self._fixed[:, taking], axis=1)[:, :-1]
        smaller = np.minimum(shares[taking][:-1], shares[taking][1:])
        off = np.maximum(total * np.minimum(TOLERANCE, OF_SHARE * smaller), 0.5)
        low, high = _Crossing(wanted - off), _Crossing(np.nextafter(wanted + off, np.inf))
        counted = np.zeros(len(self._total), np.int64)
        assert self._spool is not None
        for part in range(len(self._spool)):
            rows = self._spool.whole(part)
            rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
            codes, first = np.unique(rows[:, 0], return_index=True)
            for code, here in zip(codes.astype(np.int64).tolist(), np.split(rows, first[1:])):
                sizes = here[:, 2].astype(np.int64)
                below = counted[code] + np.cumsum(sizes)
                drawn = (here[:, 1] >> np.uint64(11)).astype(np.float64) / 2.0**53
                low.pass_by(code, drawn, below, sizes)
                high.pass_by(code, drawn, below, sizes)
                counted[code] = below[-1]
        least = np.where(low.needed > 0, np.nextafter(low.place, 2.0), 0.0)
        # a unit so large that it jumps over the tolerance: to the side that is nearer to what was asked
        nearer = np.where(low.after - wanted < wanted - high.before, least, high.place)
        edges = np.where(least <= high.place, np.clip(plain, least, high.place), nearer)
        return np.maximum.accumulate(np.minimum(edges, 1.0), axis=1)


class _Crossing:
    """Where the number of documents below first reaches what is `needed` (float64, strata x edges)."""

    def __init__(self, needed: np.ndarray) -> None:
        self.needed = needed
        self.place = np.where(needed > 0, 1.0, 0.0)  # never reached: all of it
        self.before, self.after = np.zeros(needed.shape), np.zeros(needed.shape)
        self._open = needed > 0

    def pass_by(self, code: int, drawn: np.ndarray, below: np.ndarray, sizes: np.ndarray) -> None:
        """Units of one stratum in the order of their hash, and documents up to and with each."""
        for edge in np.flatnonzero(self._open[code] & (self.needed[code] <= below[-1])).tolist():
            at = int(np.searchsorted(below, self.needed[code, edge]))
            self.place[code, edge] = drawn[at]
            self.before[code, edge], self.after[code, edge] = below[at] - sizes[at], below[at]
            self._open[code, edge] = False
