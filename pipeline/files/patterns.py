"""From patterns to files: what `input: paths` and other lists of a recipe name.

expand(["data/*.jsonl.gz", "s3://bucket/crawl"], known)   ->  [FileInfo("data/a.jsonl.gz", ...), ...]
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable

from filters.registry import nearest
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.storage import FileInfo

WILD = "*?["
TABLES = r"\.(parquet|arrow|feather|jsonl|csv)(\.\w+)?$"
PAPERS = r"(^|/)(README(_\w+)?\.md|LICENSE(\.\w+)?|(dataset_infos?|dataset_dict|state)\.json|(cache|tmp)-?\w+\.arrow)$"


def expand(patterns: list[str], known: Callable[[str], bool]) -> list[FileInfo]:
    """The files that `patterns` name, sorted by path, each once.

    A pattern is a file, a folder (searched through, `known` names only) or a glob (`*`, `?`, `[...]`, `**`).
    Names that begin with "." or "_" are left out unless they are named. `InputError` if a pattern gives
    nothing.
    """
    if not patterns:
        raise InputError("No input paths. Expected at least one file, folder or glob under input: paths.")
    found: dict[str, FileInfo] = {}
    for pattern in patterns:
        for info in _expand_one(pattern, known):
            found.setdefault(info.path, info)
    return [found[path] for path in sorted(found)]


def _expand_one(pattern: str, known: Callable[[str], bool]) -> list[FileInfo]:
    if storage.is_remote(pattern) and not storage.listable(pattern):
        return [storage.stat(pattern)]
    if not storage.is_remote(pattern):
        pattern = os.path.expanduser(pattern)
    entry = storage.store(pattern).head(pattern) if storage.listable(pattern) else None
    if entry or os.path.isfile(pattern):
        return [FileInfo(*entry) if entry else storage.stat(pattern)]
    if any(sign in pattern for sign in WILD):
        return _glob(pattern, known)
    return _folder(pattern, known)


def _folder(folder: str, known: Callable[[str], bool]) -> list[FileInfo]:
    files = storage.list_files(folder)
    if not files and not os.path.isdir(folder):
        raise InputError(f"{folder}: no such file or folder{storage.neighbour(folder)}")
    base = folder.rstrip("/") + "/"
    shown = [info for info in files if not _hidden(info.path.removeprefix(base))]
    kept = _without_papers([info for info in shown if known(info.path)])
    if not kept:
        sample = ", ".join(info.path.removeprefix(base) for info in shown[:3]) or "nothing"
        raise InputError(
            f"{folder}: no file here has a name of a known format ({len(shown)} files: {sample}). "
            "Name the files with a glob and set input: format."
        )
    return kept


def _without_papers(files: list[FileInfo]) -> list[FileInfo]:
    """In a folder of tables the pages about them (README.md, dataset_info.json, ...) are no documents, nor are the caches
    that the `datasets` library leaves there."""
    if not any(re.search(TABLES, info.path) for info in files):
        return files
    return [info for info in files if not re.search(PAPERS, info.path)]


def _hidden(relative: str) -> bool:
    return any(part[:1] in (".", "_") for part in relative.split("/"))


def _glob(pattern: str, known: Callable[[str], bool]) -> list[FileInfo]:
    """Files that match; a folder that matches is searched through for known formats."""
    base = _fixed_part(pattern)
    if storage.listable(pattern):
        match = _glob_pattern(pattern)
        found = [FileInfo(*entry) for entry in storage.store(pattern).listing(base) if match(entry[0])]
    else:
        hits = glob.glob(pattern, recursive=True, include_hidden=True)
        found = [storage.stat(path) for path in hits if os.path.isfile(path)]
        folders = [path for path in hits if os.path.isdir(path)] if "**" not in pattern else []
        inside = [info for folder in folders for info in storage.list_files(folder) if known(info.path)]
        found += [info for info in inside if info.path not in hits]
    asked = {part[0] for part in pattern.removeprefix(base).split("/") if part[:1] in (".", "_")}
    parts = [(info, info.path.removeprefix(base).split("/")) for info in found]
    kept = [info for info, names in parts if not any(n[:1] in (".", "_") and n[0] not in asked for n in names)]
    if not kept:
        raise InputError(f"{pattern}: no file matches{_similar(pattern, base)}")
    return kept


def _fixed_part(pattern: str) -> str:
    """The folder before the first wildcard, with its "/"."""
    first = min(pattern.index(sign) for sign in WILD if sign in pattern)
    return pattern[: pattern.rfind("/", 0, first) + 1]


def _glob_pattern(pattern: str) -> Callable[[str], bool]:
    """A test of whole paths. `*` and `?` stay inside one name, `**/` crosses folders, as in `glob.glob`.

    The standard library has `glob.translate` only from Python 3.13 on.
    """
    out, at = "", 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif rest.startswith("**"):
            out, at = out + ".*", at + 2
        elif rest[0] in "*?":
            out, at = out + ("[^/]*" if rest[0] == "*" else "[^/]"), at + 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            inner = rest[1:end].replace("\\", "\\\\")
            out, at = out + "[" + ("^" + inner[1:] if inner[0] == "!" else inner) + "]", at + end + 1
        else:
            out, at = out + re.escape(rest[0]), at + 1
    compiled = re.compile(out, re.DOTALL)
    return lambda path: compiled.fullmatch(path) is not None


def _similar(pattern: str, base: str) -> str:
    if storage.listable(pattern):
        names = [entry[0] for entry, _ in zip(storage.store(pattern).listing(base), range(1000))]
        return nearest(pattern, names) or f"; there are {len(names)} objects under {base}."
    return storage.neighbour(pattern)
