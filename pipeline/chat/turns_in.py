"""Turns as they stand in records of any layout -> turns of the canonical form.

    {"from": "human", "value": "hi"}                                    {"role": "user", "content": "hi"}
    {"from": "function_call", "value": "{\\"name\\": ..., ...}"}          {"role": "assistant", "content": "", "tool_calls": [...]}
    {"role": "user", "content": [{"type": "text", "text": "hi"}]}       {"role": "user", "content": "hi"}

What the canonical form has no place for (another name of a role, keys of a turn that are not its own, how the JSON of a call was
spelled) is noted in `extra`, by the number of the turn. Not covered: contents that are no text (images, audio).
"""

from __future__ import annotations

from typing import Any

from pipeline.chat import texts
from pipeline.chat.canonical import Misfit, Turn
from pipeline.chat.texts import parsed

NAMES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
"""Names of roles in the wild -> roles of the canonical form."""

CALLS = ("function_call", "tool_call")
"""Roles whose text is the JSON of calls."""

SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
"""The names that LLaMA-Factory's ShareGPT layout gives the roles by default; calls are "function_call"."""

REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names of a turn's thoughts in the wild; the first is that of the canonical form."""

OWN = ("role", "content", "from", "value", "name", "tool_calls", "tool_call_id", "function_call")

Extra = dict[str, Any]


