"""The chat rules as numbers: roles, replies, code fences and JSON, tool calls, repetition, language.

    role_errors       [user, user, assistant]                        ->   1
    shortest_reply    "308"                                          ->   1 word
    unclosed_replies  "```python\\nprint('a"                          ->   1
    tool_call_errors  arguments "{'a': 1}", a text that is no JSON   ->   1

Each is a signal over the column `conversation`: NaN where there is none. What a bad value is, rule sets say
(configs/rules/sft_en.yaml, sft_zh.yaml). Not covered: whether a reply is right.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from filters.chat.phrases import found_in
from filters.chat.template import messages_of
from filters.chat.turns import Conversation, Message, chats, exchanges, per_chat, replies, spoken
from filters.counts import in_ngrams, in_words
from filters.registry import signal
from filters.texts import Texts, ratio

SOURCE = "this project"

# -- roles -----------------------------------------------------------------------------------------


@signal(family="chat", source="the order that chat templates of published models ask for")
def role_errors(texts: Texts) -> np.ndarray:
    """Messages out of order: a system message that is not first, two users in a row, no user first, no assistant last, a tool without a call."""
    return per_chat(texts, _role_errors)


def _role_errors(conversation: Conversation) -> int:
    messages = messages_of(conversation)
    before, errors, called = "start", 0, False
    for message in messages:
        role = message["role"]
        fits = {
            "system": before == "start",
            "user": before in ("start", "system", "assistant"),
            "assistant": before in ("user", "tool"),
            "tool": before == "tool" or (before == "assistant" and called),
        }
        errors += not fits.get(role, False)
        called = bool(message.get("tool_calls")) if role == "assistant" else called
        before = role
    return errors + (before != "assistant")


@signal(family="chat", source=SOURCE)
def reply_count(texts: Texts) -> np.ndarray:
    """Messages of the assistant that have words or tool calls."""
    return per_chat(texts, lambda chat: sum(_replies(each) for each in messages_of(chat)))


def _replies(message: Message) -> bool:
    said = bool((message["content"] or "").strip() or message.get("tool_calls"))
    return said and message["role"] == "assistant"


# -- replies ---------------------------------------------------------------------------------------


@signal(family="chat", source=SOURCE)
def shortest_reply_words(texts: Texts) -> np.ndarray:
    """Words of the shortest reply, punctuation aside (a Han or kana character is a word); a tool call needs none: 1000 where all are calls."""
    said = texts.once(replies)
    fewest = said.least(said.texts.once(in_words)["proper"].astype(np.float64))
    called = per_chat(texts, lambda chat: bool(_calls(chat)))
    return np.where((said.firsts == said.ends) & (called == 1), ENOUGH, fewest)


ENOUGH = 1000.0
"""Words of the shortest reply where no reply needs any: more than a rule asks for."""


@signal(family="chat", source=SOURCE)
def longest_reply_chars(texts: Texts) -> np.ndarray:
    """Characters of the longest reply."""
    said = texts.once(replies)
    return said.most(said.texts.chars.astype(np.float64))


@signal(family="chat", source=SOURCE)
def echo_count(texts: Texts) -> np.ndarray:
    """Replies that are what the user just said, letter case and spacing aside."""
    return per_chat(texts, lambda chat: sum(_plain(asked) == _plain(reply) for asked, reply in exchanges(chat)))


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


@signal(family="chat", source="Rae et al. 2021 (arXiv 2112.11446), table A1, on each reply")
def reply_repetition(texts: Texts) -> np.ndarray:
    """The highest share of characters in 10 words in a row that stand in the reply before, among replies of 50 words or more."""
    said = texts.once(replies)
    share = ratio(said.texts.once(in_ngrams)["duplicate_10"], said.texts.chars)
    return said.most(np.where(said.texts.once(in_words)["words"] >= LOOPS, share, 0.0))


LOOPS = 50
"""Words from which on repeating is looping: under it a refrain or a short list is a large share."""

# -- cut off ---------------------------------------------------------------------------------------

# what was read is never given back: else a long line that does not match takes time by its square
_FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+(\w*+)[^\n`]*+$", re.MULTILINE)
_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*+(?P<end>"?)|[\[\]{}]')


@signal(family="chat", source="CommonMark 0.31, section 4.5")
def unclosed_fence_count(texts: Texts) -> np.ndarray:
    """Replies with a code fence (``` or ~~~) that is opened and not closed."""
    return per_chat(texts, lambda chat: sum(_fenced(reply)[1] for reply in spoken(chat, "assistant")))


@signal(family="chat", source="RFC 8259")
def unclosed_json_count(texts: Texts) -> np.ndarray:
    """Replies that are JSON, or have a fenced block of it, whose brackets or quotes are not closed."""
    return per_chat(texts, lambda chat: sum(_cut_json(reply) for reply in spoken(chat, "assistant")))


def _fenced(text: str) -> tuple[list[tuple[str, str]], bool]:
    """(language, code) of each closed block, and whether the last one stays open."""
    blocks, opened = [], None
    for fence in _FENCE.finditer(text):
        mark, language = fence[1], fence[2]
        if opened is None:
            opened = (mark, language.lower(), fence.end() + 1)
        elif mark[0] == opened[0][0] and len(mark) >= len(opened[0]) and not language:
            blocks.append((opened[1], text[opened[2] : fence.start()]))
            opened = None
    return blocks, opened is not None


def _cut_json(reply: str) -> bool:
    whole = reply.strip()
    pieces = [code for language, code in _fenced(reply)[0] if language == "json"]
    if re.match(r'\{\s*"|\[\s*[{\["]', whole):
        pieces.append(whole)
    return any(_unclosed(piece) for piece in pieces)


def _unclosed(text: str) -> bool:
    """Whether brackets or a quote are open at the end of a text that does not parse."""
    try:
        orjson.loads(text)
        return False
    except ValueError:
        opened = 0
        for token in _LITERAL.finditer(text):
            if token["end"] == "":
                return True
            opened += 0 if token["end"] else 1 if token[0] in "[{" else -1
        return opened > 0


# -- tools -----------------------------------------------------------------------------------------


@signal(family="chat", source="OpenAI's format of function calls")
def tool_argument_errors(texts: Texts) -> np.ndarray:
    """Tool calls whose arguments are not a JSON object."""
    return per_chat(texts, lambda chat: sum(not _is_object(call) for call in _calls(chat)))


@signal(family="chat", source="OpenAI's format of function calls")
def unknown_tool_calls(texts: Texts) -> np.ndarray:
    """Tool calls of a function that is not among the conversation's tools; 0 where it lists none."""
    return per_chat(texts, _unknown_calls)


def _calls(conversation: Conversation) -> list[dict[str, Any]]:
    calls = [call for message in messages_of(conversation) for call in message.get("tool_calls") or []]
    return [call.get("function") or {} for call in calls]


def _is_object(function: dict[str, Any]) -> bool:
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except ValueError:
            return False
    return isinstance(arguments, dict)


def _unknown_calls(conversation: Conversation) -> int:
    known = {(tool.get("function") or tool).get("name") for tool in conversation.get("tools") or []}
    return sum(call.get("name") not in known for call in _calls(conversation)) if known else 0


# -- marks, pairs ----------------------------------------------------------------------------------

_CONTROL = re.compile(
    r"<\|[A-Za-z0-9_▁ ]{1,40}\|>|<｜[^<>\n]{1,40}｜>|\[/?INST\]|<</?SYS>>|</?s>(?=\s|$)|<(?:start|end)_of_turn>|<(?:bos|eos|pad)>"
)


@signal(family="chat", source="special tokens of published chat templates (ChatML, Llama, Mistral, Gemma, DeepSeek)")
def control_token_count(texts: Texts) -> np.ndarray:
    """Marks of chat templates inside messages, such as <|im_end|> or [INST]: rendered, they would end the turn."""
    return per_chat(texts, lambda chat: sum(len(_CONTROL.findall(each["content"] or "")) for each in messages_of(chat)))


@signal(family="chat", source=SOURCE)
def same_preference(texts: Texts) -> np.ndarray:
    """1 for a preference pair whose chosen and rejected replies say, think and call the same, else 0."""
    return per_chat(texts, lambda chat: float(_said(chat, "chosen") == _said(chat, "rejected") != []))


def _said(conversation: Conversation, side: str) -> list[Any]:
    turns = conversation.get(side) or []
    return [
        (_plain(each["content"] or ""), each.get("reasoning_content"), each.get("tool_calls") or []) for each in turns
    ]


# -- language --------------------------------------------------------------------------------------

LETTERS, SURE = 20, 0.65
"""A text of fewer letters, or a language of less probability, is not judged: FineWeb's bound for a page's language."""

_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\$[^$\n]+\$", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")


@signal(family="chat", source="lid.176 (Joulin et al. 2016); FineWeb's bound of 0.65")
def reply_language_mismatch(texts: Texts) -> np.ndarray:
    """Replies in another language than the user's message before, code aside; not where he asks for one, or the reply quotes him."""
    pairs = [list(exchanges(chat)) if chat else [] for chat in texts.once(chats)]
    flat = [pair for each in pairs for pair in each]
    languages = _languages([_NO_PROSE.sub(" ", text) for pair in flat for text in pair])
    asks = found_in(Texts(pa.array([asked for asked, _ in flat], pa.large_string())), "other_language")
    differs = [
        bool(mine and theirs and mine != theirs and not ask and reply not in asked)
        for theirs, mine, ask, (asked, reply) in zip(languages[::2], languages[1::2], asks, flat, strict=True)
    ]
    ends = np.cumsum([len(each) for each in pairs], dtype=np.int64).tolist()
    counts = [sum(differs[end - len(each) : end]) for each, end in zip(pairs, ends)]
    return np.where([chat is not None for chat in texts.once(chats)], np.array(counts, np.float64), np.nan)


def _languages(said: list[str]) -> list[str]:
    """The language of each text, "" where it cannot be told."""
    from filters.language import identify

    if not said:
        return []
    labels, scores = identify(Texts(pa.array(said, pa.large_string())))
    return [
        label if score >= SURE and len(_LETTER.findall(text)) >= LETTERS else ""
        for text, label, score in zip(said, labels, scores.tolist())
    ]
