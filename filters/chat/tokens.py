"""A conversation as token ids with a mask of what is trained on; and the template and tokenizer of the run.

    encode(conversations)   ->   Encoded(ids=[1, 84, 9, ...], mask=[0, 0, 1, ...], ends=[41, 97])

Marks that the template writes (`<|im_start|>`) are the tokenizer's special tokens, as in transformers' own
`apply_chat_template`; so are they where a user typed them: the signal control_token_count finds such conversations. No
token is added besides. A token belongs to a reply if any of its characters does.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from filters.chat.spans import Span, reply_spans
from filters.chat.template import ChatTemplate
from filters.tokenizer_files import batches, calm, opened

TRAIN_ON = ("replies", "last_reply")
NEEDS = "chat: {template: tokenizer_config.json}"


@dataclass(frozen=True)
class Encoded:
    """Conversation i is ids[ends[i - 1]:ends[i]] (uint32); `mask` (uint8, 0 or 1) over the same tokens; `ends` int64."""

    ids: np.ndarray
    mask: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Chat:
    """A run's `chat:`: its template, which replies are trained on, its tokenizer's file where it has one, and whether the
    run writes what is trained on."""

    template: ChatTemplate
    last: bool = False
    tokenizer: dict[str, Any] | None = None
    masks: bool = False

    def render(self, conversation: dict[str, Any]) -> str:
        """The text of the chat template."""
        return self.template.render(conversation)

    def count(self, conversations: Sequence[dict[str, Any]]) -> np.ndarray:
        """Tokens of each rendered conversation, int64. Errors: ValueError."""
        return self._counts([self.render(each) for each in conversations])

    def measure(self, conversations: Sequence[dict[str, Any]]) -> np.ndarray:
        """As `count`; where the run writes masks, an error also where a reply cannot be told, as `encode` has it."""
        if not self.masks:
            return self.count(conversations)
        return self._counts([reply_spans(self.template, each, self.last)[0] for each in conversations])

    def encode(self, conversations: Sequence[dict[str, Any]]) -> Encoded:
        """Ids and mask. Errors: ValueError."""
        rendered = [reply_spans(self.template, each, self.last) for each in conversations]
        spans = iter([spans for _, spans in rendered])
        ids, masks = [np.empty(0, np.uint32)], [np.empty(0, np.uint8)]
        for found in self._encoded([text for text, _ in rendered], fast=False):
            ids += [np.array(each.ids, np.uint32) for each in found]
            masks += [mask_of(np.array(each.offsets, np.int64), next(spans)) for each in found]
        ends = np.cumsum([len(each) for each in ids[1:]], dtype=np.int64)
        return Encoded(np.concatenate(ids), np.concatenate(masks), ends)

    def _counts(self, texts: list[str]) -> np.ndarray:
        return np.array([len(each) for found in self._encoded(texts, fast=True) for each in found], np.int64)

    def _encoded(self, texts: list[str], fast: bool) -> Iterator[list[Any]]:
        """The library's answers, some texts at a time. `fast`: without offsets."""
        library = self._library()
        encode = library.encode_batch_fast if fast else library.encode_batch
        for some in batches(texts):
            with calm():
                found = encode(some, add_special_tokens=False)
            yield found

    def _library(self) -> Any:
        if self.tokenizer is None:
            raise ValueError("tokens of conversations need a tokenizer: tokens: {tokenizer: PATH} in the recipe")
        return _library(self.tokenizer["path"], self.tokenizer["sha256"], json.dumps(self.tokenizer, sort_keys=True))


def mask_of(offsets: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """uint8 of shape (tokens,): 1 where a token, characters [start, end) of `offsets` (tokens, 2), overlaps a span."""
    mask = np.zeros(len(offsets), np.uint8)
    starts, ends = offsets.reshape(-1, 2).T
    for low, high in spans:
        mask[(starts < high) & (ends > low)] = 1
    return mask


@functools.lru_cache(maxsize=2)
def _library(path: str, sha256: str, described: str) -> Any:
    """The tokenizer of the file with special tokens told from text, and offsets of whole tokens."""
    opened(json.loads(described))  # that it is still the same file
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread a task: the engine owns parallelism
    import tokenizers

    # what comes after encoding adds no token here, but takes white space off the offsets
    about = {**json.loads(Path(path).read_text(encoding="utf-8")), "post_processor": None}
    made = tokenizers.Tokenizer.from_str(json.dumps(about, ensure_ascii=False))
    made.no_truncation()
    made.no_padding()
    return made


def check_tokenizer(described: dict[str, Any]) -> None:
    """Errors: ValueError if conversations cannot be counted by this tokenizer."""
    if described["kind"] != "huggingface":
        raise ValueError(
            f"{described['path']} is a {described['kind']} file; with chat: give the model's tokenizer.json, which knows the "
            "special tokens that its template writes"
        )


# -- the run's -------------------------------------------------------------------------------------

_current: Chat | None = None


def use(described: dict[str, Any] | None, tokenizer: dict[str, Any] | None) -> None:
    """`chat_tokens`, `cut_turns` and `render_chat` work by these from now on; `described` as `chat:` resolves to."""
    global _current
    _current = chat_of(described, tokenizer) if described else None


def chat_of(described: dict[str, Any], tokenizer: dict[str, Any] | None) -> Chat:
    """{"template": ChatTemplate as JSON, "train_on": "replies", "masks": False} and a tokenizer's description as one."""
    template, last = ChatTemplate(**described["template"]), described["train_on"] == "last_reply"
    return Chat(template, last, tokenizer, described["masks"])


def current(name: str) -> Chat:
    """The run's chat, for what is called `name`. Errors: ValueError if the recipe has none."""
    if _current is None:
        raise ValueError(f"{name} needs a chat template: {NEEDS} in the recipe")
    return _current
