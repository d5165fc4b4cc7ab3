"""The steps of a recipe: checked, resolved to plain data, and built into row steps.

In:  ``{"keep": "gopher_quality", "where": {"lang": "en"}}`` (an item of the recipe's list)
Out: ``RowStep(name="04.keep.gopher_quality", kind="rules", options={"rules": [["word_count", 50, 100000], ...]}, where={"lang": ["en"]})``

A resolved step is JSON: it travels to workers and into the fingerprint of a task. Dedup steps need
other documents and are no row steps; `pipeline.matching.near` does them.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import typing
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, ValidationError, create_model

import filters
from filters.registry import nearest
from filters.rules import load_rule_set
from pipeline import HOME
from pipeline.chat.canonical import ROLES
from pipeline.errors import InputError, RecipeError
from pipeline.recipes.dedup import CUTS, Exact, MinHash, add_dedup
from pipeline.recipes.recipe import Texts, letter
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source

RULE_SETS = HOME / "configs" / "rules"
WHOLE = ("url", "fitted", "length")  # kinds of row steps that know no turns
FITTED = {"quantile", "zscore", "thresholds"}
KINDS = ("extract", "edit", "keep", "length", "decontaminate", "datatrove", "dedup")


@dataclass(frozen=True)
class RowStep:
    """One step that looks at a document alone. `options` and `where` are plain JSON values."""

    name: str
    kind: Literal[
        "extract", "edit", "language", "classifier", "rules", "fitted", "url", "length", "decontaminate", "datatrove"
    ]
    options: dict[str, Any] = field(default_factory=dict)
    where: dict[str, list[str]] = field(default_factory=dict)
    on: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Steps:
    """All steps of a recipe, resolved."""

    rows: list[RowStep]
    exact: Exact | None
    minhash: MinHash | None
    names: dict[str, str]
    cuts: dict[str, dict[str, Any]]
    keys: list[tuple[str, Exact]] = field(default_factory=list)

    @property
    def keep(self) -> list[Any] | None:
        """The one policy of this recipe's dedup as its criteria in order, None without dedup."""
        for step in (self.minhash, self.exact, *(key for _, key in self.keys)):
            if step is not None and "keep" in step.model_fields_set:
                return step.keep
        return ["longest"] if self.names else None


def parse_steps(items: list[Any], source: Source) -> Steps:
    """Checks and resolves the recipe's list. Errors: RecipeError naming file, line, key and the nearest known name."""
    rows: list[RowStep] = []
    dedup: dict[str, Any] = {}
    names: dict[str, str] = {}
    for number, item in enumerate(items):
        path: KeyPath = ("steps", number)
        kind, body, where = _opened(item, path, source)
        on = _on(item, kind, (*path, "on"), source)
        if kind == "dedup":
            add_dedup(dedup, body, where, path, source)
            names |= {kind: f"{number + 1:02d}.dedup.{kind}" for kind in dedup if kind not in names}
            continue
        if dedup:
            raise _error(
                source,
                path,
                f"'{kind}' stands after dedup: a later step could drop or change the document that others were removed for. Put the dedup steps last.",
            )
        made = _row_steps(kind, body, where, number, source)
        alone = next((step for step in made if step.kind in WHOLE), None)
        if on and alone is not None:
            raise _error(
                source,
                (*path, "on"),
                f"'on' works on turns one by one; {alone.name.partition('.')[2]} looks at whole documents",
            )
        rows += [replace(step, on=on) for step in made]
    _refuse_repeats(rows, source)
    if "exact" in dedup and "minhash" in dedup and dedup["minhash"].by != "text":
        # what near-dedup compares is what counts as equal text there; whole texts are a key of their own
        dedup["exact.text"], names["exact.text"] = dedup.pop("exact"), names.pop("exact")
    whole = [step for kind, step in dedup.items() if kind not in CUTS]
    policies = [step.keep for step in whole if "keep" in step.model_fields_set]
    if any(policy != policies[0] for policy in policies):
        raise _error(
            source,
            ("steps",),
            "the dedup steps keep by different policies; one order decides about all duplicates. Give keep once.",
        )
    cuts = {kind: {"name": names.pop(kind), **dedup[kind].model_dump()} for kind in CUTS if kind in dedup}
    keys = [(names[kind], step) for kind, step in dedup.items() if kind.startswith("exact.")]
    return Steps(rows, dedup.get("exact"), dedup.get("minhash"), names, cuts, keys)


def _opened(item: Any, path: KeyPath, source: Source) -> tuple[str, Any, dict[str, list[str]]]:
    """One item -> (kind, body, where)."""
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, dict):
        raise _error(source, path, f"a step is a mapping such as '- keep: gopher_quality'; this one is {item!r}")
    kinds = [key for key in item if key not in ("where", "on")]
    for key in kinds:
        if key not in KINDS:
            raise _error(source, (*path, key), f"unknown step '{key}'{nearest(key, KINDS)} (known: {', '.join(KINDS)})")
    if len(kinds) != 1:
        raise _error(
            source,
            path,
            f"a step has one of {', '.join(KINDS)} (and, if wanted, where and on); this one has {', '.join(kinds) or 'none'}. Give each its own '- '.",
        )
    return kinds[0], item[kinds[0]], _where(item.get("where", {}), (*path, "where"), source)


