"""Which shingles a run compares: of tokens or characters, by language, folded or not.

    {"tokens": 5}
    {"tokens": 5, "by_lang": {"zh": {"chars": 5}, "th": {"chars": 8}}, "fold": ["width", "simplified"]}

That is how a recipe, a task and the manifest of a corpus write it: plain JSON. Documents of different kinds share no
shingle: the kind is part of the hash (that of five tokens is nothing, so plain sets are those of `shingle_sets`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from dedup.columns import Column
from dedup.hashing import mix_int
from dedup.shingles import SHINGLE_TOKENS, UNITS, shingle_sets

Kind = tuple[str, int]


def kind_of(spec: dict[str, Any]) -> Kind:
    """("tokens", 5) of {"tokens": 5, ...}."""
    return next((unit, spec[unit]) for unit in UNITS if unit in spec)


def salt_of(kind: Kind) -> int:
    """What the hashes of a kind are kept apart by; 0 for five tokens."""
    unit, n = kind
    return 0 if kind == ("tokens", SHINGLE_TOKENS) else mix_int(UNITS.index(unit) << 32 | n)


def document_sets(texts: Column, langs: Column | None, spec: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The sets of a column as the spec has them (offsets int64, values uint64: see `shingle_sets`).

    `langs`: the language of each text, null where none is known; looked at only where the spec says `by_lang`.
    """
    fold = tuple(spec.get("fold", ()))
    groups = _rows_by_kind(langs, len(texts), spec)
    sets = [
        (rows, *shingle_sets(_taken(texts, rows), n, unit, fold, salt_of((unit, n))))
        for (unit, n), rows in groups.items()
    ]
    if len(sets) == 1:
        return sets[0][1], sets[0][2]
    return _merged(sets, len(texts))


def _rows_by_kind(langs: Column | None, rows: int, spec: dict[str, Any]) -> dict[Kind, np.ndarray]:
    """Rows (sorted) of each kind there is; the spec's own where no language has another."""
    default = kind_of(spec)
    if not spec.get("by_lang") or langs is None or not rows:
        return {default: np.arange(rows)}
    kinds = {lang: kind_of(body) for lang, body in spec["by_lang"].items()}
    found: dict[Kind, list[int]] = defaultdict(list)
    for row, lang in enumerate(langs.to_pylist()):
        found[kinds.get(lang, default)].append(row)
    return {kind: np.array(found[kind]) for kind in sorted(found)}


def _taken(texts: Column, rows: np.ndarray) -> Column:
    return texts if len(rows) == len(texts) else texts.take(rows)


def _merged(sets: list[tuple[np.ndarray, np.ndarray, np.ndarray]], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """One CSR of several over parts of the rows."""
    sizes = np.zeros(rows, np.int64)
    for mine, offsets, _ in sets:
        sizes[mine] = np.diff(offsets)
    ends = np.concatenate(([0], np.cumsum(sizes)))
    values = np.empty(ends[-1], np.uint64)
    for mine, offsets, found in sets:
        for row, low, high in zip(mine.tolist(), offsets[:-1].tolist(), offsets[1:].tolist()):
            values[ends[row] : ends[row + 1]] = found[low:high]
    return ends, values
