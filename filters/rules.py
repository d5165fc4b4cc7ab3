"""Judging: a rule is a signal's name with a lowest and a highest value, and a keep step is a list of rules.

    Rule("word_count", min=50, max=None)   on 12 words   ->   reason "word_count.min", value 12.0, threshold
    50.0

A value that is exactly at a bound is kept. Rules come in order and the first that fails gives the reason; NaN
fails.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from filters.registry import Signal, get_signal, nearest
from filters.step import all_kept, reasons, set_column
from filters.texts import Texts, Views
from filters.yaml_nodes import compose
from filters.yaml_nodes import value as scalar


@dataclass(frozen=True)
class Rule:
    """Keep a document whose `signal` is in [min, max]; None leaves that side open."""

    signal: str
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError(f"the rule for {self.signal!r} has neither min nor max: it would keep everything")
        for side in (self.min, self.max):
            if side is not None and math.isnan(side):
                raise ValueError(f"the rule for {self.signal!r} has a bound that is not a number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(
                f"the rule for {self.signal!r} has min {self.min:g} above max {self.max:g}: nothing passes"
            )


@dataclass(frozen=True)
class RuleSet:
    """A named list of rules: configs/rules/NAME.yaml."""

    name: str
    about: str
    source: str
    languages: tuple[str, ...]  # the languages that the thresholds are made for; information, not enforced
    rules: tuple[Rule, ...]


Judge = Callable[..., tuple[pa.Table, pa.StructArray]]
"""A `Step` that takes the table's `Views` too, if the caller has them: `step(table, views)`."""


def keep_rules(
    rules: Sequence[Rule], record: bool = False, chosen: Callable[[pa.Table], np.ndarray] | None = None
) -> Judge:
    """A step that keeps the documents that pass all rules.

    A row that is out is not measured further, unless `record`: then every row is measured by every rule, and
    the table gets a float64 column `signal.NAME` for each. `chosen`: which rows of a table the rules are for (row
    numbers, ascending), all if None. Errors: ValueError at once for an unknown signal (register it, or call
    `filters.load_builtin()` first).
    """
    judged = [(rule, get_signal(rule.signal)) for rule in rules]

    def step(table: pa.Table, views: Views | None = None) -> tuple[pa.Table, pa.StructArray]:
        rows = np.arange(len(table)) if chosen is None else chosen(table)
        if chosen is not None and not len(rows):
            return table, all_kept(len(table))
        views = views or Views(table)
        texts, all_rows = views.of(rows), rows
        out: list[tuple[np.ndarray, list[str], np.ndarray, np.ndarray]] = []
        stays = np.arange(len(rows))
        for rule, signal in judged:
            values = measure(signal, texts)
            if record:
                table = recorded(table, f"signal.{signal.name}", all_rows, values)
                values = values[stays]
            failed, sides, bounds = _failures(rule, values)
            out.append((rows[failed], sides, values[failed], bounds))
            if failed.any():
                passed = np.flatnonzero(~failed)
                rows, stays = rows[passed], stays[passed]
                texts = texts if record else texts.take(passed)
        views.put(all_rows if record else rows, texts)
        return table, _as_reasons(table.num_rows, out)

    return step


def recorded(table: pa.Table, name: str, rows: np.ndarray, values: np.ndarray) -> pa.Table:
    """`table` with the column `name` set to `values` at `rows`; elsewhere it stays as it was, null if it was not there."""
    if len(rows) == len(table):
        return set_column(table, name, pa.array(values))
    before = table.column(name).combine_chunks() if name in table.schema.names else pa.nulls(len(table), pa.float64())
    mask = np.zeros(len(table), bool)
    mask[rows] = True
    return set_column(table, name, pc.replace_with_mask(before, pa.array(mask), pa.array(values)))


def measure(signal: Signal, texts: Texts) -> np.ndarray:
    """The signal's values, float64 of shape (len(texts),).

    Errors: ValueError if the function gives another shape.
    """
    values = np.asarray(texts.once(signal.function), dtype=np.float64)
    if values.shape != (len(texts),):
        raise ValueError(
            f"the signal {signal.name!r} ({signal.function.__module__}) gave numbers of shape {values.shape} "
            f"for {len(texts)} texts: it must give one number a text"
        )
    return values


def _failures(rule: Rule, values: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Which values fail (bool), and for those that do the reason and the bound."""
    low = -np.inf if rule.min is None else rule.min
    high = np.inf if rule.max is None else rule.max
    failed = ~((values >= low) & (values <= high))  # also true for NaN
    bad = values[failed]
    if not len(bad):
        return failed, [], bad
    side = np.where(np.isnan(bad), 2, np.where(bad < low, 0, 1))
    names = [f"{rule.signal}.{each}" for each in ("min", "max", "nan")]
    return failed, [names[each] for each in side.tolist()], np.array([low, high, np.nan])[side]


def _as_reasons(n: int, out: list[tuple[np.ndarray, list[str], np.ndarray, np.ndarray]]) -> pa.StructArray:
    if not any(len(rows) for rows, *_ in out):
        return all_kept(n)
    rows, names, values, bounds = zip(*out, strict=True)
    threshold = np.concatenate(bounds)
    return reasons(
        n,
        np.concatenate(rows),
        [name for each in names for name in each],
        np.concatenate(values),
        pa.array(threshold, mask=np.isnan(threshold)),
    )


def load_rule_set(path: str | Path) -> RuleSet:
    """Read a rule set. Its name is the file's name without ".yaml".

    Errors: OSError if it cannot be read; ValueError with file, line, what was expected and what stands there.
    """
    path = Path(path)
    try:
        root = compose(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    page = _mapping(path, root, ("about", "source", "languages", "rules"), "a rule set")
    missing = [key for key in ("about", "source", "rules") if key not in page]
    if missing:
        raise ValueError(f"{path}: a rule set needs the key {missing[0]!r} (keys: about, source, languages, rules)")
    rules = [_rule(path, name, node) for name, node in _mapping(path, page["rules"], None, "rules").items()]
    languages = _languages(path, page.get("languages"))
    return RuleSet(path.stem, str(page["about"].value), str(page["source"].value), tuple(languages), tuple(rules))


def _rule(path: Path, name: str, node: yaml.Node) -> Rule:
    sides = {}
    for side, value in _mapping(path, node, ("min", "max"), f"the rule {name!r}").items():
        if value.tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            raise _wrong(path, value, f"{name}.{side} must be a number, got {value.value!r}")
        sides[side] = float(scalar(value))
    try:
        return Rule(name, **sides)
    except ValueError as error:
        raise _wrong(path, node, str(error)) from None


def _languages(path: Path, node: yaml.Node | None) -> list[str]:
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong(path, node, f"languages must be a list such as [en, zh], got {node.value!r}")
    return [str(each.value) for each in node.value]


def _mapping(path: Path, node: Any, known: tuple[str, ...] | None, what: str) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(path, node, f"{what} must be a mapping of keys to values")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if known is not None and key.value not in known:
            raise _wrong(
                path,
                key,
                f"{what} has no key {key.value!r}{nearest(key.value, known)} (keys: {', '.join(known)})",
            )
        if key.value in found:
            raise _wrong(path, key, f"{key.value!r} stands there twice")
        found[key.value] = value
    return found


def _wrong(path: Path, node: Any, what: str) -> ValueError:
    line = f", line {node.start_mark.line + 1}" if node is not None else ""
    return ValueError(f"{path}{line}: {what}")
