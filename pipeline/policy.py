"""The keep policy of a recipe as columns to sort documents by: which of a group of duplicates stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa


def policy_columns(keep: Any) -> list[str]:
    """Columns of the features file that the policy looks at."""
    if keep == "newest":
        return ["date"]
    if isinstance(keep, dict):
        return [f"signal.{keep['best']}"] if "best" in keep else ["source"]
    return ["chars"] if keep else []


def criteria(keep: Any, columns: dict[str, pa.ChunkedArray]) -> list[tuple[np.ndarray, bool]]:
    """The policy as (values, descending) pairs for `dedup.survivors.policy_order`, which breaks ties by key."""
    if not keep:
        return []
    if keep == "longest":
        return [(columns["chars"].to_numpy(), True)]
    if keep == "newest":
        return [(_date_ranks(columns["date"]), True)]
    if "best" in keep:
        return [(columns[f"signal.{keep['best']}"].to_numpy(), True)]
    place = {name: float(i) for i, name in enumerate(keep["source"])}
    return [(np.array([place.get(s, np.nan) for s in columns["source"].to_pylist()]), False)]


def _date_ranks(dates: pa.ChunkedArray) -> np.ndarray:
    """Ranks of ISO 8601 dates, which sort as text; NaN for what does not begin with a year."""
    texts = np.array([d if d and d[:4].isdigit() else "" for d in dates.to_pylist()], dtype=np.str_)
    ranks = np.unique(texts, return_inverse=True)[1].astype(float)
    ranks[texts == ""] = np.nan
    return ranks
