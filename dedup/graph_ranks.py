"""From document numbers and order words to dense ranks.

    doc 17, words (5, 9, 9)        index 1, rank 0       index: place by document number
    doc 12, words (5, 9, 11)  ->   index 0, rank 1       rank: place by words, ties by document number
    doc 40, words (7, 0, 0)        index 2, rank 2

In memory by `lexical_order`; on files by sorting twice in parts, between documents (or tuples) of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dedup.columns import frozen
from dedup.graph_files import Column, Room, Spool
from kernels.ranges import enter, look_up, parts_of, parts_of_tuples

# Rows of the sample at most. With 16 for each part, the largest part is about twice the mean.
_SAMPLE = 1 << 15
Nodes = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


def lexical_order(columns: list[np.ndarray]) -> np.ndarray:
    """int64 (n,): the order of rows by uint64 columns, the first decides first; equal rows in any order.

    The upper 64 bits that differ are sorted as one number, then those that tie by their next 64 bits: mostly once,
    and never more often than there are columns and bits.
    """
    columns = [column - column.min() for column in columns if len(column)]
    bits = [int(column.max()).bit_length() for column in columns]
    if not columns:
        return np.zeros(0, np.int64)
    code, used = np.zeros(len(columns[0]), np.uint64), 0
    while columns and used < 64:
        take = min(bits[0], 64 - used)
        if take:
            upper = columns[0] >> np.uint64(bits[0] - take)
            code = upper if take == 64 else code << np.uint64(take) | upper
        used += take
        bits[0] -= take
        columns[0] = columns[0] & np.uint64((1 << bits[0]) - 1)
        if not bits[0]:
            del bits[0], columns[0]
    order = np.argsort(code)
    if not columns:
        return order
    code = code[order]
    same = code[1:] == code[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(tied):
        rows, group = order[tied], np.cumsum(np.append(True, ~same))[tied].astype(np.uint64)
        order[tied] = rows[lexical_order([group, *(column[rows] for column in columns)])]
    return order


class Numbers:
    """A table from document numbers (uint64 (n,)) to numbers below 2**63. 24 to 48 bytes an entry."""

    def __init__(self, docs: np.ndarray, values: np.ndarray):
        self._slots = np.zeros((1 << (len(docs) * 3 // 2 + 1).bit_length(), 2), np.uint64)
        self.fresh = np.empty(len(docs), bool)
        enter(self._slots, frozen(docs, np.uint64), frozen(values, np.uint64), self.fresh)

    def rename(self, rows: np.ndarray, column: int, target: np.ndarray) -> None:
        """target[:, column] = the numbers of rows[:, column]. ValueError where a document is not in the table."""
        missing = look_up(self._slots, frozen(rows, np.uint64), column, target, column)
        if missing >= 0:
            raise ValueError(
                f"A pair names document {rows[missing, column]}, which is not among the nodes of the graph. "
                "Every document of an edge, a loose pair or a pair of twins must be one."
            )


@dataclass
class Ranked:
    """`table`: by rank the document, its index and its 128-bit key (4 words); `docs`: by index the document;
    `number`: by index the rank (later that of the node it belongs to). Documents lie in parts: `bounds` between their
    numbers, `starts` of their indices, with the end of the last."""

    room: Room
    nodes: int
    table: Column
    docs: Column
    number: Column
    bounds: np.ndarray
    starts: np.ndarray

    def parts_of(self, index: np.ndarray) -> np.ndarray:
        """The part of each index."""
        return _parts(index[:, None], 0, self.starts[1:])

    def part(self, part: int) -> tuple[int, int]:
        """First index, and the one behind the last."""
        return int(self.starts[part]), int(self.starts[part + 1])

    def place(self, rows: Spool) -> None:
        """Writes (index, value) rows of a spool by parts to `number`."""
        for part in range(len(rows)):
            low, high = self.part(part)
            values = self.number.read(low, high)[:, 0]
            for block in rows.blocks(part):
                values[(block[:, 0] - np.uint64(low)).astype(np.int64)] = block[:, 1]
            rows.drop(part)
            self.number.write(low, values)

    def rename(self, name: str, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Chunks of rows (uint64 (n, 2 or more)) that begin with two documents, with their numbers instead."""
        if len(self.starts) == 2:
            table = self._numbers(0)
            for rows in chunks:
                target = rows.copy()
                table.rename(rows, 0, target)
                table.rename(rows, 1, target)
                yield target
            return
        for column in (0, 1):
            chunks = self._rename_one(f"{name}-{column}", chunks, column)
        yield from chunks

    def _rename_one(self, name: str, chunks: Iterable[np.ndarray], column: int) -> Iterator[np.ndarray]:
        spool = None
        for rows in chunks:
            spool = spool or self.room.spool(name, rows.shape[1], len(self.bounds) + 1)
            spool.add(_parts(rows, column, self.bounds), rows)
        if spool is None:
            return
        for part in range(len(spool)):
            table = self._numbers(part)
            for rows in spool.blocks(part):
                table.rename(rows, column, rows)
                yield rows
            spool.drop(part)

    def _numbers(self, part: int) -> Numbers:
        return Numbers(self.docs.read(*self.part(part))[:, 0], self.number.read(*self.part(part))[:, 0])


