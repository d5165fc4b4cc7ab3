"""The canonical conversation: what every layout is read into, and written from.

    {"messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A mill."}]}

    messages   turns: role (system, user, assistant, tool), content (text), and where it applies reasoning_content (thoughts before
               the reply), name, tool_calls, tool_call_id
    tools      functions that the model may call, as JSON schemas: {"type": "function", "function": {...}}
    chosen     of a preference pair: the reply that was preferred, as turns behind messages
    rejected   and the other one
    label      of a KTO record: was the reply wanted?

It travels as compact JSON in the column `conversation`, keys in the order above; the column `text` holds the contents of its
turns (of a pair: of messages and chosen) with a blank line between, so that every step that looks at text works as it is. Tool
calls, tools, thoughts, rejected replies and labels are not in the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

ROLES = ("system", "user", "assistant", "tool")
KEYS = ("messages", "tools", "chosen", "rejected", "label")
PARTS = ("messages", "chosen", "rejected")
"""The keys that hold turns."""

TURN_KEYS = ("role", "content", "reasoning_content", "name", "tool_calls", "tool_call_id")
GAP = "\n\n"

Conversation = dict[str, Any]
Turn = dict[str, Any]


class Misfit(ValueError):
    """A record that does not fit its layout, or a conversation that a layout cannot hold. The text says which field
    and why."""


def dumps(conversation: Conversation) -> str:
    """The conversation as compact JSON, its keys and those of its turns in the fixed order."""
    ordered = {key: conversation[key] for key in KEYS if key in conversation}
    for part in PARTS:
        if part in ordered:
            ordered[part] = [{key: turn[key] for key in TURN_KEYS if key in turn} for turn in ordered[part]]
    return json_text(ordered)


def json_text(value: Any) -> str:
    """Compact JSON of a value. Errors: TypeError, ValueError or RecursionError where it has none."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # integers over 64 bits
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        orjson.dumps(orjson.loads(text))  # half a character, or too deep for who reads it later
        return text


def loads(text: str) -> Conversation:
    """A conversation from its JSON."""
    found: Conversation = orjson.loads(text)
    return found


def turns(conversation: Conversation) -> Iterator[tuple[str, int, Turn]]:
    """Every turn as (part, number inside the part from 0, turn), messages before chosen before rejected."""
    for part in PARTS:
        for number, turn in enumerate(conversation.get(part, ())):
            yield part, number, turn


def named(part: str, number: int, role: str) -> str:
    """How the ledger calls a turn: "turn 3 (assistant)", "chosen turn 1 (assistant)"; counted from 1."""
    return f"{'' if part == 'messages' else part + ' '}turn {number + 1} ({role})"


def plain_text(conversation: Conversation) -> str:
    """The contents of the turns, of a pair those of the prompt and the chosen reply; empty ones left out."""
    shown = [*conversation["messages"], *conversation.get("chosen", ())]
    return GAP.join(turn["content"] for turn in shown if turn["content"])
