"""A record of some layout -> conversations in canonical form.

    alpaca  {"instruction": "Translate.", "input": "chat", "output": "cat"}
    ->      {"messages": [{"role": "user", "content": "Translate.\\n\\nchat"}, {"role": "assistant", "content": "cat"}]}
            note {"input": 1}: the instruction is the first paragraph of the question

A note says what the canonical form does not, so that the layout can be written again as it was; it is kept in the record's
`metadata` under `_layout`, by the name of the layout. One record gives one conversation, a self_instruct record one for each instance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from pipeline.chat.canonical import GAP, PARTS, Conversation, Misfit, Turn, loads
from pipeline.chat.layouts import PROMPTS, Layout
from pipeline.chat.turns_in import Extra, kind, tools_in, turn_in, turns_in

Note = dict[str, Any]
Record = dict[str, Any]


class _Given(dict[str, Any]):
    """A record's fields of its layout, and which of them were asked for: the others are metadata."""

    def __init__(self, fields: Record):
        super().__init__(fields)
        self.taken: set[str] = set()

    def __getitem__(self, field: str) -> Any:
        self.taken.add(field)
        return super().__getitem__(field)

    def get(self, field: str, default: Any = None) -> Any:
        self.taken.add(field)
        return super().get(field, default)


def conversations(layout: Layout, record: Record) -> tuple[list[tuple[Conversation, Note]], set[str]]:
    """The conversations of one record with their notes, and the fields that are in them. Errors: Misfit, naming the
    field."""
    given = _Given({field: record[field] for field in layout.fields if record.get(field) is not None})
    return READERS[layout.name](given), given.taken


def _text(record: Record, field: str) -> str:
    if field not in record:
        raise Misfit(f"there is no field {field!r}, or it is null")
    if not isinstance(record[field], str):
        raise Misfit(f"field {field!r} is {kind(record[field])}, expected text")
    return str(record[field])


def _user(content: str) -> Turn:
    return {"role": "user", "content": content}


def _assistant(content: str) -> Turn:
    return {"role": "assistant", "content": content}


# -- what a conversation may have beside its turns -------------------------------------------------


def _with_system(record: Record, turns: list[Turn], note: Note) -> list[Turn]:
    """The turns behind the one that the field `system` is."""
    system = record.get("system")
    if system is None or system == "":
        return turns
    if not isinstance(system, str):
        raise Misfit(f"field 'system' is {kind(system)}, expected text")
    if turns and turns[0]["role"] == "system":
        raise Misfit("there are two system prompts: the field 'system' and the first turn")
    if "turns" in note:
        note["turns"] = {str(int(number) + 1): extra for number, extra in note["turns"].items()}
    return [{"role": "system", "content": system}, *turns]


def _with_tools(record: Record, found: Conversation, note: Note) -> Conversation:
    tools, spelling = tools_in(record["tools"]) if "tools" in record else ([], None)
    if tools:
        found["tools"] = tools
    if spelling is not None:
        note["tools"] = spelling
    return found


def _note_turns(note: Note, extras: dict[str, Extra], first: int = 0, part: str = "turns") -> None:
    """Notes of turns by their numbers in the conversation's part, the first of them being turn `first` of it."""
    if extras:
        note.setdefault(part, {}).update({str(int(number) + first): extra for number, extra in extras.items()})


def _label(value: Any, place: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):  # CSV has no truth values
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise Misfit(f"field {place!r} is {kind(value)}, expected true or false")
    return value


# -- the layouts -----------------------------------------------------------------------------------


def _question(record: Record, note: Note) -> str:
    """instruction and input as one question."""
    instruction, given = _text(record, "instruction"), record.get("input")
    if given is None or given == "":
        return instruction
    if not isinstance(given, str):
        raise Misfit(f"field 'input' is {kind(given)}, expected text")
    question = instruction + GAP + given
    paragraphs = instruction.count(GAP) + 1
    if GAP.join(question.split(GAP)[:paragraphs]) == instruction:
        note["input"] = paragraphs
    else:  # the instruction ends, or the input begins, with a line feed
        note["input_at"] = len(instruction)
    return question


