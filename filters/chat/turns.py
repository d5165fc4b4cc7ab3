"""The conversations of a batch, parsed once for all signals that look at them; and their replies as texts of their own.

    texts.once(chats)      [Chats with one conversation a text, None where a text is no conversation]
    texts.once(replies)    every reply of every conversation as one column, for signals that count in text

A reply is what an assistant says: of a preference pair also the chosen one. A signal's value for a text that is no
conversation is NaN, which no rule keeps; `where: {source: ...}` has rules look at some of the documents only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from filters.chat.template import messages_of
from filters.texts import Texts

Conversation = dict[str, Any]
Message = dict[str, Any]


def chats(texts: Texts) -> list[Conversation | None]:
    """The conversation of each text; None where it is none."""
    column = texts.conversations
    if column is None:
        return [None] * len(texts)
    return [orjson.loads(each) if each else None for each in column.to_pylist()]


def per_chat(texts: Texts, measure: Callable[[Conversation], float]) -> np.ndarray:
    """`measure` of each conversation, float64; NaN where a text is none."""
    return np.array([np.nan if each is None else measure(each) for each in texts.once(chats)], np.float64)


def spoken(conversation: Conversation, role: str) -> list[str]:
    """What one role says, a text a message; those of tool calls without words are left out."""
    said = (message for message in messages_of(conversation) if message["role"] == role)
    return [each["content"] or "" for each in said if each["content"] or not each.get("tool_calls")]


def exchanges(conversation: Conversation) -> Iterable[tuple[str, str]]:
    """(what the user said last, reply) of each reply that has words and a user's message before it."""
    asked: str | None = None
    for message in messages_of(conversation):
        if message["role"] == "user":
            asked = message["content"] or ""
        elif message["role"] == "assistant" and asked is not None and message["content"]:
            yield asked, message["content"]


class Replies:
    """All replies of a batch as one column of texts; those of text i are the rows [firsts[i], ends[i])."""

    def __init__(self, texts: Texts, firsts: np.ndarray, ends: np.ndarray, known: np.ndarray) -> None:
        self.texts = texts
        self.firsts = firsts  # int64
        self.ends = ends  # int64
        self.known = known  # bool: whether text i is a conversation

    def take(self, rows: np.ndarray) -> Replies:
        """Those of some texts; the column stays."""
        return Replies(self.texts, self.firsts[rows], self.ends[rows], self.known[rows])

    def most(self, values: np.ndarray) -> np.ndarray:
        """The highest value among the replies of each text: 0.0 where there are none, NaN for no conversation."""
        return self._each(values, np.max)

    def least(self, values: np.ndarray) -> np.ndarray:
        """The lowest, in the same way."""
        return self._each(values, np.min)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Their sum, in the same way."""
        return self._each(values, np.sum)

    def _each(self, values: np.ndarray, reduce: Callable[[np.ndarray], Any]) -> np.ndarray:
        bounds = zip(self.firsts.tolist(), self.ends.tolist(), strict=True)
        found = [float(reduce(values[first:end])) if end > first else 0.0 for first, end in bounds]
        return np.where(self.known, found, np.nan)


def replies(texts: Texts) -> Replies:
    """The replies of the batch's conversations."""
    parsed = texts.once(chats)
    said = [[] if each is None else spoken(each, "assistant") for each in parsed]
    ends = np.cumsum([len(each) for each in said], dtype=np.int64)
    column = pa.array([reply for each in said for reply in each], pa.large_string())
    known = np.array([each is not None for each in parsed], bool)
    return Replies(Texts(column, more=True), ends - [len(each) for each in said] if said else ends, ends, known)
