"""Signals of robots rules need the rules: a recipe that takes pages apart must keep what their `<meta>` asks for."""

from __future__ import annotations

import filters
from pipeline.errors import RecipeError
from pipeline.recipes.recipe import Recipe
from pipeline.recipes.row_step import measures, step_path
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source
from pipeline.recipes.steps import Steps


def check_robots(asked: list[tuple[str, KeyPath]], recipe: Recipe, steps: Steps, source: Source) -> None:
    """asked: signals that are measured besides those of steps, and where the recipe says so. Errors: RecipeError if nothing
    reads the rules of pages, so that each page would seem to ask for nothing."""
    page = next((step for step in steps.rows if step.kind == "extract"), None)
    if page is None or page.options.get("metadata") or all(entry.wat for entry in recipe.input):
        return
    for step in steps.rows:
        asked = asked + [(name, step_path(step.name)) for name in measures(step)]
    for name, path in asked:
        if name in filters.SIGNALS and filters.SIGNALS[name].family == "robots":
            raise RecipeError(
                f"{source.where(path)}: {name} looks at the robots rules in a record's metadata, and nothing puts those of pages there. "
                "Give the step extract 'metadata: true'."
            )
