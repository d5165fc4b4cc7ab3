"""Conversations and chat templates for tests; small, of every kind the templates tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "data" / "chat_templates"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
DATE = "2024-07-26"


def turns(*said: str, system: str | None = None) -> list[dict[str, Any]]:
    """Messages of user and assistant in turn."""
    head = [{"role": "system", "content": system}] if system is not None else []
    return head + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]


def call(name: str, arguments: Any) -> dict[str, Any]:
    """An assistant's message that is one tool call."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}],
    }


WEATHER = {
    "type": "function",
    "function": {"name": "天气", "description": "查询天气 <°C>", "parameters": {"type": "object", "properties": {}}},
}
CHATS: dict[str, dict[str, Any]] = {
    "one turn": {"messages": turns("What is a mill?", "A machine that grinds.")},
    "Chinese": {
        "messages": turns("什么是磨坊？", "磨坊是把谷物磨成粉的地方。\n\n它很古老。", system="你是一个历史老师。")
    },
    "many turns": {
        "messages": turns("Hi", "  Hello! ", "再见", "Bye 😀", "x < y & 'z'?", 'Yes: "x"', system="Be short.")
    },
    "tools": {
        "messages": [
            *turns("北京天气如何？", system="用工具。"),
            call("天气", {"城市": "北京", "days": 2, "exact": True}),
            {"role": "tool", "content": '{"温度": 21}'},
            {"role": "assistant", "content": "北京现在 21 °C。"},
            *turns("Thanks & bye", "<p>Bye</p>"),
        ],
        "tools": [WEATHER],
    },
    "prompt only": {"messages": turns("Nobody answers")},
    "thoughts": {
        "messages": turns("1+1?", "<think>\neasy\n</think>\n\n2", "2+2?", "<think>\nhm\n</think>\n\n4", "3+3?", "6")
    },
}
