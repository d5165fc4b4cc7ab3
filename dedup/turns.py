"""Parts of conversations to compare instead of the whole text.

    text           what the column `text` has: the contents of all turns
    prompt         what users say
    reply          what assistants say, tool calls included; of a preference pair the chosen reply
    conversation   all turns with their roles, thoughts and tool calls

A row that is no conversation, or that lacks the part, has none: as an exact key it equals nothing; near-dedup compares its
whole text instead.
"""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dedup.columns import Column

PARTS = ("prompt", "reply", "conversation")
_ROLE = {"prompt": "user", "reply": "assistant"}


def parts(conversations: Column, part: str) -> list[str | None]:
    """That part of each conversation (JSON) as text; None where there is none."""
    return [_part(orjson.loads(each), part) if each else None for each in conversations.to_pylist()]


def compared_texts(table: pa.Table, by: str) -> Column:
    """The texts that near-dedup compares: the column `text`, or a part of conversations where they have it."""
    if by == "text" or "conversation" not in table.schema.names:
        return table["text"]
    found = pa.array(parts(table["conversation"], by), pa.large_string())
    return pc.coalesce(found, table["text"].combine_chunks().cast(pa.large_string()))


def _part(conversation: dict[str, Any], part: str) -> str | None:
    turns = [*conversation["messages"], *(conversation.get("chosen") or [])]
    if part == "conversation":
        said = [f"{turn['role']}: {turn.get('reasoning_content') or ''}{_said(turn)}" for turn in turns]
    else:
        said = [_said(turn) for turn in turns if turn["role"] == _ROLE[part]]
    return "\n\n".join(said).strip() or None


def _said(turn: dict[str, Any]) -> str:
    calls = [_call(call.get("function") or {}) for call in turn.get("tool_calls") or []]
    return "\n".join([turn["content"] or "", *calls]).strip()


def _call(function: dict[str, Any]) -> str:
    """Name and arguments, with keys in one order: written otherwise it is the same call."""
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode()
    return f"{function.get('name')} {arguments}"
