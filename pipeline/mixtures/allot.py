"""The arithmetic of mixtures: from what each bucket holds to how much of it is written, and to who is written once more.

    spec       {"how": "weights", "values": {"en": 0.7, "zh": 0.3}, "rest": 0.0, "total": 1000, "max_epochs": 100.0, ...}
    available  {"en": (50 documents, 2000), "zh": (9, 100)}        amounts in tokens, bytes or documents
    targets    {"en": 700, "zh": 300}

An amount that is not a whole number of epochs takes the documents with the smallest draws (a 64-bit hash) once more, until the
amount is met; so the smaller mixture is part of the larger one, and the error is half a document at most. The draw at
which to stop is found by counting: amounts of BINS ranges of draws first, then the documents of one range.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 1 << 12
"""Ranges of draws: of a bucket of a billion documents 250,000 are then looked at one by one."""
REST = "rest"
"""The bucket of documents that the recipe names no bucket for."""

Amounts = dict[str, tuple[int, int]]


def targets(spec: dict[str, Any], available: Amounts) -> dict[str, int]:
    """The amount to be written of each bucket: those that are there, then those that only the recipe names (0)."""
    there = {name: amount for name, (_, amount) in sorted(available.items())}
    if spec["how"] in ("epochs", "budget"):
        wanted = {name: _own(spec, name, amount) for name, amount in there.items()}
        if spec["total"] and sum(wanted.values()):
            scale = spec["total"] / sum(wanted.values())
            wanted = {name: amount * scale for name, amount in wanted.items()}
        wanted = {name: min(amount, spec["max_epochs"] * there[name]) for name, amount in wanted.items()}
    elif spec["how"] == "balance":
        most = max((amount for name, amount in there.items() if name != REST), default=0)
        wanted = {name: min(most - amount, spec["max_epochs"] * amount) for name, amount in there.items()}
        wanted |= {REST: 0} if REST in there else {}  # documents without a label
    else:
        wanted = shared(spec, there)
    found = {name: round(amount) for name, amount in wanted.items()}
    return found | {name: 0 for name in spec["values"] if name not in found}


def _own(spec: dict[str, Any], name: str, amount: int) -> float:
    """What a bucket's own line of the recipe asks for; `rest` is epochs."""
    if name in spec["values"]:
        value = spec["values"][name]
        return value * amount if spec["how"] == "epochs" else float(value)
    return spec["rest"] * amount


def shared(spec: dict[str, Any], there: dict[str, int]) -> dict[str, float]:
    """A total shared out by weights. A bucket that `max_epochs` stops leaves the rest to the others, in proportion."""
    weights = {name: _weight(spec, name, amount) if amount else 0.0 for name, amount in there.items()}
    left = float(spec["total"] or sum(amount for name, amount in there.items() if weights[name]))
    wanted = dict.fromkeys(there, 0.0)
    sharing = {name for name, weight in weights.items() if weight}
    while sharing:
        whole = sum(weights[name] for name in sorted(sharing))
        share = {name: left * weights[name] / whole for name in sharing}
        full = {name for name in sharing if share[name] > spec["max_epochs"] * there[name]}
        if not full:
            return wanted | share
        wanted |= {name: spec["max_epochs"] * there[name] for name in full}
        left -= sum(wanted[name] for name in sorted(full))
        sharing -= full
    return wanted


def _weight(spec: dict[str, Any], name: str, amount: int) -> float:
    if spec["how"] == "temperature":
        # 12 digits: the last one of a power may differ between mathematical libraries
        return float(f"{amount ** (1.0 / spec['temperature']):.12g}")
    return float(amount if spec["how"] == "natural" else spec["values"].get(name, spec["rest"]))


def bins(draws: np.ndarray) -> np.ndarray:
    """int64: the range of each draw (uint64)."""
    return (draws >> np.uint64(64 - (BINS.bit_length() - 1))).astype(np.int64)


def place_cut(target: int, by_bin: np.ndarray) -> dict[str, int]:
    """Where a bucket's extra documents end: {"whole": copies of all, "bin": the range it falls in, or -1 if none is
    needed, "left": the amount still wanted of that range}. `by_bin`: amounts of its ranges, int64 (BINS,)."""
    held = int(by_bin.sum())
    whole, extra = divmod(target, held) if held else (0, 0)
    if not extra:
        return {"whole": whole, "bin": -1, "left": 0}
    ends = np.cumsum(by_bin)
    at = int(np.searchsorted(ends, extra, side="left"))
    return {"whole": whole, "bin": at, "left": extra - int(ends[at] - by_bin[at])}


def threshold(cut: dict[str, int], draws: np.ndarray, amounts: np.ndarray) -> int:
    """Documents with a draw below it are written once more: the end nearest to the amount wanted. `draws` (uint64, below
    2**64 - 1) and `amounts` (int64) of the documents in the cut's range."""
    if cut["bin"] < 0:
        return 0
    order = np.argsort(draws, kind="stable")
    draws = draws[order]
    ends = np.concatenate([[0], np.cumsum(amounts[order])])
    taken = int(np.argmin(np.abs(ends - cut["left"])))
    if taken < len(draws):
        return int(draws[taken])
    return min((cut["bin"] + 1) << (64 - (BINS.bit_length() - 1)), (1 << 64) - 1)