def kind(value: Any) -> str:
    """What a value is, for letters to the user."""
    if value is None:
        return "null"
    return {
        str: "text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }.get(type(value), type(value).__name__)


def turns_in(value: Any, place: str) -> tuple[list[Turn], dict[str, Extra]]:
    """A list of turns, in canonical form, and their extras by number. Errors: Misfit."""
    if not isinstance(value, list):
        raise Misfit(f"field {place!r} is {kind(value)}, expected a list of turns")
    if not value:
        raise Misfit(f"field {place!r} is an empty list: there is no turn in it")
    turns, extras = [], {}
    for number, each in enumerate(value):
        turn, extra = turn_in(each, f"{place}[{number}]")
        turns.append(turn)
        if extra:
            extras[str(number)] = extra
    return turns, extras


def turn_in(value: Any, place: str) -> tuple[Turn, Extra]:
    """One turn and its extra. Errors: Misfit."""
    if not isinstance(value, dict):
        raise Misfit(f"field {place!r} is {kind(value)}, expected an object such as {{role, content}}")
    given = {key: each for key, each in value.items() if each is not None}
    role_key, content_key = ("from", "value") if "from" in given else ("role", "content")
    name = given.get(role_key)
    role = NAMES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        raise Misfit(f"field '{place}.{role_key}' is {name!r}, expected one of {', '.join(NAMES)}")
    usual = SHAREGPT[role] if role_key == "from" else role
    thoughts = next((key for key in REASONING if isinstance(given.get(key), str)), None)
    extra: Extra = {key: each for key, each in given.items() if key not in OWN and key != thoughts}
    if name != usual and not (role_key == "from" and name == "function_call"):
        extra[role_key] = name
    turn: Turn = {"role": role, "content": ""}
    if thoughts and given[thoughts]:
        turn["reasoning_content"] = given[thoughts]
    if str(name).lower() in CALLS:
        turn["tool_calls"], spelling = _called(given.get(content_key), f"{place}.{content_key}")
        if spelling:
            extra["spelling"] = spelling
        return turn, extra
    calls = _calls(given, place)
    turn["content"] = _content(given.get(content_key), f"{place}.{content_key}", bool(calls))
    if isinstance(given.get("name"), str):
        turn["name"] = given["name"]
    if calls:
        turn["tool_calls"] = calls
    if isinstance(given.get("tool_call_id"), str):
        turn["tool_call_id"] = given["tool_call_id"]
    return turn, extra


def _content(value: Any, place: str, may_lack: bool) -> str:
    """The text of a turn; a list of text parts is their texts in a row."""
    if isinstance(value, str):
        return value
    if value is None and may_lack:
        return ""
    if isinstance(value, list):
        return "".join(_part(part, f"{place}[{number}]") for number, part in enumerate(value))
    raise Misfit(f"field {place!r} is {kind(value)}, expected text")


def _part(part: Any, place: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    what = f"of type {part['type']!r}" if isinstance(part, dict) and "type" in part else kind(part)
    raise Misfit(f"field {place!r} is a part {what}; only text parts can be read")


def _calls(given: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """The calls of an OpenAI turn: `tool_calls`, or the older `function_call`."""
    calls = given.get("tool_calls") or []
    if "function_call" in given and not calls:
        calls = [{"function": given["function_call"]}]
    if not isinstance(calls, list):
        raise Misfit(f"field '{place}.tool_calls' is {kind(calls)}, expected a list")
    return [_call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]


def _call(call: Any, place: str) -> dict[str, Any]:
    """One call: {"type", "function": {"name", "arguments"}} and, if it has one, "id"."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Misfit(f"field {place!r} has no name of a function; expected {{name, arguments}}")
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str | dict):
        raise Misfit(f"field '{place}.arguments' is {kind(arguments)}, expected an object or text")
    found: dict[str, Any] = {"type": "function"}
    if isinstance(call.get("id"), str):
        found["id"] = call["id"]
    return {**found, "function": {"name": function["name"], "arguments": arguments}}


def _called(value: Any, place: str) -> tuple[list[dict[str, Any]], str | None]:
    """The calls in the text of a ShareGPT `function_call` turn, one object or a list of them, and the spelling where the usual
    way back would not give this text."""
    if isinstance(value, list | dict):
        value = texts.written(value)
    if not isinstance(value, str):
        raise Misfit(f"field {place!r} is {kind(value)}, expected the JSON of a call")
    calls, spelling = _calls_in(value, place)
    return calls, spelling if texts.spelled(call_value(calls), spelling) == value else value


def _calls_in(text: str, place: str) -> tuple[list[dict[str, Any]], str | None]:
    found, spelling = parsed(text, place)
    items = found if isinstance(found, list) else [found]
    if not items:
        raise Misfit(f"field {place!r} is an empty list, expected a call")
    return [_call(call, place) for call in items], spelling


def spell_calls(calls: list[dict[str, Any]], spelling: str | None) -> str:
    """The text of a `function_call` turn; `spelling` as it was noted, if that is still the text of these calls."""
    if spelling is not None and spelling not in texts.SPELLINGS:
        try:
            if _calls_in(spelling, "")[0] == calls:
                return spelling
        except Misfit:
            pass
    return texts.spelled(call_value(calls), spelling)


def call_value(calls: list[dict[str, Any]]) -> Any:
    """The calls as a `function_call` turn has them: an object, or a list where there are several."""
    items = [{"name": c["function"]["name"], "arguments": _object(c["function"]["arguments"])} for c in calls]
    return items[0] if len(items) == 1 else items


def _object(arguments: Any) -> Any:
    """Arguments that are the text of a JSON object, as that object."""
    if isinstance(arguments, str):
        try:
            found, _ = parsed(arguments, "arguments")
        except Misfit:
            return arguments
        return found if isinstance(found, dict) else arguments
    return arguments


def tools_in(value: Any) -> tuple[list[dict[str, Any]], str | None]:
    """`tools`, a list or its JSON, as a list of {"type": "function", "function": {...}}, and of a text its spelling where the
    usual way back would not give it. Errors: Misfit."""
    given, spelling = value, None
    if isinstance(value, str):
        given, spelling = parsed(value, "tools") if value.strip() else ([], None)
    items = [given] if isinstance(given, dict) else given
    if not isinstance(items, list):
        raise Misfit(f"field 'tools' is {kind(value)}, expected a list of functions")
    tools = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(items)]
    if isinstance(value, str) and (not tools or texts.spelled(bare_tools(tools), spelling) != value):
        spelling = value  # of no tools, too: "[]" is another column than none
    return tools, spelling or None


def spell_tools(tools: list[dict[str, Any]], spelling: str | None) -> str:
    """The text of `tools`; `spelling` as it was noted, if that is still the text of these tools."""
    if spelling is not None and spelling not in texts.SPELLINGS:
        try:
            if tools_in(spelling)[0] == tools:
                return spelling
        except Misfit:
            pass
    return texts.spelled(bare_tools(tools), spelling)


def bare_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools as ShareGPT files have them: functions without the object around them."""
    return [tool["function"] if tool.keys() <= {"type", "function"} else tool for tool in tools]


def _tool(tool: Any, place: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise Misfit(f"field {place!r} is {kind(tool)}, expected the JSON schema of a function")
    if isinstance(tool.get("function"), dict):
        return tool
    return {"type": "function", "function": tool}
