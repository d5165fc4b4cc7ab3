"""Missing and odd values of columns, by the recipe: `input: {values: {date: {type: date}, metadata.stars: {type: int, default: 0}}}`.

In:  a table as it was read, and {"date": {"type": "date", "required": true, "default": null}, ...}
Out: the table with values of the asked type, defaults filled in, and a column `_values` with a reason for each row that must not
     stay ("date.missing", "date.bad"); and what was done: {"date": {"missing": 3, "filled": 0, "bad": 1, "example": "31/12/20"}}

First the type, then the default, then whether a value is required. A value that cannot be of its type becomes null and is
counted; where it is required the row goes, with the value in the ledger. An empty string is no value. Numbers are those of the
input: "missing" and "bad" count what was found, "filled" what got the default.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.step import all_kept, reasons, set_column
from pipeline.readers.fields import dump

COLUMN = "_values"
MADE_ID = "_made_id"
COLUMNS = ("id", "url", "date", "lang")
"""Columns with a policy, besides `metadata.FIELD`: text is quarantined where it is missing, source has a default of its own."""

TOLD_CHARS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = {
    10: 1,
    13: 10**3,
    16: 10**6,
    19: 10**9,
}  # digits of a time since 1970 in seconds, milli-, micro-, nanoseconds
_DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?:[T ]+(\S.*))?")
_FRACTION = re.compile(r"([.,]\d{6})\d+")


def apply(policy: dict[str, dict[str, Any]], table: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """The table by the policy of its input, and the counts."""
    counts: dict[str, Any] = {}
    why = all_kept(len(table))
    fields = {name.removeprefix("metadata."): rule for name, rule in policy.items() if name.startswith("metadata.")}
    for name, rule in policy.items():
        if not name.startswith("metadata."):
            table, blamed = _column(table, name, rule, counts)
            why = first(why, blamed)
    if fields:
        table, blamed = _metadata(table, fields, counts)
        why = first(why, blamed)
    if MADE_ID in table.schema.names:
        table = table.drop_columns([MADE_ID])
    return (set_column(table, COLUMN, why) if policy else table), counts


def add(total: dict[str, Any], found: dict[str, Any]) -> None:
    """Adds counts to `total`, in place; the first example stays."""
    for name, counts in found.items():
        at = total.setdefault(name, {"missing": 0, "filled": 0, "bad": 0, "example": None})
        for key in ("missing", "filled", "bad"):
            at[key] += counts[key]
        at["example"] = counts["example"] if at["example"] is None else at["example"]


def value_words(manifest: dict[str, Any]) -> list[str]:
    """What was missing or odd, for the terminal: a line a column."""
    lines = []
    for name, found in manifest.get("values", {}).items():
        parts = [f"{found['missing']:,} missing"] if found["missing"] else []
        parts += [f"{found['bad']:,} not of the type asked for ({found['example']!r})"] if found["bad"] else []
        parts += [f"{found['filled']:,} filled with the default"] if found["filled"] else []
        lines += [f"{name}: {', '.join(parts)}"] if parts else []
    return lines


# -- columns ---------------------------------------------------------------------------------------


def _column(
    table: pa.Table, name: str, rule: dict[str, Any], counts: dict[str, Any]
) -> tuple[pa.Table, pa.StructArray]:
    before = table[name].combine_chunks()
    if name == "id":
        missing = np.asarray(table[MADE_ID].combine_chunks().to_numpy(zero_copy_only=False), bool)
        bad, values = np.zeros(len(table), bool), before
    else:
        blank = pc.equal(pc.utf8_trim_whitespace(pc.fill_null(before, "")), "")
        missing = np.asarray(blank.to_numpy(zero_copy_only=False), bool)
        values = _dates(before) if rule["type"] == "date" else pc.if_else(blank, pa.scalar(None, before.type), before)
        bad = np.asarray(pc.is_null(values)) & ~missing
    gone = missing | bad
    default = _default(rule)
    if default is not None:
        values = pc.fill_null(values, str(default))
    _count(counts, name, missing, bad, int(gone.sum()) if default is not None else 0, lambda row: before[row].as_py())
    blamed = _blame(name, rule, missing, bad, lambda row: before[row].as_py())
    return (set_column(table, name, values) if gone.any() or rule["type"] else table), blamed


def _dates(column: pa.Array) -> pa.Array:
    """Each different date is parsed once."""
    coded = pc.dictionary_encode(column)
    parsed = pa.array([utc(text) for text in coded.dictionary.to_pylist()], pa.string())
    return parsed.take(coded.indices)


def _count(
    counts: dict[str, Any],
    name: str,
    missing: np.ndarray,
    bad: np.ndarray,
    filled: int,
    value: Callable[[int], Any],
) -> None:
    example = str(value(int(np.argmax(bad))))[:TOLD_CHARS] if bad.any() else None
    add(counts, {name: {"missing": int(missing.sum()), "filled": filled, "bad": int(bad.sum()), "example": example}})


def _blame(
    name: str, rule: dict[str, Any], missing: np.ndarray, bad: np.ndarray, value: Callable[[int], Any]
) -> pa.StructArray:
    rows = np.flatnonzero(missing | bad)
    if not rule["required"] or not len(rows):
        return all_kept(len(missing))
    names = [f"{name}.bad" if bad[row] else f"{name}.missing" for row in rows]
    details = [str(value(row))[:TOLD_CHARS] if bad[row] else None for row in rows.tolist()]
    return reasons(len(missing), rows, names, detail=details)


def first(why: pa.StructArray, more: pa.StructArray) -> pa.StructArray:
    """The reasons of `why`; where it has none, those of `more`."""
    if more.null_count == len(more):
        return why
    places = np.where(np.asarray(pc.is_valid(why)), np.arange(len(why)), len(why) + np.arange(len(why)))
    return pa.concat_arrays([why, more]).take(pa.array(places))


# -- fields of the metadata ------------------------------------------------------------------------


def _metadata(
    table: pa.Table, fields: dict[str, dict[str, Any]], counts: dict[str, Any]
) -> tuple[pa.Table, pa.StructArray]:
    texts = table["metadata"].to_pylist()
    objects = [json.loads(text) if text else {} for text in texts]
    why = all_kept(len(table))
    changed: set[int] = set()
    for name, rule in fields.items():
        given = [_get(value, name) for value in objects]
        missing = np.array([value is None or value == "" for value in given], bool)
        made = [None if gone else _coerced(value, rule["type"]) for value, gone in zip(given, missing)]
        bad = np.array([value is None for value in made], bool) & ~missing
        why = first(why, _blame(f"metadata.{name}", rule, missing, bad, given.__getitem__))
        default, filled = _default(rule), 0
        for row, (old, new) in enumerate(zip(given, made)):
            fills = new is None and default is not None
            new = default if fills else new
            if (type(old) is not type(new) or old != new) and _set(objects[row], name, new):
                changed.add(row)
            filled += fills and _get(objects[row], name) == default
        _count(counts, f"metadata.{name}", missing, bad, filled, given.__getitem__)
    if not changed:
        return table, why
    told = [
        (dump(objects[row]) if objects[row] else None) if row in changed else text for row, text in enumerate(texts)
    ]
    return set_column(table, "metadata", pa.array(told, pa.large_string())), why


def _get(value: Any, name: str) -> Any:
    """A field by its whole name, else by the dots in it."""
    if name in value:
        return value[name]
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _set(value: dict[str, Any], name: str, new: Any) -> bool:
    """Sets a field, or takes it away for None; what stands in the way of a dotted name is not touched, and the answer False."""
    *path, last = [name] if name in value else name.split(".")
    for part in path:
        inner = value.setdefault(part, {}) if new is not None else value.get(part)
        if not isinstance(inner, dict):
            return False
        value = inner
    if new is None:
        value.pop(last, None)
    else:
        value[last] = new
    return True


def _default(rule: dict[str, Any]) -> Any:
    """As of the rule's type, like every value; None if it has none."""
    return None if rule["default"] is None else _coerced(rule["default"], rule["type"])


