"""Canonical conversations -> the fields of a layout.

    {"messages": [user "2 + 2?", assistant "4"]}   alpaca    {"instruction": "2 + 2?", "input": "", "output": "4"}
                                                   sharegpt  {"conversations": [{"from": "human", "value": "2 + 2?"}, ...]}

What the layout cannot hold is `Unfit`, with a reason for the ledger; nothing is cut to make it fit. `notes` are those that `reading`
left, by layout: where alpaca's instruction ends, other names of roles, how JSON inside text was spelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.chat.canonical import GAP, Conversation, Turn, named, plain_text
from pipeline.chat.canonical import turns as turns_of
from pipeline.chat.texts import written
from pipeline.chat.turns_in import NAMES, SHAREGPT, spell_calls, spell_tools

Fields = dict[str, Any]
Notes = dict[str, dict[str, Any]]

FORMS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "alpaca": ("text",),
    "sharegpt": ("sharegpt",),
    "prompt_completion": ("text", "messages"),
    "question_answer": ("text",),
    "self_instruct": ("text",),
    "preference": ("messages", "sharegpt", "text"),
    "kto": ("messages", "sharegpt", "text"),
    "text": ("text",),
}
"""What a recipe can ask for as `output.layout`, and how each writes its turns (`output.turns`, the first by default): as lists of {role,
content}, as ShareGPT's {from, value}, or, where each side is one turn, as plain text."""


class Unfit(ValueError):
    """A conversation that a layout cannot hold. reason: of the ledger; the text says why."""

    def __init__(self, reason: str, why: str):
        super().__init__(why)
        self.reason = f"layout.{reason}"


def write(conversation: Conversation, notes: Notes, layout: str, turns: str) -> Fields:
    """The fields of `layout`. Errors: Unfit."""
    if layout not in ("preference", "text") and "chosen" in conversation:
        raise Unfit("pair", "it is a preference pair; layout: preference holds it")
    if layout not in ("kto", "text") and "label" in conversation:
        raise Unfit("label", "it is a KTO record; layout: kto holds it")
    if "tools" in conversation and turns == "text" and layout != "text":
        raise Unfit("tools", "it offers tools; layout: messages or sharegpt holds them")
    thinks = next((place for place in turns_of(conversation) if "reasoning_content" in place[2]), None)
    if thinks and turns != "messages" and layout != "text":
        where = named(thinks[0], thinks[1], thinks[2]["role"])
        raise Unfit("reasoning", f"{where} has thoughts; turns: messages holds them")
    return WRITERS[layout](conversation, notes, turns)


# -- turns -----------------------------------------------------------------------------------------


def _messages(turns: list[Turn]) -> list[Turn]:
    """Turns as OpenAI has them: arguments are the text of their JSON, so that all rows of a table have one type."""
    return [
        {**turn, "tool_calls": [_call(c) for c in turn["tool_calls"]]} if "tool_calls" in turn else turn
        for turn in turns
    ]


def _call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    text = arguments if isinstance(arguments, str) else written(arguments)
    return {**call, "function": {"name": call["function"]["name"], "arguments": text}}


def _sharegpt(turns: list[Turn], notes: Notes, part: str = "messages", first: int = 0) -> list[dict[str, str]]:
    """Turns as {from, value}; `first`: the number of the first of them in its part."""
    extras = notes.get("sharegpt", {}).get("turns", {}) if part == "messages" else {}
    found = []
    for number, turn in enumerate(turns, first):
        extra = extras.get(str(number), {})
        calls = turn.get("tool_calls")
        if calls and turn["content"]:
            where = named(part, number, turn["role"])
            raise Unfit("call", f"{where} has a text and a call; a turn of ShareGPT is one or the other")
        name = extra.get("from", "")
        if NAMES.get(str(name).lower()) != turn["role"]:
            name = "function_call" if calls else SHAREGPT[turn["role"]]
        value = spell_calls(calls, extra.get("spelling")) if calls else turn["content"]
        found.append({"from": name, "value": value})
    return found


def _one_text(turns: list[Turn], role: str, part: str, number: int = 0) -> str:
    """The content of the only turn there may be."""
    if len(turns) != 1 or turns[0]["role"] != role or "tool_calls" in turns[0]:
        roles = ", ".join(turn["role"] for turn in turns) or "none"
        raise Unfit(
            "turns", f"its {part} has the turns {roles}; as text it is one turn of {role}. Ask for turns: messages"
        )
    return str(turns[0]["content"])


def _split(conversation: Conversation) -> tuple[list[Turn], list[Turn]]:
    """All turns but the last, and the last, which the assistant has."""
    turns = conversation["messages"]
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise Unfit("turns", f"its last turn is one of {turns[-1]['role']}; there is no reply to learn")
    return turns[:-1], turns[-1:]


