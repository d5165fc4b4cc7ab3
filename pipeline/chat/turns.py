"""Row steps on turns: `on: assistant` beside a step makes each turn of this role a row for it.

    conversation {"messages": [user "hi", assistant "Hello."]}  ->  a row with text "Hello."  ->  step  ->  folded back

A document is rejected if one of its turns is; the ledger's detail begins with the turn ("turn 2 (assistant)"). What an edit makes of a
turn is written into `conversation`, and `text` is made anew. Turns without content (calls) are no rows. Of the columns that a step
adds, a document gets the language of its longest turn and the benchmark items found in any; signals of turns are not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.rows import put_rows
from filters.step import Step, all_kept, reasons, set_column
from pipeline.chat.canonical import ROLES, Conversation, dumps, loads, named, plain_text, turns
from pipeline.cutting.decontaminated import COLUMN


@dataclass(frozen=True)
class Exploded:
    """Turns of some documents as rows. docs: int64, the row of each turn's document, ascending. places: (part, number,
    role) of each."""

    table: pa.Table
    docs: np.ndarray
    places: list[tuple[str, int, str]]
    conversations: dict[int, Conversation]


def on_turns(step: Step, roles: Sequence[str]) -> Step:
    """`step` on the turns of these roles; documents without such turns, and plain ones, pass."""

    def each(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        found = explode(table, roles)
        if not len(found.docs):
            return table, all_kept(len(table))
        try:
            after, why = step(found.table)
        except Exception:
            if len(table) > 1:
                raise  # who runs this halves the table until one document is left
            return table, _blamed(step, found)
        table, emptied = _edited(table, found, after["text"])
        return _columns(table, found, after), _folded(len(table), found, why, emptied)

    return each


def on_every_turn(step: Step) -> Step:
    """`step`, which changes texts, on every turn of conversations, and on plain documents as they are."""

    def each(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        if "conversation" not in table.schema.names:
            return step(table)
        talks = pc.is_valid(table["conversation"])
        if not pc.any(talks).as_py():
            return step(table)
        return (
            on_turns(step, ROLES)(table) if pc.all(talks).as_py() else parted(table, talks, on_turns(step, ROLES), step)
        )

    return each


def parted(table: pa.Table, mask: pa.Array, inside: Step, outside: Step) -> tuple[pa.Table, pa.StructArray]:
    """`inside` on the rows of `mask`, `outside` on the others; rows in the order of `table`."""
    first, second = inside(table.filter(mask)), outside(table.filter(pc.invert(mask)))
    chosen = np.asarray(mask)
    order = np.empty(len(table), dtype=np.int64)
    order[np.concatenate([np.flatnonzero(chosen), np.flatnonzero(~chosen)])] = np.arange(len(table))
    together = pa.concat_tables([first[0], second[0]], promote_options="default")
    why = pa.concat_arrays([_one_array(first[1]), _one_array(second[1])])
    return together.take(pa.array(order)), why.take(pa.array(order))


def with_conversations(table: pa.Table, changed: list[Conversation | None]) -> pa.Table:
    """`table` with the conversations that are not None in `changed`, and their texts."""
    rows = [row for row, each in enumerate(changed) if each is not None]
    if not rows:
        return table
    new = [each for each in changed if each is not None]
    for name, values in (("conversation", [dumps(each) for each in new]), ("text", [plain_text(each) for each in new])):
        column = table[name].combine_chunks()
        table = set_column(table, name, put_rows(column, pa.array(rows).to_numpy(), values))
    return table


def explode(table: pa.Table, roles: Sequence[str]) -> Exploded:
    """The turns of these roles that have content, with the columns of their documents and their own `text`."""
    docs: list[int] = []
    texts: list[str] = []
    places: list[tuple[str, int, str]] = []
    conversations: dict[int, Conversation] = {}
    column = table["conversation"].to_pylist() if "conversation" in table.schema.names else []
    for row, text in enumerate(column):
        if text is None:
            continue
        conversations[row] = loads(text)
        for part, number, turn in turns(conversations[row]):
            if turn["role"] in roles and turn["content"]:
                docs.append(row)
                texts.append(turn["content"])
                places.append((part, number, turn["role"]))
    rows = np.array(docs, dtype=np.int64)
    kept = [name for name in table.schema.names if name != "conversation" and not name.startswith(("signal.", COLUMN))]
    exploded = table.select(kept).take(pa.array(rows))
    exploded = set_column(exploded, "text", pa.array(texts, pa.large_string()))
    return Exploded(exploded, rows, places, conversations)


def _blamed(step: Step, found: Exploded) -> pa.StructArray:
    """The reason of the one document of a table in one of whose turns the step raises."""
    for turn, place in enumerate(found.places):
        try:
            step(found.table.slice(turn, 1))
        except Exception as error:
            return reasons(1, [0], f"error.{type(error).__name__}", detail=f"{named(*place)}: {str(error)[:300]}")
    raise RuntimeError("the step raises on the turns together, and on none alone")


def _edited(table: pa.Table, found: Exploded, texts: pa.ChunkedArray) -> tuple[pa.Table, dict[int, int]]:
    """The documents with what the step made of their turns, and document -> first turn that has no text left."""
    changed = np.flatnonzero(np.asarray(pc.fill_null(pc.not_equal(texts, found.table["text"]), True)))
    if not len(changed):
        return table, {}
    emptied: dict[int, int] = {}
    for turn, text in zip(changed.tolist(), texts.take(pa.array(changed)).to_pylist()):
        doc, (part, number, _) = int(found.docs[turn]), found.places[turn]
        found.conversations[doc][part][number]["content"] = text or ""
        if not (text or "").strip():
            emptied.setdefault(doc, turn)
    docs = np.unique(found.docs[changed])
    whole, plain = table["conversation"].to_pylist(), table["text"].to_pylist()
    for doc in docs.tolist():
        whole[doc], plain[doc] = dumps(found.conversations[doc]), plain_text(found.conversations[doc])
    table = set_column(table, "conversation", pa.array(whole, pa.large_string()))
    return set_column(table, "text", pa.array(plain, pa.large_string())), emptied


def _folded(rows: int, found: Exploded, why: Any, emptied: dict[int, int]) -> pa.StructArray:
    """The reasons of documents: that of the first turn that has one, or an edit left nothing of."""
    why = _one_array(why)
    failed = np.flatnonzero(np.asarray(pc.is_valid(why)))
    docs, first = np.unique(found.docs[failed], return_index=True)
    told = dict(zip(docs.tolist(), failed[first].tolist()))
    out = sorted({**emptied, **told})
    if not out:
        return all_kept(rows)
    columns: dict[str, list[Any]] = {name: [] for name in ("reason", "value", "threshold", "detail")}
    for doc in out:
        turn = told.get(doc, emptied.get(doc, 0))
        entry = why[turn].as_py() or {"reason": "empty_turn", "value": 0.0, "threshold": 1.0, "detail": None}
        entry["detail"] = named(*found.places[turn]) + (f": {entry['detail']}" if entry["detail"] else "")
        for name, values in columns.items():
            values.append(entry[name])
    return reasons(rows, out, **columns)


def _columns(table: pa.Table, found: Exploded, after: pa.Table) -> pa.Table:
    """What the step found out about turns, of documents: the language of the longest turn, benchmark items of all."""
    if not after["lang"].equals(found.table["lang"]):
        longest = _longest(found.docs, pc.utf8_length(found.table["text"]).to_numpy())
        for name in ("lang", "lang_score"):
            values = table[name].to_pylist()
            for doc, turn in zip(found.docs[longest].tolist(), longest.tolist()):
                values[doc] = after[name][turn].as_py()
            table = set_column(table, name, pa.array(values, table.schema.field(name).type))
    for name in (each for each in after.schema.names if each.startswith(COLUMN)):
        items: list[list[int] | None] = [None] * len(table)
        for doc, more in zip(found.docs.tolist(), after[name].to_pylist()):
            if more is not None:
                items[doc] = sorted({*(items[doc] or ()), *more})
        table = set_column(table, name, pa.array(items, after.schema.field(name).type))
    return table


def _longest(docs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The longest turn of each document, the first of those of one size."""
    order = np.lexsort((np.arange(len(docs)), -sizes.astype(np.int64), docs))
    _, first = np.unique(docs[order], return_index=True)
    return order[first]


def _one_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
