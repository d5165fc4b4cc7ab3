"""What a recipe says of augmentation, checked, as a mixture: how many noisy copies of each document.

In:  augment: {copies: {spam: 2.5}, typos: 0.02, drops: 0.01}       or  balance: true
Out: {"step": "augment", "by": ["label"], "values": {"spam": 2.5}, "rest": 0.0, "noise": {"drops": 0.01, "typos": 0.02}, ...}
"""

from __future__ import annotations

from typing import Any

from filters.augment import KINDS
from filters.registry import nearest
from pipeline.errors import RecipeError
from pipeline.mixtures.allot import REST
from pipeline.mixtures.mix import LABEL, ONCE, split_number
from pipeline.recipes.recipe import Recipe
from pipeline.recipes.source import Source

STEP = "augment"


def augment_spec(recipe: Recipe, source: Source) -> dict[str, Any] | None:
    """The augmentation of a recipe as a mixture with `noise`, None if it has none. Errors: RecipeError."""
    given = recipe.augment
    if given is None:
        return None
    rates = {name: getattr(given, name) for name in KINDS if getattr(given, name)}
    per_label = isinstance(given.copies, dict)
    if not rates:
        raise _error(source, f"say which noise: one of {', '.join(KINDS)}, such as typos: 0.02")
    if recipe.output.layout or any(entry.layout for entry in recipe.input):
        raise _error(source, "noise is for texts; turns of conversations are not augmented")
    if given.balance and given.copies is not None:
        raise _error(source, "balance works the copies of each label out; give copies or balance")
    if (given.balance or per_label) and recipe.labels is None:
        raise _error(source, "copies by label need labels: labels: {column: label}")
    known = recipe.labels.values if recipe.labels and recipe.labels.unknown == "drop" else None
    for label in given.copies if isinstance(given.copies, dict) and known else []:
        if label not in (known or []):
            raise _error(source, f"copies: there is no label '{label}'{nearest(label, known or [])}")
    if REST in (known or []) and (given.balance or per_label):
        raise _error(
            source, f"a label called '{REST}' would be one with documents that have none; give it another name"
        )
    values = {label: float(n) for label, n in given.copies.items()} if isinstance(given.copies, dict) else {}
    every = 0.0 if per_label else 1.0 if given.copies is None else float(given.copies)  # type: ignore[arg-type]
    return {
        **ONCE, "step": STEP, "by": [LABEL] if per_label or given.balance else [], "values": values, "rest": every,
        "how": "balance" if given.balance else "epochs", "max_epochs": given.max_copies, "seed": given.seed, "noise": rates,
        "split": split_number(given.split, recipe, STEP, source),
    }  # fmt: skip


def _error(source: Source, message: str) -> RecipeError:
    return RecipeError(f"{source.where(('augment',))}: {message}")
