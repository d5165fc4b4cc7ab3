"""The tables of what can be measured (signals) and mended (edits), filled by two decorators.

A signal is one function from `Texts` to one number a document; its name is the function's name and the first
line of its docstring says what is measured. An edit is one function from `Texts` to new texts; its options
are its keyword-only parameters, with type annotations and defaults.

    @signal(family="plain", source="this project")
    def question_mark_ratio(texts: Texts) -> np.ndarray:
        "Question marks / characters."
        return ratio([text.count("?") for text in texts.strings], texts.chars)

A user's own module does the same with `from filters import signal, edit, Texts, ratio`.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from filters.texts import Texts

SignalFunction = Callable[[Texts], np.ndarray]
EditFunction = Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Signal:
    """One number a document: `function(texts)` gives float64 of shape (len(texts),)."""

    name: str
    function: SignalFunction
    family: str  # which group of measures it belongs to, e.g. "gopher"
    source: str  # paper, section or table
    doc: str  # first line of the docstring: the formula


@dataclass(frozen=True)
class Edit:
    """New text a document: `function(texts, **options)` gives as many large_strings as there are texts.

    `on`: what it looks at. "text": texts, of conversations each turn as one; "whole": the same, but conversations as one text;
    "conversation": it gives a list with the new conversation (a dict) of each text, None where that stays.
    """

    name: str
    function: EditFunction
    source: str
    doc: str
    on: str = "text"


SIGNALS: dict[str, Signal] = {}
EDITS: dict[str, Edit] = {}


def signal(*, family: str, source: str) -> Callable[[F], F]:
    """Register the function below as a signal under its own name.

    Errors: ValueError if it has no docstring, or if another module has a signal of that name.
    """

    def register(function: F) -> F:
        name = _checked(function, "signal", {name: each.function for name, each in SIGNALS.items()})
        SIGNALS[name] = Signal(name, function, family, source, _first_line(function))
        return function

    return register


def edit(*, source: str, on: str = "text") -> Callable[[F], F]:
    """Register the function below as an edit under its own name; `on`: as `Edit` has it.

    Errors: ValueError if it has no docstring, if an option is not keyword-only with an annotation and a
    default, or if another module has an edit of that name.
    """

    def register(function: F) -> F:
        name = _checked(function, "edit", {name: each.function for name, each in EDITS.items()})
        for option in list(inspect.signature(function).parameters.values())[1:]:
            if option.kind is not option.KEYWORD_ONLY or option.empty in (option.default, option.annotation):
                raise ValueError(
                    f"edit {name!r}: the option {option.name!r} must be keyword-only, with a type "
                    f"and a default. Write: def {name}(texts, *, {option.name}: TYPE = DEFAULT)"
                )
        EDITS[name] = Edit(name, function, source, _first_line(function), on)
        return function

    return register


def get_signal(name: str) -> Signal:
    """The signal of that name. Errors: ValueError with the nearest known name."""
    if name not in SIGNALS:
        raise ValueError(f"no signal is called {name!r}{nearest(name, SIGNALS)}; `gristmill signals` lists all of them")
    return SIGNALS[name]


def get_edit(name: str) -> Edit:
    """The edit of that name. Errors: ValueError with the nearest known name."""
    if name not in EDITS:
        raise ValueError(f"no edit is called {name!r}{nearest(name, EDITS)}; `gristmill signals` lists all of them")
    return EDITS[name]


def nearest(name: str, known: Iterable[str]) -> str:
    """ ", did you mean 'word_count'?" for an error message, or "" if nothing known looks like `name`."""
    found = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f", did you mean {found[0]!r}?" if found else ""


def _checked(function: Callable[..., Any], kind: str, known: dict[str, Callable[..., Any]]) -> str:
    name = function.__name__
    if not inspect.getdoc(function):
        raise ValueError(f"{kind} {name!r} has no docstring: its first line is what users see in `gristmill signals`")
    other = known.get(name)
    # the same module may register again (a reload); two modules with one name would hide one another
    if other is not None and other.__module__ != function.__module__:
        raise ValueError(
            f"{kind} {name!r} of module {function.__module__!r} is known already, from {other.__module__!r}: "
            f"give the new one another name"
        )
    return name


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").splitlines()[0]
