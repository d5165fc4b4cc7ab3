"""`chat:` of a recipe: checked, with the template's file read, as plain data; and conversations that steps have changed.

In:  chat: {template: model/tokenizer_config.json, train_on: last_reply}
Out: {"template": {"templates": {"default": "{% for ..."}, "special": {"eos_token": ...}, ...}, "train_on": "last_reply", "masks": True}

The template itself travels with a job, so workers need no file and a changed template is another run.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

import filters
from dedup.turns import PARTS
from filters.chat.length import NEEDS_CHAT
from filters.chat.template import load_template
from filters.chat.tokens import check_tokenizer
from filters.chat.turns import Conversation
from filters.rows import put_rows
from filters.step import set_column
from pipeline.chat.canonical import dumps, plain_text
from pipeline.errors import RecipeError
from pipeline.recipe import Recipe
from pipeline.source import Path as KeyPath
from pipeline.source import Source
from pipeline.steps import Steps, measures
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


def check_parts(recipe: Recipe, steps: Steps, source: Source) -> None:
    """Errors: RecipeError if dedup compares parts of conversations and no input has any."""
    asked = [name for _, key in steps.keys for name in key.by if name in PARTS]
    asked += [steps.minhash.by] if steps.minhash and steps.minhash.by in PARTS else []
    if asked and not any(entry.layout for entry in recipe.input):
        message = (
            f"dedup by {asked[0]} compares conversations, and no input is read as such; give input: {{layout: auto}}"
        )
        raise _error(source, ("steps",), message)
    if steps.minhash and steps.minhash.by in PARTS and recipe.output.layout == "text":
        message = "texts alone do not tell prompt from reply, so nobody could check this corpus; write conversations"
        raise _error(source, ("output", "layout"), message)


def check_turns(steps: Steps, source: Source) -> None:
    """Errors: RecipeError if a step on turns looks at whole conversations, which a turn is not."""
    for step in steps.rows:
        signals = [name for name in measures(step) if name in filters.SIGNALS]
        whole = [name for name in signals if filters.SIGNALS[name].family == "chat" or name in NEEDS_CHAT]
        name = step.options.get("edit")
        whole += [name] if name and filters.EDITS[name].on != "text" else []
        if step.on and whole:
            place = ("steps", int(step.name[:2]) - 1, "on")
            raise _error(source, place, f"{whole[0]} looks at whole conversations, not at turns; leave 'on' out")


def with_conversations(table: pa.Table, changed: list[Conversation | None]) -> pa.Table:
    """`table` with the conversations that are not None in `changed`, and their texts."""
    rows = [row for row, each in enumerate(changed) if each is not None]
    if not rows:
        return table
    new = [each for each in changed if each is not None]
    for name, values in (("conversation", [dumps(each) for each in new]), ("text", [plain_text(each) for each in new])):
        column = table[name].combine_chunks()
        table = set_column(table, name, put_rows(column, pa.array(rows).to_numpy(), values))
    return table


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}")
