"""Resolved steps into functions: ``build(row_step) -> step(table) -> (table, reasons)``.

What a recipe may say is checked in `pipeline.recipes.steps`; here nothing is, so that a worker builds in no time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import filters
from filters.rules import Rule, keep_rules
from filters.step import Step, all_kept, set_column
from filters.texts import texts_of
from pipeline.chat.turns import on_every_turn, on_turns, parted, with_conversations
from pipeline.recipes.row_step import RowStep


def build(step: RowStep, record: bool) -> Step:
    """The function that does `step`; `record` keeps what its rules measured as columns `signal.NAME`.

    That of a step of kind "rules" is a `filters.rules.Judge`.
    """
    if step.on:
        turned = on_turns(build(replace(step, on=[], where={}), False), step.on)
        return _only_where(turned, step.where) if step.where else turned
    if step.kind == "rules":  # chooses its rows itself, so that what it finds can be handed on
        rules = [Rule(*rule) for rule in step.options["rules"]]
        where = step.where
        return keep_rules(rules, record, (lambda table: np.flatnonzero(mask(table, where))) if where else None)
    if step.kind == "fitted":
        from filters.fitted import keep_fitted

        options, where = step.options, step.where
        chosen = (lambda table: np.flatnonzero(mask(table, where))) if where else None
        return keep_fitted(options["signal"], options["by"], options["groups"] or {}, record, chosen)
    if step.kind == "length":
        from filters.length import length

        asked = step.where
        return length((lambda table: mask(table, asked)) if asked else None, **step.options)
    function = _function(step)
    if changes_text(step.kind, step.options):
        function = on_every_turn(function)
    return _only_where(function, step.where) if step.where else function


def changes_text(kind: str, options: dict[str, Any]) -> bool:
    """Does such a step change texts? Of conversations it then works on the turns."""
    edits = kind == "edit" and filters.EDITS[options["edit"]].on == "text"
    return edits or (kind == "decontaminate" and options["do"] == "cut") or "formatter" in options


def _function(step: RowStep) -> Step:
    options = {name: value for name, value in step.options.items() if name != "model_sha256"}
    if step.kind == "extract":
        from filters.extract import extract

        return extract(**options)
    if step.kind == "language":
        from filters.language import language

        return language(**options)
    if step.kind == "classifier":
        from filters.classifier import classifier

        return classifier(**options)
    if step.kind == "url":
        from pipeline.refining.urls import url_filter

        return url_filter(**options)
    if step.kind == "decontaminate":
        from pipeline.cutting.decontaminate import decontaminate

        return decontaminate(step.name, **options)
    if step.kind == "datatrove":
        from filters.datatrove import datatrove_step

        return datatrove_step(**options)
    edit, on = filters.EDITS[options["edit"]].function, filters.EDITS[options["edit"]].on

    def mend(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        if on == "conversation":
            return with_conversations(table, edit(texts_of(table), **options["options"])), all_kept(len(table))
        return set_column(table, "text", edit(texts_of(table), **options["options"])), all_kept(len(table))

    return mend


def mask(table: pa.Table, where: dict[str, list[str]]) -> np.ndarray:
    """Which rows `where` names, bool."""
    found = np.ones(len(table), dtype=bool)
    for column, values in where.items():
        chosen = pc.fill_null(pc.is_in(table[column], value_set=pa.array(values, table[column].type)), False)
        found &= np.asarray(chosen.to_numpy(zero_copy_only=False), dtype=bool)
    return found


def _only_where(step: Step, where: dict[str, list[str]]) -> Step:
    """`step` on the rows that `where` names; the others stay as they are."""

    def some(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        chosen = mask(table, where)
        if chosen.all():
            return step(table)
        if not chosen.any():
            return table, all_kept(len(table))
        return parted(table, pa.array(chosen), step, lambda rest: (rest, all_kept(len(rest))))

    return some
