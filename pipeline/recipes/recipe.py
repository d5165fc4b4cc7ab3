"""A recipe: the YAML page a user writes, read into checked models.

In:  ``configs/web.yaml`` and the ``--set`` overrides
Out: ``Recipe(input=[Input(...)], steps=[...], output=Output(...), run=Run(...), uses=[...])``

Here stands what a recipe can say outside its steps; `pipeline.recipes.steps` knows the steps. Nothing is read
but the page itself: whether paths exist is asked later, by `pipeline.job`.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from filters.registry import nearest
from pipeline.chat.layouts import check_layout
from pipeline.crawls.options import Wat, as_wat
from pipeline.errors import RecipeError
from pipeline.recipes.source import Path as KeyPath
from pipeline.recipes.source import Source, override, parse
from pipeline.splits.options import Split

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _in_units(value: Any, units: dict[str, int], expected: str) -> Any:
    """'2.5K' -> 2500, rounded: 1.001 * 1000 is less than 1001; what is no text stays."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([A-Za-z]*)\s*", value)
    if not found or found[2].upper() not in units:
        raise ValueError(expected)
    return round(float(found[1]) * units[found[2].upper()])


def size_in_bytes(value: Any) -> Any:
    """'256MB' -> 256_000_000; a whole number stays."""
    return _in_units(value, UNITS, "expected a size such as 256MB, 2GB or a number of bytes")


def one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Format = Literal[
    "jsonl", "json", "parquet", "arrow", "warc", "wet", "wat", "arc", "csv", "tsv",
    "text", "markdown", "html", "epub", "mediawiki", "tar", "zip",
]  # fmt: skip
Bytes = Annotated[int, BeforeValidator(size_in_bytes), Field(gt=0)]
COUNTS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def count(value: Any) -> Any:
    """'1.5B' -> 1_500_000_000; a whole number stays."""
    return _in_units(value, COUNTS, "expected a count such as 500M, 2.5B or a whole number")


def named(value: Any) -> Any:
    """A mapping with its keys as text: YAML reads 10 as a number."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else value


def as_texts(value: Any) -> Any:
    """A list of names as texts: labels may be numbers."""
    return [str(item) if isinstance(item, int) else item for item in value] if isinstance(value, list) else value


Count = Annotated[int, BeforeValidator(count), Field(ge=0)]
Times = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Texts = Annotated[list[str], BeforeValidator(one_or_many)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(Model):
    """What becomes of a column's missing and odd values; see docs/values.md."""

    type: Literal["date", "int", "float", "bool", "text"] | None = None
    required: bool = False
    default: bool | int | float | str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Value:
        if self.required and self.default is not None:
            raise ValueError("expected required or default: with a default nothing is missing")
        if self.type is None and not self.required and self.default is None:
            raise ValueError("expected at least one of type, required, default")
        if self.type and self.default is not None:
            from pipeline.refining.values import COERCIONS

            if (fits := COERCIONS[self.type](self.default)) is None or (fits != self.default and self.type != "date"):
                raise ValueError(f"the default {self.default!r} is no {self.type}")
        return self


class Input(Model):
    """Where documents come from, and which field of a record fills which column."""

    paths: Texts = Field(min_length=1)
    format: Format | None = None
    dataset: str | None = None
    text: str = "text"
    id: str = "id"
    source: str = "source"
    url: str = "url"
    date: str = "date"
    lang: str | None = None
    html: str | None = None
    unit: Literal["document", "line", "paragraph", "chapter"] | None = None
    query: str | None = None
    table: str | None = None
    partition: str | None = None
    partitions: int | None = Field(default=None, ge=1)
    base_url: str | None = None
    layout: str | dict[str, str] | None = None
    wat: Annotated[Wat | None, BeforeValidator(as_wat)] = None
    values: dict[str, Value] = Field(default_factory=dict)

    @field_validator("layout")
    @classmethod
    def _layout(cls, layout: str | dict[str, str] | None) -> str | dict[str, str] | None:
        return check_layout(layout)

    @field_validator("values")
    @classmethod
    def _columns(cls, values: dict[str, Value]) -> dict[str, Value]:
        from pipeline.refining.values import COLUMNS

        for name, rule in values.items():
            if name.startswith("metadata.") and len(name) > len("metadata."):
                continue
            if name not in COLUMNS:
                raise ValueError(
                    f"no column '{name}' has a policy{nearest(name, COLUMNS)} (known: {', '.join(COLUMNS)}, metadata.FIELD)"
                )
            if rule.type and (name, rule.type) != ("date", "date"):
                raise ValueError(f"'{name}' is text; only date can be of type date, metadata.FIELD of any")
            if name == "id" and rule.default is not None:
                raise ValueError(
                    "'id' has no default: a record without an id gets a hash of source and content; or give required: true"
                )
        return values