def _system(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """The leading system prompt, and the turns behind it."""
    return (turns[0]["content"], turns[1:]) if turns[0]["role"] == "system" else ("", turns)


# -- the layouts -----------------------------------------------------------------------------------


def _tools(conversation: Conversation) -> Fields:
    """Tools as the text of their JSON: their schemas have no type in common."""
    return {"tools": written(conversation["tools"])} if "tools" in conversation else {}


def _as_messages(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    return {"messages": _messages(conversation["messages"]), **_tools(conversation)}


def _as_sharegpt(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    note = notes.get("sharegpt", {})
    messages, fields = conversation["messages"], Fields()
    if note.get("system") != "turn":
        system, messages = _system(messages)
        fields = {"system": system} if system else {}
    first = len(conversation["messages"]) - len(messages)
    found: Fields = {"conversations": _sharegpt(messages, notes, first=first), **fields}
    if "tools" in conversation or "tools" in note:
        found["tools"] = spell_tools(conversation.get("tools", []), note.get("tools"))
    return found


def _as_alpaca(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    system, messages = _system(conversation["messages"])
    texts = _in_turn(messages, "alpaca")
    instruction, given = _question(texts[-2], notes)
    fields: Fields = {"instruction": instruction, "input": given, "output": texts[-1]}
    if system:
        fields["system"] = system
    if len(texts) > 2:
        fields["history"] = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
    return fields


def _in_turn(messages: list[Turn], layout: str) -> list[str]:
    """The contents of turns that are question, answer, question, answer, ..."""
    roles = [turn["role"] for turn in messages]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise Unfit("turns", f"its turns are {', '.join(roles)[:200]}; {layout} holds questions and answers in turn")
    called = next((number for number, turn in enumerate(messages) if "tool_calls" in turn), None)
    if called is not None:
        raise Unfit("call", f"{named('messages', called, 'assistant')} is a call; {layout} has no place for one")
    return [turn["content"] for turn in messages]


def _question(content: str, notes: Notes) -> tuple[str, str]:
    """instruction and input, where the notes say that there were two and an edit has left a place to part them."""
    note: dict[str, Any] = next((n for n in notes.values() if "input" in n or "input_at" in n), {})
    at = note.get("input_at")
    if at is not None and content[at : at + len(GAP)] == GAP:
        return content[:at], content[at + len(GAP) :]
    parts = content.split(GAP)
    paragraphs = note.get("input", len(parts))
    return GAP.join(parts[:paragraphs]), GAP.join(parts[paragraphs:])


def _as_prompt_completion(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    prompt, completion = _split(conversation)
    if turns == "messages":
        return {"prompt": _messages(prompt), "completion": _messages(completion), **_tools(conversation)}
    return {"prompt": _one_text(prompt, "user", "prompt"), "completion": _one_text(completion, "assistant", "reply")}


def _as_question_answer(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    question, answer = _split(conversation)
    return {"question": _one_text(question, "user", "question"), "answer": _one_text(answer, "assistant", "answer")}


def _as_self_instruct(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    question, answer = _split(conversation)
    instruction, given = _question(_one_text(question, "user", "question"), notes)
    return {
        "instruction": instruction,
        "instances": [{"input": given, "output": _one_text(answer, "assistant", "answer")}],
    }


def _as_preference(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    if "chosen" not in conversation:
        raise Unfit("no_pair", "it has no chosen and rejected reply")
    prompt = conversation["messages"]
    sides = {part: conversation[part] for part in ("chosen", "rejected")}
    if turns == "messages":
        found = {"prompt": _messages(prompt), **{part: _messages(side) for part, side in sides.items()}}
        return {**found, **_tools(conversation)}
    if turns == "text":
        fields: Fields = {"prompt": _one_text(prompt, "user", "prompt")}
        return fields | {part: _one_text(side, "assistant", part) for part, side in sides.items()}
    fields = _as_sharegpt({key: value for key, value in conversation.items() if key not in sides}, notes, turns)
    for part, side in sides.items():
        if len(side) != 1:
            raise Unfit("turns", f"its {part} reply has {len(side)} turns; in ShareGPT's form it is one")
        fields[part] = _sharegpt(side, notes, part)[0]
    return fields


def _as_kto(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    if "label" not in conversation:
        raise Unfit("no_label", "it has no label")
    if turns == "sharegpt":
        _split(conversation)
        return {**_as_sharegpt(conversation, notes, turns), "label": conversation["label"]}
    return {**_as_prompt_completion(conversation, notes, turns), "label": conversation["label"]}


def _as_text(conversation: Conversation, notes: Notes, turns: str) -> Fields:
    return {"text": plain_text(conversation)}


WRITERS: dict[str, Callable[[Conversation, Notes, str], Fields]] = {
    "messages": _as_messages,
    "alpaca": _as_alpaca,
    "sharegpt": _as_sharegpt,
    "prompt_completion": _as_prompt_completion,
    "question_answer": _as_question_answer,
    "self_instruct": _as_self_instruct,
    "preference": _as_preference,
    "kto": _as_kto,
    "text": _as_text,
}