def ranked(room: Room, nodes: Nodes) -> Ranked:
    """Ranks on files."""
    bounds, tuple_bounds = _sample(nodes, room.sizes.span)
    by_doc = room.spool("nodes", tuple_bounds.shape[1], len(bounds) + 1)
    for docs, words in nodes():
        by_doc.add(_parts(docs[:, None], 0, bounds), np.column_stack([words, docs]))
    docs_column = room.column("docs", 1)
    by_words, starts = _indexed(room, by_doc, docs_column, tuple_bounds)
    nodes_in_all = int(starts[-1])
    graph = Ranked(
        room,
        nodes_in_all,
        room.column("table", 4),
        docs_column,
        room.column("numbers", 1, nodes_in_all),
        bounds,
        starts,
    )
    ranks = room.spool("ranks", 2, len(bounds) + 1)
    low = 0
    for part in range(len(by_words)):
        rows = by_words.whole(part)
        by_words.drop(part)
        rows = rows[lexical_order(list(rows.T[:-1]))]
        key0, key1, doc, index = rows[:, -4:].T
        graph.table.write(low, np.column_stack([doc, index, key0, key1]))
        rank = np.arange(low, low + len(rows), dtype=np.uint64)
        ranks.add(graph.parts_of(index), np.column_stack([index, rank]))
        low += len(rows)
    graph.place(ranks)
    return graph


def _indexed(room: Room, by_doc: Spool, docs: Column, tuple_bounds: np.ndarray) -> tuple[Spool, np.ndarray]:
    """Each node once, with its index behind, by words; and where each part of the documents starts (and the last
    ends)."""
    by_words = room.spool("words", tuple_bounds.shape[1] + 1, len(tuple_bounds) + 1)
    starts = [0]
    for part in range(len(by_doc)):
        rows = by_doc.whole(part)
        by_doc.drop(part)
        rows = rows[np.unique(rows[:, -1], return_index=True)[1]]
        docs.write(starts[-1], rows[:, -1])
        index = np.arange(starts[-1], starts[-1] + len(rows), dtype=np.uint64)
        parts = np.empty(len(rows), np.int32)
        parts_of_tuples(frozen(rows, np.uint64), frozen(tuple_bounds, np.uint64), parts)
        by_words.add(parts, np.column_stack([rows, index]))
        starts.append(starts[-1] + len(rows))
    return by_words, np.array(starts, np.uint64)


def _sample(nodes: Nodes, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds between parts of about `span` nodes: documents uint64 (k,), and rows of words and document. The sample
    goes by the document's number alone, so the same comes of any order of chunks."""
    rows, shift, total = np.empty((0, 3), np.uint64), 0, 0
    for docs, words in nodes():
        total += len(docs)
        some = _mixed(docs) >> np.uint64(64 - shift) == 0 if shift else slice(None)
        new = np.column_stack([words[some], docs[some]])
        rows = np.concatenate([rows, new]) if rows.size else new
        while len(rows) > _SAMPLE:
            rows = rows[np.unique(rows[:, -1], return_index=True)[1]]
            if len(rows) > _SAMPLE:
                shift += 1
                rows = rows[_mixed(rows[:, -1]) >> np.uint64(64 - shift) == 0]
    _, first = np.unique(rows[:, -1], return_index=True)
    rows = rows[first]
    parts = min(-(-total // span), len(rows))
    cuts = np.arange(1, parts) * len(rows) // max(parts, 1)
    return rows[cuts, -1], rows[lexical_order(list(rows.T))[cuts]]


def _parts(rows: np.ndarray, column: int, bounds: np.ndarray) -> np.ndarray:
    parts = np.empty(len(rows), np.int32)
    parts_of(frozen(rows, np.uint64), column, frozen(bounds, np.uint64), parts)
    return parts


def _mixed(docs: np.ndarray) -> np.ndarray:
    """uint64, well spread (splitmix64's finaliser)."""
    x = docs + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)