def _coerced(value: Any, kind: str | None) -> Any:
    """The value as of this type; None if it cannot be."""
    return COERCIONS[kind](value) if kind else value


def _int(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[+-]?[0-9]{1,4000}\s*", value) else None
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole or (isinstance(value, int) and not isinstance(value, bool)) else None


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _bool(value: Any) -> bool | None:
    if isinstance(value, str):
        value = value.strip().lower()
    known = {True: True, False: False, "true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
    return known.get(value) if isinstance(value, bool | int | float | str) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dump(value)


# -- dates -----------------------------------------------------------------------------------------


def utc(text: Any) -> str | None:
    """A date as ISO 8601 in UTC: "2024-01-31T12:00:00Z", with microseconds where there are any; None for what is no date.

    Taken are ISO 8601 and its like (2024-01-31 12:00, 2024/1/31, 2024-01), RFC 2822 (mail, HTTP), digits (20240131, 20240131120000,
    2024), and numbers of 10, 13, 16 or 19 digits since 1970. A time without a zone is one of UTC. 03/04/2024 is none: it has two meanings.
    """
    try:
        found = _parsed(str(text).strip()) if text is not None and not isinstance(text, bool) else None
        found = found.replace(tzinfo=UTC) if found and found.tzinfo is None else found
        return found.astimezone(UTC).isoformat().replace("+00:00", "Z") if found else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _parsed(text: str) -> datetime | None:
    whole, dot, fraction = text.partition(".")
    if whole.isdecimal() and whole.isascii() and (not dot or fraction.isdecimal()):
        return _of_digits(whole, fraction)
    found = _YEAR_FIRST.fullmatch(text)
    if found:
        year, month, day, clock = found.groups()
        time = _FRACTION.sub(r"\1", clock.replace(" UTC", "Z").replace(" ", "")) if clock else "00:00"
        return (
            datetime.fromisoformat(f"{year}-{int(month):02d}-{int(day or 1):02d}T{time}") if day or not clock else None
        )
    if re.search("[A-Za-z]{3}", text) and text[:1].isalnum():
        return parsedate_to_datetime(text)
    return datetime.fromisoformat(text)


def _of_digits(whole: str, fraction: str) -> datetime | None:
    if len(whole) in _DIGITS and not fraction:
        return datetime.strptime(whole, _DIGITS[len(whole)])
    if len(whole) not in _SECONDS:
        return None
    micros = int(whole) * 10**6 // _SECONDS[len(whole)]
    return _EPOCH + timedelta(
        microseconds=micros + (int(fraction[:6].ljust(6, "0")) if len(whole) == 10 and fraction else 0)
    )


COERCIONS: dict[str, Callable[[Any], Any]] = {"int": _int, "float": _float, "bool": _bool, "text": _text, "date": utc}
