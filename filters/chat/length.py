"""Length after the chat template: the signal `chat_tokens`, the edit `cut_turns`; and `render_chat`, the rendered text itself.

    chat: {template: tokenizer_config.json}    tokens: {tokenizer: tokenizer.json}      recipe
    - edit: {cut_turns: {max_tokens: 4096}}    exchanges go from the end until the rest fits
    - keep: {chat_tokens: {max: 4096}}         what does not fit even so goes out

An exchange is a user's message with all that follows up to the user's next one: a reply, tool calls and their answers. Only
whole exchanges go, and only from the end: what is left never speaks of something that is gone. The system message and the
first exchange stay; preference pairs stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from filters.chat.tokens import Chat, current
from filters.chat.turns import Conversation, chats
from filters.registry import edit, signal
from filters.rows import plain, put_rows
from filters.texts import Texts

NEEDS_CHAT = ("chat_tokens", "cut_turns", "render_chat")
"""What works by the run's template; all but the last by its tokenizer, too."""


@signal(family="tokens", source="the recipe's chat template and tokenizer")
def chat_tokens(texts: Texts) -> np.ndarray:
    """Tokens of the conversation as the chat template renders it (chat: {template: PATH}, tokens: {tokenizer: PATH})."""
    return _sizes(texts, current("chat_tokens").measure)


def _sizes(texts: Texts, count: Callable[[list[Conversation]], np.ndarray]) -> np.ndarray:
    known = [(row, each) for row, each in enumerate(texts.once(chats)) if each is not None]
    counts = np.full(len(texts), np.nan)
    counts[[row for row, _ in known]] = count([each for _, each in known]) if known else 0
    return counts


@edit(source="this project", on="whole")
def render_chat(texts: Texts) -> pa.Array:
    """The text is the conversation as the chat template renders it; texts that are none stay. Stands last: edits of turns undo it."""
    chat = current("render_chat")
    rows = [(row, chat.render(each)) for row, each in enumerate(texts.once(chats)) if each is not None]
    return put_rows(plain(texts), np.array([row for row, _ in rows], np.int64), [text for _, text in rows])


@edit(source="this project", on="conversation")
def cut_turns(texts: Texts, *, max_tokens: int = 4096) -> list[Conversation | None]:
    """Takes whole exchanges from the end of a conversation until max_tokens hold what the chat template renders."""
    chat = current("cut_turns")
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; expected 1 or more")
    return [
        _cut(chat, each, max_tokens) if each is not None and size > max_tokens else None
        for each, size in zip(texts.once(chats), _sizes(texts, chat.count).tolist(), strict=True)
    ]


def _cut(chat: Chat, conversation: Conversation, max_tokens: int) -> Conversation | None:
    """The conversation with as many exchanges as fit, so that one more would not; None where no cut helps."""
    if conversation.get("chosen"):
        return None  # the chosen reply answers the last message
    head, exchanges = split(conversation["messages"])

    def beginning(left: int) -> Conversation:
        taken = [message for each in exchanges[:left] for message in each]
        return {**conversation, "messages": [*head, *taken]}

    fitting, more = 0, len(exchanges)  # all of them are too many
    while more - fitting > 1:  # halved: to render every beginning takes time by the square of their number
        middle = (fitting + more) // 2
        fitting, more = (middle, more) if chat.count([beginning(middle)])[0] <= max_tokens else (fitting, middle)
    return beginning(fitting) if fitting else None


def split(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """(what stands before the first user, exchanges)."""
    head: list[dict[str, Any]] = []
    exchanges: list[list[dict[str, Any]]] = []
    for message in messages:
        if message["role"] == "user":
            exchanges.append([])
        (exchanges[-1] if exchanges else head).append(message)
    return head, exchanges