def _where(where: Any, path: KeyPath, source: Source) -> dict[str, list[str]]:
    if not isinstance(where, dict):
        raise _error(source, path, f"'where' is {where!r}; expected a mapping such as {{lang: en}}")
    for column, values in where.items():
        if column not in ("lang", "source"):
            raise _error(
                source,
                (*path, column),
                f"'where' knows lang and source, not '{column}'{nearest(column, ['lang', 'source'])}",
            )
        if not all(isinstance(v, str) for v in (values if isinstance(values, list) else [values])):
            raise _error(source, (*path, column), f"'where.{column}' is {values!r}; expected a name or a list of names")
    return {column: [values] if isinstance(values, str) else list(values) for column, values in where.items()}


def _on(item: Any, kind: str, path: KeyPath, source: Source) -> list[str]:
    """The roles whose turns the step works on; none: it works on documents."""
    given = item.get("on", []) if isinstance(item, dict) else []
    roles = [given] if isinstance(given, str) else given
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise _error(source, path, f"'on' is {given!r}; expected a role or a list of roles: {', '.join(ROLES)}")
    for role in roles:
        if role not in ROLES:
            raise _error(
                source, path, f"no turn has the role '{role}'{nearest(role, ROLES)} (roles: {', '.join(ROLES)})"
            )
    if roles and kind in ("extract", "dedup"):
        raise _error(source, path, f"'on' works on turns one by one; {kind} does not")
    return roles


def _row_steps(kind: str, body: Any, where: dict[str, list[str]], number: int, source: Source) -> list[RowStep]:
    path: KeyPath = ("steps", number, kind)
    prefix = f"{number + 1:02d}.{kind}"
    if kind == "extract":
        from filters.extract import extract

        checked = _options(extract, body or {}, path, source)
        try:
            extract(**checked)  # what is wrong shows now: a missing package, options that do not go together
        except (ValueError, ImportError) as error:
            raise _error(source, path, str(error)) from None
        return [RowStep(prefix, "extract", checked, where)]
    if kind == "length":
        from filters.length import length

        checked = _options(length, body or {}, path, source)
        try:
            length(**checked)
        except ValueError as error:
            raise _error(source, path, str(error)) from None
        return [RowStep(prefix, "length", checked, where)]
    if kind == "decontaminate":
        return [_decontaminate(body, prefix, where, path, source)]
    if kind == "datatrove":
        return [RowStep(f"{prefix}.{_datatrove_name(body, path, source)}", "datatrove", body, where)]
    bodies = {body: None} if isinstance(body, str) else body
    if not isinstance(bodies, dict) or not bodies:
        raise _error(source, path, f"'{kind}' is {body!r}; expected a name or a mapping of names to options")
    if kind == "edit":
        return [_edit(name, options, prefix, where, path, source) for name, options in bodies.items()]
    return _keeps(bodies, prefix, where, path, source)


