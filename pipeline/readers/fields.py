"""What the values of a record's fields are in a document: text, a page, an id, metadata as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import orjson

from pipeline.chat.reading import Note

DUMP = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def made_id(source: str, text: str | None, html: bytes | memoryview | None) -> str:
    """The id of a record that has none: 128 bits (32 hex digits) of BLAKE2b over source, NUL, content."""
    content = html if html is not None else (text or "").encode("utf-8", "surrogatepass")
    return hashlib.blake2b(source.encode() + b"\0" + content, digest_size=16).hexdigest()


def as_text(value: Any) -> str | None:
    """A value as text: strings as they are, empty and null as none, dates in ISO form, the rest as JSON."""
    if type(value) is str:
        return value or None
    if value is None:
        return None
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, bytes | list | dict | tuple | bool):
        dumped = dump(value)
        return json.loads(dumped) if dumped.startswith('"') else dumped
    return str(value)


def as_page(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return value if isinstance(value, bytes) else None


def page_type(value: Any) -> str:
    return "text/html; charset=utf-8" if isinstance(value, str) else "text/html"


def metadata(rest: dict[str, Any]) -> str | None:
    """Fields without a column as one JSON object, keys sorted.

    A field `metadata` that is an object already (or the text of one) is unfolded, so that a corpus that was
    written by this pipeline or by datatrove keeps its shape; unless a name would be lost by that.
    """
    inner = rest.get("metadata")
    if type(inner) is str and inner.startswith("{"):
        try:
            inner = orjson.loads(inner)
        except orjson.JSONDecodeError:
            inner = None
    if isinstance(inner, dict):
        others = {k: v for k, v in rest.items() if k != "metadata"}
        if not (inner.keys() & others.keys()):
            rest = {**inner, **others}
    return dump(rest) if rest else None


def noted(kept: str | None, layout: str, note: Note) -> str | None:
    """The metadata of a record with the note for its layout under `_layout`."""
    if not note:
        return kept
    fields = json.loads(kept) if kept else {}
    before = fields.get("_layout")
    fields["_layout"] = {**(before if isinstance(before, dict) else {}), layout: note}
    return dump(fields)


def dump(value: Any) -> str:
    """A value as JSON text, keys sorted."""
    try:
        return orjson.dumps(value, default=_other, option=DUMP).decode()
    except (TypeError, RecursionError):  # integers over 64 bits, very deep values
        return json.dumps(value, default=_other, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _other(value: Any) -> Any:
    """What JSON has no word for: bytes as text or base64, dates in ISO form, sets as lists, the rest as
    text."""
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    iso: Callable[[], str] | None = getattr(value, "isoformat", None)
    return iso() if iso else str(value)
