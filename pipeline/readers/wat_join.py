"""Documents of a WARC or WET file, with what the WAT file beside it says of their pages.

    wet: id="ba729a40-..."  text="Mills grind ..."  _page="2aabeff2-..."      (WARC-Refers-To; of a WARC the record's own id)
    wat: a record about 2aabeff2-...: {"title": "Mills", "robots": ["noai"]}
    ->   metadata='{"languages":"eng","robots":["noai"],"title":"Mills"}'  _wat=True  _robots="noai" (if the recipe refuses that)

A field that the record has already stays. Both files have the order of the crawl, so they are read side by side; of the WAT the
records of the last WINDOW_BYTES are held, behind and ahead of the place where the last partner was found. A document whose
partner is not there has none: no field is added and `_wat` is False. So what a document gets depends on the two files alone.

A broken place in the WAT is an entry of the quarantine, and the records behind it are read. A file that is not there, or that holds
no WAT record at all, is an `InputError`: documents without what the recipe asks for would pass for good ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, NamedTuple

import orjson
import pyarrow as pa

from filters.step import set_column
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.readers.decoders import named_compression
from pipeline.readers.fields import dump
from pipeline.readers.framer import Framer
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.streams import pieces
from pipeline.readers.warc import begins
from pipeline.readers.wat import Page, not_wat, parse
from pipeline.readers.wat_fields import BARRED, FOUND, Join

PAGE = "_page"

WINDOW_BYTES = 48 << 20
"""Of records held: some 60,000, more than a file of Common Crawl has pages."""

RECORD_BYTES = 400  # what a held record costs besides its fields
MOST_TOLD = 100  # broken places of a WAT that get an entry each


class Partner(NamedTuple):
    """number: the record's place among those about pages. fields: JSON of what is added."""

    number: int
    fields: bytes
    status: int | None
    barred: str | None


def joined(batches: Iterator[Batch], rows: Rows, join: Join) -> Iterator[Batch]:
    """The batches with the WAT's fields in `metadata`, and at the end what is broken in the WAT."""
    with storage.open_read(join.path) as stream:
        partners = Partners(stream, join)
        consumed = 0
        for batch in batches:
            consumed = batch.consumed
            yield replace(batch, table=_with_partners(batch.table, partners))
        for letter, offset in partners.broken():
            rows.quarantine(letter, b"", offset, tail=True)
        if rows.any:
            last = rows.take()
            yield replace(last, table=_with_partners(last.table, partners), consumed=consumed)


def _with_partners(table: pa.Table, partners: Partners) -> pa.Table:
    found = [partners.of(page) for page in table[PAGE].to_pylist()]
    texts = [_merged(old, partner) for old, partner in zip(table["metadata"].to_pylist(), found, strict=True)]
    status = [
        own if own is not None or partner is None else partner.status
        for own, partner in zip(table["_status"].to_pylist(), found, strict=True)
    ]
    table = set_column(table.drop_columns([PAGE]), "metadata", pa.array(texts, table.schema.field("metadata").type))
    table = set_column(table, "_status", pa.array(status, pa.int64()))
    table = set_column(table, BARRED, pa.array([partner and partner.barred for partner in found], pa.string()))
    return set_column(table, FOUND, pa.array([partner is not None for partner in found], pa.bool_()))


def _merged(old: str | None, partner: Partner | None) -> str | None:
    """Metadata with the partner's fields; what the record says itself stands."""
    if partner is None or partner.fields == b"{}":
        return old
    return dump(orjson.loads(partner.fields) | orjson.loads(old or "{}"))


class Partners:
    """The records of a WAT file, by the id of the page that they are about, looked up in about the file's order."""

    def __init__(self, stream: BinaryIO, join: Join):
        self._join = join
        self._window: OrderedDict[str, Partner] = OrderedDict()  # in the file's order
        self._held = 0  # bytes, about
        self._last = -1  # number of the last record that a document asked for
        self._broken: list[tuple[str, int]] = []
        self._more_broken = 0
        self._ahead = self._records(stream)

    def of(self, page: str | None) -> Partner | None:
        """The partner of a page, if it is in the window around the last one."""
        if page is None:
            return None
        found = self._window.get(page)
        while found is None and self._room() and (read := next(self._ahead, None)):
            name, partner = read
            if name not in self._window:  # of two records about one page the first counts
                self._window[name] = partner
                self._held += len(partner.fields) + RECORD_BYTES
                found = partner if name == page else None
        if found:
            self._last = max(self._last, found.number)
        return found

    def _room(self) -> bool:
        """Room for one more record, made of those behind the last one asked for."""
        while self._held >= WINDOW_BYTES:
            name, oldest = next(iter(self._window.items()))
            if oldest.number > self._last:
                return False
            del self._window[name]
            self._held -= len(oldest.fields) + RECORD_BYTES
        return True

    def broken(self) -> list[tuple[str, int]]:
        """Letter and offset of each broken place that was met."""
        behind = "Documents whose record was there go on without its fields; fetch the file again."
        name = self._join.path.rpartition("/")[2]  # as in Rows: the quarantine does not hang on where the input lies
        told = [(f"BrokenWat: {name}: {error}. {behind}", offset) for error, offset in self._broken]
        more = f"BrokenWat: {name}: {self._more_broken} more broken places. {behind}"
        return told + ([(more, self._broken[-1][1])] if self._more_broken else [])

    def _records(self, stream: BinaryIO) -> Iterator[tuple[str, Partner]]:
        path, number, any_wat = self._join.path, 0, False
        for found in Framer().records(pieces(stream, begins, named_compression(path))):
            error = found.error
            kind, page = "", None
            if not error:
                try:
                    kind, page = parse(found.data)
                except (ValueError, OSError) as problem:
                    error = describe(problem)
            if error:
                self._tell(error, found.offset)
            if kind in ("response", "conversion"):
                raise InputError(f"{path}: {not_wat(kind)} Name the WAT file of the input under wat.")
            any_wat = any_wat or kind == "wat"
            if page and page.id:
                yield page.id, self._partner(number, page)
                number += 1
        if not any_wat:
            why = f" ({self._broken[0][0]})" if self._broken else ""
            raise InputError(
                f"{path}: no WAT record is in this file{why}. Fetch it again, or leave wat out of the recipe."
            )

    def _tell(self, error: str, offset: int) -> None:
        if len(self._broken) < MOST_TOLD:
            self._broken.append((error, offset))
        else:
            self._more_broken += 1

    def _partner(self, number: int, page: Page) -> Partner:
        kept = {name: page.fields[name] for name in self._join.fields if name in page.fields}
        asked = set(page.fields.get("robots", ()))
        barred = (asked | {"noindex", "nofollow"} if "none" in asked else asked) & self._join.refuse
        fields = bytes(memoryview(orjson.dumps(kept)))  # a copy: orjson's own takes 4 KB, however short it is
        return Partner(number, fields, page.fields.get("http_status"), ", ".join(sorted(barred)) or None)
