"""Dedup that changes texts: lines, and runs of tokens, that stand in many documents of the corpus are cut.

These stages stand between refine and band, so that what is compared later is the text that will be written:

    lines-band         a group of document tasks -> rows (hash of a line, document, number), dealt by hash
    lines-match        one partition -> marks: which lines of which documents go
    lines-cut          a document task -> the documents again without them, as refine writes them
    substrings-anchor  rows (hash of an anchor, document, place)
    substrings-share   marks: the anchors that stand at two places
    substrings-band    rows (hash of a window, document, place) for the windows of these anchors
    substrings-match   marks: windows to cut
    substrings-cut     as lines-cut

What was cut is told in ``removed/lines-00003.parquet`` (a row for each different line) and
``removed/substrings-00003.parquet`` (a row for each cut). What is equal and who is first is in `dedup.lines` and `dedup.substrings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import lines, substrings
from dedup.columns import text_buffers
from dedup.exact import record_keys
from pipeline.cutting.files import REMOVED, Cut, CutFiles
from pipeline.documents import documents
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import manifests, opened, output_rows
from pipeline.files.tables import Packed, conform
from pipeline.job import Job
from pipeline.matching import groups as sizes
from pipeline.matching.groups import groups, numbers, partition_count
from pipeline.matching.partitions import Dealer, dealt, marks, write_marks

STAGES = {
    "lines": ("lines-band", "lines-match", "lines-cut"),
    "substrings": ("substrings-anchor", "substrings-share", "substrings-band", "substrings-match", "substrings-cut"),
}
TOLD_CHARS = 200
"""Characters of a cut text in the ledger, unless the recipe asks for rejected_text."""

LINES_ROWS = pa.schema([("hash", pa.uint64()), ("doc", pa.uint64()), ("number", pa.uint32())])
LINES_MARKS = pa.schema(
    [("doc", pa.uint64()), ("number", pa.uint32()), ("cut", pa.bool_()), ("listed", pa.bool_()), ("documents", pa.uint32()), ("removed", pa.uint32())]
)  # fmt: skip
ANCHORS = pa.schema([("hash", pa.uint64()), ("doc", pa.uint64()), ("place", pa.uint32())])
WINDOWS = pa.schema([("hash0", pa.uint64()), ("hash1", pa.uint64()), ("rank", pa.uint64()), ("doc", pa.uint64()), ("place", pa.uint32())])  # fmt: skip
PLACES = pa.schema([("doc", pa.uint64()), ("place", pa.uint32())])


def cut_stages(job: Job) -> list[str]:
    """The stages that this job's recipe asks for, in order."""
    return [stage for kind in job.refine["cuts"] for stage in STAGES[kind]]


def cut_tasks(job: Job, stage: str) -> int:
    """How many tasks a stage has."""
    kind, _, step = stage.partition("-")
    if step == "cut":
        return len(documents(job, kind))
    if stage in ("lines-match", "substrings-share", "substrings-match"):
        return _partitions(job, stage)
    return len(groups(documents(job, kind)))


