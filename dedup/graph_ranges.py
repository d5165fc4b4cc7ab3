"""Components, the first independent set and its keepers, on files: ranges of ranks in turn, each in memory once or
twice, and messages between them (time-forward processing: Chiang et al. 1995; Arge 1995).

    ranges    0 .. 999        1000 .. 1999      2000 .. 2999
    pair      7 ------------------ 1234                        stands in range 0; range 1 is told what became of 7

The answers are those of `dedup.survivors`, whatever the ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from dedup.columns import frozen
from dedup.graph_files import Column, Room, Spool
from kernels.graph import first_independent_set
from kernels.ranges import flatten, lower, offer_all, order_pairs, reply, settle, strike, unite


@dataclass(frozen=True)
class Ranges:
    """The numbers 0 .. nodes - 1, `span` at a time."""

    nodes: int
    span: int

    def __len__(self) -> int:
        return -(-self.nodes // self.span)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> tuple[int, int]:
        """First of the range, and the one behind its last."""
        return number * self.span, min(self.nodes, (number + 1) * self.span)

    def of(self, nodes: np.ndarray) -> np.ndarray:
        """The range of each number."""
        return nodes.astype(np.int64) // self.span


def ordered(pairs: np.ndarray) -> np.ndarray:
    """Rows that begin with two numbers, the smaller first, without pairs of one number; int64."""
    target = np.empty(pairs.shape, np.int64)
    return target[: order_pairs(frozen(pairs.view(np.int64), np.int64), target)]


# -- components ------------------------------------------------------------------------------------


def components(room: Room, name: str, ranges: Ranges, pairs: list[Spool]) -> Column:
    """The smallest member of each number's component: by number one word.

    `pairs`: spools by the range of the first, smaller one. Forward, each component of a range keeps one way out and
    says along it which is the smallest member so far; a component without one is whole, and its smallest member
    known. Back, the answer goes the same way.
    """
    labels = room.column(name, 1, ranges.nodes)
    hints = room.spool(f"{name}-hints", 3, len(ranges))  # (node behind, who asks, smallest member so far)
    passed = room.spool(f"{name}-passed", 2, len(ranges))
    for number, (low, _) in enumerate(ranges):
        labels.write(low, _roots(ranges, number, [*pairs, passed], hints, passed))
        passed.drop(number)
    answers = room.spool(f"{name}-answers", 2, len(ranges))
    for number in range(len(ranges) - 1, -1, -1):
        low, high = ranges[number]
        label = labels.read(low, high)[:, 0].view(np.int64)
        answer = np.empty(high - low, np.int64)
        for block in signed(answers, number):
            answer[block[:, 0] - low] = block[:, 1]
        asked = label < 0
        label[asked] = answer[-1 - label[asked]]
        labels.write(low, label)
        for block in signed(hints, number):
            answers.add(ranges.of(block[:, 1]), np.column_stack([block[:, 1], label[block[:, 0] - low]]))
        answers.drop(number)
        hints.drop(number)
    return labels


def _roots(ranges: Ranges, number: int, pairs: list[Spool], hints: Spool, passed: Spool) -> np.ndarray:
    """int64, for each node of the range its component's smallest member if the component ends here, else -1 - the
    place in the range of the member that asks."""
    low, high = ranges[number]
    parent, least, outer = np.arange(high - low), np.arange(low, high), np.full(high - low, -1)
    for block in signed(hints, number):
        lower(frozen(block, np.int64), low, least)
    for block in chain.from_iterable(signed(spool, number) for spool in pairs):
        out = np.empty((len(block), 2), np.int64)
        count = unite(frozen(block, np.int64), low, parent, least, outer, out)
        passed.add(ranges.of(out[:count, 0]), out[:count])
    flatten(parent)
    open_roots = np.flatnonzero((outer >= 0) & (parent == np.arange(high - low)))
    told = np.column_stack([outer[open_roots], open_roots + low, least[open_roots]])
    hints.add(ranges.of(told[:, 0]), told)
    return np.where(outer[parent] < 0, least[parent], -1 - parent)


# -- who stays, for whom ---------------------------------------------------------------------------


def first_set(room: Room, ranges: Ranges, edges: Spool) -> tuple[Column, Spool]:
    """The first maximal independent set, as `settled`."""

    def decide(number: int, told: Spool) -> np.ndarray:
        low, high = ranges[number]
        alive = np.ones(high - low, bool)
        for block in signed(told, number):
            strike(frozen(block, np.int64), low, alive)
        for first, ends in _inner_edges(edges, number, (low, high), room.sizes.inner):
            if first is None:
                first_independent_set(ends, alive)
            elif alive[first]:
                alive[ends[:, 1]] = False
        return alive

    return settled(room, "set", ranges, edges, decide)


def settled(
    room: Room, name: str, ranges: Ranges, edges: Spool, decide: Callable[[int, Spool], np.ndarray]
) -> tuple[Column, Spool]:
    """By number (keeper, similarity), the node itself if kept; of a removed one the best of those offered so far, and a
    spool of what is still to offer (see `keepers`).

    `edges`: (first, second, similarity) by the range of the first, smaller one. `decide(number of the range, what it was
    told)`: which of its nodes are kept (bool), no two of an edge.
    """
    state = room.column(f"{name}-keepers", 2, ranges.nodes)
    told, back = room.spool(f"{name}-told", 3, len(ranges)), room.spool(f"{name}-back", 3, len(ranges))
    for number, (low, high) in enumerate(ranges):
        alive = decide(number, told)
        keeper, similarity = np.arange(low, high), np.full(high - low, np.nan)
        for block in signed(edges, number):
            out = np.empty_like(block)
            edge = frozen(block, np.int64)
            count = settle(edge, edge.view(np.float64), low, alive, keeper, similarity, out)
            told.add(ranges.of(out[:count, 0]), out[:count])
        for block in signed(told, number):
            out = np.empty_like(block)
            message = frozen(block, np.int64)
            count = reply(message, message.view(np.float64), low, alive, keeper, similarity, out)
            back.add(ranges.of(out[:count, 0]), out[:count])
        state.write(low, np.column_stack([keeper, similarity.view(np.int64)]))
        told.drop(number)
        edges.drop(number)
    return state, back


def _inner_edges(
    edges: Spool, number: int, bounds: tuple[int, int], most: int
) -> Iterator[tuple[int | None, np.ndarray]]:
    """The edges inside a range (places in it), up to `most` at a time, those of smaller firsts before. If one node
    is first in more than `most`: that node and its edges, in blocks."""
    low, high = bounds
    cuts = [0, high - low]
    if edges.size(number) > most:
        counts = np.zeros(high - low, np.int64)
        for block in _inner(edges, number, bounds):
            counts += np.bincount(block[:, 0], minlength=high - low)
        cuts = _cuts(counts, most)
    for start, stop in pairwise(cuts):
        blocks = (b[(b[:, 0] >= start) & (b[:, 0] < stop)] for b in _inner(edges, number, bounds))
        if stop - start == 1:
            yield from ((start, block) for block in blocks)
        else:
            yield None, frozen(np.concatenate([np.empty((0, 2), np.int64), *blocks]), np.int64)


def _inner(edges: Spool, number: int, bounds: tuple[int, int]) -> Iterator[np.ndarray]:
    low, high = bounds
    for block in signed(edges, number):
        yield block[block[:, 1] < high, :2] - low


def _cuts(counts: np.ndarray, most: int) -> list[int]:
    """Places that cut the counts into sums of up to `most`, or single ones above it."""
    sums, cuts = np.cumsum(counts), [0]
    while cuts[-1] < len(counts):
        done = sums[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(sums, done + most, side="right"))))
    return cuts


def keepers(state: Column, back: Spool, number: int, bounds: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Of one range the keeper int64 and the similarity float64 (NaN if kept), once every range is through."""
    rows = state.read(*bounds)
    keeper, similarity = rows[:, 0].astype(np.int64), rows[:, 1].copy().view(np.float64)
    for block in signed(back, number):
        offers = frozen(block, np.int64)
        offer_all(offers, offers.view(np.float64), bounds[0], keeper, similarity)
    back.drop(number)
    return keeper, similarity


def signed(spool: Spool, number: int) -> Iterator[np.ndarray]:
    """The blocks of a part as int64."""
    return (block.view(np.int64) for block in spool.blocks(number))
