"""The keep policy as order words: which document of a group of duplicates stays.

In:  ``["longest", {"best": "quality"}]`` (the first decides, the next breaks its ties) and rows of a features file
Out: uint64 words, one row a document; smaller rows, compared word by word from the left, are kept first. The last
     two words are the document's 128-bit key, so ties are broken by id.

Words are the same in every task, so an order over the corpus needs no pass over the corpus.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DATE_WORDS = 4
"""Dates are compared as ISO 8601 text by their first 32 bytes: nanoseconds with an offset fit."""

LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
"""What no policy can rank (no date, NaN, a source not named) comes after all else, in both directions."""


def policy_columns(keep: list[Any] | None) -> list[str]:
    """Columns of the features file that the policy looks at."""
    return list(dict.fromkeys(_column(item) for item in keep or []))


def _column(item: Any) -> str:
    if isinstance(item, dict):
        kind, value = next(iter(item.items()))
        return "source" if kind == "source" else f"signal.{value}"
    return {"longest": "chars", "shortest": "chars", "newest": "date", "oldest": "date"}[item]


def order_words(keep: list[Any] | None, features: pa.Table) -> np.ndarray:
    """Order words of rows of a features file: uint64, shape (n, words), C-contiguous."""
    words = [word for item in keep or [] for word in _words(item, features[_column(item)])]
    words += [features["key0"].to_numpy(), features["key1"].to_numpy()]
    return np.ascontiguousarray(np.stack([word.astype(np.uint64, copy=False) for word in words], axis=1))


def word_count(keep: list[Any] | None) -> int:
    """Columns of `order_words`."""
    return 2 + sum(DATE_WORDS if item in ("newest", "oldest") else 1 for item in keep or [])


def _words(item: Any, column: pa.ChunkedArray) -> list[np.ndarray]:
    if item in ("longest", "shortest"):
        chars = column.to_numpy().astype(np.uint64)
        return [~chars if item == "longest" else chars]
    if item in ("newest", "oldest"):
        return _date_words(column, newest=item == "newest")
    kind, value = next(iter(item.items()))
    if kind == "source":
        place = pc.index_in(column, value_set=pa.array(value, pa.string()))
        return [pc.fill_null(pc.cast(place, pa.int64()), len(value)).to_numpy().astype(np.uint64)]
    return [_float_word(column.to_numpy(), descending=kind == "best")]


def _float_word(values: np.ndarray, descending: bool) -> np.ndarray:
    """float64 -> uint64 in the same order; NaN last."""
    values = values.astype(np.float64) + 0.0  # -0.0 and 0.0 are one number
    bits = values.view(np.uint64)
    word = np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))
    return np.where(np.isnan(values), LAST, ~word if descending else word)


def _date_words(column: pa.ChunkedArray, newest: bool) -> list[np.ndarray]:
    """The first 32 bytes of each date as big-endian words; what does not begin with a year comes last."""
    texts = pc.fill_null(column, "").to_pylist()
    flat = b"".join(text.encode()[: 8 * DATE_WORDS].ljust(8 * DATE_WORDS, b"\0") for text in texts)
    words = np.frombuffer(flat, ">u8").astype(np.uint64).reshape(len(texts), DATE_WORDS)
    known = np.array([text[:4].isdecimal() and text[:4].isascii() and len(text) >= 4 for text in texts], dtype=bool)
    return [np.where(known, ~words[:, i] if newest else words[:, i], LAST) for i in range(DATE_WORDS)]


def ranks(words: np.ndarray, docs: np.ndarray) -> np.ndarray:
    """Ranks int64 (n,) of documents among themselves, 0 is kept first; equal words by document number."""
    order = np.lexsort((docs, *words.T[::-1]))
    result = np.empty(len(order), np.int64)
    result[order] = np.arange(len(order))
    return result
