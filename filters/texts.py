"""A column of texts with what the signals look at found once: words, lines, paragraphs, lengths.

    texts = Texts(pa.array(["One line.\\nTwo.", None]))
    texts.words    [["One", "line", ".", "Two", "."], []]
    texts.lines    [["One line.", "Two."], []]
    texts.chars    [14, 0]

Everything is computed when it is first asked for and kept; `take` carries what is there over to a part of the
rows. The built-in signals make no Python strings: they count by kernels over the bytes (filters/counts.py). The words
and lines as strings are for signals of one's own.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.words import split_words

T = TypeVar("T")
_BLANK_LINES = re.compile(r"\n{2,}")
PAD = 128  # readable bytes behind the last text, for kernels that read 64 at once (kernels/memory.py)
LONGEST = 1 << 28  # bytes of one text; its n-grams take up to 100 bytes of memory a word, in English 20 a byte


class Texts:
    """`n` texts from an Arrow (large_)string array; a null counts as "". `conversations`: for texts that are chats, these as
    JSON, an array of the same length (filters/chat/turns.py parses them once); `metadata`: what is known of the texts, likewise."""

    def __init__(
        self,
        array: pa.Array | pa.ChunkedArray,
        rows: np.ndarray | None = None,
        *,
        more: bool = False,
        conversations: pa.Array | pa.ChunkedArray | None = None,
        metadata: pa.Array | pa.ChunkedArray | None = None,
    ) -> None:
        self._array = array
        self._conversations = conversations
        self._metadata = metadata
        self._rows = rows  # of the array, still to be taken; None: all
        self.more = more  # whether others will look at these texts too: then what they may need is found at once
        self._kept: dict[Callable[[Texts], Any], Any] = {}

    def __len__(self) -> int:
        return len(self._array if self._rows is None else self._rows)

    @property
    def array(self) -> pa.Array | pa.ChunkedArray:
        """The texts as Arrow strings."""
        self._settle()
        return self._array

    @property
    def conversations(self) -> pa.Array | pa.ChunkedArray | None:
        """The chats that the texts are of as JSON, null where there is none; None if the table has no such column."""
        self._settle()
        return self._conversations

    @property
    def metadata(self) -> pa.Array | pa.ChunkedArray | None:
        """The fields of the texts' records as JSON objects, null where there is none; None if the table has no such column."""
        self._settle()
        return self._metadata

    def _settle(self) -> None:
        if self._rows is not None:
            rows, self._rows = pa.array(self._rows), None
            self._array = self._array.take(rows)
            self._conversations = None if self._conversations is None else self._conversations.take(rows)
            self._metadata = None if self._metadata is None else self._metadata.take(rows)

    def once(self, find: Callable[["Texts"], T]) -> T:
        """`find(self)`, worked out once and kept.

        What `find` gives must have one entry a text, so that `take` can cut it: a list, a numpy array with
        texts along the first axis, a dict or tuple of those, or an object with a `take(rows)` of its own.
        """
        if find not in self._kept:
            self._kept[find] = find(self)
        return self._kept[find]

    def take(self, rows: np.ndarray) -> "Texts":
        """The texts at `rows` (int64 row numbers), with all that was found already."""
        places = rows if self._rows is None else self._rows[rows]
        part = Texts(self._array, places, more=self.more, conversations=self._conversations, metadata=self._metadata)
        part._kept = {find: _cut(found, rows) for find, found in self._kept.items()}
        return part

    def has(self, find: Callable[["Texts"], Any]) -> bool:
        """Whether `find` was worked out already."""
        return find in self._kept

    @property
    def strings(self) -> list[str]:
        """The texts as Python strings."""
        return self.once(_strings)

    @property
    def words(self) -> list[list[str]]:
        """The words and symbols of each text by the affix rule (see filters/words.py)."""
        return self.once(_words)

    @property
    def lines(self) -> list[list[str]]:
        """The lines of each text, split as `str.splitlines` does (so also at form feeds and U+2028)."""
        return self.once(_lines)

    @property
    def paragraphs(self) -> list[list[str]]:
        """The paragraphs of each text, white space at its ends stripped: what stands between empty lines."""
        return self.once(_paragraphs)

    @property
    def chars(self) -> np.ndarray:
        """Code points of each text, int64 of shape (n,)."""
        return self.once(_chars)

    @property
    def word_counts(self) -> np.ndarray:
        """Words and symbols of each text, int64 of shape (n,): the length of each entry of `words`."""
        return self.once(_word_counts)

    @property
    def buffers(self) -> tuple[np.ndarray, np.ndarray]:
        """(offsets, data): text i is the UTF-8 data[offsets[i]:offsets[i + 1]]; int64 of shape (n + 1,) and uint8.

        Behind the last text come at least PAD readable bytes. Errors: UnicodeDecodeError for bytes that are no UTF-8,
        ValueError for a text of more than LONGEST bytes.
        """
        return find_buffers(self.array)

    @property
    def spans(self) -> "Spans":
        """The same as `buffers` for kernels, which need not have the texts side by side."""
        return self.once(_spans)


