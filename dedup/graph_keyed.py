"""Who stays where documents can be equal by a key, on files: ranges of ranks in turn, as in `dedup.graph_ranges`.

A document's fate hangs on its own keys and on what became of its text before; so a text goes from one of its documents
to the next, and a pair of similar texts goes with both:

    ranges           0 .. 999        1000 .. 1999      2000 .. 2999
    text             7 ------------- 1200 ------------ 2500             range 1 is told if it is kept or out
    similar          7 ~ 1300        1200 ~ 1300       2500 ~ 2700      only as long as neither is decided, which takes a
                                                                        key that removes each document of both so far

The answers are those of `dedup.keyed`, whatever the ranges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain as joined

import numpy as np

from dedup.columns import frozen
from dedup.graph import KEPT
from dedup.graph_files import Column, Room, Spool
from dedup.graph_ranges import Ranges, signed
from dedup.graph_ranks import Ranked
from dedup.keyed import beside
from kernels.keyed import chain, keyed_independent_set, travel


def contracted(room: Room, known: Ranked, ranges: Ranges, node: Column) -> Spool:
    """(document, the next of its text) by the range of the document; `known` gives texts instead of documents from now on.

    `node`: by rank the best-ranked document of equal text, which names the text."""
    others = room.spool("others", 2, len(ranges))  # (text, document), in the order of documents
    numbers = room.spool("texts", 2, len(known.bounds) + 1)
    for low, high in ranges:
        text, rank = node.read(low, high)[:, 0], np.arange(low, high, dtype=np.uint64)
        other = text != rank
        others.add(ranges.of(text[other]), np.column_stack([text[other], rank[other]]))
        index = known.table.read(low, high)[other, 1]
        numbers.add(known.parts_of(index), np.column_stack([index, text[other]]))
    known.place(numbers)
    links = room.spool("links", 2, len(ranges))
    for number, (low, high) in enumerate(ranges):
        last = np.arange(low, high)
        for block in signed(others, number):
            rows = np.empty_like(block)
            chain(frozen(block, np.int64), low, last, rows)
            links.add(ranges.of(rows[:, 0]), rows)
        others.drop(number)
    return links


@dataclass
class _Range:
    """One range and the texts of its documents, numbered here: by document `text` and `struck`; by text `blocked`, `keeper`
    and the next document behind the range, `onward` (-1: none). As for the kernel."""

    low: int
    high: int
    text: np.ndarray
    struck: np.ndarray
    blocked: np.ndarray
    keeper: np.ndarray
    onward: np.ndarray

    @classmethod
    def of(cls, low: int, high: int, names: np.ndarray) -> _Range:
        """`names` int64: by document its text's best one."""
        text, before = names - low, names < low
        foreign, text[before] = np.unique(names[before], return_inverse=True)
        text[before] += high - low
        texts = high - low + len(foreign)
        return cls(
            low, high, frozen(text, np.int64), np.zeros(high - low, bool),
            np.zeros(texts, bool), np.full(texts, -1), np.full(texts, -1),
        )  # fmt: skip

    def told(self, number: int, links: Spool, states: Spool, struck: Spool) -> None:
        """Takes in what was said to the range."""
        for block in signed(links, number):
            beyond = block[block[:, 1] >= self.high]
            self.onward[self.text[beyond[:, 0] - self.low]] = beyond[:, 1]
        for block in signed(states, number):
            text, kept = self.text[block[:, 0] - self.low], block[:, 1] >= 0
            self.keeper[text[kept]] = block[kept, 1]
            self.blocked[text[~kept]] = True
        for block in signed(struck, number):
            self.struck[block[:, 0] - self.low] = True
        for spool in (links, states, struck):
            spool.drop(number)

    def open(self) -> np.ndarray:
        """bool by document: nothing known of yet removes it."""
        return (self.keeper[self.text] < 0) & ~self.blocked[self.text] & ~self.struck

    def take(self, start: int, stop: int, near: np.ndarray, equal: np.ndarray, why: np.ndarray) -> None:
        """Decides documents start .. stop - 1, given the pairs of their texts and keys."""
        between, keyed = beside(len(self.blocked), near), beside(len(self.text), equal)
        keyed_independent_set(
            start, stop, self.low, self.text, *between, *keyed, self.struck, self.blocked, self.keeper, why
        )


