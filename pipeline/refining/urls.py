"""The step `keep: url`: documents by the address they came from.

In:  ``{"blocklists": ["lists/adult"], "domains": {"out": ["spam.example"]}, "words": {"hard": ["casino"], "soft": ["free", "bet"]}}``
Out: reason "blocklist.adult", detail ``lists/adult/domains: example.com``; or "word.soft", value 2, threshold 2, detail "bet, free"

The order: what `domains.allow` names stays; `domains.out`, block lists in their order, `domains.in`, words. All look at the canonical
URL (`dedup.urls`): without scheme, www., fragment and tracking parameters. The words are those of RefinedWeb (arXiv 2306.01116,
appendix G.1.2): strict ones anywhere, across signs; hard ones as a whole word; two different soft ones as whole words.
Not covered: what a URL redirects to, what an IP address is called, words beyond ASCII letters and digits.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from dedup.columns import text_buffers
from dedup.urls import canonical_url, canonical_urls, padded
from filters.step import Step, reasons
from kernels.addresses import find_listed, url_words
from kernels.hashes import hash_words
from pipeline.errors import InputError
from pipeline.recipes.recipe import Model, Texts
from pipeline.refining.url_lists import Entries, form_hashes, list_files, load, merged
from pipeline.refining.url_lists import suffixes as public_suffixes

BARE = r"^\s*[A-Za-z0-9_.-]+\.[A-Za-z0-9-]+(:[0-9]+)?([/?#].*)?\s*$"
"""A URL without its scheme, as some data sets have them."""

PATTERN_WORDS = 200
"""Strict words of one regular expression: RE2 compiles a few hundred before it asks for more than its memory."""

_ENTRY = re.compile(r"[\w-]+(\.[\w-]+)*(:\d+)?([/?#].*)?")


class Domains(Model):
    """Domains (with all below them) and addresses, as the recipe names them."""

    allow: Texts = Field(default_factory=list)
    out: Texts = Field(default_factory=list)
    in_: Texts = Field(default_factory=list, alias="in")

    @field_validator("allow", "out", "in_")
    @classmethod
    def _entries(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            if not _ENTRY.fullmatch(re.sub("^https?://", "", entry)):
                raise ValueError(
                    f"'{entry}' is no domain or address (example.com, gov.uk, example.com/path); files go under blocklists"
                )
        return entries


class Words(Model):
    """Words of URLs: each a word of letters a-z and digits, or a file with a word a line."""

    strict: Texts = Field(default_factory=list)
    hard: Texts = Field(default_factory=list)
    soft: Texts = Field(default_factory=list)
    soft_min: int = Field(default=2, ge=1)

    @field_validator("strict", "hard", "soft")
    @classmethod
    def _read(cls, given: list[str]) -> list[str]:
        return sorted({word for each in given for word in ([each.lower()] if _is_word(each) else _words_of(each))})


class UrlFilter(Model):
    """`keep: {url: {...}}`."""

    blocklists: Texts = Field(default_factory=list)
    domains: Domains = Field(default_factory=Domains)
    words: Words = Field(default_factory=Words)
    missing: Literal["keep", "drop"] = "keep"

    @model_validator(mode="after")
    def _something(self) -> UrlFilter:
        if not (
            self.blocklists
            or any(self.domains.model_dump().values())
            or any([self.words.strict, self.words.hard, self.words.soft])
            or self.missing == "drop"
        ):
            raise ValueError("expected at least one of blocklists, domains, words, missing: drop")
        return self


def _is_word(text: str) -> bool:
    return bool(re.fullmatch("[A-Za-z0-9]+", text))


def _words_of(path: str) -> list[str]:
    """The words of a file; lines that are empty or begin with # are none."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"'{path}' is neither a word (letters a-z and digits) nor a file")
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        word = line.strip().lower()
        if not word or word.startswith("#"):
            continue
        if not _is_word(word):
            raise ValueError(
                f"{path}, line {number}: '{word[:60]}' is no word of letters a-z and digits: it could not be met"
            )
        found.append(word)
    return found


def resolved(given: UrlFilter) -> dict[str, Any]:
    """The step's options as plain data; `files` are the block lists as they are now. Errors: InputError."""
    found = given.model_dump(mode="json", by_alias=True)
    asked = tuple((path, name, None) for each in found["blocklists"] for path, name in list_files([each]))
    asked = tuple(dict.fromkeys(asked))
    if len(asked) > 30_000:
        raise InputError(f"{len(asked):,} block lists; 30,000 is the most. Join some of them.")
    options = {
        **found,
        "files": load(asked).files if asked else [],
        "suffixes": public_suffixes().version if asked else None,
    }
    # kernels are compiled here, once, and not by all workers at the same time
    url_filter(**options)(pa.table({"url": ["http://a.example/b"]}))
    return options