class Tokens(Model):
    """Whose tokens are counted and written; see docs/tokens.md."""

    tokenizer: str = Field(min_length=1)
    bos: int | str | None = None
    eos: int | str | None = None
    pattern: str | None = None
    special: dict[str, int] | None = None


def _iso(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.date) else value


class Chat(Model):
    """How conversations are rendered, and what of them is trained on; see docs/chat_templates.md."""

    template: str = Field(min_length=1)
    name: str | None = None
    date: Annotated[str | None, BeforeValidator(_iso)] = None
    variables: dict[str, Any] = Field(default_factory=dict)
    special: dict[str, str] = Field(default_factory=dict)
    train_on: Literal["replies", "last_reply"] = "replies"


class Pack(Model):
    """How documents are put into sequences of one length."""

    length: int = Field(ge=2)
    how: Literal["concatenate", "best_fit"] = "concatenate"
    pad: int | str | None = None


class Mix(Model):
    """How often documents are written, by bucket; see docs/mixtures.md."""

    by: Texts = Field(default_factory=list)
    epochs: Annotated[dict[str, Times], BeforeValidator(named)] | None = None
    weights: Annotated[dict[str, Weight], BeforeValidator(named)] | None = None
    budget: Annotated[dict[str, Count], BeforeValidator(named)] | None = None
    temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    total: Annotated[int, BeforeValidator(count), Field(gt=0)] | None = None
    rest: Weight | None = None
    max_epochs: Annotated[float, Field(gt=0, le=100)] = 100.0
    unit: Literal["tokens", "bytes", "documents"] | None = None
    split: str | None = None
    seed: int = 0


class Labels(Model):
    """The labels of a classification set; see docs/labels.md."""

    column: str = Field(default="label", min_length=1)
    values: Annotated[list[str], BeforeValidator(as_texts), Field(min_length=1)] | None = None
    missing: Literal["drop", "keep"] = "drop"
    unknown: Literal["drop", "keep"] = "drop"
    conflicts: Literal["list", "drop"] = "list"


Rate = Annotated[float, Field(ge=0, le=1)]


class Augment(Model):
    """Noisy copies of training documents; see docs/labels.md."""

    copies: Times | Annotated[dict[str, Times], BeforeValidator(named)] | None = None
    balance: bool = False
    max_copies: Annotated[float, Field(gt=0, le=100)] = 10.0
    spacing: Rate = 0.0
    width: Rate = 0.0
    punctuation: Rate = 0.0
    case: Rate = 0.0
    swaps: Rate = 0.0
    drops: Rate = 0.0
    typos: Rate = 0.0
    split: str | None = None
    seed: int = 0


class Output(Model):
    """Where the corpus goes, and how."""

    path: str = Field(min_length=1)
    format: Literal[
        "jsonl.zst", "jsonl.gz", "jsonl", "parquet", "parquet-tokens", "megatron", "mds", "litdata", "nanotron"
    ] = "jsonl.zst"
    pack: Pack | None = None
    shard_size: Bytes = 256 * 10**6
    split: Split = Field(default_factory=lambda: Split.model_validate({"train": 1}))
    shuffle: bool = True
    seed: int = 0
    signals: Literal["all"] | list[str] = Field(default_factory=list)
    rejected_text: bool = False
    index: bool = False
    layout: (
        Literal[
            "messages",
            "alpaca",
            "sharegpt",
            "prompt_completion",
            "question_answer",
            "self_instruct",
            "preference",
            "kto",
            "text",
        ]
        | None
    ) = None
    turns: Literal["messages", "sharegpt", "text"] | None = None


class Run(Model):
    """How the work is done. Nothing here changes a byte of the output."""

    engine: Literal["ray", "local"] = "ray"
    address: str | None = None
    workers: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=2000, ge=1)
    memory: Annotated[Bytes, Field(ge=64 * 10**6)] = 2 * 10**9
    attempts: int = Field(default=3, ge=1)
    isolate: Literal["auto", "always", "never"] = "auto"
    document_seconds: float = Field(default=60.0, gt=0)
    document_memory: Annotated[Bytes, Field(ge=64 * 10**6)] = 4 * 10**9
    max_quarantined: float = Field(default=0.0, ge=0, le=1)
    max_source_loss: float = Field(default=0.5, gt=0, le=1)
    keep_work: bool = False


