"""Which WAT file belongs to which WARC or WET file.

    input: {paths: "crawl/wet/*.warc.wet.gz", wat: true}
    crawl/wet/CC-MAIN-1.warc.wet.gz  ->  crawl/wat/CC-MAIN-1.warc.wat.gz, else crawl/wet/CC-MAIN-1.warc.wat.gz

By name: a crawl has the same name in the folders warc, wet and wat of a segment. `wat: PATHS` names the WAT files instead;
the pairs are those of equal names up to `.warc`, or the only two that there are. Each file has a partner, or the recipe is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipeline.crawls import paths as crawl_paths
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.patterns import expand
from pipeline.files.storage import FileInfo
from pipeline.readers import COMPRESSED, format_of
from pipeline.recipes.recipe import Input

JOINED = frozenset({"warc", "wet"})
TWO_INPUTS = "Make two inputs of it, wat for the one with the crawl."
NOT_JOINED = {
    "arc": "Records of an ARC file have no id that a WAT could name; leave wat out, or convert the file to WARC before a WAT is made of it.",
    "tar": "Unpack the archive: a WAT file goes with the name of the file that it is about.",
    "zip": "Unpack the archive: a WAT file goes with the name of the file that it is about.",
}
"""Formats that one could take for a crawl, and what to do with them."""
# X-part2, X.00001, X.aa
PART = re.compile(r"[-._](?:part|piece|chunk|split)?[-._]?(?:\d{1,5}|[a-z]{2})$", re.IGNORECASE)
FOLDER = re.compile(r"(.*/|^)(?:warc|wet)(?=/)", re.DOTALL)  # the last folder of such a name


def partners(files: list[FileInfo], entry: Input) -> dict[str, FileInfo]:
    """The WAT file of each WARC and WET file, by its path. Errors: InputError, one letter for all files without one."""
    asked = [
        file for file in files if (entry.format or format_of(file.path)) in JOINED and format_of(file.path) != "wat"
    ]
    if entry.wat and entry.wat.paths:
        found = _of_paths(asked, entry.wat.paths, entry.base_url)
    else:
        with ThreadPoolExecutor(crawl_paths.ASKED_AT_ONCE) as pool:
            found = list(pool.map(_beside, (file.path for file in asked)))
    alone = [file.path for file, partner in zip(asked, found, strict=True) if partner is None]
    if alone:
        if whole := _of_whole(alone[0], entry):
            raise InputError(
                f"wat: {alone[0]} has no WAT file; {whole} is about a whole file that it seems to be a part of. "
                "Put the parts together, in their order (cat PART PART > WHOLE), under the name of the whole."
            )
        looked = "" if entry.wat and entry.wat.paths else f" (looked for {' and '.join(_candidates(alone[0]))})"
        raise InputError(
            f"wat: {len(alone)} of {len(asked)} files have no WAT file, {alone[0]} for one{looked}. Fetch it, "
            "name the WAT files (wat: PATHS; the same names up to .warc), or leave those files out."
        )
    return {file.path: partner for file, partner in zip(asked, found, strict=True) if partner}


def _named(paths: list[str], base_url: str | None) -> list[FileInfo]:
    crawls = [path for path in paths if crawl_paths.is_crawl(path)]
    others = [path for path in paths if path not in crawls]
    given = [file for path in crawls for file in crawl_paths.expand(path, base_url)]
    return given + (expand(others, lambda name: format_of(name) == "wat") if others else [])


def _of_whole(path: str, entry: Input) -> str | None:
    """The WAT file that a file would have if it were whole: of X-part2.warc.gz that of X."""
    whole = PART.sub("", stem(path))
    if whole == stem(path):
        return None
    if entry.wat and entry.wat.paths:
        return next((file.path for file in _named(entry.wat.paths, entry.base_url) if stem(file.path) == whole), None)
    folder, slash, name = path.rpartition("/")
    found = _beside(f"{folder}{slash}{whole}{name[len(stem(path)) :]}")
    return found.path if found else None


def _of_paths(asked: list[FileInfo], paths: list[str], base_url: str | None) -> list[FileInfo | None]:
    given = _named(paths, base_url)
    if len(asked) == len(given) == 1:
        return [given[0]]
    named: dict[str, FileInfo] = {}
    for file in given:
        if (other := named.setdefault(stem(file.path), file)) is not file:
            raise InputError(
                f"wat: {other.path} and {file.path} have the same name; which belongs to which file cannot be told."
            )
    return [named.get(stem(file.path)) for file in asked]


def _beside(path: str) -> FileInfo | None:
    for candidate in _candidates(path):
        try:
            return storage.stat(candidate)
        except InputError:
            continue
    return None


def _candidates(path: str) -> Iterator[str]:
    folder, slash, name = path.rpartition("/")
    ending = next((ending for ending in COMPRESSED if name.lower().endswith(ending)), "")
    wanted = f"{stem(path)}.warc.wat{ending}"
    moved = FOLDER.sub(r"\1wat", folder + slash, count=1)
    yield from dict.fromkeys((moved + wanted, folder + slash + wanted))


def stem(path: str) -> str:
    """The name that the files of one crawl share: "wet/CC-MAIN-1.warc.wet.gz" -> "CC-MAIN-1"."""
    name = path.rsplit("/", 1)[-1]
    for ending in (*COMPRESSED, ".wet", ".wat", ".warc"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
    return name
