"""Where documents stand: the side of each, from its unit's hash and what stage sides has decided."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.files.stage_files import Files, manifests
from pipeline.job import Job
from pipeline.matching.groups import mixed
from pipeline.splits.columns import REST
from pipeline.splits.strata import by_share, order_seed, plain_edges, share_draws
from pipeline.splits.units import folded, looked_up, needed, own_names, renamed


class Standing:
    """Of one round: `of` tells the side of documents from their features and their cluster's smallest key."""

    def __init__(self, job: Job, files: Files, this_round: int) -> None:
        self._publish, self._more = job.publish, job.publish["split"]
        self._tables: dict[str, np.ndarray] = {}
        self._bounds: dict[str, list[float]] = {}
        if needed(job):
            (found,) = manifests(job.output, f"sides-{this_round}")
            self._tables = {output["name"]: files.uint64(found, output["name"]) for output in found["outputs"]}
            self._bounds = found["counts"].get("bounds", {})

    def of(self, features: pa.Table, key0: np.ndarray, key1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(split of each document: int64, documents that must go because their unit stands in an earlier time: bool)."""
        unit = self._units(features, folded(key0, key1))
        split = self._by_hash(features, unit)
        split = self._given("chosen", "chosen_to", unit, split)
        if not self._more["times"]:
            return split, np.zeros(len(unit), bool)
        period = features["period"].to_numpy().astype(np.int64)
        earliest = self._given("spanning", "periods", unit, period + 1) - 1
        across = (earliest != period) & (self._more["spanning"] == "drop")
        return np.where(earliest == REST, split, earliest), across

    def _units(self, features: pa.Table, cluster: np.ndarray) -> np.ndarray:
        if not self._tables:
            return cluster
        return renamed(own_names(features, cluster), self._tables["names"], self._tables["units"])

    def _by_hash(self, features: pa.Table, unit: np.ndarray) -> np.ndarray:
        drawn = share_draws(unit, 2 * self._publish["seed"])
        if not self._bounds:
            return by_share(self._publish, drawn)
        coded = pc.dictionary_encode(features["stratum"].combine_chunks())
        plain = plain_edges(self._publish).tolist()
        edges = np.array([self._bounds.get(name, plain) for name in coded.dictionary.to_pylist()])
        return by_share(self._publish, drawn, edges[coded.indices.to_numpy()])

    def _given(self, names: str, values: str, unit: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """The value that a table gives for some units, else what is so. The tables hold the hashes
        that units come in the order of."""
        if not len(self._tables.get(names, ())):
            return otherwise
        drawn = mixed(unit, order_seed(self._publish))
        return looked_up(drawn, self._tables[names], self._tables[values].astype(np.int64), otherwise)