def _history(record: Record) -> list[Turn]:
    """LLaMA-Factory's `history`: pairs of question and answer."""
    history = record.get("history") or []
    turns: list[Turn] = []
    if not isinstance(history, list):
        raise Misfit(f"field 'history' is {kind(history)}, expected a list of [question, answer]")
    for number, pair in enumerate(history):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise Misfit(f"field 'history[{number}]' is no pair of texts [question, answer]")
        turns += [_user(pair[0]), _assistant(pair[1])]
    return turns


def _asked(record: Record, note: Note, fields: tuple[str, ...] = PROMPTS) -> list[Turn]:
    """The turns of the first of `fields` that the record has."""
    field = next((name for name in fields if name in record), None)
    if field is None:
        if len(fields) == 1:
            _text(record, fields[0])
        raise Misfit(f"there is no prompt: expected one of the fields {', '.join(fields)}")
    if field == "instruction":
        turns = [*_history(record), _user(_question(record, note))]
    elif field == "prompt":
        turns, extras = _side(record, "prompt", "user")
        _note_turns(note, extras)
    else:
        turns, extras = turns_in(record[field], field)
        _note_turns(note, extras)
    return _with_system(record, turns, note)


def _side(record: Record, field: str, role: str) -> tuple[list[Turn], dict[str, Extra]]:
    """A field that is a text, a turn, or a list of turns; and the extras of these by number."""
    value = record.get(field)
    if isinstance(value, dict):
        turn, extra = turn_in(value, field)
        return [turn], {"0": extra} if extra else {}
    if isinstance(value, list):
        return turns_in(value, field)
    return [{"role": role, "content": _text(record, field)}], {}


def _answered(record: Record, asked: list[Turn], note: Note) -> list[Turn]:
    """The turns of a prompt with those of `completion`."""
    turns, extras = _side(record, "completion", "assistant")
    _note_turns(note, extras, len(asked))
    return [*asked, *turns]


def _alpaca(record: Record) -> list[tuple[Conversation, Note]]:
    note: Note = {}
    turns = [*_asked(record, note, ("instruction",)), _assistant(_text(record, "output"))]
    return [({"messages": turns}, note)]


def _instances(record: Record) -> list[tuple[Conversation, Note]]:
    instances = record.get("instances")
    if not isinstance(instances, list) or not instances:
        raise Misfit(f"field 'instances' is {kind(instances)}, expected a list of {{input, output}}")
    instruction = _text(record, "instruction")
    found = []
    for number, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise Misfit(f"field 'instances[{number}]' is {kind(instance)}, expected {{input, output}}")
        note: Note = {}
        try:
            question = _question({"instruction": instruction, "input": instance.get("input")}, note)
            turns = [_user(question), _assistant(_text(instance, "output"))]
        except Misfit as misfit:
            raise Misfit(f"instances[{number}]: {misfit}") from None
        if len(instances) > 1:
            note["instance"] = [number, len(instances)]
        found.append(({"messages": turns}, note))
    return found


def _turns(field: str) -> Callable[[Record], list[tuple[Conversation, Note]]]:
    def read(record: Record) -> list[tuple[Conversation, Note]]:
        note: Note = {}
        turns, extras = turns_in(record.get(field), field)
        _note_turns(note, extras)
        if field == "conversations" and turns[0]["role"] == "system":
            note["system"] = "turn"
        return [(_with_tools(record, {"messages": _with_system(record, turns, note)}, note), note)]

    return read


def _prompt_completion(record: Record) -> list[tuple[Conversation, Note]]:
    note: Note = {}
    turns = _answered(record, _asked(record, note, ("prompt",)), note)
    return [(_with_tools(record, {"messages": turns}, note), note)]


def _question_answer(record: Record) -> list[tuple[Conversation, Note]]:
    return [({"messages": [_user(_text(record, "question")), _assistant(_text(record, "answer"))]}, {})]


