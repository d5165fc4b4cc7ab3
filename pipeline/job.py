"""A job: a recipe with everything resolved, as plain JSON that every worker gets.

In:  a checked `Recipe`
Out: ``Job(shards=[{"path", "name", "size", "version", "input", "format"}], refine={...}, near={...}, publish={...})``

The three parts are what a stage's result depends on; their hashes go into task ids, so that a finished
task is found again and a changed recipe is noticed. How the work is done (engine, workers, batch size) is in none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import sys
import types
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import filters
from filters.chat.tokens import use as use_chat
from filters.registry import nearest
from filters.tokens import NAME as TOKEN_COUNT
from pipeline import HOME, __version__
from pipeline.chat.options import check_chat, check_parts, check_turns, output_layout
from pipeline.chat.rendered import asked_of_chat, chat_options
from pipeline.crawls.options import as_written
from pipeline.errors import InputError, RecipeError
from pipeline.files import inputs, storage
from pipeline.lean import needs_all, start_lean
from pipeline.mixtures.augment import augment_spec
from pipeline.mixtures.labels import labels_part
from pipeline.mixtures.mix import carried, mix_signals, mix_spec
from pipeline.recipes.dedup import MARK, keep_signals
from pipeline.recipes.recipe import Input, Recipe, load
from pipeline.recipes.robots import check_robots
from pipeline.recipes.row_step import measures, step_path
from pipeline.recipes.source import Source
from pipeline.recipes.steps import Steps, parse_steps
from pipeline.splits import options as split_options
from pipeline.tokenized.options import check_count, token_options

HTML_FORMATS = ("warc", "arc", "html")


@dataclass(frozen=True)
class Job:
    """What is to be made, of what, and where to. `work` is the folder of manifests and files between stages."""

    output: str
    shards: list[dict[str, Any]]
    refine: dict[str, Any]
    near: dict[str, Any]
    publish: dict[str, Any]
    batch_size: int = 2000
    memory: int = 2 * 10**9
    older: list[dict[str, Any]] = field(default_factory=list)
    limit: int | None = None
    isolate: str = "auto"
    document_seconds: float = 60.0
    document_memory: int = 4 * 10**9
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def work(self) -> str:
        return storage.join(self.output, ".work")

    def parts(self) -> dict[str, Any]:
        """What the output depends on, besides the input."""
        older = [[entry["path"], entry["identity"]] for entry in self.older]
        return {"refine": self.refine, "near": self.near, "older": older, "publish": self.publish}

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


def prepare(path: str, assignments: list[str] | None = None) -> tuple[Job, Recipe]:
    """A recipe's file to a job; everything that can be known before work starts is checked.

    Errors: RecipeError and InputError, as short letters.
    """
    recipe, source = load(path, assignments)
    return resolve(recipe, source), recipe


def resolve(recipe: Recipe, source: Source) -> Job:
    """As `prepare`, from a recipe in hand."""
    if not needs_all(recipe.steps, recipe.uses):
        start_lean()
    filters.load_builtin()
    modules = [load_user_module(read_user_module(name, source, i)) for i, name in enumerate(recipe.uses)]
    tokens = token_options(recipe, source)
    chat = chat_options(recipe, source, tokens)
    use_chat(chat, tokens and tokens["tokenizer"])  # edits are tried on nothing while steps are read
    steps = parse_steps(recipe.steps, source)
    check_parts(recipe, steps, source)
    check_turns(steps, source)
    _check_output(recipe, source)
    check_chat(recipe, steps, source)
    mix = mix_spec(recipe, steps, source)
    _check_signals(recipe, steps, mix, source)
    shards = inputs.shards(recipe, source)
    _check_order(recipe, steps, shards, source)
    return Job(
        output=inputs.absolute(recipe.output.path),
        shards=shards,
        refine=_refine_part(recipe, steps, modules, tokens, mix, chat, source),
        near=_near_part(steps),
        publish={
            **_publish_part(recipe),
            "tokens": tokens and {**tokens, "chat": chat},
            "mix": mix,
            "augment": augment_spec(recipe, source),
        },
        batch_size=recipe.run.batch_size,
        memory=recipe.run.memory,
        isolate=recipe.run.isolate,
        document_seconds=recipe.run.document_seconds,
        document_memory=recipe.run.document_memory,
        older=_older(steps, source),
        recipe=_as_written(source),
    )


def fingerprint(value: Any) -> str:
    """128-bit hex hash of a JSON value."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@functools.cache
