"""What stands under `keep:` in a recipe: rules with bounds, rule sets, language, classifiers, URLs.

keep: {word_count: {min: 50}, symbol_to_word_ratio: {max: 0.1}}   ->   one step of two rules
keep: gopher_quality                                              ->   the rules of configs/rules/gopher_quality.yaml
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import filters
from filters.registry import nearest
from filters.rules import load_rule_set
from pipeline import HOME
from pipeline.errors import InputError, RecipeError
from pipeline.recipes.recipe import letter
from pipeline.recipes.row_step import RowStep, checked_options, refused
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source

RULE_SETS = HOME / "configs" / "rules"
FITTED = {"quantile", "zscore", "thresholds"}


def keep_steps(
    bodies: dict[str, Any], prefix: str, where: dict[str, list[str]], path: KeyPath, source: Source
) -> list[RowStep]:
    """`keep` bodies in order; neighbouring single rules become one step."""
    steps: list[RowStep] = []
    loose: list[list[Any]] = []
    sets = rule_sets()
    for name, options in bodies.items():
        place = (*path, name)
        if name in filters.SIGNALS and isinstance(options, dict) and FITTED & options.keys():
            steps.append(_fitted(name, options, f"{prefix}.{name}", where, place, source))
        elif name in filters.SIGNALS:
            loose.append(_rule(name, options, place, source))
        elif name == "language":
            steps.append(_language(options, f"{prefix}.language", where, place, source))
        elif name == "fasttext":
            steps.append(_classifier(options, prefix, where, place, source))
        elif name == "url":
            steps.append(_url(options, f"{prefix}.url", where, place, source))
        elif name in sets:
            steps.append(
                RowStep(f"{prefix}.{name}", "rules", {"rules": _rule_set(sets[name], options, place, source)}, where)
            )
        else:
            known = ["language", "fasttext", "url", *sets, *filters.SIGNALS]
            raise refused(
                source,
                place,
                f"no signal or rule set is called '{name}'{nearest(name, known)} ('gristmill signals' lists them)",
            )
    if loose:
        name = loose[0][0] if len(loose) == 1 else "rules"
        steps.append(RowStep(f"{prefix}.{name}", "rules", {"rules": loose}, where))
    return steps


def _rule(signal: str, bounds: Any, path: KeyPath, source: Source) -> list[Any]:
    """One rule as [signal, min, max]."""
    if not isinstance(bounds, dict) or not bounds:
        raise refused(source, path, f"'{signal}' is {bounds!r}; expected {{min: NUMBER}}, {{max: NUMBER}} or both")
    for side, bound in bounds.items():
        if side not in ("min", "max"):
            known = ["min", "max", *sorted(FITTED)]
            raise refused(
                source,
                (*path, side),
                f"'{signal}' has min and max, not '{side}'{nearest(side, known)}",
            )
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not math.isfinite(bound):
            raise refused(source, (*path, side), f"'{signal}.{side}' is {bound!r}; expected a number")
    low, high = bounds.get("min"), bounds.get("max")
    if low is not None and high is not None and low > high:
        raise refused(source, path, f"'{signal}' has min {low} above max {high}: no document could stay")
    return [signal, low, high]


def _fitted(
    signal: str, options: dict[str, Any], name: str, where: dict[str, list[str]], path: KeyPath, source: Source
) -> RowStep:
    from pipeline.refining.fit import Fitted, resolved

    both = sorted(options.keys() & {"min", "max"})
    if both:
        raise refused(
            source, (*path, both[0]), f"'{signal}' is fitted and has {both[0]}; give the other rule a step of its own"
        )
    try:
        return RowStep(name, "fitted", resolved(signal, Fitted.model_validate(options)), where)
    except ValidationError as error:
        raise RecipeError(letter(error, source, path, Fitted)) from None
    except InputError as error:
        raise refused(source, path, str(error)) from None


def _rule_set(file: Path, overrides: Any, path: KeyPath, source: Source) -> list[list[Any]]:
    rules = {rule.signal: [rule.signal, rule.min, rule.max] for rule in load_rule_set(file).rules}
    if overrides is not None and not isinstance(overrides, dict):
        raise refused(
            source,
            path,
            f"'{path[-1]}' is {overrides!r}; expected nothing, or a mapping of its signals to other bounds",
        )
    for signal, bounds in (overrides or {}).items():
        if signal not in rules:
            raise refused(
                source,
                (*path, signal),
                f"the rule set {file.stem} has no '{signal}'{nearest(signal, rules)} (it has {', '.join(rules)})",
            )
        rules[signal] = _rule(signal, bounds, (*path, signal), source)
    return list(rules.values())


def _language(options: Any, name: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    from filters.language import language

    checked = checked_options(language, options or {}, path, source)
    model = checked.get("model")
    try:
        language(**checked)
    except (ValueError, OSError) as error:
        raise refused(source, path, str(error)) from None
    if model is not None:
        checked["model_sha256"] = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    return RowStep(name, "language", checked, where)


def _classifier(options: Any, prefix: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    from filters.classifier import classifier

    checked = checked_options(classifier, options or {}, path, source)
    try:
        classifier(**checked)
    except (ValueError, OSError) as error:
        raise refused(source, path, str(error)) from None
    checked["name"] = checked["name"] or Path(checked["model"]).stem
    checked["model_sha256"] = hashlib.sha256(Path(checked["model"]).read_bytes()).hexdigest()
    return RowStep(f"{prefix}.{checked['name']}", "classifier", checked, where)


def _url(options: Any, name: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    from pipeline.refining.urls import UrlFilter, resolved

    try:
        return RowStep(name, "url", resolved(UrlFilter.model_validate(options or {})), where)
    except ValidationError as error:
        raise RecipeError(letter(error, source, path, UrlFilter)) from None
    except InputError as error:
        raise refused(source, path, str(error)) from None


def rule_sets() -> dict[str, Path]:
    """Name -> file of every rule set in configs/rules/."""
    return {file.stem: file for file in sorted(RULE_SETS.glob("*.yaml"))}
