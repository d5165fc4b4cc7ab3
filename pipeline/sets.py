"""Random access to what is known of documents: their shingle sets and their place under the keep policy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dedup.similarity import jaccards
from pipeline.documents import documents
from pipeline.groups import owners, rows_of
from pipeline.job import Job
from pipeline.policy import order_words, policy_columns, word_count
from pipeline.stage_files import Files

BLOCK_SHINGLES = 8 << 20
"""Shingles held in memory at once while pairs are verified (64 MB), but for a single pair."""


class Documents:
    """Features and shingles of all tasks, memory-mapped, each opened when first needed."""

    def __init__(self, job: Job, files: Files) -> None:
        self._manifests = {manifest["index"]: manifest for manifest in documents(job)}
        self._files = files
        self._keep = job.near["keep"]
        self._offsets: dict[int, np.ndarray] = {}
        self._values: dict[int, np.ndarray] = {}

    def offsets(self, index: int) -> np.ndarray:
        """int64 (rows + 1,): where the sets of a task's documents begin in its shingles."""
        if index not in self._offsets:
            ends = self._files.table(self._manifests[index], "features")["shingle_end"].to_numpy()
            self._offsets[index] = np.concatenate([[0], ends]).astype(np.int64)
        return self._offsets[index]

    def shingles(self, index: int) -> np.ndarray:
        """uint64: the shingle sets of a task's documents, one after another."""
        if index not in self._values:
            self._values[index] = self._files.uint64(self._manifests[index], "shingles")
        return self._values[index]

    def sizes(self, docs: np.ndarray) -> np.ndarray:
        """int64: shingles of each document."""
        owner, row = owners(docs), rows_of(docs)
        sizes = np.zeros(len(docs), dtype=np.int64)
        for index in np.unique(owner).tolist():
            mine, offsets = owner == index, self.offsets(index)
            sizes[mine] = offsets[row[mine] + 1] - offsets[row[mine]]
        return sizes

    def gather(self, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sets of `docs` as (offsets, values), in the order given."""
        owner, row, sizes = owners(docs), rows_of(docs), self.sizes(docs)
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        gathered = np.empty(ends[-1], dtype=np.uint64)
        for index in np.unique(owner).tolist():
            mine = np.flatnonzero(owner == index)
            starts = self.offsets(index)[row[mine]]
            gathered[_ranges(ends[mine], sizes[mine])] = self.shingles(index)[_ranges(starts, sizes[mine])]
        return ends, gathered

    def words(self, docs: np.ndarray) -> np.ndarray:
        """Order words of `docs` under the keep policy (see `pipeline.policy`): uint64, a row each."""
        names = ["key0", "key1", *policy_columns(self._keep)]
        owner, row = owners(docs), rows_of(docs)
        words = np.empty((len(docs), word_count(self._keep)), np.uint64)
        for index in np.unique(owner).tolist():
            mine = np.flatnonzero(owner == index)
            table = self._files.table(self._manifests[index], "features").select(names).take(pa.array(row[mine]))
            words[mine] = order_words(self._keep, table)
        return words

    def similarities(self, left: np.ndarray, right: np.ndarray, threshold: float) -> np.ndarray:
        """True Jaccard similarities of pairs of documents; a pair that cannot reach the threshold may read 0."""
        result = np.empty(len(left))
        for part in self._blocks(left, right):
            docs, places = np.unique(np.concatenate([left[part], right[part]]), return_inverse=True)
            offsets, values = self.gather(docs)
            half = len(places) // 2
            result[part] = jaccards(offsets, values, places[:half], places[half:], min_similarity=threshold)
        return result

    def _blocks(self, left: np.ndarray, right: np.ndarray) -> list[slice]:
        """Pairs in runs whose sets fit into memory together."""
        weight = np.cumsum(self.sizes(left) + self.sizes(right))
        blocks, start = [], 0
        while start < len(left):
            before = weight[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(weight, before + BLOCK_SHINGLES, side="right")))
            blocks.append(slice(start, end))
            start = end
        return blocks


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of each range, one after another."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))
