"""Who is like whom and labelled otherwise, on files: places in ranges, one range in memory at a time.

    texts of 4 documents:   A A B C      near pairs: A ~ B, B ~ C
    labels:                 1 2 2 2      pairs listed: 0-1 (one text), 0-2 (A ~ B); in conflict: 0, 1 and 2

Equal texts are one node. A pair is listed for each document of a text whose label is not the smallest of that text, and for
each pair of texts that have two labels between them. In conflict is each document whose label another one of its text, or of
a similar text, contradicts. So it is enough to know of a text the first document with its smallest label, and the first with
its largest: these go along the near pairs, from range to range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from dedup.columns import frozen
from dedup.graph_files import Room, Spool
from dedup.graph_ranges import Ranges, signed
from dedup.graph_ranks import lexical_order
from kernels.labels import extremes
from kernels.ranges import parts_of_tuples

Near = tuple[np.ndarray, np.ndarray]


class Contradictions:
    """Of documents at places 0 .. places - 1.

    `twins`: chunks of pairs (first of equal texts, other), int64 (n, 2). `near`: chunks of near pairs and their similarity
    (float64). `labels(low, high)`: int64 labels of some places, -1 for none.
    """

    def __init__(
        self,
        room: Room,
        places: int,
        twins: Iterable[np.ndarray],
        near: Iterable[Near],
        labels: Callable[[int, int], np.ndarray],
    ) -> None:
        self._room, self._ranges = room, Ranges(places, room.sizes.span)
        self._own = self._spool("own", 3)  # (text, document, label)
        self._pairs = room.spool("pairs", 4, 1)  # (document, document, similarity, number)
        pairs = self._named(twins, near, labels)
        self._extremes = room.column("extremes", 4, places)
        self._inside()
        self._rows = self._told(self._between(pairs))

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(pairs int64 (n, 2), the smaller first, similarity) in the order of pairs, each once."""
        for rows in _sorted(self._room, self._pairs):
            new = np.append(True, (rows[1:, :2] != rows[:-1, :2]).any(axis=1))[: len(rows)]
            yield rows[new, :2].view(np.int64), rows[new, 2].copy().view(np.float64)

    def rows(self) -> Iterator[np.ndarray]:
        """int64 (n, 4): documents in conflict, in order, with one that contradicts each, and their labels."""
        for number in range(len(self._ranges)):
            rows = self._rows.whole(number).view(np.int64)
            yield rows[np.argsort(rows[:, 0])]

    def _spool(self, name: str, width: int) -> Spool:
        return self._room.spool(name, width, len(self._ranges))

    def _deal(self, spool: Spool, rows: np.ndarray) -> None:
        spool.add(self._ranges.of(rows[:, 0]), rows)

    def _named(
        self, twins: Iterable[np.ndarray], near: Iterable[Near], labels: Callable[[int, int], np.ndarray]
    ) -> Spool:
        """(text, other text, similarity, number) of near pairs, by the first; `own` is filled."""
        equal, left, right, pairs = (
            self._spool(name, width) for name, width in (("equal", 2), ("left", 4), ("right", 4), ("near", 4))
        )
        for chunk in twins:
            self._deal(equal, chunk[:, ::-1])
        count = 1  # those of equal texts have number 0
        for ends, similarity in near:
            serial = np.arange(count, count + len(ends))
            count += len(ends)
            self._deal(left, np.column_stack([ends, similarity.view(np.int64), serial]))
        texts = self._room.column("texts", 1)
        for number, (low, high) in enumerate(self._ranges):
            text = np.arange(low, high)
            for block in signed(equal, number):
                text[block[:, 0] - low] = block[:, 1]
            texts.write(low, text)
            label = labels(low, high)
            known = np.flatnonzero(label >= 0)
            self._deal(self._own, np.column_stack([text[known], known + low, label[known]]))
            for block in signed(left, number):
                self._deal(right, np.column_stack([block[:, 1], text[block[:, 0] - low], block[:, 2:]]))
            left.drop(number)
        for number, (low, high) in enumerate(self._ranges):
            text = texts.read(low, high)[:, 0].view(np.int64)
            for block in signed(right, number):
                self._deal(pairs, np.column_stack([block[:, 1], text[block[:, 0] - low], block[:, 2:]]))
            right.drop(number)
        return pairs

    def _inside(self) -> None:
        """Extremes of each text, and pairs in it."""
        for number, (low, high) in enumerate(self._ranges):
            found = np.full((high - low, 4), -1)
            for block in signed(self._own, number):
                extremes(frozen(block, np.int64), low, found)
            self._extremes.write(low, found)
            for block in signed(self._own, number):
                least = found[block[:, 0] - low]
                other = block[:, 2] != least[:, 1]
                self._list(least[other, 0], block[other, 1], np.ones(other.sum()), np.zeros(other.sum(), np.int64))

    def _between(self, near: Spool) -> Spool:
        """Pairs of documents of near texts; and by text the extremes of those beside it, twice (text, document, label)."""
        sent, beside = self._spool("sent", 8), self._spool("beside", 3)
        for number, (low, high) in enumerate(self._ranges):
            found = self._extremes.read(low, high).view(np.int64)
            for block in signed(near, number):
                of = found[block[:, 0] - low]
                some = of[:, 0] >= 0
                rows = np.column_stack([block[:, 1], block[:, 0], block[:, 2:], of])
                self._deal(sent, rows[some])
            near.drop(number)
        for number, (low, high) in enumerate(self._ranges):
            found = self._extremes.read(low, high).view(np.int64)
            for block in signed(sent, number):
                b = found[block[:, 0] - low]
                block, b = block[b[:, 0] >= 0], b[b[:, 0] >= 0]
                a = block[:, 4:]
                for text, of in ((block[:, 0], a), (block[:, 1], b)):
                    self._deal(beside, np.column_stack([text, of[:, :2]]))
                    self._deal(beside, np.column_stack([text, of[:, 2:]]))
                ways = ((a[:, :2], b[:, :2]), (a[:, 2:], b[:, :2]), (a[:, :2], b[:, 2:]))
                differ = [one[:, 1] != other[:, 1] for one, other in ways]
                some = np.any(differ, axis=0)
                one, other = (np.select(differ, [way[side][:, 0] for way in ways], 0)[some] for side in (0, 1))
                self._list(one, other, block[some, 2].copy().view(np.float64), block[some, 3])
            sent.drop(number)
        return beside

    def _list(self, one: np.ndarray, other: np.ndarray, similarity: np.ndarray, number: np.ndarray) -> None:
        ends = [np.minimum(one, other), np.maximum(one, other)]
        self._pairs.add(0, np.column_stack([*ends, similarity.view(np.int64), number]))

    def _told(self, beside: Spool) -> Spool:
        """(document, one that contradicts it, label, label), by the first."""
        rows = self._spool("rows", 4)
        for number, (low, high) in enumerate(self._ranges):
            found = self._extremes.read(low, high).view(np.int64)
            for block in signed(beside, number):
                extremes(frozen(block, np.int64), low, found)
            for block in signed(self._own, number):
                of, label = found[block[:, 0] - low], block[:, 2]
                least = of[:, 1] != label
                out = least | (of[:, 3] != label)
                other = np.where(least[:, None], of[:, :2], of[:, 2:])
                self._deal(rows, np.column_stack([block[:, 1], other[:, 0], label, other[:, 1]])[out])
            beside.drop(number)
            self._own.drop(number)
        return rows


def _sorted(room: Room, spool: Spool) -> Iterator[np.ndarray]:
    """Rows of a spool of one part (uint64 (n, 4)) by their first two words, then the last; parts of about a range's rows."""
    parts = -(-spool.rows // room.sizes.span)
    each = max(1, spool.rows // (64 * max(parts, 1)))
    sample = np.concatenate([np.empty((0, 2), np.uint64), *(block[::each, :2].copy() for block in spool.blocks(0))])
    sample = sample[lexical_order(list(sample.T))]
    cuts = np.arange(1, parts) * len(sample) // max(parts, 1)
    bounds = frozen(sample[cuts], np.uint64)
    dealt = room.spool("dealt", 4, len(bounds) + 1)
    for block in spool.blocks(0):
        of = np.empty(len(block), np.int32)
        parts_of_tuples(frozen(block[:, :2], np.uint64), bounds, of)
        dealt.add(of, block)
    spool.drop(0)
    for part in range(len(dealt)):
        rows = dealt.whole(part)
        dealt.drop(part)
        yield rows[lexical_order([rows[:, 0], rows[:, 1], rows[:, 3]])]