def _edit(name: str, options: Any, prefix: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    known = filters.EDITS
    if name not in known:
        raise _error(
            source, (*path, name), f"unknown edit '{name}'{nearest(name, known)} (known: {', '.join(sorted(known))})"
        )
    checked = _options(known[name].function, options or {}, (*path, name), source)
    model: dict[str, str] = {}
    try:
        known[name].function(filters.Texts(pa.array([], pa.large_string())), **checked)  # what is wrong shows now
    except (ValueError, ImportError, OSError) as error:
        raise _error(source, (*path, name), str(error)) from None
    if checked.get("model"):
        model = {"model_sha256": hashlib.sha256(Path(checked["model"]).read_bytes()).hexdigest()}
    return RowStep(f"{prefix}.{name}", "edit", {"edit": name, "options": checked, **model}, where)


def _keeps(
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
            raise _error(
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
        raise _error(source, path, f"'{signal}' is {bounds!r}; expected {{min: NUMBER}}, {{max: NUMBER}} or both")
    for side, bound in bounds.items():
        if side not in ("min", "max"):
            known = ["min", "max", *sorted(FITTED)]
            raise _error(
                source,
                (*path, side),
                f"'{signal}' has min and max, not '{side}'{nearest(side, known)}",
            )
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not math.isfinite(bound):
            raise _error(source, (*path, side), f"'{signal}.{side}' is {bound!r}; expected a number")
    low, high = bounds.get("min"), bounds.get("max")
    if low is not None and high is not None and low > high:
        raise _error(source, path, f"'{signal}' has min {low} above max {high}: no document could stay")
    return [signal, low, high]


def _fitted(
    signal: str, options: dict[str, Any], name: str, where: dict[str, list[str]], path: KeyPath, source: Source
) -> RowStep:
    from pipeline.refining.fit import Fitted, resolved

    both = sorted(options.keys() & {"min", "max"})
    if both:
        raise _error(
            source, (*path, both[0]), f"'{signal}' is fitted and has {both[0]}; give the other rule a step of its own"
        )
    try:
        return RowStep(name, "fitted", resolved(signal, Fitted.model_validate(options)), where)
    except ValidationError as error:
        raise RecipeError(letter(error, source, path, Fitted)) from None
    except InputError as error:
        raise _error(source, path, str(error)) from None


def _rule_set(file: Path, overrides: Any, path: KeyPath, source: Source) -> list[list[Any]]:
    rules = {rule.signal: [rule.signal, rule.min, rule.max] for rule in load_rule_set(file).rules}
    if overrides is not None and not isinstance(overrides, dict):
        raise _error(
            source,
            path,
            f"'{path[-1]}' is {overrides!r}; expected nothing, or a mapping of its signals to other bounds",
        )
    for signal, bounds in (overrides or {}).items():
        if signal not in rules:
            raise _error(
                source,
                (*path, signal),
                f"the rule set {file.stem} has no '{signal}'{nearest(signal, rules)} (it has {', '.join(rules)})",
            )
        rules[signal] = _rule(signal, bounds, (*path, signal), source)
    return list(rules.values())


def _language(options: Any, name: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    from filters.language import language

    checked = _options(language, options or {}, path, source)
    model = checked.get("model")
    try:
        language(**checked)
    except (ValueError, OSError) as error:
        raise _error(source, path, str(error)) from None
    if model is not None:
        checked["model_sha256"] = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    return RowStep(name, "language", checked, where)


def _classifier(options: Any, prefix: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    from filters.classifier import classifier

    checked = _options(classifier, options or {}, path, source)
    try:
        classifier(**checked)
    except (ValueError, OSError) as error:
        raise _error(source, path, str(error)) from None
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
        raise _error(source, path, str(error)) from None


def _decontaminate(options: Any, name: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    from pipeline.cutting.decontaminate import benchmark_files, check_options, decontaminate

    checked = _options(decontaminate, options or {}, path, source)
    try:
        check_options(checked)
        checked["files"] = benchmark_files(checked)
    except (ValueError, InputError) as error:
        raise _error(source, path, str(error)) from None
    return RowStep(name, "decontaminate", checked, where)


def _datatrove_name(body: Any, path: KeyPath, source: Source) -> str:
    from filters.datatrove import datatrove_step

    if not isinstance(body, dict):
        raise _error(source, path, "datatrove is a mapping such as {filter: GopherQualityFilter, min_doc_words: 50}")
    try:
        datatrove_step(**body)
    except (ValueError, TypeError, ImportError) as error:
        raise _error(source, path, str(error)) from None
    return str(body.get("filter") or body.get("formatter")).rsplit(".", 1)[-1]


def _options(function: Callable[..., Any], given: Any, path: KeyPath, source: Source) -> dict[str, Any]:
    """`given` checked against the keyword-only parameters of `function`, defaults filled in."""
    model = _options_model(function)
    try:
        return model.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        raise RecipeError(letter(error, source, path, model)) from None


@functools.cache
def _options_model(function: Callable[..., Any]) -> type[Any]:
    hints = typing.get_type_hints(function)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            kind = {list[str]: Texts, list[str] | None: Texts | None}.get(hints[name], hints[name])
            # `in` and `with` are words of Python: the parameter carries a trailing underscore
            fields[name] = (kind, Field(default, alias=name.rstrip("_")) if name.endswith("_") else default)
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def step_path(name: str) -> KeyPath:
    """Where the recipe has a step of this name: "04.keep.quality" -> ("steps", 3)."""
    return "steps", int(name.partition(".")[0]) - 1


def measures(step: RowStep) -> list[str]:
    """Names of the signals that a step measures."""
    if step.kind == "rules":
        return [rule[0] for rule in step.options["rules"]]
    if step.kind == "fitted":
        return [step.options["signal"]]
    if step.kind == "language":
        return ["second_language_score"] if step.options["second"] else []
    return [step.options["name"]] if step.kind == "classifier" else []


def _refuse_repeats(rows: list[RowStep], source: Source) -> None:
    seen: dict[str, str] = {}
    for step in rows:
        identity = repr((step.kind, step.options, step.where, step.on))
        if identity in seen:
            raise _error(
                source,
                step_path(step.name),
                f"'{step.name}' does the same as '{seen[identity]}' above; once is all it takes",
            )
        seen[identity] = step.name


def rule_sets() -> dict[str, Path]:
    """Name -> file of every rule set in configs/rules/."""
    return {file.stem: file for file in sorted(RULE_SETS.glob("*.yaml"))}


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}")
