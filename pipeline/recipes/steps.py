"""The steps of a recipe: checked, resolved to plain data, and built into row steps.

In:  ``{"keep": "gopher_quality", "where": {"lang": "en"}}`` (an item of the recipe's list)
Out: ``RowStep(name="04.keep.gopher_quality", kind="rules", options={"rules": [["word_count", 50, 100000], ...]}, where={"lang": ["en"]})``

A resolved step is JSON: it travels to workers and into the fingerprint of a task. Dedup steps need
other documents and are no row steps; `pipeline.matching.near` does them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

import filters
from filters.registry import nearest
from pipeline.chat.canonical import ROLES
from pipeline.errors import InputError
from pipeline.recipes.dedup import CUTS, Exact, MinHash, add_dedup
from pipeline.recipes.keep import keep_steps
from pipeline.recipes.row_step import RowStep, checked_options, refused, step_path
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source

WHOLE = ("url", "fitted", "length")  # kinds of row steps that know no turns
KINDS = ("extract", "edit", "keep", "length", "decontaminate", "datatrove", "dedup")


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
            raise refused(
                source,
                path,
                f"'{kind}' stands after dedup: a later step could drop or change the document that others were removed for. Put the dedup steps last.",
            )
        made = _row_steps(kind, body, where, number, source)
        alone = next((step for step in made if step.kind in WHOLE), None)
        if on and alone is not None:
            raise refused(
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
        raise refused(
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
        raise refused(source, path, f"a step is a mapping such as '- keep: gopher_quality'; this one is {item!r}")
    kinds = [key for key in item if key not in ("where", "on")]
    for key in kinds:
        if key not in KINDS:
            raise refused(
                source, (*path, key), f"unknown step '{key}'{nearest(key, KINDS)} (known: {', '.join(KINDS)})"
            )
    if len(kinds) != 1:
        raise refused(
            source,
            path,
            f"a step has one of {', '.join(KINDS)} (and, if wanted, where and on); this one has {', '.join(kinds) or 'none'}. Give each its own '- '.",
        )
    return kinds[0], item[kinds[0]], _where(item.get("where", {}), (*path, "where"), source)


def _where(where: Any, path: KeyPath, source: Source) -> dict[str, list[str]]:
    if not isinstance(where, dict):
        raise refused(source, path, f"'where' is {where!r}; expected a mapping such as {{lang: en}}")
    for column, values in where.items():
        if column not in ("lang", "source"):
            raise refused(
                source,
                (*path, column),
                f"'where' knows lang and source, not '{column}'{nearest(column, ['lang', 'source'])}",
            )
        if not all(isinstance(v, str) for v in (values if isinstance(values, list) else [values])):
            raise refused(
                source, (*path, column), f"'where.{column}' is {values!r}; expected a name or a list of names"
            )
    return {column: [values] if isinstance(values, str) else list(values) for column, values in where.items()}


def _on(item: Any, kind: str, path: KeyPath, source: Source) -> list[str]:
    """The roles whose turns the step works on; none: it works on documents."""
    given = item.get("on", []) if isinstance(item, dict) else []
    roles = [given] if isinstance(given, str) else given
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise refused(source, path, f"'on' is {given!r}; expected a role or a list of roles: {', '.join(ROLES)}")
    for role in roles:
        if role not in ROLES:
            raise refused(
                source, path, f"no turn has the role '{role}'{nearest(role, ROLES)} (roles: {', '.join(ROLES)})"
            )
    if roles and kind in ("extract", "dedup"):
        raise refused(source, path, f"'on' works on turns one by one; {kind} does not")
    return roles


def _row_steps(kind: str, body: Any, where: dict[str, list[str]], number: int, source: Source) -> list[RowStep]:
    path: KeyPath = ("steps", number, kind)
    prefix = f"{number + 1:02d}.{kind}"
    if kind == "extract":
        from filters.extract import extract

        checked = checked_options(extract, body or {}, path, source)
        try:
            extract(**checked)  # what is wrong shows now: a missing package, options that do not go together
        except (ValueError, ImportError) as error:
            raise refused(source, path, str(error)) from None
        return [RowStep(prefix, "extract", checked, where)]
    if kind == "length":
        from filters.length import length

        checked = checked_options(length, body or {}, path, source)
        try:
            length(**checked)
        except ValueError as error:
            raise refused(source, path, str(error)) from None
        return [RowStep(prefix, "length", checked, where)]
    if kind == "decontaminate":
        return [_decontaminate(body, prefix, where, path, source)]
    if kind == "datatrove":
        return [RowStep(f"{prefix}.{_datatrove_name(body, path, source)}", "datatrove", body, where)]
    bodies = {body: None} if isinstance(body, str) else body
    if not isinstance(bodies, dict) or not bodies:
        raise refused(source, path, f"'{kind}' is {body!r}; expected a name or a mapping of names to options")
    if kind == "edit":
        return [_edit(name, options, prefix, where, path, source) for name, options in bodies.items()]
    return keep_steps(bodies, prefix, where, path, source)


def _edit(name: str, options: Any, prefix: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    known = filters.EDITS
    if name not in known:
        raise refused(
            source, (*path, name), f"unknown edit '{name}'{nearest(name, known)} (known: {', '.join(sorted(known))})"
        )
    checked = checked_options(known[name].function, options or {}, (*path, name), source)
    model: dict[str, str] = {}
    try:
        known[name].function(filters.Texts(pa.array([], pa.large_string())), **checked)  # what is wrong shows now
    except (ValueError, ImportError, OSError) as error:
        raise refused(source, (*path, name), str(error)) from None
    if checked.get("model"):
        model = {"model_sha256": hashlib.sha256(Path(checked["model"]).read_bytes()).hexdigest()}
    return RowStep(f"{prefix}.{name}", "edit", {"edit": name, "options": checked, **model}, where)


def _decontaminate(options: Any, name: str, where: dict[str, list[str]], path: KeyPath, source: Source) -> RowStep:
    from pipeline.cutting.decontaminate import benchmark_files, check_options, decontaminate

    checked = checked_options(decontaminate, options or {}, path, source)
    try:
        check_options(checked)
        checked["files"] = benchmark_files(checked)
    except (ValueError, InputError) as error:
        raise refused(source, path, str(error)) from None
    return RowStep(name, "decontaminate", checked, where)


def _datatrove_name(body: Any, path: KeyPath, source: Source) -> str:
    from filters.datatrove import datatrove_step

    if not isinstance(body, dict):
        raise refused(source, path, "datatrove is a mapping such as {filter: GopherQualityFilter, min_doc_words: 50}")
    try:
        datatrove_step(**body)
    except (ValueError, TypeError, ImportError) as error:
        raise refused(source, path, str(error)) from None
    return str(body.get("filter") or body.get("formatter")).rsplit(".", 1)[-1]


def _refuse_repeats(rows: list[RowStep], source: Source) -> None:
    seen: dict[str, str] = {}
    for step in rows:
        identity = repr((step.kind, step.options, step.where, step.on))
        if identity in seen:
            raise refused(
                source,
                step_path(step.name),
                f"'{step.name}' does the same as '{seen[identity]}' above; once is all it takes",
            )
        seen[identity] = step.name
