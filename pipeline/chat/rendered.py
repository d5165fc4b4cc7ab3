"""`chat:` of a recipe: checked, with the template's file read, as plain data.

In:  chat: {template: model/tokenizer_config.json, train_on: last_reply}
Out: {"template": {"templates": {"default": "{% for ..."}, "special": {"eos_token": ...}, ...}, "train_on": "last_reply", "masks": True}

The template itself travels with a job, so workers need no file and a changed template is another run.
"""

from __future__ import annotations

from typing import Any

from filters.chat.length import NEEDS_CHAT
from filters.chat.template import load_template
from filters.chat.tokens import check_tokenizer
from pipeline.errors import RecipeError
from pipeline.recipes.recipe import Recipe
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source
from pipeline.tokenized import FORMATS


def chat_options(recipe: Recipe, source: Source, tokens: dict[str, Any] | None) -> dict[str, Any] | None:
    """None without `chat:`. `tokens`: what `tokens:` resolved to. Errors: RecipeError as a short letter."""
    given = recipe.chat
    if given is None:
        return None
    if not any(entry.layout for entry in recipe.input):
        raise _error(
            source, ("chat",), "it renders conversations, and no input is read as such; give input: {layout: auto}"
        )
    try:
        made = load_template(given.template, given.name, given.date, given.variables, given.special)
    except (OSError, ValueError, ImportError) as error:
        raise _error(source, ("chat", "template"), str(error)) from None
    if tokens is not None:
        try:
            check_tokenizer(tokens["tokenizer"])
        except ValueError as error:
            raise _error(source, ("tokens", "tokenizer"), str(error)) from None
    masks = recipe.output.format in FORMATS
    return {"template": made.described(), "train_on": given.train_on, "masks": masks}


def asked_of_chat(asked: set[str], recipe: Recipe, source: Source) -> bool:
    """Whether any signal or edit of `asked` works by the chat template. Errors: RecipeError if what it needs is not there."""
    for name in NEEDS_CHAT:
        if name in asked and recipe.chat is None:
            raise _error(source, (), f"{name} needs a chat template: chat: {{template: tokenizer_config.json}}")
        if name in asked and name != "render_chat" and recipe.tokens is None:
            raise _error(source, (), f"{name} needs a tokenizer to count by: tokens: {{tokenizer: tokenizer.json}}")
    return not asked.isdisjoint(NEEDS_CHAT)


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}")