def code_version() -> str:
    """'0.1.0+1a2b3c4d': the release and a hash of the code that decides about bytes."""
    digest = hashlib.blake2b(digest_size=4)
    for room in ("pipeline", "filters", "dedup", "kernels"):
        for file in sorted((HOME / room).rglob("*.py")):
            digest.update(file.relative_to(HOME).as_posix().encode() + b"\0" + file.read_bytes())
    data = [
        file
        for folder, kind in (("lines", "*.yaml"), ("flagged", "*.txt"), ("phrases", "*.txt"))
        for file in (HOME / "configs" / folder).glob(kind)
    ]
    for file in sorted(data):
        digest.update(file.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


@functools.cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that decide about bytes, those that are installed."""
    found = {}
    for name in (
        "pyarrow",
        "ftfy",
        "resiliparse",
        "datatrove",
        "opencc",
        "py3langid",
        "orjson",
        "zstandard",
        "tldextract",
        "jinja2",
    ):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


# -- the parts -------------------------------------------------------------------------------------


def _refine_part(
    recipe: Recipe,
    steps: Steps,
    modules: list[dict[str, str]],
    tokens: dict[str, Any] | None,
    mix: dict[str, Any] | None,
    chat: dict[str, Any] | None,
    source: Source,
) -> dict[str, Any]:
    signals = recipe.output.signals
    parts = any(step.kind == "length" and step.options["too_long"] == "split" for step in steps.rows)
    split = split_options.of_documents(split_options.options(recipe.output.split), parts)
    criteria = [*keep_signals(steps.keep), *mix_signals(mix)]
    mix_tokens = mix is not None and mix["unit"] == "tokens"
    measured = [name for step in steps.rows for name in measures(step)]
    asked = list(dict.fromkeys(measured)) if signals == "all" else list(signals)
    named = {*measured, *asked, *keep_signals(steps.keep), *(step.options.get("edit", "") for step in steps.rows)}
    renders = asked_of_chat(named, recipe, source)
    return {
        "code": code_version(),
        "libraries": libraries(),
        "unicode": unicodedata.unidata_version,
        "inputs": [_columns(entry) for entry in recipe.input],
        "chat": any(entry.layout for entry in recipe.input),
        "layout": output_layout(recipe),
        "steps": [step.as_json() for step in steps.rows],
        "signals": asked,
        "record_all": signals == "all",
        "criteria": list(dict.fromkeys(criteria)),
        "labels": labels_part(recipe.labels),
        "carried": list(dict.fromkeys([*carried(mix), *(["label"] if recipe.labels else [])])),
        "mix_tokens": mix_tokens,
        "uses": modules,
        "rejected_text": recipe.output.rejected_text,
        "minhash": _sketch(steps),
        "cuts": steps.cuts,
        "split": split,
        "parts": parts,
        "keys": [{"by": key.by, "normalize": key.normalized()} for _, key in steps.keys],
        # a run that counts no tokens here need not refine again for another tokenizer, or another template
        "tokenizer": tokens["tokenizer"]
        if tokens and (renders or mix_tokens or TOKEN_COUNT in {*named, *criteria})
        else None,
        "template": chat if renders else None,
    }


def _sketch(steps: Steps) -> dict[str, Any] | None:
    """What signatures depend on; the threshold is none of it once bands and rows are chosen."""
    return steps.minhash.sketch() if steps.minhash else None


def _near_part(steps: Steps) -> dict[str, Any]:
    near = steps.minhash
    return {
        "names": steps.names,
        "keys": [{"name": name, "reason": key.reason()} for name, key in steps.keys],
        "keep": [item for item in steps.keep if item != MARK] if steps.keep else steps.keep,
        "marks": MARK in (steps.keep or []),
        "threshold": near.threshold if near else None,
        "similarity": near.similarity if near else None,
    }


def _older(steps: Steps, source: Source) -> list[dict[str, Any]]:
    from pipeline.matching.older import find_older

    sketch = _sketch(steps)
    if steps.minhash is None or sketch is None:
        return []
    number = int(steps.names["minhash"][:2]) - 1
    try:
        return [find_older(inputs.absolute(path), i, sketch) for i, path in enumerate(steps.minhash.against)]
    except InputError as error:
        raise InputError(f"{source.where(('steps', number))}: against: {error}") from None


def _publish_part(recipe: Recipe) -> dict[str, Any]:
    output = recipe.output
    return {
        "format": output.format,
        "layout": output_layout(recipe),
        "shard_size": output.shard_size,
        **split_options.options(output.split),
        "shuffle": output.shuffle,
        "seed": output.seed,
        "index": output.index,
    }


def _columns(entry: Input) -> dict[str, Any]:
    return entry.model_dump(
        mode="json", exclude={"paths": True, "format": True, "partitions": True, "base_url": True, "wat": {"paths"}}
    )


def _as_written(source: Source) -> dict[str, Any]:
    """The recipe for the manifest, without what cannot change a byte of a document: how the work is done, where the
    output lies, in which order the input is listed (the manifest names its files)."""
    data = {key: value for key, value in source.data.items() if key != "run"}
    given = data["input"] if isinstance(data["input"], list) else [data["input"]]
    entries = [entry if isinstance(entry, dict) else {} for entry in given]
    data["input"] = [
        {key: as_written(value) if key == "wat" else value for key, value in entry.items() if key != "paths"}
        for entry in entries
    ]
    if isinstance(data.get("output"), dict):
        data["output"] = {key: value for key, value in data["output"].items() if key != "path"}
    return data


# -- checks before any work ------------------------------------------------------------------------


def _check_output(recipe: Recipe, source: Source) -> None:
    path = recipe.output.path
    if path.startswith(("http://", "https://")):
        raise RecipeError(
            f"{source.where(('output', 'path'))}: '{path}' cannot be written to; expected a folder or s3://bucket/folder."
        )
    if "://" not in path and os.path.isfile(path):
        raise RecipeError(f"{source.where(('output', 'path'))}: '{path}' is a file; the output is a folder.")


def _check_signals(recipe: Recipe, steps: Steps, mix: dict[str, Any] | None, source: Source) -> None:
    asked: list[tuple[str, tuple[str | int, ...]]] = []
    if recipe.output.signals != "all":
        asked += [(name, ("output", "signals")) for name in recipe.output.signals]
    asked += [(name, ("steps",)) for name in keep_signals(steps.keep)]
    asked += [(name, ("mix", "by")) for name in mix_signals(mix)]
    measured = {name for step in steps.rows for name in measures(step)}
    check_count([*measured, *(name for name, _ in asked)], recipe, source)
    check_robots(asked, recipe, steps, source)
    for name, path in asked:
        known = {*filters.SIGNALS, *measured}
        if name not in known:
            raise RecipeError(
                f"{source.where(path)}: no signal is called '{name}'{nearest(name, known)} ('gristmill signals' lists them)"
            )


def _check_order(recipe: Recipe, steps: Steps, shards: list[dict[str, Any]], source: Source) -> None:
    kinds = [step.kind for step in steps.rows]
    pages = next((s for s in shards if s["format"] in HTML_FORMATS), None)
    if pages is not None and "extract" not in kinds:
        raise RecipeError(
            f"{source.where(('steps',))}: {pages['name']} holds HTML pages, and no step makes text of them. Put '- extract: {{}}' first."
        )
    if "extract" in kinds and kinds.index("extract") > 0:
        path = step_path(steps.rows[kinds.index("extract")].name)
        raise RecipeError(
            f"{source.where(path)}: extract makes the text that other steps look at; it must stand first."
        )
    known = "language" in kinds, any(entry.lang or "lang" in entry.values for entry in recipe.input)
    if steps.minhash is not None and steps.minhash.shingle.by_lang and not any(known):
        path = (*step_path(steps.names["minhash"]), "dedup", "minhash", "shingle", "by_lang")
        raise RecipeError(
            f"{source.where(path)}: by_lang asks for the language, which nothing finds. "
            "Put '- keep: {language: {in: [...]}}' above, or name the field that has it: input: {lang: FIELD}."
        )
    for position, step in enumerate(steps.rows):
        asks = "lang" in step.where or step.options.get("by") == "lang"
        if asks and not (("language" in kinds[:position]) or known[1]):
            path = (*step_path(step.name), "where" if "lang" in step.where else "keep")
            raise RecipeError(
                f"{source.where(path)}: '{step.name}' asks for the language, which nothing found before it. "
                "Put '- keep: {language: {in: [...]}}' above, or name the field that has it: input: {lang: FIELD}."
            )


# -- a user's own signals and edits ----------------------------------------------------------------


def read_user_module(path: str, source: Source, number: int = 0) -> dict[str, str]:
    """A file named under `uses:` as {"name", "source"}; its text travels with the job."""
    file = Path(path)
    if not file.is_file():
        hint = nearest(file.name, [p.name for p in file.parent.glob("*.py")] if file.parent.is_dir() else [])
        raise RecipeError(f"{source.where(('uses', number))}: there is no file {path}{hint}")
    return {"name": file.stem, "source": file.read_text(encoding="utf-8")}


_loaded: dict[str, types.ModuleType] = {}


def load_user_module(module: dict[str, str]) -> dict[str, str]:
    """Runs the module once in this process, which registers its signals and edits."""
    identity = fingerprint(module)
    if identity in _loaded:
        return module
    name = f"gristmill_uses_{module['name']}"
    loaded = types.ModuleType(name)
    sys.modules[name] = loaded
    try:
        exec(compile(module["source"], f"{module['name']}.py", "exec"), loaded.__dict__)
    except Exception as error:
        raise RecipeError(f"uses: {module['name']}.py does not load: {type(error).__name__}: {error}") from error
    _loaded[identity] = loaded
    return module
