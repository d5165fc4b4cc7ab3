"""Documents as one stream of token ids, cut into sequences.

    documents [5 5 5] [7 7], eos 0, length 4
    no packing     [5 5 5 0] [7 7 0]
    concatenate    [5 5 5 0] [7 7 0 PAD]      documents one after another, cut every `length` tokens
    best_fit       [5 5 5 0] [7 7 0 PAD]      no document cut (but one longer than a sequence), as few sequences as best-fit
                                              decreasing finds; the rest of each is padding

Best-fit packing: Ding et al. 2024, "Fewer Truncations Improve Language Modeling". Sequences stand in the order of the first
document in each, documents inside one in the corpus's order, so a shuffled corpus stays shuffled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from filters.tokenizer_files import Tokens
from kernels.packing import best_fit


@dataclass(frozen=True)
class Sequences:
    """A stream and its cuts. Run r is tokens of document `run_docs[r]`: ids[run_starts[r] : run_starts[r] + run_lengths[r]].

    What no run covers is padding. All of int64 but `ids` (uint32); runs are in the order of the stream. `run_parts`: which
    piece of its document a run is, from 0; packing may place the last piece before the first. `mask` (bool, over `ids`): what is
    trained on, None where all is.
    """

    ids: np.ndarray
    ends: np.ndarray
    run_starts: np.ndarray
    run_lengths: np.ndarray
    run_docs: np.ndarray
    run_parts: np.ndarray
    dropped: int = 0
    mask: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def starts(self) -> np.ndarray:
        """Where each sequence begins in the stream."""
        return np.concatenate([np.zeros(min(len(self.ends), 1), np.int64), self.ends[:-1]])

    @property
    def padding(self) -> int:
        """Tokens of the stream that belong to no document."""
        return len(self.ids) - int(self.run_lengths.sum())

    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """(lengths, ends): tokens of each document inside each sequence, int32; those of sequence i are
        lengths[ends[i - 1]:ends[i]]. Padding comes last in a sequence and is not among them."""
        edges = np.unique(np.concatenate([self.run_starts, self.run_starts + self.run_lengths, self.ends, [0]]))
        starts, sizes = edges[:-1], np.diff(edges)
        run = np.searchsorted(self.run_starts, starts, side="right") - 1
        inside = (run >= 0) & (starts < (self.run_starts + self.run_lengths)[run]) if len(self.run_starts) else run >= 0
        sequence = np.searchsorted(self.ends, starts[inside], side="right")
        return sizes[inside].astype(np.int32), np.cumsum(np.bincount(sequence, minlength=len(self)))


def marked(tokens: Tokens, bos: int | None, eos: int | None) -> Tokens:
    """The documents with a begin and an end token, where given."""
    sizes = tokens.counts + (bos is not None) + (eos is not None)
    ends = np.cumsum(sizes)
    ids = np.empty(int(ends[-1]) if len(ends) else 0, np.uint32)
    own = np.ones(len(ids), bool)
    for mark, places in ((bos, ends - sizes), (eos, ends - 1)):
        if mark is not None:
            ids[places] = mark
            own[places] = False
    ids[own] = tokens.ids
    return Tokens(ids, ends)


def arrange(tokens: Tokens, pack: dict[str, Any] | None) -> Sequences:
    """The documents as sequences. `pack`: {"length", "how", "pad"} with pad an id or None; None: a sequence a document."""
    starts = tokens.ends - tokens.counts
    if pack is None:
        return Sequences(tokens.ids, tokens.ends, starts, tokens.counts, np.arange(len(starts)), np.zeros_like(starts))
    if pack["how"] == "concatenate":
        return _concatenated(tokens, pack["length"], pack["pad"])
    return _fitted(tokens, pack["length"], pack["pad"])


def _concatenated(tokens: Tokens, length: int, pad: int | None) -> Sequences:
    ids, starts, counts = tokens.ids, tokens.ends - tokens.counts, tokens.counts
    rest = len(ids) % length
    dropped = 0
    if rest and pad is None:
        ids, dropped = ids[: len(ids) - rest], rest
        counts = np.minimum(starts + counts, len(ids)) - np.minimum(starts, len(ids))
    elif rest:
        ids = np.concatenate([ids, np.full(length - rest, pad, np.uint32)])
    some = np.flatnonzero(counts > 0)
    ends = np.arange(length, len(ids) + 1, length, dtype=np.int64)
    return Sequences(ids, ends, starts[some], counts[some], some, np.zeros_like(some), dropped)


def _fitted(tokens: Tokens, length: int, pad: int) -> Sequences:
    doc, part, start, size = _segments(tokens, length)
    largest_first = np.argsort(-size, kind="stable")
    bins = np.empty(len(size), np.int64)
    bins[largest_first] = best_fit(size[largest_first], length)
    count = int(bins.max()) + 1 if len(bins) else 0
    first = np.full(count, len(bins))
    np.minimum.at(first, bins, np.arange(len(bins)))
    place = np.empty(count, np.int64)
    place[np.argsort(first)] = np.arange(count)
    order = np.lexsort((np.arange(len(bins)), place[bins]))
    to = _places(place[bins][order], size[order], length)
    ids = np.full(count * length, pad, np.uint32)
    for source, target, n in zip(start[order].tolist(), to.tolist(), size[order].tolist()):
        ids[target : target + n] = tokens.ids[source : source + n]
    return Sequences(ids, np.arange(1, count + 1, dtype=np.int64) * length, to, size[order], doc[order], part[order])


def _segments(tokens: Tokens, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(document, number in it, start, size) of each document's pieces of at most `length` tokens."""
    pieces = -(-tokens.counts // length)
    doc = np.repeat(np.arange(len(pieces)), pieces)
    number = np.arange(len(doc)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = (tokens.ends - tokens.counts)[doc] + number * length
    return doc, number, start, np.minimum(length, tokens.ends[doc] - start)


def _places(sequence: np.ndarray, size: np.ndarray, length: int) -> np.ndarray:
    """Where each segment begins in the stream; segments come sorted by sequence."""
    before = np.cumsum(size) - size
    head = np.searchsorted(sequence, sequence)  # the first segment of the same sequence
    return sequence * length + before - before[head]