def texts_of(table: pa.Table) -> Texts:
    """The texts of a table, with the conversations that they are of and their metadata where it has any."""
    return Texts(table["text"], **_beside(table))


def _beside(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """What `Texts` take of a table besides the texts."""
    columns = {"conversations": "conversation", "metadata": "metadata"}
    return {name: table[column] for name, column in columns.items() if column in table.schema.names}


class Views:
    """The texts of a table as keep steps look at them one after another, so that none finds again what one before found.

    A step asks for the texts of its rows by `of` and hands back by `put` those that stay; between two steps `take`
    drops the rows that went out. Rows are int64 row numbers, ascending.
    """

    def __init__(self, table: pa.Table, rows: np.ndarray | None = None, *, more: bool = False) -> None:
        self._table = table
        self._more = more  # whether more than one step will look
        self._rows = np.arange(len(table)) if rows is None else rows  # of the table
        self._seen: list[tuple[np.ndarray, Texts]] = []  # the newest first

    def of(self, rows: np.ndarray) -> Texts:
        """The texts at `rows`, with what was found for them if they were looked at together before."""
        for held, texts in self._seen:
            if len(held) == len(rows) and np.array_equal(held, rows):
                return texts
            if len(held) > len(rows) and np.isin(rows, held, assume_unique=True).all():
                return texts.take(np.searchsorted(held, rows))
        places = None if len(rows) == len(self._table) else self._rows[rows]
        return Texts(self._table["text"], places, more=self._more, **_beside(self._table))

    def put(self, rows: np.ndarray, texts: Texts) -> None:
        """Keeps what was found in `texts`, which are those at `rows`."""
        self._seen.insert(0, (rows, texts))

    def take(self, rows: np.ndarray) -> "Views":
        """The same for the table that has the `rows` of this one."""
        part = Views(self._table, self._rows[rows], more=self._more)
        place = np.full(len(self._rows), -1, np.int64)
        place[rows] = np.arange(len(rows))
        for held, texts in self._seen:
            now = place[held]
            left = np.flatnonzero(now >= 0)
            if not any(np.array_equal(now[left], other) for other, _ in part._seen):
                part._seen.append((now[left], texts if len(left) == len(held) else texts.take(left)))
        return part


@dataclass(frozen=True)
class Spans:
    """Text i is the UTF-8 data[starts[i]:ends[i]]; see `Texts.buffers`. Read-only, so that kernels see one type."""

    starts: np.ndarray  # int64
    ends: np.ndarray  # int64
    data: np.ndarray  # uint8

    def __post_init__(self) -> None:
        for array in (self.starts, self.ends, self.data):
            array.setflags(write=False)

    def take(self, rows: np.ndarray) -> "Spans":
        return Spans(self.starts[rows], self.ends[rows], self.data)


def find_buffers(array: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """`Texts.buffers` of a column: its own memory where PAD bytes follow in the same buffer, else a copy."""
    chunks = [_plain_chunk(chunk) for chunk in (array.chunks if isinstance(array, pa.ChunkedArray) else [array])]
    pieces = [_chunk_buffers(chunk) for chunk in chunks if len(chunk)]
    if len(pieces) == 1 and len(pieces[0][1]) >= pieces[0][0][-1] + PAD:
        return pieces[0]
    sizes = [int(offsets[-1] - offsets[0]) for offsets, _ in pieces]
    data = np.empty(sum(sizes) + PAD, np.uint8)
    data[len(data) - PAD :] = 0
    moved = [np.zeros(1, np.int64)]
    at = 0
    for (offsets, source), size in zip(pieces, sizes, strict=True):
        data[at : at + size] = source[offsets[0] : offsets[-1]]
        moved.append(offsets[1:] + (at - offsets[0]))
        at += size
    return np.concatenate(moved), data


def _plain_chunk(chunk: pa.Array) -> pa.Array:
    """The chunk as valid strings without nulls, which may have bytes of their own below them."""
    if not (pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type)):
        chunk = chunk.cast(pa.large_string())
    if chunk.null_count:
        chunk = pc.fill_null(chunk, "")
    if not _are_texts(chunk):
        try:
            chunk.validate(full=True)
        except pa.ArrowInvalid:
            with suppress(SystemError):  # of places that do not rise
                chunk.to_pylist()  # says which bytes are no UTF-8
            raise
    return chunk


def _are_texts(chunk: pa.Array) -> bool:
    """What `validate(full=True)` asks of strings, at several times its speed: that places rise, and that each text is UTF-8."""
    from kernels.utf8 import is_utf8

    chunk.validate()
    if not len(chunk):
        return True
    places, data = _chunk_buffers(chunk)
    if (np.diff(places) < 0).any() or not is_utf8(data, places[0], places[-1]):
        return False
    inside = places[:-1][np.diff(places) > 0]
    return not ((data[inside] & 0xC0) == 0x80).any()


def _chunk_buffers(chunk: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    _, offsets, data = chunk.buffers()
    kind = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
    places = np.frombuffer(offsets, kind)[chunk.offset : chunk.offset + len(chunk) + 1]
    places = places.astype(np.int64, copy=not places.flags.aligned)
    longest = int(np.diff(places).max())
    if longest > LONGEST:
        raise ValueError(f"a text of {longest} bytes: the longest that can be measured has {LONGEST}")
    return places, np.frombuffer(data if data is not None else b"", np.uint8)


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """`numerator / denominator` as float64, and 0.0 where the denominator is 0.

    The only place that decides what an empty text scores: a share of nothing is no share.
    """
    above = np.asarray(numerator, dtype=np.float64)
    below = np.asarray(denominator, dtype=np.float64)
    out = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    return np.divide(above, below, out=out, where=below != 0)


def _cut(found: Any, rows: np.ndarray) -> Any:
    if isinstance(found, dict):
        return {key: _cut(each, rows) for key, each in found.items()}
    if isinstance(found, tuple):
        return tuple(_cut(each, rows) for each in found)
    if hasattr(found, "take"):  # a numpy array, Spans
        return found.take(rows, axis=0) if isinstance(found, np.ndarray) else found.take(rows)
    return [found[row] for row in rows]


def _strings(texts: Texts) -> list[str]:
    return pc.fill_null(texts.array, "").to_pylist()


def _words(texts: Texts) -> list[list[str]]:
    return [split_words(text) for text in texts.strings]


def _lines(texts: Texts) -> list[list[str]]:
    return [text.splitlines() for text in texts.strings]


def _paragraphs(texts: Texts) -> list[list[str]]:
    return [_BLANK_LINES.split(text.strip()) for text in texts.strings]


def _chars(texts: Texts) -> np.ndarray:
    from kernels.kinds import count_chars

    return count_chars(texts.spans.starts, texts.spans.ends, texts.spans.data)


def _word_counts(texts: Texts) -> np.ndarray:
    from filters.counts import in_words

    return texts.once(in_words)["words"]


def _spans(texts: Texts) -> Spans:
    offsets, data = texts.buffers
    return Spans(offsets[:-1], offsets[1:], data)


def lengths(things: Sequence[Sequence[Any]]) -> np.ndarray:
    """`len` of each, int64 of shape (n,)."""
    return np.fromiter(map(len, things), dtype=np.int64, count=len(things))
