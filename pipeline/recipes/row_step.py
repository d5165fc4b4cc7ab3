"""One step that looks at a document alone, as plain data; what its options must be, and what is said of a wrong one."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, create_model

from pipeline.errors import RecipeError
from pipeline.recipes.recipe import Texts, letter
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source


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


def checked_options(function: Callable[..., Any], given: Any, path: KeyPath, source: Source) -> dict[str, Any]:
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


def refused(source: Source, path: KeyPath, message: str) -> RecipeError:
    """The error to raise, with the file and the line of the key."""
    return RecipeError(f"{source.where(path)}: {message}")
