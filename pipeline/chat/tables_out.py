"""Tables with a column `conversation` -> rows of an output layout, and the columns that these have.

    id, text, conversation, source, ..., metadata   ->   id, messages, source, ..., metadata

Which optional columns and keys there are (`tools`, `system`, `history`; `tool_calls`, `name` of a turn) hangs on what is in the corpus: the row step
`fitting` notes it in refine, so that no corpus has columns of nulls that some chat templates take for a call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from filters.step import Step, all_kept, reasons, set_column
from pipeline.chat.canonical import loads
from pipeline.chat.reader import LayoutReader
from pipeline.chat.writing import Fields, Notes, Unfit, write

OPTIONS = (
    "tools", "system", "history", "turn.name", "turn.tool_calls", "turn.tool_call_id", "call.id",
    "turn.reasoning_content",
)  # fmt: skip
"""What a written row can have or not; bit i of the column `_shape` stands for the i-th."""

SHAPE = "_shape"


def notes_of(metadata: str | None) -> Notes:
    """The notes that reading left in a record's metadata."""
    if not metadata or '"_layout"' not in metadata:
        return {}
    found = orjson.loads(metadata).get("_layout")
    return found if isinstance(found, dict) else {}


def fitting(layout: dict[str, str]) -> Step:
    """The row step behind all others: what the output's layout cannot hold goes out, with the reason. The others get a
    column `_shape`, int64."""

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        shapes = np.zeros(len(table), dtype=np.int64)
        out: list[tuple[int, str, str]] = []
        for row, (text, metadata) in enumerate(_rows(table)):
            if text is None:
                out.append((row, "layout.no_conversation", "it is a plain document; give its input a layout"))
                continue
            try:
                shapes[row] = shape_of(write(loads(text), notes_of(metadata), layout["name"], layout["turns"]))
            except Unfit as unfit:
                out.append((row, unfit.reason, str(unfit)))
        table = set_column(table, SHAPE, pa.array(shapes))
        if not out:
            return table, all_kept(len(table))
        numbers, names, details = zip(*out)
        return table, reasons(len(table), list(numbers), list(names), detail=list(details))

    return step


def _rows(table: pa.Table) -> Iterator[tuple[str | None, str | None]]:
    if "conversation" not in table.schema.names:
        return iter([(None, None)] * len(table))
    return zip(table["conversation"].to_pylist(), table["metadata"].to_pylist())


def shape_of(fields: Fields) -> int:
    """Which of OPTIONS a written row has, as bits."""
    found: set[str] = {name for name in ("tools", "system", "history") if name in fields}
    for value in fields.values():
        for turn in value if isinstance(value, list) else ():
            if isinstance(turn, dict) and "role" in turn:
                found |= {f"turn.{key}" for key in turn}
                found |= {"call.id" for call in turn.get("tool_calls", ()) if "id" in call}
    return sum(1 << bit for bit, name in enumerate(OPTIONS) if name in found)


def shape_names(bits: int) -> list[str]:
    """The OPTIONS of these bits."""
    return [name for bit, name in enumerate(OPTIONS) if bits >> bit & 1]


# -- columns ---------------------------------------------------------------------------------------

_TEXT = pa.large_string()
_SHAREGPT = pa.struct([("from", pa.string()), ("value", _TEXT)])


def _turn(shape: list[str]) -> pa.DataType:
    call = [("type", pa.string()), *([("id", pa.string())] if "call.id" in shape else [])]
    call.append(("function", pa.struct([("name", pa.string()), ("arguments", _TEXT)])))
    keys = {"name": pa.string(), "tool_calls": pa.list_(pa.struct(call)), "tool_call_id": pa.string()}
    keys["reasoning_content"] = _TEXT
    options = [(key, kind) for key, kind in keys.items() if f"turn.{key}" in shape]
    return pa.struct([("role", pa.string()), ("content", _TEXT), *options])


def columns(layout: dict[str, str], shape: list[str]) -> list[pa.Field]:
    """The columns of a layout."""
    name, form = layout["name"], layout["turns"]
    side: pa.DataType = pa.list_(_turn(shape)) if form == "messages" else _TEXT
    talk = pa.field("conversations", pa.list_(_SHAREGPT))
    found = {
        "messages": [("messages", side)],
        "sharegpt": [talk],
        "alpaca": [(key, _TEXT) for key in ("instruction", "input", "output")],
        "prompt_completion": [("prompt", side), ("completion", side)],
        "question_answer": [("question", _TEXT), ("answer", _TEXT)],
        "self_instruct": [
            ("instruction", _TEXT),
            ("instances", pa.list_(pa.struct([("input", _TEXT), ("output", _TEXT)]))),
        ],
        "preference": [talk, ("chosen", _SHAREGPT), ("rejected", _SHAREGPT)]
        if form == "sharegpt"
        else [("prompt", side), ("chosen", side), ("rejected", side)],
        "kto": [*([talk] if form == "sharegpt" else [("prompt", side), ("completion", side)]), ("label", pa.bool_())],
        "text": [("text", _TEXT)],
    }[name]
    fields = [each if isinstance(each, pa.Field) else pa.field(*each) for each in found]
    fields += [pa.field(key, _TEXT) for key in ("system", "tools") if key in shape]
    if "history" in shape:
        fields.append(pa.field("history", pa.list_(pa.list_(_TEXT))))
    return fields


def written_schema(schema: pa.Schema, layout: dict[str, str], shape: list[str]) -> pa.Schema:
    """The columns of a kept record with those of the layout for `text` and `conversation`."""
    fields: list[pa.Field] = []
    for field in schema:
        if field.name == "text":
            fields += columns(layout, shape)
        elif field.name != "conversation":
            fields.append(field)
    return pa.schema(fields)


def written_rows(table: pa.Table, schema: pa.Schema, layout: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of `written_schema`. A column that a row has nothing for is empty, a key of a turn that has none is not
    there."""
    empty = {field.name: [] if field.name == "history" else "" for field in schema}
    others = table.drop_columns(["text", "conversation"])
    for about, text in zip(others.to_pylist(), table["conversation"].to_pylist(), strict=True):
        fields = write(loads(text), notes_of(about["metadata"]), layout["name"], layout["turns"])
        yield {name: about[name] if name in about else fields.get(name, empty[name]) for name in schema.names}


def with_text(table: pa.Table, layout: str | None) -> pa.Table:
    """A table that was written in a layout, with the columns `text` and `conversation` that its documents had."""
    if layout is None or layout == "text":
        return table
    reader = LayoutReader(layout)
    found = [reader.read(row)[0][0] for row in table.to_pylist()]
    table = set_column(table, "conversation", pa.array([each.conversation for each in found], pa.large_string()))
    return set_column(table, "text", pa.array([each.text for each in found], pa.large_string()))
