"""What a recipe can name: every signal, edit, rule set and step, one line each."""

from __future__ import annotations

from typing import Any

import filters
from filters.rules import load_rule_set
from pipeline.recipes.dedup import DEDUP
from pipeline.recipes.keep import rule_sets


def catalogue() -> dict[str, Any]:
    """{"signals": [...], "edits": [...], "rule_sets": [...], "dedup": [...]}, each entry with name and what it says of itself."""
    filters.load_builtin()
    sets = [load_rule_set(path) for path in rule_sets().values()]
    return {
        "signals": [
            {"name": s.name, "family": s.family, "doc": s.doc, "source": s.source}
            for s in sorted(filters.SIGNALS.values(), key=lambda s: (s.family, s.name))
        ],
        "edits": [
            {"name": e.name, "doc": e.doc, "source": e.source}
            for e in sorted(filters.EDITS.values(), key=lambda e: e.name)
        ],
        "rule_sets": [
            {"name": s.name, "doc": s.about, "source": s.source, "rules": [[r.signal, r.min, r.max] for r in s.rules]}
            for s in sets
        ],
        "dedup": [{"name": name, "doc": (model.__doc__ or "").splitlines()[0]} for name, model in DEDUP.items()],
    }


def catalogue_text(found: dict[str, Any]) -> str:
    """The catalogue as lines for a terminal."""
    lines = ["Signals (keep: {NAME: {min: ..., max: ...}})", ""]
    family = None
    for entry in found["signals"]:
        if entry["family"] != family:
            family = entry["family"]
            lines.append(f"  {family}")
        lines.append(f"    {entry['name']:<32} {entry['doc']} [{entry['source']}]")
    lines += ["", "Edits (edit: {NAME: {...}})", ""]
    lines += [f"    {entry['name']:<32} {entry['doc']}" for entry in found["edits"]]
    lines += ["", "Rule sets (keep: NAME)", ""]
    for entry in found["rule_sets"]:
        lines.append(f"    {entry['name']:<32} {entry['doc']} [{entry['source']}]")
        lines += [f"        {signal:<28} {_bounds(low, high)}" for signal, low, high in entry["rules"]]
    lines += ["", "Dedup (dedup: {NAME: {...}}; always last)", ""]
    lines += [f"    {entry['name']:<32} {entry['doc']}" for entry in found["dedup"]]
    return "\n".join(lines)


def _bounds(low: float | None, high: float | None) -> str:
    return " ".join([*([f"min {low:g}"] if low is not None else []), *([f"max {high:g}"] if high is not None else [])])
