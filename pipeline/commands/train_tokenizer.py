"""A tokenizer from a corpus: `gristmill train-tokenizer OUT_OR_FILES --output tokenizer.json`.

The sample is by hash: documents in the order of blake2b(seed, id), as many as come to `sample` bytes of text; the same for any
order of the files, and a larger sample holds the smaller one. Byte-level, so that every text comes back as it was: the text is
split by the pattern of cl100k_base, each piece is spelled in bytes, and all 256 bytes are in the vocabulary.

BPE gives the same file each time. Unigram does not: the library sums in the order of hash tables, so scores differ in their last
digits and pieces of equal score change places; and it trains for long on languages without spaces (40 s for 1.7 MB, half Chinese).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from filters.registry import nearest
from filters.tokenizer_files import PATTERNS, open_tokenizer
from pipeline.chat.tables_out import with_text
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.patterns import expand
from pipeline.folder import corpus_manifest
from pipeline.matching.older import layout_of
from pipeline.output.writers import read_part
from pipeline.readers import Columns, format_of, read

MODELS = ("bpe", "unigram")


def train_tokenizer(
    paths: list[str], output: str, *, model: str = "bpe", vocab: int = 8000, sample: int = 200_000_000,
    special: list[str] | None = None, split: str = "", seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Trains and writes it. Returns {"documents", "sampled", "bytes", "vocab", "sha256", "bytes_per_token"} (of the sample).

    `paths`: the folder of a finished run (one split of it), or files that gristmill reads. Errors: InputError.
    """
    special = ["<|endoftext|>"] if special is None else special
    _check(model, vocab, special, output)
    sources = _sources(paths, split)
    hashes, sizes = _measured(sources, seed)
    limit = _threshold(hashes, sizes, sample)
    if limit is None:
        raise InputError(f"No text was found in {', '.join(paths)}: nothing to learn from.")
    trained = _train((text for text, place in _documents(sources, seed) if place <= limit), model, vocab, special)
    storage.write_bytes(output, trained.to_str(pretty=False).encode())
    figures = {
        "documents": len(hashes),
        "sampled": int((hashes <= limit).sum()),
        "bytes": int(sizes[hashes <= limit].sum()),
    }
    tokens = _tokens(output, (text for text, place in _documents(sources, seed) if place <= limit))
    return {**figures, **tokens}


def _check(model: str, vocab: int, special: list[str], output: str) -> None:
    if model not in MODELS:
        raise InputError(f"--model {model}: expected bpe or unigram{nearest(model, MODELS)}")
    if vocab < 256 + len(special) + 1:
        raise InputError(
            f"--vocab {vocab}: 256 bytes and {len(special)} special tokens need {257 + len(special)} or more"
        )
    if not output.endswith(".json"):
        raise InputError(f"--output {output}: a tokenizer is a .json file, such as tokenizer.json")
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        raise InputError("train-tokenizer needs the library tokenizers: pip install tokenizers") from None


# -- documents -------------------------------------------------------------------------------------


def _sources(paths: list[str], split: str) -> list[tuple[str, str]]:
    """(path, format) of each file: those of a run's split, or those that are named."""
    manifest = corpus_manifest(paths[0]) if len(paths) == 1 else None
    if manifest is None:
        files = expand(paths, lambda name: format_of(name) is not None)
        return [(file.path, format_of(file.path) or "jsonl") for file in files]
    split = split or next(iter(manifest["splits"]))
    if split not in manifest["splits"]:
        raise InputError(
            f"{paths[0]} has no split '{split}'{nearest(split, manifest['splits'])} (it has {', '.join(manifest['splits'])})"
        )
    if "format" in manifest.get("tokens", {}):
        raise InputError(f"{paths[0]} holds tokens, not texts; give a run with text output, or its input files")
    parts = [entry["path"] for entry in manifest["files"] if entry["path"].startswith(f"{split}/")]
    return [
        (storage.join(paths[0], part), f"run:{layout_of(manifest) or ''}:{part.split('.', 1)[1]}") for part in parts
    ]


def _tables(sources: list[tuple[str, str]]) -> Iterator[pa.Table]:
    for path, kind in sources:
        if kind.startswith("run:"):
            _, layout, written_as = kind.split(":")
            with storage.local_copy(path) as local:
                for table in read_part(local, written_as):
                    yield with_text(table, layout or None)
            continue
        if kind in ("warc", "html"):
            raise InputError(
                f"{path} holds pages, not texts; run a recipe with extract on it, and name the run's folder"
            )
        for batch in read(path, format=kind, columns=Columns(), default_source="input", batch_rows=1000):
            yield batch.table


def _documents(sources: list[tuple[str, str]], seed: int) -> Iterator[tuple[str, int]]:
    """(text, place): the place of a document in the sample's order, 64 bits."""
    for table in _tables(sources):
        for name, text in zip(table["id"].to_pylist(), table["text"].to_pylist()):
            if text:
                digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
                yield text, int.from_bytes(digest, "little")


def _measured(sources: list[tuple[str, str]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and bytes of all documents, 16 bytes a document."""
    found = [(place, len(text.encode())) for text, place in _documents(sources, seed)]
    return np.array([place for place, _ in found], np.uint64), np.array([size for _, size in found], np.int64)


def _threshold(hashes: np.ndarray, sizes: np.ndarray, sample: int) -> np.uint64 | None:
    """The last place in the sample: documents up to it come to at most `sample` bytes (the first one is always in)."""
    if not len(hashes):
        return None
    order = np.argsort(hashes, kind="stable")
    count = int(np.searchsorted(np.cumsum(sizes[order]), sample, side="right"))
    return hashes[order[max(count, 1) - 1]]


# -- training --------------------------------------------------------------------------------------


def _train(texts: Iterator[str], model: str, vocab: int, special: list[str]) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE() if model == "bpe" else models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_plain(PATTERNS["cl100k_base"])), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    options: dict[str, Any] = {
        "vocab_size": vocab, "show_progress": False, "special_tokens": special,
        "initial_alphabet": sorted(pre_tokenizers.ByteLevel.alphabet()),
    }  # fmt: skip
    trainer = trainers.BpeTrainer(**options) if model == "bpe" else trainers.UnigramTrainer(**options)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _plain(pattern: str) -> str:
    """The pattern for a library that reads "++" otherwise: possessive marks off, which changes the speed, not the pieces."""
    return pattern.replace("?+", "?").replace("++", "+").replace("*+", "*").replace("}+", "}").replace(r"\s+$|", "")


def _tokens(path: str, texts: Iterator[str]) -> dict[str, Any]:
    with storage.local_copy(path) as local:
        tokenizer = open_tokenizer(local)
    size = tokens = 0
    for text in texts:
        size += len(text.encode())
        tokens += int(tokenizer.count([text])[0])
    return {"vocab": tokenizer.vocab, "sha256": tokenizer.sha256, "bytes_per_token": size / max(tokens, 1)}
