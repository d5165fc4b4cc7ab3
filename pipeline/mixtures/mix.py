"""What a recipe says of mixtures, checked, as plain data.

In:  mix: {by: lang, weights: {en: 0.7, zh: 0.3}, total: 2B}
Out: {"step": "mix", "by": ["lang"], "how": "weights", "values": {"en": 0.7, "zh": 0.3}, "total": 2000000000, "unit": "tokens",
      "split": 0, ...}

`minhash: {upsample: {2: 2, 10: 3}}` is the mixture {by: cluster_size, epochs: {2: 2, 10: 3}}.
"""

from __future__ import annotations

from typing import Any

from filters.registry import nearest
from pipeline.errors import RecipeError
from pipeline.mixtures.allot import REST
from pipeline.recipes.recipe import Mix, Recipe
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source
from pipeline.recipes.steps import Steps
from pipeline.splits.options import options

STEP = "mix"
LEFT_OUT = "left_out"
CLUSTER, SIGNAL, LABEL = "cluster_size", "signal.", "label"
BY = ("source", "lang", "url", "date", LABEL, CLUSTER)
HOWS = ("epochs", "weights", "budget", "temperature")
ONCE: dict[str, Any] = {
    "step": STEP, "by": [], "how": "epochs", "values": {}, "rest": 1.0, "total": None, "temperature": None,
    "max_epochs": 100.0, "unit": "documents", "seed": 0,
}  # fmt: skip
"""Every document once."""


def mix_spec(recipe: Recipe, steps: Steps, source: Source) -> dict[str, Any] | None:
    """The mixture of a recipe, None if it has none. Errors: RecipeError."""
    given = recipe.mix
    upsample = steps.minhash.upsample if steps.minhash else {}
    if given is None:
        values = {str(size): float(count) for size, count in sorted(upsample.items())}
        if not upsample:
            return None
        return {**ONCE, "by": [CLUSTER], "values": values, "split": options(recipe.output.split)["main"]}
    if upsample:
        raise _error(
            source,
            ("mix",),
            "minhash upsample and mix both say how often documents are written; as a mixture the first is "
            "mix: {by: cluster_size, epochs: {2: 2, 10: 3}}",
        )
    how = _how(given, source)
    _check_by(given, recipe, source)
    named = getattr(given, how, None) or {} if how != "temperature" else {}
    values = {name: float(value) if how != "budget" else int(value) for name, value in named.items()}
    if REST in values:
        raise _error(
            source,
            ("mix", how, REST),
            f"'{REST}' is the bucket of all that has no line of its own; give it as mix: {{rest: {values[REST]:g}}}, beside {how}",
        )
    if numeric(given.by):
        values = _edges(values, how, given.by[0], source)
    return {
        **ONCE, "by": given.by, "how": how, "values": values, "total": given.total, "temperature": given.temperature,
        "rest": (0.0 if how == "weights" else 1.0) if given.rest is None else given.rest, "max_epochs": given.max_epochs,
        "unit": _unit(given, how, recipe, source), "split": split_number(given.split, recipe, "mix", source), "seed": given.seed,
    }  # fmt: skip


def numeric(by: list[str]) -> bool:
    """Whether buckets are ranges of a number, named by their lower edges."""
    return bool(by) and (by[0] == CLUSTER or by[0].startswith(SIGNAL))


def mix_signals(spec: dict[str, Any] | None) -> list[str]:
    """Names of the signals that buckets are made of."""
    return [name.removeprefix(SIGNAL) for name in spec["by"] if name.startswith(SIGNAL)] if spec else []


def carried(spec: dict[str, Any] | None) -> list[str]:
    """Columns that buckets are made of and that features do not have anyway."""
    return (
        [name for name in spec["by"] if name not in ("source", CLUSTER) and not name.startswith(SIGNAL)] if spec else []
    )


