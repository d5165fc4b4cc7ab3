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

from pipeline.chat.canonical import GAP, Conversation, Misfit, Turn, loads
from pipeline.chat.layouts import PROMPTS, Layout
from pipeline.chat.turns_in import kind, tools_in, turn_in, turns_in

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
        turns = _side(record, "prompt", "user")
    else:
        turns, extras = turns_in(record[field], field)
        if extras:
            note["turns"] = extras
    return _with_system(record, turns, note)


def _side(record: Record, field: str, role: str) -> list[Turn]:
    """A field that is a text, a turn, or a list of turns."""
    value = record.get(field)
    if isinstance(value, dict):
        return [turn_in(value, field)[0]]
    if isinstance(value, list):
        return turns_in(value, field)[0]
    return [{"role": role, "content": _text(record, field)}]


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
        if extras:
            note["turns"] = extras
        if field == "conversations" and turns[0]["role"] == "system":
            note["system"] = "turn"
        return [(_with_tools(record, {"messages": _with_system(record, turns, note)}, note), note)]

    return read


def _prompt_completion(record: Record) -> list[tuple[Conversation, Note]]:
    note: Note = {}
    turns = [*_asked(record, note, ("prompt",)), *_side(record, "completion", "assistant")]
    return [(_with_tools(record, {"messages": turns}, note), note)]


def _question_answer(record: Record) -> list[tuple[Conversation, Note]]:
    return [({"messages": [_user(_text(record, "question")), _assistant(_text(record, "answer"))]}, {})]


def _preference(record: Record) -> list[tuple[Conversation, Note]]:
    note: Note = {}
    chosen, rejected = (_side(record, field, "assistant") for field in ("chosen", "rejected"))
    if any(name in record for name in PROMPTS):
        asked = _asked(record, note)
        bare = [turn for turn in asked if turn["role"] != "system"]
        repeats = (len(p) for p in (asked, bare) if chosen[: len(p)] == p == rejected[: len(p)])
        shared = next(repeats, 0)
    elif isinstance(record["chosen"], str) or isinstance(record["rejected"], str):
        raise Misfit(
            f"there is no prompt: expected one of the fields {', '.join(PROMPTS)}, or turns in 'chosen' and 'rejected'"
        )
    else:  # the prompt is what both begin with
        shared = next(
            (i for i, (a, b) in enumerate(zip(chosen, rejected)) if a != b), min(len(chosen), len(rejected)) - 1
        )
        asked = chosen[:shared]
    chosen, rejected = chosen[shared:], rejected[shared:]
    if not asked:
        raise Misfit("fields 'chosen' and 'rejected' have no turn in common: there is no prompt")
    for field, turns in (("chosen", chosen), ("rejected", rejected)):
        if not turns:
            raise Misfit(f"field {field!r} is nothing but the prompt")
    found = _with_tools(record, {"messages": asked, "chosen": chosen, "rejected": rejected}, note)
    return [(found, note)]


def _kto(record: Record) -> list[tuple[Conversation, Note]]:
    note: Note = {}
    label = record.get("label")
    if isinstance(label, str) and label.lower() in ("true", "false"):  # CSV has no truth values
        label = label.lower() == "true"
    if not isinstance(label, bool):
        raise Misfit(f"field 'label' is {kind(label)}, expected true or false")
    if "prompt" in record and "completion" in record:
        turns = [*_asked(record, note), *_side(record, "completion", "assistant")]
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
    checked: Conversation = {"messages": turns_in(found.get("messages"), "conversation.messages")[0]}
    for part in ("chosen", "rejected"):
        if part in found:
            checked[part] = turns_in(found[part], f"conversation.{part}")[0]
    checked.update({key: found[key] for key in ("tools", "label") if found.get(key) is not None})
    record.get("text")  # said again by the conversation
    return [(checked, {})]


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