def outline(options: dict[str, Any]) -> str:
    """The resolved step in a few words, for `gristmill plan`."""
    parts = [f"{file['name']} ({file['entries']:,} entries)" for file in options["files"]]
    parts += [f"{key}: {', '.join(names)}" for key, names in options["domains"].items() if names]
    parts += [f"{len(words):,} {key} words" for key, words in options["words"].items() if key != "soft_min" and words]
    return "; ".join([*parts, *(["missing: drop"] if options["missing"] == "drop" else [])])


def summary(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """For manifest.json, where a step has lists: {"url_lists": {step: {file: {"entries", "suffixes", "skipped", "example"}}}}."""
    told = {
        step["name"]: {
            file["name"]: {key: file[key] for key in ("sha256", "entries", "suffixes", "skipped", "example")}
            for file in step["options"]["files"]
        }
        for step in steps
        if step["kind"] == "url" and step["options"]["files"]
    }
    return {"url_lists": told} if told else {}


def list_words(manifest: dict[str, Any]) -> list[str]:
    """What of its lists a step did not use, for the terminal."""
    lines = []
    for step, files in manifest.get("url_lists", {}).items():
        for name, file in files.items():
            if file["skipped"]:
                lines.append(
                    f"{step} passed over {file['skipped']:,} entries of {name} that are no domain or URL"
                    + (f" ({file['example']})" if file["example"] else "")
                )
            if file["suffixes"]:
                lines.append(
                    f"{step}: {file['suffixes']:,} entries of {name} are public suffixes (co.uk, github.io); they meet hosts of that very name alone"
                )
    return lines


class _Tables(NamedTuple):
    """What a step looks things up in."""

    files: list[dict[str, Any]]
    listed: Entries
    allow: Entries
    out: Entries
    within: Entries
    hard: dict[int, str]
    soft: dict[int, str]


def url_filter(files: list[dict[str, Any]], suffixes: str | None, **options: Any) -> Step:
    """The step of `resolved` options. Errors: InputError for lists that changed or cannot be read."""
    if suffixes is not None and suffixes != public_suffixes().version:
        raise InputError(
            f"The Public Suffix List here ({public_suffixes().version}) is not that of the run ({suffixes}). Install one tldextract everywhere."
        )
    words, missing = options["words"], options["missing"]
    patterns = [
        "|".join(sorted(words["strict"])[at : at + PATTERN_WORDS])
        for at in range(0, len(words["strict"]), PATTERN_WORDS)
    ]
    tables = _tables(files, options)

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        forms = addresses(table["url"])
        found = _Found(len(table))
        offsets, data = _buffers(forms)
        has = ~np.asarray(pc.is_null(forms))
        if missing == "drop":
            found.put(np.flatnonzero(~has), "url.missing")
        allowed = _met(tables.allow, offsets, data)[0] >= 0
        found.closed |= allowed | ~has
        _by_lists(found, forms, tables, offsets, data)
        if tables.within.hashes.size:
            inside = _met(tables.within, offsets, data)[0] >= 0
            found.put(
                np.flatnonzero(~inside),
                "domain.in",
                details=lambda rows: [_host_of(forms[row].as_py()) for row in rows],
            )
        if words["strict"] or words["hard"] or words["soft"]:
            _by_words(found, tables, words["soft_min"], patterns, offsets, data)
        return table, found.reasons()

    return step


def _tables(files: list[dict[str, Any]], options: dict[str, Any]) -> _Tables:
    asked = tuple((file["path"], file["name"], file["sha256"]) for file in files)
    named = {key: _inline(options["domains"][key]) for key in ("allow", "out", "in")}
    words = {key: dict(zip(_hashed(options["words"][key]), options["words"][key])) for key in ("hard", "soft")}
    listed = load(asked).entries if asked else merged([], [])
    return _Tables(files, listed, named["allow"], named["out"], named["in"], words["hard"], words["soft"])


def _hashed(words: list[str]) -> list[int]:
    return hash_words([word.encode() for word in words]).tolist() if words else []


def _inline(entries: list[str]) -> Entries:
    """Entries of a recipe: what is written there is meant, public suffixes with all sites below them."""
    forms = [canonical_url("http://" + re.sub("^https?://", "", entry)) or "" for entry in entries]
    return merged([form_hashes(forms)], [np.zeros(len(forms), np.uint16)])


def addresses(urls: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The canonical URL of each row; null for a null or blank one. One without a scheme is one of http."""
    urls = urls.combine_chunks() if isinstance(urls, pa.ChunkedArray) else urls
    bare = pc.fill_null(pc.invert(pc.starts_with(urls, "http")), False)
    if pc.any(bare).as_py():
        bare = pc.and_(bare, pc.fill_null(pc.match_substring_regex(urls, BARE), False))
        urls = pc.if_else(bare, pc.binary_join_element_wise("http://", pc.utf8_trim_whitespace(urls), ""), urls)
    return canonical_urls(urls)


def _buffers(forms: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    for offsets, data in text_buffers(forms):
        return offsets, padded(data[: offsets[-1]])
    return np.zeros(1, np.int64), padded(np.zeros(0, np.uint8))


def _met(entries: Entries, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not len(entries.hashes):
        nothing = np.zeros(len(offsets) - 1, np.int64)
        return nothing - 1, nothing, nothing
    return find_listed(offsets, data, *entries)


class _Found:
    """Reasons found so far; a row has its first."""

    def __init__(self, rows: int) -> None:
        self.closed = np.zeros(rows, bool)  # rows that have a reason, or are not asked any more
        self._rows: list[int] = []
        self._columns: tuple[list[Any], list[Any], list[Any], list[Any]] = (
            [],
            [],
            [],
            [],
        )  # name, value, threshold, detail

    def open(self, rows: np.ndarray) -> np.ndarray:
        return rows[~self.closed[rows]]

    def put(
        self,
        rows: np.ndarray,
        reason: str | list[str],
        value: Any = None,
        threshold: float | None = None,
        details: Any = None,
    ) -> None:
        """Blames rows that are open; `details`: from the rows that are to their details."""
        chosen = ~self.closed[rows]
        rows = rows[chosen]
        self.closed[rows] = True
        names = [reason] * len(rows) if isinstance(reason, str) else [name for name, on in zip(reason, chosen) if on]
        values = [None] * len(rows) if value is None else np.asarray(value, float)[chosen].tolist()
        told = details(rows.tolist()) if details and len(rows) else [None] * len(rows)
        self._rows += rows.tolist()
        for at, entries in enumerate((names, values, [threshold] * len(rows), told)):
            self._columns[at].extend(entries)

    def reasons(self) -> pa.StructArray:
        return reasons(len(self.closed), self._rows, *self._columns)


def _by_lists(found: _Found, forms: pa.Array, tables: _Tables, offsets: np.ndarray, data: np.ndarray) -> None:
    for entries, name in (
        (tables.out, lambda file: "domain.out"),
        (tables.listed, lambda file: f"blocklist.{tables.files[file]['list']}"),
    ):
        number, starts, ends = _met(entries, offsets, data)
        rows = np.flatnonzero(number >= 0)
        files = number.tolist()
        spans = functools.partial(_told, tables.files if entries is tables.listed else None, files, data, starts, ends)
        found.put(rows, [name(files[row]) for row in rows.tolist()], details=spans)


def _told(
    files: Any, number: list[int], data: np.ndarray, starts: np.ndarray, ends: np.ndarray, rows: list[int]
) -> list[str]:
    """'lists/adult/domains: example.com'"""
    entries = [bytes(data[starts[row] : ends[row]]).decode("utf-8", "replace")[:200] for row in rows]
    return [f"{files[number[row]]['name']}: {entry}" for row, entry in zip(rows, entries)] if files else entries


def _host_of(form: str) -> str:
    return re.split("[/?#]", form, maxsplit=1)[0][:200]


def _by_words(
    found: _Found, tables: _Tables, soft_min: int, patterns: list[str], offsets: np.ndarray, data: np.ndarray
) -> None:
    hashes, firsts, letters, starts = url_words(offsets, data)
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(firsts))
    if patterns:
        squeezed = pa.Array.from_buffers(
            pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(starts), pa.py_buffer(letters)]
        )
        for pattern in patterns:
            rows = np.flatnonzero(np.asarray(pc.match_substring_regex(squeezed, pattern)))
            found.put(rows, "word.strict", details=functools.partial(_first_strict, squeezed, pattern))
    for words, least, reason in ((tables.hard, 1, "word.hard"), (tables.soft, soft_min, "word.soft")):
        if not words:
            continue
        known = np.isin(hashes, np.fromiter(words, np.uint64, len(words)))
        pairs = np.unique(np.stack([owners[known].astype(np.uint64), hashes[known]], axis=1), axis=0)
        rows, counts = np.unique(pairs[:, 0].astype(np.int64), return_counts=True)
        enough = counts >= least
        told = functools.partial(_words_told, words, pairs)
        found.put(rows[enough], reason, counts[enough], float(least), told)


def _words_told(words: dict[int, str], pairs: np.ndarray, rows: list[int]) -> list[str]:
    """pairs: (row, word), sorted."""
    lows, highs = (np.searchsorted(pairs[:, 0], np.array(rows, np.uint64), side) for side in ("left", "right"))
    return [", ".join(sorted(words[word] for word in pairs[low:high, 1].tolist())) for low, high in zip(lows, highs)]


def _first_strict(squeezed: pa.Array, pattern: str, rows: list[int]) -> list[str]:
    found = (re.search(pattern, squeezed[row].as_py()) for row in rows)
    return [hit[0] if hit else "" for hit in found]
