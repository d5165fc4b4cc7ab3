"""Dates of documents as ranges of time: ISO 8601 text, read column-wise.

    "2024-03"                     ->  [2024-03-01 00:00, 2024-04-01 00:00)
    "2024-03-05T10:00:00+02:00"   ->  [2024-03-05 08:00:00, 2024-03-05 08:00:01)

Times are int64 microseconds since 1970-01-01, UTC; a time without an offset is taken as UTC. What is no such date (other
formats, a month 13) is not known. Not covered: weeks, days of the year, dates without hyphens, other calendars.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SECOND = 1_000_000
DAY = 86_400 * SECOND
_ISO = (
    r"^\s*(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
    r"\s*(?:(?P<utc>[Zz])|(?P<sign>[+-])(?P<off_hour>\d\d):?(?P<off_minute>\d\d)?)?)?)?)?\s*$"
)


def date_ranges(dates: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first microsecond, microsecond after the last, known): int64, int64 and bool of shape (n,)."""
    if isinstance(dates, pa.ChunkedArray):
        dates = dates.combine_chunks()
    found = pc.extract_regex(pc.fill_null(pc.cast(dates, pa.string()), ""), _ISO)
    known = pc.is_valid(found).to_numpy(zero_copy_only=False)
    names = ("year", "month", "day", "hour", "minute", "second", "off_hour", "off_minute")
    given, part = {}, {}
    for name in names:
        given[name], part[name] = _numbers(found.field(name), 1 if name in ("month", "day") else 0)
    known = known & _possible(part)
    months = (part["year"] - 1970) * 12 + np.clip(part["month"], 1, 12) - 1
    days = _days(months) + part["day"] - 1
    known = known & (days < _days(months + 1))
    offset = (part["off_hour"] * 60 + part["off_minute"]) * np.where(_texts(found, "sign") == "-", -1, 1)
    start = days * DAY + ((part["hour"] * 60 + part["minute"] - offset) * 60 + part["second"]) * SECOND
    end = np.select(
        [~given["month"], ~given["day"], ~given["hour"], ~given["second"]],
        [_days(months + 12) * DAY, _days(months + 1) * DAY, start + DAY, start + 60 * SECOND],
        start + SECOND,
    )
    return np.where(known, start, 0), np.where(known, end, 0), known


def _texts(found: pa.StructArray, name: str) -> np.ndarray:
    return pc.fill_null(found.field(name), "").to_numpy(zero_copy_only=False)


def _numbers(texts: pa.Array, absent: int) -> tuple[np.ndarray, np.ndarray]:
    """(given, value) of a part of the date; `absent` where it is not written."""
    texts = pc.fill_null(texts, "")
    given = pc.not_equal(texts, "")
    values = pc.cast(pc.if_else(given, texts, str(absent)), pa.int64())
    return given.to_numpy(zero_copy_only=False), values.to_numpy()


def _possible(part: dict[str, np.ndarray]) -> np.ndarray:
    bounds = {"month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59), "second": (0, 60)}
    bounds |= {"off_hour": (0, 23), "off_minute": (0, 59)}
    good = np.ones(len(part["year"]), bool)
    for name, (low, high) in bounds.items():
        good &= (part[name] >= low) & (part[name] <= high)
    return good


def _days(months: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 of the first of months since 1970-01."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def moment(text: str) -> int | None:
    """The first microsecond of one date, None if it is none."""
    start, _, known = date_ranges(pa.array([text], pa.string()))
    return int(start[0]) if known[0] else None