def split_number(given: str | None, recipe: Recipe, key: str, source: Source) -> int:
    """The number of the split that is mixed or augmented: the one named, else `train`, else the one that all others are
    compared with."""
    found = options(recipe.output.split)
    names = found["splits"]
    if given is None and found["split"]["folds"] and "train" not in names:
        raise _error(
            source,
            (key,),
            f"which of the folds are trained on is known later; say which split this is for: split: {names[0]}",
        )
    if given is None:
        return names.index("train") if "train" in names else found["main"]
    if given not in names:
        raise _error(source, (key, "split"), f"there is no split '{given}'{nearest(given, names)} ({', '.join(names)})")
    return names.index(given)


def mix_words(spec: dict[str, Any], splits: list[str]) -> str:
    """A line for a terminal: "train by lang: weights en 0.7, zh 0.3; 2,000,000,000 tokens in all"."""
    values = ", ".join(f"{name} {value:,g}" for name, value in spec["values"].items())
    if spec["how"] == "temperature":
        values = f"{spec['temperature']:g}"
    text = (
        f"{splits[spec['split']]}{' by ' + '/'.join(spec['by']) if spec['by'] else ''}: {spec['how']} {values}".rstrip()
    )
    if spec["how"] in ("epochs", "weights", "budget"):
        text += f"{',' if values else ''} rest {spec['rest']:g}"
    text += f"; {spec['total']:,} {spec['unit']} in all" if spec["total"] else f"; counted in {spec['unit']}"
    return text + (f"; {spec['max_epochs']:g} epochs at most" if spec["max_epochs"] < 100 else "")


# -- checks ----------------------------------------------------------------------------------------


def _how(given: Mix, source: Source) -> str:
    found = [how for how in HOWS if getattr(given, how) is not None]
    if len(found) > 1 or not (found or given.total):
        stand = f"; here stand {', '.join(found)}" if found else ""
        raise _error(
            source, ("mix",), f"a mixture has one of {', '.join(HOWS)}, or a total alone{stand} (see docs/mixtures.md)"
        )
    if found == ["budget"] and given.total:
        raise _error(source, ("mix", "total"), "the budgets say how much there is in all; leave out total")
    if found == ["weights"] and given.weights is not None and not sum(given.weights.values()) + (given.rest or 0):
        raise _error(source, ("mix", "weights"), "all weights are 0: nothing would be written")
    return found[0] if found else "natural"


def _check_by(given: Mix, recipe: Recipe, source: Source) -> None:
    place: KeyPath = ("mix", "by")
    for name in given.by:
        if not (name in BY or (name.startswith((SIGNAL, "metadata.")) and name.split(".", 1)[1])):
            raise _error(
                source,
                place,
                f"documents have no '{name}' to be told apart by{nearest(name, BY)} (known: {', '.join(BY)}, signal.NAME, metadata.FIELD)",
            )
    if len(set(given.by)) < len(given.by) or (len(given.by) > 1 and any(numeric([name]) for name in given.by)):
        raise _error(source, place, "several columns are told apart together if they are text, each named once")
    if LABEL in given.by and recipe.labels is None:
        raise _error(source, place, "nothing says which field is the label: labels: {column: label}")
    if not given.by and any((given.epochs, given.weights, given.budget, given.temperature)):
        raise _error(source, place, "say what the buckets are: by: lang, by: source, by: signal.NAME, ...")
    if numeric(given.by) and given.temperature is not None:
        raise _error(source, place, f"temperature is for names, such as languages; {given.by[0]} is a number")


def _edges(values: dict[str, Any], how: str, by: str, source: Source) -> dict[str, Any]:
    """Lower edges in order."""
    try:
        found = sorted(values.items(), key=lambda item: float(item[0]))
    except ValueError:
        wrong = next(name for name in values if not _number(name))
        raise _error(
            source,
            ("mix", how, wrong),
            f"buckets of {by} are ranges named by their lower edge, a number; got '{wrong}'",
        ) from None
    return dict(found)


def _number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _unit(given: Mix, how: str, recipe: Recipe, source: Source) -> str:
    if given.unit is None and recipe.tokens is None and how == "epochs" and not given.total:
        return "documents"
    unit = given.unit or "tokens"
    if unit == "tokens" and recipe.tokens is None:
        raise _error(
            source,
            ("mix",),
            "the mixture counts tokens, and no tokenizer is named: tokens: {tokenizer: PATH}; or count otherwise: unit: bytes or unit: documents",
        )
    return unit


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}")
