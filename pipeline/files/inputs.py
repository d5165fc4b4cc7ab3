"""The recipe's inputs as shards: files found, formats told, big files cut into parts.

    {"path": "/data/a.jsonl", "name": "a.jsonl", "size": 912, "version": "1732...", "input": 0, "format": "jsonl"}

A shard that is a part of a file has "part" too, [first byte, byte after the last], and it in its name. The list
depends on the input alone: sorted by path, whatever the order in which paths are listed.
"""

from __future__ import annotations

import os
from typing import Any

from pipeline.crawls import files as wat_files
from pipeline.crawls import paths as crawl_paths
from pipeline.errors import InputError, RecipeError
from pipeline.files import parts
from pipeline.files.patterns import expand
from pipeline.readers import FORMATS, format_of
from pipeline.readers.wat_fields import IS_WAT
from pipeline.recipes.recipe import Input, Recipe
from pipeline.recipes.source import Source

UNITS = {"text": ("document", "line", "paragraph"), "epub": ("document", "chapter")}
PACKED = ("tar", "zip")  # their members are of other formats
SQL_KEYS = ("query", "table", "partition", "partitions")


def shards(recipe: Recipe, source: Source) -> list[dict[str, Any]]:
    """Every shard of the recipe. Errors: InputError and RecipeError, with the line of the input."""
    found: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(recipe.input):
        where = _place(source, number)
        try:
            for shard in _of_entry(entry, number):
                _add(found, shard, where)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        _check_keys(entry, {s["format"] for s in found.values() if s["input"] == number}, source, number)
    known = [shard for shard in found.values() if shard["format"] != "sql"]
    if known and len(known) == len(found) and not any(shard["size"] for shard in known):
        raise InputError(
            f"{_place(source, 0)}: all {len(known)} input files are empty (0 bytes), {next(iter(found))} for one."
        )
    return sorted(found.values(), key=lambda shard: shard["path"])  # parts of a file stay in their order


def _of_entry(entry: Input, number: int) -> list[dict[str, Any]]:
    databases = [path for path in entry.paths if format_of(path) == "sql"]
    crawls = [path for path in entry.paths if crawl_paths.is_crawl(path)]
    others = [path for path in entry.paths if path not in databases and path not in crawls]
    found: list[dict[str, Any]] = []
    for path in databases:
        from pipeline.readers import sql

        found += [shard | {"input": number, "format": "sql"} for shard in sql.shards(path, entry)]
    files = [file for path in crawls for file in crawl_paths.expand(path, entry.base_url)]
    if others:
        files += expand(others, _any_file if entry.format else _known)
    partners = wat_files.partners(files, entry) if entry.wat else {}
    if entry.wat:
        files = [file for file in files if format_of(file.path) != "wat"]
    for file in files:
        if not file.path.isprintable() and file.path.encode("utf-8", "replace").decode() != file.path:
            raise InputError(
                f"{file.path.encode('utf-8', 'surrogateescape')!r}: a name that is not UTF-8. Rename the file."
            )
        kind = entry.format or format_of(file.path)
        if kind is None:
            raise InputError(
                f"the format of {file.path} cannot be told from its name. "
                f"Give it: input: {{format: jsonl}} ({', '.join(FORMATS)})."
            )
        base = {"path": absolute(file.path), "name": file.path, "size": file.size, "version": file.version}
        if kind == "wat" and entry.format != "wat":
            raise InputError(f"{file.path}: {IS_WAT}")
        if file.path in partners:
            other = partners[file.path]
            base["wat"] = {
                "path": absolute(other.path),
                "name": other.path,
                "size": other.size,
                "version": other.version,
            }
        found += parts.cut(base | {"input": number, "format": kind}, entry.unit)
    return found


def _add(found: dict[str, dict[str, Any]], shard: dict[str, Any], where: str) -> None:
    place = absolute(shard["name"])
    if place in found and found[place]["input"] != shard["input"]:
        raise InputError(f"{shard['name']} is also in another input of this recipe; name it once.")
    found[place] = shard


def _check_keys(entry: Input, formats: set[str], source: Source, number: int) -> None:
    """Keys that would change nothing are refused: they were meant to."""
    plain = formats - set(PACKED)
    if entry.unit and plain and not any(entry.unit in UNITS.get(kind, ()) for kind in plain):
        allowed = "; ".join(f"{kind}: {', '.join(units)}" for kind, units in UNITS.items())
        raise RecipeError(
            f"{_place(source, number, 'unit')}: 'unit: {entry.unit}' means nothing for {', '.join(sorted(plain))} ({allowed})."
        )
    pages = sorted(formats & {"warc", "wet", "arc", "text", "markdown", "html", "epub", "mediawiki"})
    if entry.layout and pages:
        raise RecipeError(
            f"{_place(source, number, 'layout')}: 'layout' speaks of records with fields; {', '.join(pages)} has none."
        )
    if entry.wat and (others := formats - wat_files.JOINED):
        raise RecipeError(
            f"{_place(source, number, 'wat')}: 'wat' adds to documents of WARC and WET files; this input has {', '.join(sorted(others))}. "
            + next((why for kind, why in wat_files.NOT_JOINED.items() if kind in others), wat_files.TWO_INPUTS)
        )
    given = [key for key in SQL_KEYS if getattr(entry, key) is not None]
    if given and "sql" not in formats:
        raise RecipeError(
            f"{_place(source, number, given[0])}: '{given[0]}' speaks of a database; give paths: sqlite:///FILE or another URL."
        )


def _any_file(name: str) -> bool:
    return True


def _known(name: str) -> bool:
    return format_of(name) not in (None, "wat")  # a WAT is about other files, like the papers of a folder of tables


def _place(source: Source, number: int, key: str = "paths") -> str:
    several = isinstance(source.data.get("input"), list)
    return source.where(("input", number, key) if several else ("input", key))


def absolute(path: str) -> str:
    """The same place, whatever the current folder is."""
    return path if "://" in path else os.path.abspath(path)
