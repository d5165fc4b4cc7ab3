"""Random access to what is known of documents: their shingle sets and their place under the keep policy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from dedup.candidates import Similar
from dedup.columns import frozen
from dedup.similarity import similarities_of
from kernels.gather import read_rows
from pipeline.errors import StorageError
from pipeline.files.stage_files import Files
from pipeline.job import Job
from pipeline.matching.groups import owners, rows_of
from pipeline.matching.older import STAGE, compared
from pipeline.matching.policy import order_words, policy_columns, word_count

BLOCK_SHINGLES = 8 << 20
"""Shingles held in memory at once while pairs are verified (64 MB), but for a single pair."""


class Documents:
    """Features and shingles of all tasks, each file opened when first needed; of shingles only the sets that are asked for are
    read."""

    def __init__(self, job: Job, files: Files) -> None:
        self._manifests = {manifest["index"]: manifest for manifest in compared(job)}
        self._files = files
        self._keep = job.near["keep"]
        self._measure = job.near["similarity"]
        self._features: dict[int, pa.Table] = {}
        self._offsets: dict[int, np.ndarray] = {}

    def features(self, index: int) -> pa.Table:
        """The features file of a task."""
        if index not in self._features:
            self._features[index] = self._files.table(self._manifests[index], "features")
        return self._features[index]

    def offsets(self, index: int) -> np.ndarray:
        """int64 (rows + 1,): where the sets of a task's documents begin in its shingles."""
        if index not in self._offsets:
            ends = self.features(index)["shingle_end"].to_numpy()
            self._offsets[index] = frozen(np.concatenate([[0], ends]), np.int64)
        return self._offsets[index]

    def sizes(self, docs: np.ndarray) -> np.ndarray:
        """int64: shingles of each document. `docs` ascending."""
        sizes = np.zeros(len(docs), dtype=np.int64)
        for index, part in _runs(docs):
            rows, offsets = rows_of(docs[part]), self.offsets(index)
            sizes[part] = offsets[rows + 1] - offsets[rows]
        return sizes

    def gather(self, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sets of `docs` (ascending) as (offsets, values). Of those on S3 only they are fetched."""
        ends = np.concatenate([[0], np.cumsum(self.sizes(docs))]).astype(np.int64)
        gathered = np.empty(ends[-1], dtype=np.uint64)
        for index, part in _runs(docs):
            rows, places, offsets = rows_of(docs[part]), frozen(ends[part], np.int64), self.offsets(index)
            manifest = self._manifests[index]
            partial = self._files.partial(manifest, "shingles")
            if partial is not None:
                partial.fetch(8 * offsets[rows], 8 * offsets[rows + 1])
            there = read_rows(self._files.handle(manifest, "shingles"), offsets, rows, gathered, places)
            if there < len(rows):
                raise StorageError(
                    f"The shingles of row {int(rows[there])} of task {manifest['task']} cannot be read: their file was cut, or its "
                    "disk fails. Run with --fresh."
                )
        return ends, gathered

    def words(self, docs: np.ndarray) -> np.ndarray:
        """Order words of `docs` (ascending) under the keep policy (see `pipeline.matching.policy`): uint64, a row each."""
        names = ["key0", "key1", *policy_columns(self._keep)]
        words = np.zeros((len(docs), word_count(self._keep) + 1), np.uint64)  # the first: old documents before new ones
        for index, part in _runs(docs):
            features = self.features(index)
            for name in set(names) - set(features.schema.names):  # an index knows no signals
                features = features.append_column(name, pa.nulls(len(features), pa.float64()))
            words[part, 0] = self._manifests[index]["stage"] != STAGE
            words[part, 1:] = order_words(self._keep, features.select(names).take(pa.array(rows_of(docs[part]))))
        return words

    def similarities(self, left: np.ndarray, right: np.ndarray, threshold: float) -> np.ndarray:
        """True similarities of pairs of documents by the measure of the recipe; a pair that cannot reach the threshold may read 0.
        Sets are read from their files, BLOCK_SHINGLES at a time: where files are mapped, Linux maps up to a megabyte around each
        set, and of 10 million documents that took most of the time."""
        docs, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        left, right = places[: len(left)], places[len(left) :]
        weight = np.cumsum(self.sizes(docs)[left] + self.sizes(docs)[right])
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


def _runs(docs: np.ndarray) -> Iterator[tuple[int, slice]]:
    """The task of each run of ascending document numbers, and the run."""
    owner = owners(docs)
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(docs)]):
        yield int(owner[start]), slice(start, end)


def _blocks(weight: np.ndarray) -> Iterator[slice]:
    """Pairs in runs that weigh up to BLOCK_SHINGLES (`weight`: running sum), or are one pair."""
    start = 0
    while start < len(weight):
        before = weight[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(weight, before + BLOCK_SHINGLES, side="right")))
        yield slice(start, end)
        start = end
