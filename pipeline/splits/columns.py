"""What a split asks of each document, found where documents are written: group values, page, stratum, time.

    group1, group2, ...   uint64: hash of the value of the n-th column of `by`; null where it has none
    page                  uint64: hash of the canonical URL; null where it has none
    part                  uint64: hash of source and id of the document whose part it is (`filters.length`); null of a whole one
    stratum               string: the values of `stratify` as a JSON list
    period                int16: number of the split whose time it is of, REST where no split's time
    time                  int64: first microsecond of its date; null where it is not known

Values of groups are compared in lower case with single spaces, URLs in their canonical form (`dedup.urls`). A domain is what can be
registered, by the public suffix list as tldextract ships it: a.b.co.uk -> b.co.uk, me.github.io -> me.github.io.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup.columns import Column
from dedup.exact import normalise, record_keys
from dedup.keys import column_values
from dedup.urls import canonical_urls
from filters.length import PART_OF
from filters.step import Step, all_kept, reasons, set_column
from pipeline.refining.dates import date_ranges

REST = -1
STEP = "99.split"
"""What the ledger calls documents that no side of the split takes."""

_SCHEME = re.compile(r"[a-z][a-z0-9+-]*://")
_AFTER_HOST = re.compile("[/?#]")

NO_DATE, OUTSIDE, ACROSS = "no_date", "outside_time", "leaks_across_time"


def split_fields(part: dict[str, Any] | None) -> list[tuple[str, pa.DataType]]:
    """Columns of the features file. `part`: what refine knows of the split (`split_options.of_documents`)."""
    if part is None:
        return []
    fields = [(f"group{number}", pa.uint64()) for number in range(1, len(part["by"]) + 1)]
    fields += [("page", pa.uint64())] if part["urls"] else []
    fields += [("part", pa.uint64())] if part["parts"] else []
    fields += [("stratum", pa.string())] if part["stratify"] else []
    return [*fields, *([("period", pa.int16()), ("time", pa.int64())] if part["times"] else [])]


def with_split(table: pa.Table, part: dict[str, Any] | None) -> pa.Table:
    """Documents with those columns."""
    if part is None:
        return table
    found: dict[str, pa.Array] = {}
    for number, name in enumerate(part["by"], 1):
        found[f"group{number}"] = value_hashes(table, name)
    if part["urls"]:
        found["page"] = value_hashes(table, "url")
    if part["parts"]:
        found["part"] = part_names(table)
    if part["stratify"]:
        columns = [derived(table, name, False) for name in part["stratify"]]
        found["stratum"] = pa.array([json.dumps(row, ensure_ascii=False) for row in zip(*columns)], pa.string())
    if part["times"]:
        period, start, known = periods(table["date"], part)
        found["period"] = pa.array(period, pa.int16())
        found["time"] = pa.array(start, pa.int64(), mask=~known)
    for name, column in found.items():
        table = set_column(table, name, column)
    return table


# -- groups ----------------------------------------------------------------------------------------


def value_hashes(table: pa.Table, name: str) -> pa.Array:
    """uint64: blake2b-64 of a column's name and value; null where a row has no value."""
    known: dict[str | None, int | None] = {None: None, "": None}
    hashes: list[int | None] = []
    for value in derived(table, name, True):
        if value not in known:
            digest = hashlib.blake2b(f"{name}\0{value}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
            known[value] = int.from_bytes(digest, "big")
        hashes.append(known[value])
    return pa.array(hashes, pa.uint64())


def part_names(table: pa.Table) -> pa.Array:
    """uint64: half the key of the document that a row is a part of; null where it is whole."""
    if PART_OF not in table.schema.names:
        return pa.nulls(len(table), pa.uint64())
    whole = pc.is_null(table[PART_OF]).to_numpy()
    names = np.zeros(len(table), np.uint64)
    mine = table.select(["source", PART_OF]).filter(pa.array(~whole))
    names[~whole] = record_keys(mine["source"], mine[PART_OF])[:, 0]
    return pa.array(names, pa.uint64(), mask=whole)


def derived(table: pa.Table, name: str, normalize: bool) -> list[str | None]:
    """The values of a column, of a field of metadata, or what is found of the URL (`domain`, `host`)."""
    if name in ("domain", "host"):
        return _of_urls(table["url"], _domain if name == "domain" else _host)
    if name == "url":
        return canonical_urls(table["url"]).to_pylist()
    return [normalise(value) if normalize and value else value for value in column_values(table, name)]


def _of_urls(urls: Column, found: Callable[[str], str | None]) -> list[str | None]:
    return [found(url) if url else None for url in canonical_urls(urls).to_pylist()]


def _host(url: str) -> str | None:
    """The host of a canonical URL, None where it has none."""
    scheme = _SCHEME.match(url)  # http and https are gone; a "://" further on is of a URL inside this one
    address = _AFTER_HOST.split(url[scheme.end() if scheme else 0 :], maxsplit=1)[0].rpartition("@")[2]
    name, colon, port = address.rpartition(":")
    host = name if colon and port.isdecimal() else address
    return host if "." in host or host.startswith("[") else None


@functools.cache
def _suffixes() -> Any:
    """The public suffix list of the package, with blogs' and pages' hosts; nothing is fetched."""
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


@functools.lru_cache(maxsize=1 << 16)
def _registered(host: str) -> str:
    found = _suffixes()(host)
    return f"{found.domain}.{found.suffix}" if found.domain and found.suffix else host


def _domain(url: str) -> str | None:
    host = _host(url)
    return _registered(host) if host else None


# -- times -----------------------------------------------------------------------------------------


def periods(dates: Column, part: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(split of each document's time or REST, first microsecond, known). A date that names more than one side's time, such as a
    year in which a side begins, is not known. `part` has "times": [[split, start, end], ...]."""
    start, end, known = date_ranges(dates)
    edges = np.unique([edge for _, *bounds in part["times"] for edge in bounds if edge is not None]).astype(np.int64)
    first, last = (np.searchsorted(edges, values, side="right") for values in (start, end - 1))
    known = known & (first == last)
    cells = np.full(len(edges) + 1, REST, np.int16)
    for split, low, high in part["times"]:
        from_cell = 0 if low is None else int(np.searchsorted(edges, low)) + 1
        to_cell = len(edges) if high is None else int(np.searchsorted(edges, high))
        cells[from_cell : to_cell + 1] = split
    undated = REST if part["undated"] is None else part["undated"]
    return np.where(known, cells[first], undated).astype(np.int16), start, known


def timed(part: dict[str, Any]) -> Step:
    """The row step that drops what no side takes: no date (unless `undated` says where it goes), or a time of no side."""

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        period, _, known = periods(table["date"], part)
        lost = ~known & (part["undated"] is None)
        outside = known & (period == REST) & (not part["rest"])
        out = np.flatnonzero(lost | outside)
        if not len(out):
            return table, all_kept(len(table))
        why = np.where(lost[out], NO_DATE, OUTSIDE).tolist()
        told = [date and date[:100] for date in table["date"].take(pa.array(out)).to_pylist()]
        return table, reasons(len(table), out, why, detail=told)

    return step
