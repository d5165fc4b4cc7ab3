"""`tokens:` and `output.pack` of a recipe: checked, with the tokenizer's file opened, as plain data.

In:  tokens: {tokenizer: demo.json, eos: <|endoftext|>}   output: {format: megatron, pack: {length: 2048, how: best_fit, pad: 0}}
Out: {"tokenizer": {"path", "sha256", "kind", "library", "vocab", ...}, "bos": None, "eos": 0, "pack": {...}, "ids_below": 3000}
"""

from __future__ import annotations

from typing import Any

import filters.tokens
from filters.registry import nearest
from filters.tokenizer_files import Tokenizer, describe, open_tokenizer
from pipeline.errors import RecipeError
from pipeline.recipes.recipe import Recipe
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source
from pipeline.tokenized import FORMATS


def token_options(recipe: Recipe, source: Source) -> dict[str, Any] | None:
    """None without `tokens:`. Errors: RecipeError as a short letter with file, line and key."""
    given, output = recipe.tokens, recipe.output
    holds_tokens = output.format in FORMATS
    if given is None and holds_tokens:
        raise _error(
            source,
            ("output", "format"),
            f"{output.format} holds tokens; say whose: tokens: {{tokenizer: PATH, eos: TOKEN}}",
        )
    if output.pack is not None and not holds_tokens:
        raise _error(
            source,
            ("output", "pack"),
            f"only tokens are packed, and {output.format} holds texts; formats of tokens: {', '.join(FORMATS)}",
        )
    if given is None:
        return None
    try:
        tokenizer = open_tokenizer(given.tokenizer, given.pattern, given.special)
    except (OSError, ValueError) as error:
        raise _error(source, ("tokens", "tokenizer"), str(error)) from None
    bos, eos = (_id(tokenizer, getattr(given, key), ("tokens", key), source) for key in ("bos", "eos"))
    pack = _pack(recipe, tokenizer, bos is None and eos is None, source)
    marks = [mark for mark in (bos, eos, pack["pad"] if pack else None) if mark is not None]
    return {
        "tokenizer": describe(tokenizer, given.pattern, given.special), "bos": bos, "eos": eos, "pack": pack,
        "ids_below": max([tokenizer.vocab, *(mark + 1 for mark in marks)]),
    }  # fmt: skip


def check_count(asked: list[str], recipe: Recipe, source: Source) -> None:
    """Errors: RecipeError if the signals `asked` for need a tokenizer and there is none."""
    if filters.tokens.NAME in asked and recipe.tokens is None:
        raise _error(source, (), "token_count needs a tokenizer to count by: tokens: {tokenizer: PATH}")


def _pack(recipe: Recipe, tokenizer: Tokenizer, unmarked: bool, source: Source) -> dict[str, Any] | None:
    pack = recipe.output.pack
    if pack is None:
        return None
    pad = _id(tokenizer, pack.pad, ("output", "pack", "pad"), source)
    if pack.how == "best_fit" and pad is None:
        raise _error(
            source,
            ("output", "pack"),
            "best_fit fills the rest of each sequence up; say with what: pack: {pad: TOKEN or id}",
        )
    if unmarked and recipe.chat is None:
        raise _error(
            source,
            ("output", "pack"),
            "documents would run into one another without a mark; give tokens: {eos: TOKEN} or {bos: TOKEN}",
        )
    return {"length": pack.length, "how": pack.how, "pad": pad}


def _id(tokenizer: Tokenizer, token: str | int | None, path: KeyPath, source: Source) -> int | None:
    """The id of a token given by name or id."""
    if token is None:
        return None
    if isinstance(token, int):
        if not 0 <= token < 1 << 31:
            raise _error(
                source,
                path,
                f"'{path[-1]}' is {token}; an id is a number from 0 (this tokenizer has {tokenizer.vocab})",
            )
        return token
    found = tokenizer.id_of(token)
    if found is None:
        known = tokenizer.specials()
        raise _error(
            source,
            path,
            f"{tokenizer.path} has no token '{token}'{nearest(token, known)} (special tokens: {', '.join(known[:8]) or 'none'})",
        )
    return found


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}")