class Recipe(Model):
    """The whole page; `steps` still as written."""

    input: list[Input] = Field(min_length=1)
    steps: list[Any] = Field(default_factory=list)
    output: Output
    tokens: Tokens | None = None
    mix: Mix | None = None
    labels: Labels | None = None
    augment: Augment | None = None
    chat: Chat | None = None
    run: Run = Field(default_factory=Run)
    uses: Texts = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _one_input(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("input"), (dict, str)):
            entry = data["input"]
            data = {**data, "input": [{"paths": entry} if isinstance(entry, str) else entry]}
        return data


def load(path: str, assignments: list[str] | None = None) -> tuple[Recipe, Source]:
    """Reads and checks a recipe. Errors: RecipeError, one letter for all that is wrong."""
    file = Path(path)
    if not file.is_file():
        folder = file.parent if file.parent.is_dir() else Path()
        hint = nearest(file.name, [p.name for p in folder.glob("*.y*ml")])
        raise RecipeError(f"There is no recipe at {path}{hint}")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: a recipe is UTF-8 text; byte {error.start} is not.") from None
    return read(text, path, assignments)


def read(text: str, name: str, assignments: list[str] | None = None) -> tuple[Recipe, Source]:
    """As `load`, from the page's text."""
    source = parse(text, name)
    if not isinstance(source.data, dict):
        raise RecipeError(
            f"{name}: a recipe is a mapping with the keys input, steps, output and run; this page is {_kind(source.data)}."
        )
    for assignment in assignments or []:
        override(source, assignment)
    try:
        return Recipe.model_validate(source.data), source
    except ValidationError as error:
        raise RecipeError(letter(error, source, (), Recipe)) from None


# -- letters to the user ---------------------------------------------------------------------------


def letter(error: ValidationError, source: Source, base: KeyPath, model: type[BaseModel]) -> str:
    """One line for each thing that pydantic found: file:line, key, expected, got, nearest known name."""
    single = isinstance(source.data, dict) and isinstance(source.data.get("input"), (dict, str))
    lines = []
    for item in error.errors():
        path = _written_path(tuple(item["loc"]), single and model is Recipe)
        lines.append(f"{source.where((*base, *path))}: {_sentence(item, (*base, *path), model)}")
    return "\n".join(dict.fromkeys(lines))


def _written_path(loc: KeyPath, single_input: bool) -> KeyPath:
    """pydantic's path without what it adds itself: list numbers of a lone input, names of union members."""
    path = [
        part
        for part in loc
        if not (isinstance(part, str) and ("[" in part or part in ("literal", "str", "float", "int", "sides")))
    ]
    if single_input and path[:1] == ["input"] and len(path) > 1 and path[1] == 0:
        del path[1]
    return tuple(path)


def _sentence(item: Any, path: KeyPath, model: type[BaseModel]) -> str:
    key = ".".join(map(str, path))
    kind, given = item["type"], item.get("input")
    if kind == "extra_forbidden":
        known = known_keys(model, tuple(item["loc"])[:-1])
        return f"unknown key '{key}'{nearest(str(path[-1]), known)} (known here: {', '.join(known)})"
    if kind == "missing":
        return f"the key '{key}' is missing"
    if kind == "literal_error":
        expected = item["ctx"]["expected"]
        return f"'{key}' is {given!r}; expected {expected}{nearest(str(given), re.findall(chr(39) + '(.*?)' + chr(39), expected))}"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = message if kind == "value_error" else f"expected {message}"
    return f"'{key}' is {_short(given)}; {expected}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: Any) -> str:
    return {type(None): "empty", list: "a list", str: "a text"}.get(type(value), f"a {type(value).__name__}")


def known_keys(model: type[BaseModel], loc: KeyPath) -> list[str]:
    """The keys that the model at `loc` (a path of pydantic's) knows."""
    current: Any = model
    named = False  # the next part is a key of the user's own, in a mapping of models
    for part in loc:
        if named:
            named = False
        elif isinstance(part, str) and isinstance(current, type) and issubclass(current, BaseModel):
            field = next((f for n, f in current.model_fields.items() if part in (n, f.alias)), None)
            current = _model_in(field.annotation) if field else None
            named = field is not None and get_origin(field.annotation) is dict
    fields = current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}
    return [f.alias or name for name, f in fields.items()]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
