"""YAML text -> plain values, and the line that each key stands on.

In:  ``steps:\n  - keep: {word_count: {min: 50}}\n``
Out: ``Source(data={"steps": [{"keep": {...}}]}, lines={("steps",): 1, ("steps", 0, "keep"): 2, ...})``

Does not cover YAML tags, anchors to other files or several documents in one file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from filters.yaml_nodes import compose, value
from pipeline.errors import RecipeError

Path = tuple[str | int, ...]


@dataclass
class Source:
    """The values of one YAML page with the place of each, for errors that name file and line."""

    name: str
    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    overrides: dict[Path, str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """'recipe.yaml:12' of the nearest key on `path` that has a place; '--set ...' for an override."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
            if path[:end] in self.lines:
                return f"{self.name}:{self.lines[path[:end]]}"
        return self.name


def parse(text: str, name: str) -> Source:
    """Reads one YAML page. Errors: RecipeError with file and line for bad YAML and for a key given twice."""
    try:
        node = compose(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError(f"{name}{line}: this is not YAML: {problem}.") from None
    source = Source(name, None)
    if node is not None:
        source.data = _value(node, (), source)
    return source


def _value(node: yaml.Node, path: Path, source: Source) -> Any:
    source.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, source)
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, i), source) for i, child in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value  # a date stays the text it is: a recipe is JSON, too
    return value(node)


def _mapping(node: yaml.MappingNode, path: Path, source: Source) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        # every key of a recipe is a name; YAML 1.1 would read `on:` or `no:` as a truth value
        key = str(key_node.value)
        if key in values:
            raise RecipeError(f"{source.name}:{key_node.start_mark.line + 1}: the key '{key}' stands here twice.")
        source.lines[(*path, key)] = key_node.start_mark.line + 1
        values[key] = _value(value_node, (*path, key), source)
    return values


def override(source: Source, assignment: str) -> None:
    """Applies one ``--set a.b.0.c=value`` to the page; the value is read as YAML."""
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {assignment}: expected key=value, for example --set output.format=parquet.")
    wanted = parse(text, f"--set {key}").data
    steps: list[str | int] = [int(part) if part.isdigit() else part for part in key.split(".")]
    place = source.data
    for depth, part in enumerate(steps[:-1]):
        place = _descend(place, part, f"--set {key}", steps[:depth])
    try:
        place[steps[-1]] = wanted
    except (TypeError, IndexError):
        raise RecipeError(
            f"--set {key}: there is no place '{steps[-1]}' to set under '{'.'.join(map(str, steps[:-1]))}'."
        ) from None
    source.overrides[tuple(steps)] = f"--set {key}"


def _descend(place: Any, part: str | int, name: str, walked: list[str | int]) -> Any:
    if isinstance(place, dict):
        return place.setdefault(str(part), {})
    if isinstance(place, list) and isinstance(part, int) and part < len(place):
        return place[part]
    raise RecipeError(f"{name}: nothing called '{part}' under '{'.'.join(map(str, walked)) or 'the recipe'}'.")