def cut(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """One task of any of these stages. Returns its counts."""
    return TASKS[task["stage"]](job, task, attempt)


def _partitions(job: Job, stage: str) -> int:
    """Partitions of the rows that a stage deals or sorts, from what is known before they are counted."""
    kind = stage.partition("-")[0]
    stored = sum(o["bytes"] for m in documents(job, kind) for o in m["outputs"] if o["name"] == "docs")
    if kind == "lines":
        return partition_count(stored // 20, sizes.CUT_ROWS)  # text is twice that, a line 40 bytes
    wide = _window(job) - substrings.gram_of(_window(job)) + 1
    if stage in ("substrings-anchor", "substrings-share"):
        return partition_count(stored // (wide + 1), sizes.CUT_ROWS)  # a token is 4 bytes of text
    shared = sum(output_rows(manifest, "marks") for manifest in manifests(job.output, "substrings-share"))
    return partition_count(int(shared * (wide + 1) / 2), sizes.CUT_ROWS)


def _window(job: Job) -> int:
    return job.refine["cuts"]["substrings"]["min_tokens"]


def _path(task: dict[str, Any], suffix: str) -> str:
    return f".work/{task['stage']}/{task['index']:06d}.{suffix}"


def _pieces(job: Job, manifest: dict[str, Any], columns: list[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
    """A document task's rows, a piece of its file at a time, with the number of the first."""
    with opened(job.output) as files:
        docs = Packed(files.local(manifest, "docs"))
        first = 0
        for number in range(docs.batches):
            table = docs.read(number, columns)
            yield first, table
            first += len(table)


def _group(job: Job, task: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return groups(documents(job, kind))[task["index"]]


# -- lines -----------------------------------------------------------------------------------------


def _lines_band(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    options = job.refine["cuts"]["lines"]
    schema = _lines_rows(options)
    rows = Dealer(attempt, _path(task, "rows.arrow"), schema, _partitions(job, task["stage"]))
    for manifest in _group(job, task, "lines"):
        for first, table in _pieces(job, manifest, ["id", "text", "source"]):
            found = lines.units(table["text"], options["unit"] == "paragraph")
            asked = (found.hashes != 0) & (found.chars >= options["min_chars"])
            owners = found.rows()[asked]
            docs = numbers(manifest["index"], first, len(table))[owners]
            columns = [found.hashes[asked], docs, found.numbers()[asked].astype(np.uint32)]
            if "rank" in schema.names:
                columns.append(record_keys(table["source"], table["id"])[owners, 0])
            if "source" in schema.names:
                columns.append(_source_hashes(table["source"])[owners])
            rows.write(columns)
    return {"rows": rows.close()}


def _lines_rows(options: dict[str, Any]) -> pa.Schema:
    schema = LINES_ROWS
    if options["keep"] == "first":
        schema = schema.append(pa.field("rank", pa.uint64()))
    if options["by"] == "source":
        schema = schema.append(pa.field("source", pa.uint64()))
    return schema


def _source_hashes(sources: pa.ChunkedArray) -> np.ndarray:
    """uint64 of each row's source; one hash is made for each different source."""
    coded = pc.dictionary_encode(pc.fill_null(sources, "")).combine_chunks()
    names = coded.dictionary
    return record_keys(names, pa.array([""] * len(names)))[:, 0][coded.indices.to_numpy()]


def _lines_match(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    options = job.refine["cuts"]["lines"]
    columns = dealt(job.output, "lines-band", task["index"], _partitions(job, task["stage"]))
    named = dict(zip(_lines_rows(options).names, columns))
    hashes, docs, line = columns[:3]
    sources, ranks = named.get("source", docs), named.get("rank", np.zeros_like(docs))
    found = lines.repeats(hashes, docs, line, sources, ranks, options["max_repeats"], options["keep"] == "first")
    told = [found.docs, found.numbers, found.cut, found.listed, found.documents, found.removed]
    write_marks(attempt, _path(task, "marks.arrow"), LINES_MARKS, told, documents(job, "lines"))
    return {"lines": int(found.listed.sum()), "cut": int(found.cut.sum())}


def _lines_of(job: Job, table: pa.Table, marked: list[np.ndarray]) -> Cut:
    """The texts of `table` without the marked lines."""
    rows, numbers_, cut_, listed, documents_, removed = marked
    found = lines.units(table["text"], job.refine["cuts"]["lines"]["unit"] == "paragraph")
    places = (np.cumsum(found.counts) - found.counts)[rows] + numbers_
    flags = np.zeros(len(found.hashes), bool)
    flags[places[cut_]] = True
    texts = lines.without_units(table["text"], found, flags)
    chosen, places = rows[listed], places[listed]
    told = _slices(table["text"], chosen, found.starts[places], found.ends[places])
    named = table.select(["id", "source"]).take(pa.array(chosen)).columns
    columns = [told, documents_[listed], removed[listed], *named, found.hashes[places]]
    return Cut(texts, _told("lines", columns), int(cut_.sum()))


# -- runs of tokens --------------------------------------------------------------------------------


def _anchor(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    rows = Dealer(attempt, _path(task, "rows.arrow"), ANCHORS, _partitions(job, task["stage"]))
    for manifest in _group(job, task, "substrings"):
        for first, table in _pieces(job, manifest, ["text"]):
            hashes, owners, places = substrings.anchors(table["text"], _window(job))
            docs = numbers(manifest["index"], first, len(table))[owners]
            rows.write([hashes, docs, places.astype(np.uint32)])
    return {"rows": rows.close()}


def _share(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    hashes, docs, places = dealt(job.output, "substrings-anchor", task["index"], _partitions(job, task["stage"]))
    again = np.flatnonzero(substrings.shared(hashes))
    again = again[np.lexsort((places[again], docs[again]))]
    write_marks(attempt, _path(task, "marks.arrow"), PLACES, [docs[again], places[again]], documents(job, "substrings"))
    return {"anchors": len(hashes), "shared": len(again)}


def _substrings_band(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    rows = Dealer(attempt, _path(task, "rows.arrow"), WINDOWS, _partitions(job, task["stage"]))
    for manifest in _group(job, task, "substrings"):
        marked = marks(job.output, "substrings-share", documents(job, "substrings"), manifest["index"])
        for first, table in _pieces(job, manifest, ["id", "text", "source"]) if marked else ():
            here = _inside(marked, numbers(manifest["index"], first, len(table)))
            chosen = np.unique(here[0])
            some = table.take(pa.array(chosen))
            hashes, owners, places = substrings.windows(
                some["text"], np.searchsorted(chosen, here[0]), here[1].astype(np.int64), _window(job)
            )
            ranks = record_keys(some["source"], some["id"])[:, 0]
            docs = numbers(manifest["index"], first, len(table))[chosen]
            rows.write([hashes[:, 0], hashes[:, 1], ranks[owners], docs[owners], places.astype(np.uint32)])
    return {"rows": rows.close()}


def _substrings_match(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    first, second, ranks, docs, places = dealt(
        job.output, "substrings-band", task["index"], _partitions(job, task["stage"])
    )
    keep_first = job.refine["cuts"]["substrings"]["keep"] == "first"
    cut_ = substrings.repeated(
        np.stack([first, second], axis=1), ranks, docs, places.astype(np.int64), _window(job), keep_first
    )
    write_marks(attempt, _path(task, "marks.arrow"), PLACES, [docs[cut_], places[cut_]], documents(job, "substrings"))
    return {"windows": len(docs), "cut": len(cut_)}


def _substrings_of(job: Job, table: pa.Table, marked: list[np.ndarray]) -> Cut:
    """As `_lines_of`, for windows."""
    rows, places = marked
    found = substrings.without_windows(table["text"], rows, places.astype(np.int64), _window(job))
    texts = _replaced(table["text"].combine_chunks(), np.unique(rows), found.texts)
    owners, start, end, tokens = found.spans.T
    pieces = _slices(table["text"], owners, start, end)
    before = np.array([_chars_before(*pair) for pair in zip(_text_bytes(table["text"], owners), start.tolist())], int)
    limit = None if job.refine["rejected_text"] else TOLD_CHARS
    told = pa.array([piece[:limit] for piece in pieces], pa.large_string())
    lengths = np.array([len(piece) for piece in pieces], int)
    named = table.select(["id", "source", "_shard", "_record"]).take(pa.array(owners)).columns
    columns = [*named[:2], before, before + lengths, tokens, told, *named[2:]]
    return Cut(texts, _told("substrings", columns), len(owners))


def _chars_before(text: np.ndarray, place: int) -> int:
    """Characters of UTF-8 before a byte."""
    return int(np.count_nonzero(text[:place] & 0xC0 != 0x80))


def _replaced(column: pa.Array, rows: np.ndarray, texts: pa.Array) -> pa.Array:
    """`column` with `texts` at `rows`."""
    picks = np.arange(len(column))
    picks[rows] = len(column) + np.arange(len(rows))
    return pa.concat_arrays([column, texts]).take(pa.array(picks))


# -- the documents again ---------------------------------------------------------------------------

Cutter = Callable[[Job, pa.Table, list[np.ndarray]], Cut]


def _cut_task(kind: str, cutter: Cutter) -> Callable[[Job, dict[str, Any], Attempt], dict[str, Any]]:
    def task_function(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
        before = documents(job, kind)
        manifest = before[task["index"]]
        marked = marks(job.output, f"{kind}-match", before, manifest["index"])
        files = CutFiles(job, attempt, task, kind)
        for first, table in _pieces(job, manifest):
            here = _inside(marked, numbers(manifest["index"], first, len(table))) if marked else []
            files.take(table, cutter(job, table, here) if here and len(here[0]) else None)
        return files.close(output_rows(manifest, "docs"))

    return task_function


def _text_bytes(texts: pa.ChunkedArray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The bytes of the texts of some rows."""
    if len(rows):
        offsets, data = next(text_buffers(texts.combine_chunks()))
        yield from (data[offsets[row] : offsets[row + 1]] for row in rows.tolist())


def _slices(texts: pa.ChunkedArray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[str]:
    """Bytes [start, end) of the texts of some rows."""
    places = zip(_text_bytes(texts, rows), starts.tolist(), ends.tolist())
    return [text[start:end].tobytes().decode() for text, start, end in places]


def _inside(marked: list[np.ndarray], docs: np.ndarray) -> list[np.ndarray]:
    """The marks of a range of documents, with the row in that range in the place of the document."""
    low, high = np.searchsorted(marked[0], [docs[0], docs[-1] + np.uint64(1)]).tolist()
    return [(marked[0][low:high] - docs[0]).astype(np.int64), *(column[low:high] for column in marked[1:])]


def _told(kind: str, columns: list[Any]) -> pa.Table:
    return conform(pa.table(columns, names=REMOVED[kind].names), REMOVED[kind])


TASKS: dict[str, Callable[[Job, dict[str, Any], Attempt], dict[str, Any]]] = {
    "lines-band": _lines_band,
    "lines-match": _lines_match,
    "lines-cut": _cut_task("lines", _lines_of),
    "substrings-anchor": _anchor,
    "substrings-share": _share,
    "substrings-band": _substrings_band,
    "substrings-match": _substrings_match,
    "substrings-cut": _cut_task("substrings", _substrings_of),
}
