"""Documents as marked tokens with a mask of what is trained on: conversations by their chat template, texts as they are.

    conversation   "<|im_start|>user ... <|im_end|>", as the template writes it; mask 1 on the replies
    text           bos, its tokens, eos; mask 1 on all of it: it is not an answer to anything

In a run without `chat:` there is no mask, and a conversation is its plain text. The mask goes through packing as the ids do,
so that both stay aligned whatever the packing; padding is never trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from filters.chat.tokens import Chat, chat_of
from filters.tokenizer_files import Tokens
from pipeline.chat.canonical import loads
from pipeline.errors import RunError
from pipeline.files.commit import Attempt
from pipeline.tokenized.sequences import Sequences, arrange, marked

MASK = "mask"
"""Ending of the file beside a shard that tells its trained tokens: a byte (0 or 1) for each token of the stream."""

UNTRAINED = -100
"""The label of a token that is not trained on: what PyTorch's cross entropy ignores."""


@dataclass(frozen=True)
class Trained:
    """Documents with their marks; `own`: tokens of each without the recipe's marks; `mask` over all, None without `chat:`."""

    tokens: Tokens
    own: np.ndarray
    mask: np.ndarray | None = None


def of_texts(tokens: Tokens, options: dict[str, Any]) -> Trained:
    """Texts with the recipe's marks."""
    whole = marked(tokens, options["bos"], options["eos"])
    return Trained(whole, tokens.counts, np.ones(len(whole.ids), np.uint8) if options.get("chat") else None)


def of_conversations(options: dict[str, Any], ids: pa.ChunkedArray, conversations: list[str]) -> Trained:
    """Conversations, JSON, by the run's template. Errors: RunError naming the first document that it does not take."""
    found = _taken(chat_in(options).encode, ids, conversations)
    tokens = Tokens(found.ids, found.ends)
    return Trained(tokens, tokens.counts, found.mask)


def count_conversations(options: dict[str, Any], ids: pa.ChunkedArray, conversations: list[str]) -> int:
    """Their tokens together, as the template renders them. Errors: as `of_conversations`."""
    return int(_taken(chat_in(options).count, ids, conversations).sum())


def _taken(work: Callable[[list[Any]], Any], ids: pa.ChunkedArray, conversations: list[str]) -> Any:
    parsed = [loads(each) for each in conversations]
    try:
        return work(parsed)
    except ValueError as error:
        raise RunError(_refused(work, ids, parsed, error)) from None


def chat_in(options: dict[str, Any]) -> Chat:
    """The chat of a job's `tokens`."""
    return chat_of(options["chat"], options["tokenizer"])


def _refused(work: Callable[[list[Any]], Any], ids: pa.ChunkedArray, parsed: list[Any], error: ValueError) -> str:
    for row, each in enumerate(parsed):
        try:
            work([each])
        except ValueError as alone:
            return (
                f"the conversation {ids[row].as_py()} cannot be rendered: {alone}. A rule on chat_tokens as the last step, such as "
                "'- keep: {chat_tokens: {min: 1}}', rejects such conversations, with the reason."
            )
    return str(error)


def woven(parts: list[tuple[np.ndarray, Trained]], rows: int) -> Trained:
    """Parts of a table as one; each with its row numbers."""
    if len(parts) == 1:
        return parts[0][1]
    pieces: list[tuple[np.ndarray, np.ndarray, int]] = [(np.empty(0, np.uint32), np.empty(0, np.uint8), 0)] * rows
    for numbers, part in parts:
        starts = part.tokens.ends - part.tokens.counts
        for row, start, end, own in zip(numbers, starts, part.tokens.ends, part.own, strict=True):
            pieces[row] = part.tokens.ids[start:end], _mask(part)[start:end], int(own)
    return Trained(
        Tokens(np.concatenate([ids for ids, _, _ in pieces]), np.cumsum([len(ids) for ids, _, _ in pieces])),
        np.array([own for _, _, own in pieces], np.int64),
        np.concatenate([mask for _, mask, _ in pieces]),
    )


def joined(pieces: list[Trained]) -> Trained:
    """Documents of several batches, one after another."""
    counts = np.concatenate([np.empty(0, np.int64), *(each.tokens.counts for each in pieces)])
    masks = [each.mask for each in pieces if each.mask is not None]
    return Trained(
        Tokens(np.concatenate([np.empty(0, np.uint32), *(each.tokens.ids for each in pieces)]), np.cumsum(counts)),
        np.concatenate([np.empty(0, np.int64), *(each.own for each in pieces)]),
        np.concatenate(masks) if masks else None,
    )


def sequences_of(trained: Trained, pack: dict[str, Any] | None) -> Sequences:
    """The documents as sequences, with the mask over their stream where there is one."""
    found = arrange(trained.tokens, pack)
    if trained.mask is None:
        return found
    bits = Tokens(trained.mask.astype(np.uint32), trained.tokens.ends)
    return replace(found, mask=arrange(bits, pack and {**pack, "pad": None if pack["pad"] is None else 0}).ids > 0)


def write_mask(attempt: Attempt, base: str, sequences: Sequences) -> None:
    """NAME.mask beside a shard of a format that has no place for it."""
    output = attempt.create(f"{base}.{MASK}", f"{base}.{MASK}")
    output.rows = len(sequences)
    _bits(sequences).tofile(output.temp)


def labels(sequences: Sequences) -> np.ndarray:
    """int32: the ids where they are trained on, else UNTRAINED."""
    return np.where(_bits(sequences), sequences.ids.astype(np.int64), UNTRAINED).astype(np.int32)


def _bits(sequences: Sequences) -> np.ndarray:
    assert sequences.mask is not None
    return sequences.mask.astype(np.uint8)


def _mask(part: Trained) -> np.ndarray:
    assert part.mask is not None
    return part.mask
