"""One output shard of tokens, and what the run's manifest says of all of them.

    train/part-00000.bin, .idx             the tokens (the suffixes of the format)
    train/part-00000.mask                  of conversations: what of them is trained on (parquet-tokens: its column `labels`)
    documents/train/part-00000.parquet     a row a document: all of a kept record but its text; `tokens`, its own; and `runs`,
                                           where it stands in the shard's stream, marks included: [{"start": 0, "length": 812}]

The runs of a document are its pieces in order: more than one where best_fit cut a document longer than a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filters.tokenizer_files import Tokenizer, Tokens, opened
from pipeline.errors import RunError
from pipeline.files.commit import Attempt
from pipeline.files.tables import ZSTD_LEVEL
from pipeline.tokenized import DOCUMENTS, FORMATS
from pipeline.tokenized.formats import WRITERS
from pipeline.tokenized.sequences import Sequences
from pipeline.tokenized.trained import (
    Trained,
    count_conversations,
    joined,
    of_conversations,
    of_texts,
    sequences_of,
    woven,
    write_mask,
)

ROWS = 1000
RUNS = pa.list_(pa.struct([("start", pa.int64()), ("length", pa.int64())]))
SUMMED = ("tokens", "trained", "sequences", "stream", "padding", "dropped")


def publish_tokens(
    tokens: dict[str, Any], kind: str, tables: Iterator[pa.Table], attempt: Attempt, split: str, part: int
) -> dict[str, Any]:
    """Writes one output shard; its ids are in memory together, its texts are not.

    Counts: rows and bytes as of a shard of texts, and `tokens`: {"tokens": of the texts, "sequences", "stream", ..., "index"}.
    """
    size, pieces, abouts = 0, [], []
    for each in tables:
        size += int(pc.sum(pc.binary_length(each["text"])).as_py() or 0)
        pieces.append(trained(tokens, each))
        abouts.append(each.drop_columns(["text"]))
    whole, table = joined(pieces), pa.concat_tables(abouts)
    sequences = sequences_of(whole, tokens["pack"])
    counts: dict[str, Any] = {
        "tokens": int(whole.own.sum()), "sequences": len(sequences), "stream": len(sequences.ids),
        "padding": sequences.padding, "dropped": sequences.dropped, "index": None,
    }  # fmt: skip
    if sequences.mask is not None:
        counts["trained"] = int(sequences.mask.sum())
    if len(sequences):
        names, base = table["id"].combine_chunks(), f"{split}/part-{part:05d}"
        counts["index"] = WRITERS[kind](attempt, base, sequences, names, tokens)
        if sequences.mask is not None and kind != "parquet-tokens":
            write_mask(attempt, base, sequences)
    path = f"{DOCUMENTS}/{split}/part-{part:05d}.parquet"
    output = attempt.create(path, path)
    output.rows = len(table)
    about = table.append_column("tokens", pa.array(whole.own, pa.int64()))
    pq.write_table(
        about.append_column("runs", _runs(sequences, len(table))), output.temp,
        row_group_size=2048, compression="zstd", compression_level=ZSTD_LEVEL, version="2.6",
    )  # fmt: skip
    return {"split": split, "rows": len(table), "bytes": size, "tokens": counts}


def count_tokens(tokens: dict[str, Any], table: pa.Table) -> int:
    """Tokens of documents that are written as texts; of conversations as the chat template renders them."""
    chats = _chat_rows(tokens, table)
    if len(chats):
        some = table.take(pa.array(chats))
        found = count_conversations(tokens, some["id"], some["conversation"].to_pylist())
        table = table.take(pa.array(np.setdiff1d(np.arange(len(table)), chats)))
        return found + count_tokens({**tokens, "chat": None}, table)
    return sum(int(tokenizer_of(tokens).count(texts).sum()) for texts in _texts(table))


def trained(tokens: dict[str, Any], table: pa.Table) -> Trained:
    """The table's documents as marked tokens, conversations by the chat template. Errors: RunError."""
    chats = _chat_rows(tokens, table)
    parts = []
    if len(chats):
        some = table.take(pa.array(chats))
        parts.append((chats, of_conversations(tokens, some["id"], some["conversation"].to_pylist())))
    texts = np.setdiff1d(np.arange(len(table)), chats)
    if len(texts) or not parts:
        some = table if not parts else table.take(pa.array(texts))
        parts.append((texts, of_texts(encode(tokens, some), tokens)))
    return woven(parts, len(table))