def _preference(record: Record) -> list[tuple[Conversation, Note]]:
    note: Note = {}
    sides = {field: _side(record, field, "assistant") for field in ("chosen", "rejected")}
    chosen, rejected = (turns for turns, _ in sides.values())
    if any(name in record for name in PROMPTS):
        given = _asked(record, note)
        asked, shared = _before_both(given, chosen, rejected)
        if asked is not given:
            note.pop("turns", None)  # other numbers now; both sides have these turns too
    elif isinstance(record["chosen"], str) or isinstance(record["rejected"], str):
        raise Misfit(
            f"there is no prompt: expected one of the fields {', '.join(PROMPTS)}, or turns in 'chosen' and 'rejected'"
        )
    else:  # the prompt is what both begin with
        shared = _common(chosen, rejected)
        asked = chosen[:shared]
    if not asked:
        raise Misfit("fields 'chosen' and 'rejected' have no turn in common: there is no prompt")
    found: Conversation = {"messages": asked}
    for field, (turns, extras) in sides.items():
        if len(turns) == shared:
            raise Misfit(f"field {field!r} is nothing but the prompt")
        found[field] = turns[shared:]
        _note_turns(note, {number: each for number, each in extras.items() if int(number) >= shared}, -shared, field)
    again = {number: each for number, each in sides["chosen"][1].items() if int(number) < shared}
    _note_turns(note, again, len(asked) - shared)
    return [(_with_tools(record, found, note), note)]


def _common(one: list[Turn], other: list[Turn]) -> int:
    """How many turns two lists begin with alike, so that both have one left."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)) - 1)


def _before_both(asked: list[Turn], chosen: list[Turn], rejected: list[Turn]) -> tuple[list[Turn], int]:
    """The prompt of a pair, and how many turns of both sides say it again."""
    bare = [turn for turn in asked if turn["role"] != "system"]
    for prompt in (asked, bare):
        if chosen[: len(prompt)] == prompt == rejected[: len(prompt)]:
            return asked, len(prompt)
    if all(side[0]["role"] not in ("system", "user") for side in (chosen, rejected)):
        return asked, 0
    shared = _common(
        chosen, rejected
    )  # the prompt field has a part of it: the last question, or all but a system prompt
    said = chosen[:shared]
    if asked[-1] not in said:
        raise Misfit("fields 'chosen' and 'rejected' begin neither with a reply nor with the prompt")
    if asked[0]["role"] == "system" and said[0]["role"] == "system" and asked[0] != said[0]:
        raise Misfit("there are two system prompts: that of the prompt and that of 'chosen' and 'rejected'")
    return [*(asked[:1] if asked[0]["role"] == "system" and asked[0] not in said else []), *said], shared


def _kto(record: Record) -> list[tuple[Conversation, Note]]:
    note: Note = {}
    label = _label(record.get("label"), "label")
    if "prompt" in record and "completion" in record:
        turns = _answered(record, _asked(record, note), note)
    elif "instruction" in record and "output" in record:
        turns = [*_asked(record, note, ("instruction",)), _assistant(_text(record, "output"))]
    else:
        turns = _asked(record, note, ("messages", "conversations"))
    return [(_with_tools(record, {"messages": turns, "label": label}, note), note)]


def _conversation(record: Record) -> list[tuple[Conversation, Note]]:
    """What gristmill wrote itself."""
    value = record.get("conversation")
    try:
        found = loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError as error:
        raise Misfit(f"field 'conversation' is a text that should be JSON: {error}") from None
    if isinstance(found, list):
        found = {"messages": found}
    if not isinstance(found, dict):
        raise Misfit(f"field 'conversation' is {kind(value)}, expected an object with messages")
    note: Note = {}
    checked: Conversation = {}
    for part in PARTS:
        if part in found or part == "messages":
            checked[part], extras = turns_in(found.get(part), f"conversation.{part}")
            _note_turns(note, extras, part="turns" if part == "messages" else part)
    if found.get("tools") is not None:
        _with_tools(found, checked, note)
    if found.get("label") is not None:
        checked["label"] = _label(found["label"], "conversation.label")
    record.get("text")  # said again by the conversation
    return [(checked, note)]


READERS: dict[str, Callable[[Record], list[tuple[Conversation, Note]]]] = {
    "conversation": _conversation,
    "preference": _preference,
    "kto": _kto,
    "messages": _turns("messages"),
    "sharegpt": _turns("conversations"),
    "self_instruct": _instances,
    "alpaca": _alpaca,
    "prompt_completion": _prompt_completion,
    "question_answer": _question_answer,
}
