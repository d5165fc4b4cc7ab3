"""Records to document tables: which field fills which column, and what is no document.

In: one record after another, as a dict of fields. Out: `Batch`es of documents, in order.

    {"id": 7, "body": "Some text.", "stars": 3}   with Columns(text="body")
    ->  id="7"  text="Some text."  source=<default>  metadata='{"stars":3}'  _record=0

No record vanishes: it is a row, a quarantined entry, or counted in `skipped`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from filters.step import DOCUMENT
from pipeline.chat.canonical import Misfit
from pipeline.chat.reader import LayoutReader
from pipeline.readers.fields import as_page, as_text, made_id, metadata, noted, page_type
from pipeline.readers.streams import TailError, name_of

ROW = (
    "id", "text", "source", "url", "date", "lang", "metadata", "content_type", "conversation",
    "html", "_status", "_page", "_record", "_made_id",
)  # fmt: skip
"""What `Rows.append` keeps of a document, in this order."""

SAMPLE = 200  # characters of a bad record that the quarantine shows
FIRST_BYTES = 64  # bytes of it that are there as they are, in hex


@dataclass(frozen=True)
class Columns:
    """Which input field fills which document column. None: no field does.

    `html` names a field that holds a page (text or bytes); such a record needs no `text`.
    """

    text: str = "text"
    id: str | None = "id"
    source: str | None = "source"
    url: str | None = "url"
    date: str | None = "date"
    lang: str | None = None
    html: str | None = None

    def used(self) -> set[str]:
        names = (self.text, self.id, self.source, self.url, self.date, self.lang, self.html)
        return {name for name in names if name is not None}


@dataclass(frozen=True)
class Options:
    """What a recipe says about formats that can be read in more than one way; see docs/formats.md."""

    unit: str | None = None
    query: str | None = None
    table: str | None = None
    partition: str | None = None
    layout: str | dict[str, str] | None = None
    made_ids: bool = False


@dataclass(frozen=True)
class Batch:
    """table: DOCUMENT columns, `_record` int64, for WARC `_status` int64 (the HTTP status, else null), and where a layout
    is read `conversation` (see `pipeline.chat`); if `Options` ask for it `_made_id` bool (the record had no id).
    quarantined: {"shard", "record", "offset", "error", "sample", "first_bytes"} each, and "tail": True where the rest is
    lost. skipped: records that are no documents (WARC requests ...) by kind. consumed: bytes of the file, as
    stored, that have been read so far."""

    table: pa.Table
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    consumed: int = 0


class Rows:
    """Collects records until a batch is full."""

    def __init__(self, path: str, columns: Columns, default_source: str, batch_rows: int, batch_bytes: int):
        self.path, self.columns, self.default_source = path, columns, default_source
        self.batch_rows, self.batch_bytes = batch_rows, batch_bytes
        self.record = 0  # ordinal of the next record in the file
        self.with_status = False
        self.with_page = False  # a column `_page`: the id of the record of the page that a document was made of
        self.options = Options()
        self.chat: LayoutReader | None = None  # what makes conversations of the records, if the recipe asks for that
        self.part: tuple[int, int] | None = None  # the range of the file's bytes whose records are read
        self.base: Callable[[], int] = int  # offset in the file of the first byte that the reader sees
        self.until: int | None = None  # bytes behind `base` from which on a record is another part's
        # The file's name only: a whole path would make the output depend on where the input lies
        self.file = path.rsplit("/", 1)[-1].encode("utf-8", "replace").decode()
        self._used = columns.used()
        self._clear()

    def _clear(self) -> None:
        self._rows: list[tuple[Any, ...]] = []  # of ROW
        # at once, not at the end: pages held one by one and then joined go through the memory twice more
        self._pages = bytearray()
        self._count = self._bytes = 0
        self._quarantined: list[dict[str, Any]] = []
        self._skipped: Counter[str] = Counter()

    # ---- what the readers call

    def add(self, record: dict[str, Any], offset: int | None = None, raw: bytes | None = None) -> None:
        """One record of named fields: a row, or quarantined if there is no text in it."""
        if self.chat:
            self._add_conversations(self.chat, record, offset, raw)
            return
        c = self.columns
        text = record.get(c.text)
        html = as_page(record.get(c.html)) if c.html else None
        if html is None and type(text) is not str:
            self.quarantine(self._no_text(record), _shown(record) if raw is None else raw, offset)
            return
        rest = {k: v for k, v in record.items() if k not in self._used and v is not None}
        try:
            about, kept = self._about(record), metadata(rest) if rest else None
        except RecursionError as error:  # lists in lists that json could read and cannot write
            self.quarantine(describe(error), _shown(record) if raw is None else raw, offset)
            return
        self.append(
            text=text if type(text) is str else None,
            html=html,
            content_type=page_type(record.get(c.html)) if html is not None and c.html else None,
            metadata=kept,
            **about,
        )

    def _about(self, record: dict[str, Any]) -> dict[str, Any]:
        """What the columns beside text and page get of a record."""
        c = self.columns
        return {
            "id": as_text(record.get(c.id)) if c.id else None,
            "source": as_text(record.get(c.source)) if c.source else None,
            "url": as_text(record.get(c.url)) if c.url else None,
            "date": as_text(record.get(c.date)) if c.date else None,
            "lang": as_text(record.get(c.lang)) if c.lang else None,
        }

    def _add_conversations(
        self, chat: LayoutReader, record: dict[str, Any], offset: int | None, raw: bytes | None
    ) -> None:
        """One record of a layout: a row for each of its conversations, or quarantined if it does not fit."""
        try:
            found, taken = chat.read(record)
            c = self.columns
            taken |= {name for name in (c.id, c.source, c.url, c.date, c.lang) if name is not None}
            rest = {k: v for k, v in record.items() if k not in taken and v is not None}
            about, kept = self._about(record), metadata(rest) if rest else None
            notes = [noted(kept, chat.layout.name, each.note) if chat.layout else kept for each in found]
        except Misfit as misfit:
            self.quarantine(str(misfit), _shown(record) if raw is None else raw, offset)
            return
        except (TypeError, ValueError, RecursionError) as error:  # what is in it cannot be written as JSON
            self.quarantine(describe(error), _shown(record) if raw is None else raw, offset)
            return
        for number, (each, note) in enumerate(zip(found, notes, strict=True)):
            if number and about["id"]:
                each_about = {**about, "id": f"{about['id']}#{number + 1}"}
            else:
                each_about = about
            self.append(text=each.text, conversation=each.conversation, metadata=note, **each_about)
            self.record -= number + 1 < len(found)  # conversations of one record have its number

    def append(
        self,
        *,
        text: str | None = None,
        html: bytes | memoryview | None = None,
        status: int | None = None,
        **values: str | None,
    ) -> None:
        """One document whose columns are known. An id and a source are made up where there is none."""
        source = values.get("source") or self.default_source
        identity, kept, conversation = values.get("id"), values.get("metadata"), values.get("conversation")
        # two conversations of one text may differ in a call or a label
        row = (
            identity or made_id(source, conversation or text, html),
            text,
            source,
            values.get("url"),
            values.get("date"),
            values.get("lang"),
            kept,
            values.get("content_type"),
            conversation,
            None if html is None else len(html),
            status,
            values.get("page"),
            self.record,
            not identity,
        )
        self._rows.append(row)
        self._pages += html or b""
        self.record += 1
        self._count += 1
        self._bytes += len(text or "") + len(html or b"") + len(kept or "") + len(conversation or "")

    def quarantine(self, error: str, raw: bytes = b"", offset: int | None = None, *, tail: bool = False) -> None:
        """One record that no document can be made of. A tail without any bytes of a record has no ordinal."""
        entry: dict[str, Any] = {"shard": self.path, "record": self.record, "offset": offset}
        if offset is not None:
            entry["offset"] += self.base()
        entry.update(error=error, sample=sample(raw), first_bytes=raw[:FIRST_BYTES].hex())
        if tail:
            entry["tail"] = True
        if tail and not raw:
            entry["record"] = None
        else:
            self.record += 1
        self._quarantined.append(entry)

    def lost_tail(self, error: TailError, offset: int | None = None, raw: bytes = b"") -> None:
        """The one entry for all that lies behind a broken place of a compressed stream."""
        letter = f"{error}. The file is cut or damaged there; what lies before was read. Fetch it again."
        self.quarantine(letter, raw, error.offset if offset is None else offset, tail=True)

    def skip(self, kind: str) -> None:
        self._skipped[kind] += 1
        self.record += 1

    @property
    def full(self) -> bool:
        # quarantined entries count too: a file of nothing but bad lines must not pile up in memory
        return self._count + len(self._quarantined) >= self.batch_rows or self._bytes >= self.batch_bytes

    def ready(self) -> Iterator[Batch]:
        """A batch, if one is full."""
        if self.full:
            yield self.take()

    @property
    def any(self) -> bool:
        return bool(self._count or self._quarantined or self._skipped)

    def take(self) -> Batch:
        """What was collected, as a batch; collecting starts again."""
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(ROW)
        rows: dict[str, Sequence[Any]] = dict(zip(ROW, columns, strict=True))
        rows["lang_score"] = [None] * self._count
        arrays = [
            _bytes(rows[name], self._pages) if name == "html" else pa.array(rows[name], DOCUMENT.field(name).type)
            for name in DOCUMENT.names
        ]
        arrays.append(pa.array(rows["_record"], pa.int64()))
        names = [*DOCUMENT.names, "_record"]
        if self.with_status:
            arrays.append(pa.array(rows["_status"], pa.int64()))
            names.append("_status")
        if self.with_page:
            arrays.append(pa.array(rows["_page"], pa.string()))
            names.append("_page")
        if self.chat:
            arrays.append(pa.array(rows["conversation"], pa.large_string()))
            names.append("conversation")
        if self.options.made_ids:
            arrays.append(pa.array(rows["_made_id"], pa.bool_()))
            names.append("_made_id")
        batch = Batch(pa.table(arrays, names=names), self._quarantined, dict(self._skipped))
        self._clear()
        return batch

    # ---- what a file must have

    @property
    def main(self) -> str:
        """The field that makes a record of an object: that of its text, its page, or its layout."""
        return self.chat.main if self.chat else self.columns.html or self.columns.text

    def is_record(self, value: dict[str, Any]) -> bool:
        """Is this object a record, and not an envelope around some?"""
        if self.chat:
            return self.chat.is_record(value)
        return self.columns.text in value or bool(self.columns.html and self.columns.html in value)

    def _no_text(self, record: dict[str, Any]) -> str:
        names = ", ".join(sorted(map(str, record))[:20]) or "no fields"
        if self.columns.text in record:
            found = type(record[self.columns.text]).__name__.replace("NoneType", "null")
            return f"NoText: field {self.columns.text!r} is {found}, expected a string; fields: {names}"
        return f"NoText: there is no field {self.columns.text!r}; fields: {names}. Set input: columns: text."


# ---- values


def sample(raw: bytes) -> str:
    """The first characters of a bad record, with everything unprintable as a dot."""
    head = raw[: SAMPLE * 4].decode("utf-8", "replace")[:SAMPLE]
    return "".join(c if c.isprintable() else "·" for c in head)


def _shown(record: dict[str, Any]) -> bytes:
    """A record that is no text of a file, for the quarantine's sample."""
    try:
        return str(record).encode("utf-8", "replace")
    except RecursionError:
        return str(list(record)).encode("utf-8", "replace")


def _bytes(sizes: Sequence[int | None], held: bytearray) -> pa.Array:
    """large_binary: values of these sizes (None: null), one behind the other in `held`, which is not copied."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum([size or 0 for size in sizes], out=offsets[1:])
    missing = sizes.count(None)
    there = np.array([size is not None for size in sizes], bool)
    valid = pa.py_buffer(np.packbits(there, bitorder="little")) if missing else None
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(held)]
    return pa.Array.from_buffers(pa.large_binary(), len(sizes), buffers, missing)


def describe(error: BaseException) -> str:
    """`"JSONDecodeError: ..."`, cut to a line that fits a ledger."""
    return name_of(error)[:500]