def keyed_set(
    room: Room, ranges: Ranges, node: Column, links: Spool, edges: Spool, keys: Spool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each range in turn, by document: why it goes (uint8, as `keyed_independent_set`), and the kept document of its
    text, -1 if there is none (int64).

    `links` as of `contracted`, which are taken away; `edges` and `keys`: rows that begin with two texts, two documents, by the
    range of the first, smaller one."""
    states = room.spool("states", 2, len(ranges))  # (document, the kept one of its text; -1: a similar text is kept)
    struck = room.spool("struck", 1, len(ranges))
    going = room.spool("going", 2, len(ranges))  # pairs of documents whose texts are similar and not decided
    for number, (low, high) in enumerate(ranges):
        here = _Range.of(low, high, node.read(low, high)[:, 0].view(np.int64))
        here.told(number, links, states, struck)
        why = _decided(here, room.sizes.inner // 2, number, [edges, going], keys)
        open_texts = (here.onward >= 0) & (here.blocked | (here.keeper >= 0))
        states.add(
            ranges.of(here.onward[open_texts]), np.column_stack([here.onward[open_texts], here.keeper[open_texts]])
        )
        for block in _pairs([edges, going], number):
            out = np.empty((len(block), 2), np.int64)
            pairs = frozen(block, np.int64)
            count = travel(pairs, low, here.text, here.onward, here.blocked, here.keeper, out)
            blocks = out[:count, 1] < 0
            states.add(ranges.of(out[:count][blocks, 0]), out[:count][blocks])
            going.add(ranges.of(out[:count][~blocks, 0]), out[:count][~blocks])
        for block in signed(keys, number):
            beyond = block[(block[:, 1] >= high) & (why[block[:, 0] - low] == KEPT), 1:2]
            struck.add(ranges.of(beyond[:, 0]), np.ascontiguousarray(beyond))
        going.drop(number)
        yield why, here.keeper[here.text]


def _decided(here: _Range, most: int, number: int, near: list[Spool], keys: Spool) -> np.ndarray:
    """`why` of a range's documents, taken in stretches with up to `most` pairs of those that can be kept."""
    size = len(here.text)
    why, start = np.zeros(size, np.uint8), 0
    if sum(spool.size(number) for spool in [*near, keys]) <= most:
        here.take(0, size, _near_pairs(here, near, number), _key_pairs(here, keys, number), why)
        return why
    degree, keyed = np.zeros(len(here.blocked), np.int64), np.zeros(size, np.int64)
    for ends in _near_blocks(here, near, number):
        degree += np.bincount(ends.ravel(), minlength=len(degree))
    for ends in _key_blocks(here, keys, number):
        keyed += np.bincount(ends[:, 0], minlength=size)
    weight = keyed + degree[here.text]
    none = np.empty((0, 2), np.int64)
    while start < size:
        may_stay = here.open()[start:]
        sums = np.cumsum(np.where(may_stay, weight[start:], 0))
        stop = start + max(1, int(np.searchsorted(sums, most, side="right")))
        if sums[stop - 1 - start] <= most:
            asked = np.zeros(len(degree), bool)
            asked[here.text[start:stop][may_stay[: stop - start]]] = True
            equal = _key_pairs(here, keys, number, start, stop)
            here.take(start, stop, _near_pairs(here, near, number, asked), equal, why)
        else:  # one document of many pairs
            here.take(start, stop, none, none, why)
            _strike(here, start, near, keys, number)
        start = stop
    return why


def _strike(here: _Range, doc: int, near: list[Spool], keys: Spool, number: int) -> None:
    """What a document does to others of the range if it is kept."""
    text = here.text[doc]
    if here.keeper[text] != here.low + doc:
        return
    for ends in _near_blocks(here, near, number):
        here.blocked[ends[ends[:, 0] == text, 1]] = True
        here.blocked[ends[ends[:, 1] == text, 0]] = True
    for ends in _key_blocks(here, keys, number):
        here.struck[ends[ends[:, 0] == doc, 1]] = True


# -- pairs inside a range --------------------------------------------------------------------------


def _pairs(spools: list[Spool], number: int) -> Iterator[np.ndarray]:
    return joined.from_iterable(signed(spool, number) for spool in spools)


def _near_blocks(here: _Range, near: list[Spool], number: int) -> Iterator[np.ndarray]:
    return (here.text[ends] for ends in _inner(here, _pairs(near, number)))


def _key_blocks(here: _Range, keys: Spool, number: int) -> Iterator[np.ndarray]:
    return _inner(here, signed(keys, number))


def _inner(here: _Range, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Places in the range."""
    return (block[block[:, 1] < here.high, :2] - here.low for block in blocks)


def _near_pairs(here: _Range, near: list[Spool], number: int, asked: np.ndarray | None = None) -> np.ndarray:
    """Pairs of texts, all or with one that is asked for."""
    blocks = _near_blocks(here, near, number)
    if asked is not None:
        blocks = (ends[asked[ends].any(axis=1)] for ends in blocks)
    return np.concatenate([np.empty((0, 2), np.int64), *blocks])


def _key_pairs(here: _Range, keys: Spool, number: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Pairs of documents, all or whose first is one of some."""
    blocks = _key_blocks(here, keys, number)
    if stop is not None:
        blocks = (ends[(ends[:, 0] >= start) & (ends[:, 0] < stop)] for ends in blocks)
    return np.concatenate([np.empty((0, 2), np.int64), *blocks])
