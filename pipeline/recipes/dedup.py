"""The dedup steps of a recipe: what may be asked for, and what it resolves to.

In:  ``{"dedup": {"minhash": {"threshold": 0.8, "keep": "longest"}}}``
Out: ``MinHash(threshold=0.8, keep=["longest"], ...)``; `pipeline.job` makes the parts of a job of it.

Dedup needs other documents: these are no row steps.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from dedup.characters import FOLDS, folding
from dedup.containment import choose_queries
from dedup.minhash import Bands, choose_bands
from dedup.turns import PARTS
from filters.registry import nearest
from pipeline.errors import RecipeError
from pipeline.recipes.recipe import Model, Texts, letter
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source

MARK = "none-removed"
WORDS = ("longest", "shortest", "newest", "oldest", MARK)
_CRITERION = (
    "expected longest, shortest, newest, oldest, {best: SIGNAL}, {worst: SIGNAL}, {source: [FIRST, SECOND, ...]}, "
    "or a list of these (the next breaks the ties of the one before); none-removed only marks clusters"
)


def _keep(given: Any) -> list[Any]:
    """The policy as the list of its criteria."""
    items = given if isinstance(given, list) else [given]
    found = [_criterion(item) for item in items]
    repeated = next((item for i, item in enumerate(found) if item in found[:i]), None)
    if not found or repeated is not None:
        raise ValueError(f"{_CRITERION}{f'; {repeated!r} stands twice' if found else ''}")
    return found


def _criterion(item: Any) -> Any:
    if isinstance(item, str) and item in WORDS:
        return item
    if isinstance(item, dict) and len(item) == 1:
        ((key, value),) = item.items()
        if key in ("best", "worst") and isinstance(value, str):
            return item
        if key == "source" and isinstance(value, list) and value and all(isinstance(name, str) for name in value):
            return item
    near = nearest(item, WORDS) if isinstance(item, str) else ""
    raise ValueError(f"{_CRITERION}; got {item!r}{near}")


Keep = Annotated[list[Any], BeforeValidator(_keep)]
"""Who of a group of duplicates stays (with MARK: stands for it): criteria in order, each one of WORDS, {"best": NAME}, {"worst": NAME} or
{"source": [NAME, ...]}; plain JSON, as `pipeline.matching.policy` reads it."""


def keep_signals(keep: list[Any] | None) -> list[str]:
    """Names of the signals that a policy looks at."""
    named = [item.get("best") or item.get("worst") for item in keep or [] if isinstance(item, dict)]
    return list(dict.fromkeys(name for name in named if name))


KEYS = ("text", "url", "id", "source", "date", "lang", *PARTS)


def _by(given: Any) -> list[str]:
    names = given if isinstance(given, list) else [given]
    for name in names:
        field = isinstance(name, str) and name.startswith("metadata.") and name.removeprefix("metadata.")
        if not (field or name in KEYS):
            near = nearest(str(name), KEYS)
            raise ValueError(f"expected {', '.join(KEYS)}, metadata.FIELD, or a list of these; got {name!r}{near}")
    if not names or len(set(names)) < len(names):
        raise ValueError("expected each column once, and at least one")
    return names


class Exact(Model):
    """Removes documents that are equal to another by their normalised text, or by other columns."""

    by: Annotated[list[str], BeforeValidator(_by)] = Field(default_factory=lambda: ["text"])
    normalize: bool | None = None
    keep: Keep = Field(default_factory=lambda: ["longest"])

    def normalized(self) -> bool:
        """Whether values are brought to a normal form: texts, parts of conversations and URLs are, if nothing else is said."""
        usual = self.by in (["text"], ["url"], *([part] for part in PARTS))
        return usual if self.normalize is None else self.normalize

    def kind(self) -> str:
        """ "exact" for the normalised text, as all text is known by; else a key, such as "exact.url"."""
        return "exact" if self.by == ["text"] and self.normalized() else f"exact.{'_'.join(self.by)}"

    def reason(self) -> str:
        """What the ledger says of who goes."""
        return "exact_duplicate" if self.by == ["text"] else f"same_{'_'.join(self.by)}"


class Kind(Model):
    """What one shingle is: so many tokens, or so many characters."""

    tokens: int | None = Field(default=None, ge=1)
    chars: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one(self) -> Kind:
        if (self.tokens is None) == (self.chars is None):
            raise ValueError("a shingle is {tokens: N} or {chars: N}, one of them")
        return self


class Shingle(Kind):
    """The same, and what it is for documents of some languages."""

    by_lang: dict[str, Kind] = Field(default_factory=dict)


class Fold(Model):
    """Which characters count as equal in shingles."""

    width: bool = False
    simplified: bool = False

    def names(self) -> list[str]:
        """As `dedup.characters.folding` wants them."""
        return [name for name in FOLDS if getattr(self, name)]


def _shingle(given: Any) -> Any:
    return {"tokens": given} if isinstance(given, int) and not isinstance(given, bool) else given


class MinHash(Model):
    """Removes documents whose shingle set has a similarity at or above the threshold with a kept one's: Jaccard, or
    containment (the shared part of the smaller set)."""

    by: Literal["text", "prompt", "reply", "conversation"] = "text"
    similarity: Literal["jaccard", "containment"] = "jaccard"
    threshold: float = Field(default=0.8, gt=0, le=1)
    keep: Keep = Field(default_factory=lambda: ["longest"])
    recall: float = Field(default=0.99, gt=0, lt=1)
    bands: int | None = Field(default=None, ge=1)
    rows: int | None = Field(default=None, ge=1)
    shingle: Annotated[Shingle, BeforeValidator(_shingle)] = Field(default_factory=lambda: Shingle(tokens=5))
    fold: Fold = Field(default_factory=Fold)
    seed: int = 1
    against: Texts = Field(default_factory=list)
    upsample: dict[Annotated[int, Field(ge=2)], Annotated[int, Field(ge=1, le=100)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _both(self) -> MinHash:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("bands and rows are given together, or neither (then recall chooses them)")
        if self.bands is not None and self.similarity == "containment":
            raise ValueError("containment has no bands: leave out bands and rows, recall chooses its queries")
        folding(tuple(self.fold.names()))  # that OpenCC is not there shows now
        return self

    def spec(self) -> dict[str, Any]:
        """What is compared, as `dedup.shingling` reads it."""
        spec: dict[str, Any] = self.shingle.model_dump(exclude_none=True, exclude_defaults=True)
        if self.by != "text":
            spec["by"] = self.by
        return {**spec, "fold": self.fold.names()} if self.fold.names() else spec

    def sketch(self) -> dict[str, Any]:
        """What refine deals of each document: plain JSON."""
        base: dict[str, Any] = {"similarity": self.similarity, "shingle": self.spec()}
        if self.similarity == "containment":
            return {**base, "queries": choose_queries(self.threshold, self.recall)}
        bands = self.chosen()
        return {**base, "bands": bands.bands, "rows": bands.rows, "seed": self.seed}

    def chosen(self) -> Bands:
        """The bands and rows in use: the given ones, or those that reach the recall at the threshold."""
        if self.bands is not None and self.rows is not None:
            return Bands(self.bands, self.rows)
        return choose_bands(self.threshold, self.recall)


class Lines(Model):
    """Cuts lines (or paragraphs) that stand in many documents of the corpus, such as menus and footers."""

    unit: Literal["line", "paragraph"] = "line"
    max_repeats: int = Field(default=6, ge=1)
    by: Literal["document", "source"] = "document"
    keep: Literal["first", "none"] = "none"
    min_chars: int = Field(default=1, ge=1)
    min_left: int = Field(default=1, ge=1)


class Substrings(Model):
    """Cuts runs of tokens that stand elsewhere in the corpus too, exactly."""

    min_tokens: int = Field(default=50, ge=2)
    keep: Literal["first", "none"] = "first"
    min_left: int = Field(default=1, ge=1)


CUTS: dict[str, type[Model]] = {"lines": Lines, "substrings": Substrings}
"""Those that change texts, in the order in which they run: before all that compare texts."""

DEDUP: dict[str, type[Model]] = {**CUTS, "exact": Exact, "minhash": MinHash}


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
        later = [
            name
            for name in dedup
            if kind in CUTS and (name not in CUTS or list(CUTS).index(name) > list(CUTS).index(kind))
        ]
        if later:
            raise _error(
                source, place, f"dedup {kind} changes texts that {later[0]} has compared; put it before {later[0]}"
            )
        try:
            step = DEDUP[kind].model_validate(options or {})
        except ValidationError as error:
            raise RecipeError(letter(error, source, place, DEDUP[kind])) from None
        name = step.kind() if isinstance(step, Exact) else kind
        if name in dedup:
            raise _error(source, place, f"dedup {name} stands twice; once is all it takes")
        dedup[name] = step


def _error(source: Source, path: KeyPath, message: str) -> RecipeError:
    return RecipeError(f"{source.where(path)}: {message}")
