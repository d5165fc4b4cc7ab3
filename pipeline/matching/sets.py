"""Random access to what is known of documents: their shingle sets and their place under the keep policy.

The band stage writes of each document a row of one length, its facts, so that one of a corpus of any size is read without the
file around it:

    .work/band/000003.facts.u64        first shingle, end of shingles, 1 if it is new, order words (`pipeline.matching.policy`)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from dedup.candidates import Similar
from dedup.similarity import similarities_of
from pipeline.files.stage_files import Files, manifests, output_rows
from pipeline.job import Job
from pipeline.matching.groups import group_starts, groups, owners, rows_of
from pipeline.matching.older import STAGE, compared
from pipeline.matching.policy import order_words, policy_columns, word_count

BLOCK_SHINGLES = 8 << 20
"""Shingles held in memory at once while pairs are verified (64 MB), but for a single pair."""

_WORDS = 2
"""Columns of facts before the words that say who is kept: the first of these puts old documents before new ones."""


def facts(job: Job, manifest: dict[str, Any], features: pa.Table, first: int) -> np.ndarray:
    """Facts of rows of a document task's features, uint64, a row each. `first`: the end of the shingles of the row before."""
    keep = job.near["keep"]
    rows = np.zeros((len(features), _width(job)), np.uint64)
    if "shingle_end" in features.schema.names:
        rows[:, 1] = features["shingle_end"].to_numpy()
        rows[1:, 0], rows[:1, 0] = rows[:-1, 1], first
    for name in set(policy_columns(keep)) - set(features.schema.names):  # an index knows no signals
        features = features.append_column(name, pa.nulls(len(features), pa.float64()))
    rows[:, _WORDS] = manifest["stage"] != STAGE
    rows[:, _WORDS + 1 :] = order_words(keep, features)
    return rows


def _width(job: Job) -> int:
    return _WORDS + 1 + word_count(job.near["keep"])


class Documents:
    """What is known of the documents of all tasks, by their numbers; only what is asked for is read."""

    def __init__(self, job: Job, files: Files) -> None:
        documents = compared(job)
        self._manifests = {manifest["index"]: manifest for manifest in documents}
        self._files = files
        self._measure = job.near["similarity"]
        self._width = _width(job)
        self._groups, self._starts = manifests(job.output, "band"), group_starts(documents)
        self._before = {}  # rows of a task's group before its own
        for group in groups(documents):
            rows = 0
            for manifest in group:
                self._before[manifest["index"]] = rows
                rows += output_rows(manifest, "docs")
        self._held = np.empty(0, np.uint64), np.empty((0, self._width), np.uint64)

    def hold(self, docs: np.ndarray) -> None:
        """Reads the facts of `docs` (ascending), once for many calls that ask about some of them."""
        self._held = docs, self._read_facts(docs)

    def sizes(self, docs: np.ndarray) -> np.ndarray:
        """int64: shingles of each document. `docs` ascending."""
        found = self._facts(docs)
        return (found[:, 1] - found[:, 0]).astype(np.int64)

    def words(self, docs: np.ndarray) -> np.ndarray:
        """Order words of `docs` (ascending) under the keep policy (see `pipeline.matching.policy`): uint64, a row each."""
        return np.ascontiguousarray(self._facts(docs)[:, _WORDS:])

    def gather(self, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sets of `docs` (ascending) as (offsets, values). Of those on S3 only they are fetched."""
        found = self._facts(docs)
        starts, stops = found[:, 0].astype(np.int64), found[:, 1].astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
        values = np.empty(offsets[-1], dtype=np.uint64)
        for index, part in _runs(owners(docs)):
            self._files.spans(self._manifests[index], "shingles", starts[part], stops[part], values, offsets[part])
        return offsets, values

    def _facts(self, docs: np.ndarray) -> np.ndarray:
        held, rows = self._held
        places = np.searchsorted(held, docs)
        there = places < len(held)
        there[there] = held[places[there]] == docs[there]
        if there.all():
            return rows[places]
        found = np.empty((len(docs), self._width), np.uint64)
        found[there], found[~there] = rows[places[there]], self._read_facts(docs[~there])
        return found

    def _read_facts(self, docs: np.ndarray) -> np.ndarray:
        found, width = np.empty((len(docs), self._width), np.uint64), self._width
        rows = rows_of(docs)
        for index, part in _runs(owners(docs)):
            rows[part] += self._before[index]
        for group, part in _runs(np.searchsorted(self._starts, docs, side="right") - 1):
            starts, at = width * rows[part], width * np.arange(part.start, part.stop)
            self._files.spans(self._groups[group], "facts", starts, starts + width, found.reshape(-1), at)
        return found

    def similarities(self, left: np.ndarray, right: np.ndarray, threshold: float) -> np.ndarray:
        """True similarities of pairs of documents by the measure of the recipe; a pair that cannot reach the threshold may read 0.
        Sets are read from their files, BLOCK_SHINGLES at a time: where files are mapped, Linux maps up to a megabyte around each
        set, and of 10 million documents that took most of the time."""
        docs, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        left, right = places[: len(left)], places[len(left) :]
        sizes = self.sizes(docs)
        weight = np.cumsum(sizes[left] + sizes[right])
        result = np.empty(len(left))
        for block in _blocks(weight):
            members, local = np.unique(np.concatenate([left[block], right[block]]), return_inverse=True)
            half = len(local) // 2
            sets = self.gather(docs[members])
            result[block] = similarities_of(sets, sets, local[:half], local[half:], threshold, self._measure)
        return result

    def similar(self, docs: np.ndarray, threshold: float) -> Similar:
        """`similarities` of pairs of these documents, for many calls: their sets are held if they fit."""
        ordered = np.sort(docs)
        if self.sizes(ordered).sum() > BLOCK_SHINGLES:
            return lambda left, right: self.similarities(left, right, threshold)
        sets, measure = self.gather(ordered), self._measure
        return lambda left, right: similarities_of(
            sets, sets, np.searchsorted(ordered, left), np.searchsorted(ordered, right), threshold, measure
        )


def _runs(owner: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Each number of an ascending column, and the rows that have it."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(owner)]):
        yield int(owner[start]), slice(start, end)


def _blocks(weight: np.ndarray) -> Iterator[slice]:
    """Pairs in runs that weigh up to BLOCK_SHINGLES (`weight`: running sum), or are one pair."""
    start = 0
    while start < len(weight):
        before = weight[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(weight, before + BLOCK_SHINGLES, side="right")))
        yield slice(start, end)
        start = end