def _chat_rows(tokens: dict[str, Any], table: pa.Table) -> np.ndarray:
    """Rows that the chat template renders, int64."""
    if not tokens["chat"] or "conversation" not in table.schema.names:
        return np.empty(0, np.int64)
    return np.flatnonzero(table["conversation"].is_valid().to_numpy())


def encode(tokens: dict[str, Any], table: pa.Table) -> Tokens:
    """The table's texts as tokens. Errors: RunError naming the document that the tokenizer gives up on."""
    tokenizer = tokenizer_of(tokens)
    try:
        found = [tokenizer.encode(texts) for texts in _texts(table)]
    except ValueError as error:
        raise RunError(_given_up(tokenizer, table, error)) from None
    sizes = np.concatenate([np.empty(0, np.int64), *(each.counts for each in found)])
    return Tokens(np.concatenate([np.empty(0, np.uint32), *(each.ids for each in found)]), np.cumsum(sizes))


def tokenizer_of(tokens: dict[str, Any]) -> Tokenizer:
    """The run's tokenizer. Errors: RunError if its file is gone or another one now."""
    try:
        return opened(tokens["tokenizer"])
    except (OSError, ValueError) as error:
        raise RunError(str(error)) from None


def _texts(table: pa.Table) -> Any:
    for start in range(0, len(table), ROWS):
        yield pc.fill_null(table["text"].slice(start, ROWS), "").to_pylist()


def _given_up(tokenizer: Tokenizer, table: pa.Table, error: ValueError) -> str:
    for row in range(len(table)):
        try:
            tokenizer.encode([table["text"][row].as_py()])
        except ValueError as alone:
            return (
                f"{tokenizer.path} cannot encode the document {table['id'][row].as_py()}: {alone}. A rule on token_count as the last "
                "step, such as '- keep: {token_count: {min: 1}}', rejects such documents with the reason."
            )
    return f"{tokenizer.path}: {error}"


def _runs(sequences: Sequences, documents: int) -> pa.Array:
    """The runs of each document, a list a document."""
    order = np.lexsort((sequences.run_parts, sequences.run_docs))
    ends = np.cumsum(np.bincount(sequences.run_docs, minlength=documents))
    places = pa.StructArray.from_arrays(
        [pa.array(sequences.run_starts[order]), pa.array(sequences.run_lengths[order])], fields=list(RUNS.value_type)
    )
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]).astype(np.int32)), places)


# -- for the manifest ------------------------------------------------------------------------------


def told(publish: dict[str, Any], published: list[dict[str, Any]]) -> dict[str, Any]:
    """manifest.json's `tokens`: the tokenizer, and for each split what its shards have together. `publish`: the job's part."""
    tokens = publish["tokens"]
    splits: dict[str, dict[str, Any]] = {split: {} for split in publish["splits"]}
    for manifest in published:
        counts, total = manifest["counts"]["tokens"], splits[manifest["counts"]["split"]]
        for name in (name for name in SUMMED if name in counts):
            total[name] = total.get(name, 0) + counts[name]
    for total in splits.values():
        total.setdefault("tokens", 0)
        if tokens["pack"]:
            total["padding_share"] = round(total.get("padding", 0) / max(total.get("stream", 0), 1), 6)
    about = {key: tokens["tokenizer"][key] for key in ("path", "sha256", "kind", "library", "vocab")}
    packed = publish["format"] in FORMATS
    more = {"format": publish["format"], "bos": tokens["bos"], "eos": tokens["eos"], "pack": tokens["pack"]}
    return {"tokenizer": about, **(more if packed else {}), "splits": splits}
