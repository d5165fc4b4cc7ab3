"""The dedup steps of a recipe: what may be asked for, and what it resolves to.

In:  ``{"dedup": {"minhash": {"threshold": 0.8, "keep": "longest"}}}``
Out: ``MinHash(threshold=0.8, keep="longest", ...)``; `pipeline.job` makes the parts of a job of it.

Dedup needs other documents: these are no row steps.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from dedup.minhash import Bands, choose_bands
from filters.registry import nearest
from pipeline.errors import RecipeError
from pipeline.recipe import Model, letter
from pipeline.source import Path as KeyPath
from pipeline.source import Source


class Policy(Model):
    """Which document of a group of duplicates stays, where it is not the longest or newest."""

    best: str | None = None
    source: list[str] | None = None


def _policy(keep: Any) -> Any:
    named = isinstance(keep, str) and keep in ("longest", "newest")
    best = isinstance(keep, dict) and list(keep) == ["best"] and isinstance(keep["best"], str)
    sources = isinstance(keep, dict) and list(keep) == ["source"] and isinstance(keep["source"], list)
    if not (named or best or sources or isinstance(keep, Policy)):
        raise ValueError("expected longest, newest, {best: SIGNAL} or {source: [FIRST, SECOND, ...]}")
    return keep


Keep = Annotated[Literal["longest", "newest"] | Policy, BeforeValidator(_policy)]


class Exact(Model):
    """Removes documents whose normalised text is equal to another's."""

    keep: Keep = "longest"


class MinHash(Model):
    """Removes documents whose shingle set has a Jaccard similarity at or above the threshold with a kept one."""

    threshold: float = Field(default=0.8, gt=0, le=1)
    keep: Keep = "longest"
    recall: float = Field(default=0.99, gt=0, lt=1)
    bands: int | None = Field(default=None, ge=1)
    rows: int | None = Field(default=None, ge=1)
    shingle: int = Field(default=5, ge=1)
    seed: int = 1

    @model_validator(mode="after")
    def _both(self) -> MinHash:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("bands and rows are given together, or neither (then recall chooses them)")
        return self

    def chosen(self) -> Bands:
        """The bands and rows in use: the given ones, or those that reach the recall at the threshold."""
        if self.bands is not None and self.rows is not None:
            return Bands(self.bands, self.rows)
        return choose_bands(self.threshold, self.recall)


DEDUP: dict[str, type[Model]] = {"exact": Exact, "minhash": MinHash}


def add_dedup(dedup: dict[str, Any], body: Any, where: dict[str, list[str]], path: KeyPath, source: Source) -> None:
    """Checks one `dedup:` item and adds its kinds to `dedup`. Errors: RecipeError."""
    if isinstance(body, str):
        body = {body: {}}
    if not isinstance(body, dict) or not body:
        raise _error(source, path, "dedup is a mapping such as {minhash: {threshold: 0.8}} or {exact: {}}")
    if where:
        raise _error(source, (*path, "where"), "dedup compares all documents; it takes no where")
    for kind, options in body.items():
        place = (*path, "dedup", kind)
        if kind not in DEDUP:
            raise _error(source, place, f"unknown dedup '{kind}'{nearest(kind, DEDUP)} (known: {', '.join(DEDUP)})")
        if kind in dedup:
            raise _error(source, place, f"dedup {kind} stands twice; once is all it takes")
        try:
            dedup[kind] = DEDUP[kind].model_validate(options or {})
        except ValidationError as error:
            raise RecipeError(letter(error, source, place, DEDUP[kind])) from None


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}")
