"""Lists of phrases that assistants and users say (configs/phrases), looked for in replies and prompts.

    as_an_ai_count   "As an AI language model, I ..."   ->   1

How a phrase is matched: filters/phrases.py. English and Chinese are one list, since replies mix them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.chat.turns import replies
from filters.registry import signal
from filters.texts import Texts

if TYPE_CHECKING:
    from kernels.phrases import Trie

LISTS = Path(__file__).resolve().parent.parent.parent / "configs" / "phrases"
HEAD = 120
"""Characters of a reply in which a refusal begins; further down "I cannot" is a sentence like any other."""


@cache
def phrases_of(name: str) -> frozenset[str]:
    """The phrases of the lists NAME.txt and NAME_*.txt that are looked for."""
    from filters.phrases import used

    files = sorted([*LISTS.glob(f"{name}.txt"), *LISTS.glob(f"{name}_*.txt")])
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    phrases = [line for line in lines if line.strip() and not line.startswith("#")]
    return used([*phrases, *(phrase.replace("'", "’") for phrase in phrases)])


@cache
def _trie(name: str) -> Trie:
    from filters.phrases import trie_of

    return trie_of(phrases_of(name))


def found_in(texts: Texts, name: str) -> np.ndarray:
    """How many phrases of the list stand in each text, int64."""
    from filters.phrases import class_table, small_table
    from kernels.phrases import count_phrases

    spans = texts.spans
    return count_phrases(spans.starts, spans.ends, spans.data, small_table(), class_table(), _trie(name))[:, 0]


@signal(family="chat", source="configs/phrases/README.md")
def as_an_ai_count(texts: Texts) -> np.ndarray:
    """Phrases in which the assistant speaks of itself as an AI, in all replies (English, Chinese)."""
    said = texts.once(replies)
    return said.total(found_in(said.texts, "as_an_ai"))


@signal(family="chat", source="configs/phrases/README.md")
def refusal_count(texts: Texts) -> np.ndarray:
    """Replies that begin by refusing: a phrase of the list in the first 120 characters (English, Chinese)."""
    said = texts.once(replies)
    heads = pc.utf8_slice_codeunits(said.texts.array, 0, HEAD)
    return said.total(found_in(Texts(pa.array(heads, pa.large_string())), "refusals") > 0)
