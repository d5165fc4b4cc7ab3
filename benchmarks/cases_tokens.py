"""Texts to token ids with the demo's tokenizer: the library's own batch call is the peer; and ids to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry import OURS, Sample, Work, runner

ENCODE = "texts to tokens (byte-level BPE, 4,000 ids)"
TOKENIZER = str(Path(__file__).resolve().parent.parent / "configs" / "tokenizers" / "demo.json")


@runner(ENCODE, OURS, {})
def our_tokens(sample: Sample) -> Work:
    """As publish does it: Arrow texts in, one array of ids and the documents' ends out."""
    from filters.tokenizer_files import open_tokenizer

    tokenizer, tables = open_tokenizer(TOKENIZER), sample.tables()

    def work() -> Any:
        found = [tokenizer.encode(table["text"].to_pylist()) for table in tables]
        return lambda: [int(count) for tokens in found for count in tokens.counts]

    return work


@runner(ENCODE, "tokenizers", {"en": 4, "zh": 4}, package="tokenizers")
def library(sample: Sample) -> Work:
    """The batch call that makes no offsets, on strings that are there already; its answer read as lists."""
    import os

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    tokenizer, texts = Tokenizer.from_file(TOKENIZER), sample.texts
    tokenizer.encode_special_tokens = True

    def work() -> Any:
        found = [each.ids for each in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        return lambda: [len(ids) for ids in found]

    return work
