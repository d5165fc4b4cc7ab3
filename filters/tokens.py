"""The signal `token_count`: how many tokens of the recipe's tokenizer a document has.

    tokens: {tokenizer: tokenizer.json}          recipe
    - keep: {token_count: {min: 32}}

    text="Hi there"   ->   token_count 2.0

Beginning and end marks are not counted. The tokenizer is the run's, not the process's: `use` sets it before a task's steps.
"""

from typing import Any

import numpy as np
import pyarrow.compute as pc

from filters.registry import signal
from filters.texts import Texts
from filters.tokenizer_files import Tokenizer, opened

NAME = "token_count"
_current: Tokenizer | None = None


def use(described: dict[str, Any] | None) -> None:
    """`token_count` counts by this tokenizer from now on (`filters.tokenizer_files.describe`); None: by none."""
    global _current
    _current = opened(described) if described else None


@signal(family="tokens", source="the recipe's tokenizer")
def token_count(texts: Texts) -> np.ndarray:
    """Tokens of the recipe's tokenizer (tokens: {tokenizer: PATH})."""
    if _current is None:
        raise ValueError("token_count needs a tokenizer: tokens: {tokenizer: PATH} in the recipe")
    return _current.count(pc.fill_null(texts.array, "").to_pylist()).astype(np.float64)
