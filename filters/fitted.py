"""Rules whose bounds were fitted to the corpus: by quantile or z-score, for each language or source by itself.

    fit([1.0, 2.0, 3.0, 4.0, 100.0], quantile=(0.0, 0.75))   ->   (None, 4.0)
    a document in "de" with 12.0 where "de" has the bounds 3.1 and 9.8   ->   reason "mean_word_length.max", threshold 9.8

A quantile is that of the sorted values with linear interpolation between two (Hyndman and Fan's type 7, numpy's default); 0 and 1
leave their side open: the sample's extremes say nothing of the rest. The z-score is (value - mean) / standard deviation of the
sample. NaN is in no fit, and fails like in any rule.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.registry import get_signal
from filters.rules import Judge, measure, recorded
from filters.step import all_kept, reasons
from filters.texts import Views

Bounds = tuple[float | None, float | None]


def fit(values: np.ndarray, quantile: tuple[float, float] | None = None, zscore: float | None = None) -> Bounds:
    """(min, max) of the values, float64 without NaN, in any order: the same bits whatever the order."""
    values = np.sort(np.asarray(values, np.float64) + 0.0)  # -0.0 and 0.0 are one number
    if not len(values):
        return None, None
    if quantile is not None:
        low, high = (float(np.quantile(values, share)) for share in quantile)
        return low if quantile[0] > 0 else None, high if quantile[1] < 1 else None
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((values - mean) ** 2) / len(values)) * float(zscore or 0)
    return mean - spread, mean + spread


def groups_of(table: pa.Table, by: str | None) -> pa.Array:
    """The group of each row: its value of the column `by`, "" for null and without `by`."""
    return pc.fill_null(table[by], "").combine_chunks() if by else pa.array([""] * len(table), pa.string())


def keep_fitted(
    name: str,
    by: str | None,
    groups: dict[str, dict[str, Any]],
    record: bool = False,
    chosen: Callable[[pa.Table], np.ndarray] | None = None,
) -> Judge:
    """A step that keeps documents whose signal `name` is within the bounds of their group; those of a group that was not
    fitted stay. groups: {"en": {"min": 3.1, "max": 9.8, ...}}; None leaves a side open. `record`, `chosen`: as in `keep_rules`."""
    signal = get_signal(name)
    names = [group for group, of in groups.items() if (of["min"], of["max"]) != (None, None)]
    lows = np.array([-np.inf if groups[g]["min"] is None else groups[g]["min"] for g in names] + [-np.inf])
    highs = np.array([np.inf if groups[g]["max"] is None else groups[g]["max"] for g in names] + [np.inf])

    def step(table: pa.Table, views: Views | None = None) -> tuple[pa.Table, pa.StructArray]:
        rows = np.arange(len(table)) if chosen is None else chosen(table)
        place = pc.index_in(groups_of(table, by), value_set=pa.array(names, pa.string()))
        at = pc.fill_null(place, -1).to_numpy(zero_copy_only=False).astype(np.int64)[rows]
        if not record:
            rows, at = rows[at >= 0], at[at >= 0]
        if not len(rows):
            return table, all_kept(len(table))
        views = views or Views(table)
        texts = views.of(rows)
        values = measure(signal, texts)
        views.put(rows, texts)
        if record:
            table = recorded(table, f"signal.{name}", rows, values)
        failed = ~((values >= lows[at]) & (values <= highs[at])) & (at >= 0)
        side = np.where(np.isnan(values), 2, np.where(values < lows[at], 0, 1))[failed]
        bounds = np.array([lows[at][failed], highs[at][failed], np.full(len(side), np.nan)])[side, np.arange(len(side))]
        why = [f"{name}.{('min', 'max', 'nan')[each]}" for each in side]
        told = [f"{by} {names[each]}" if by else None for each in at[failed]]
        return table, reasons(
            len(table), rows[failed], why, values[failed], pa.array(bounds, mask=np.isnan(bounds)), told
        )

    return step
