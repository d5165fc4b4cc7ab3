"""What a recipe says about conversations, checked: `output.layout`, `output.turns`, steps on turns, dedup by parts."""

from __future__ import annotations

import filters
from dedup.turns import PARTS
from filters.chat.length import NEEDS_CHAT
from pipeline.chat.writing import FORMS
from pipeline.errors import RecipeError
from pipeline.recipes.recipe import Recipe
from pipeline.recipes.row_step import measures, step_path
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source
from pipeline.recipes.steps import Steps
from pipeline.tokenized import FORMATS


def output_layout(recipe: Recipe) -> dict[str, str] | None:
    """{"name", "turns"} of the layout that is written; None where the columns are the usual ones."""
    name = recipe.output.layout
    return {"name": name, "turns": recipe.output.turns or FORMS[name][0]} if name else None


def check_chat(recipe: Recipe, steps: Steps, source: Source) -> None:
    """Errors: RecipeError, as a short letter."""
    output, chat = recipe.output, any(entry.layout for entry in recipe.input)
    if output.turns and not output.layout:
        raise _error(source, ("output", "turns"), "'turns' says how a layout writes its turns; give output.layout too")
    if output.layout and not chat:
        message = f"'layout: {output.layout}' writes conversations, and no input is read as such. Give input: {{layout: auto}}"
        raise _error(source, ("output", "layout"), message)
    if output.layout and output.format in FORMATS:
        message = f"{output.format} holds tokens of texts; a layout is written as jsonl (or .gz, .zst) or parquet"
        raise _error(source, ("output", "layout"), message)
    if output.layout and output.turns and output.turns not in FORMS[output.layout]:
        known = ", ".join(FORMS[output.layout])
        raise _error(source, ("output", "turns"), f"{output.layout} has no 'turns: {output.turns}' (it has {known})")
    if recipe.labels and output.layout == "kto":
        message = (
            "'kto' has a column 'label' of its own, whether the reply was wanted; it cannot hold those of 'labels' too"
        )
        raise _error(source, ("output", "layout"), message)
    turned = next((step for step in steps.rows if step.on), None)
    if turned and not chat:
        message = "'on' works on the turns of conversations, and no input is read as such. Give input: {layout: auto}"
        raise _error(source, (*step_path(turned.name), "on"), message)
    cutting = next((s for s in steps.rows if s.kind == "length" and s.options["too_long"] != "drop"), None)
    if chat and cutting:
        message = "length cuts texts, and would leave the turns of conversations as they are. With conversations give too_long: drop"
        raise _error(source, (*step_path(cutting.name), "length"), message)
    if chat and steps.cuts:
        kind, step = next(iter(steps.cuts.items()))
        message = f"dedup: {kind} cuts texts, and would leave the turns of conversations as they are. Take it out"
        raise _error(source, step_path(step["name"]), message)


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
        whole = [name for name in signals if filters.SIGNALS[name].family in ("chat", "robots") or name in NEEDS_CHAT]
        name = step.options.get("edit")
        whole += [name] if name and filters.EDITS[name].on != "text" else []
        if step.on and whole:
            raise _error(
                source,
                (*step_path(step.name), "on"),
                f"{whole[0]} looks at whole conversations, not at turns; leave 'on' out",
            )


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}.")
