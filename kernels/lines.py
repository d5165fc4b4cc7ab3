"""Lines and paragraphs of a column of texts: how many, what they begin and end with, which stand there before.

Two kinds of lines, as in the twins (filters/plain_texts.py): a *line* ends where `str.splitlines` ends it; a *row* ends at
line feeds only. Most texts have the same of both.

    "- one\\r\\n\\r\\ntwo...\\f"   3 lines (1 with a bullet, 1 with an ellipsis), rows "- one\\r", "\\r", "two...\\f"
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.characters import SENTENCE_END, before, cut_spaces, decode, skip_spaces
from kernels.compile import kernel, part
from kernels.hashes import hash_bytes, table_bits
from kernels.memory import get, load64, pointer, put, store64
from kernels.ngrams import add, clear, table_bits_of
from kernels.simd import below, breaks, firsts, low_zeros, ones, wide_breaks

# what `count_lines` counts; chars are characters
COLUMNS = (
    "chars",
    "line_feeds",
    "lines",
    "line_chars",
    "bullet_lines",
    "ellipsis_lines",
    "filled_rows",  # with more than white space
    "terminal_rows",  # filled, the last character ends a sentence
    "short_rows",  # filled, up to SHORT characters
    "duplicate_filled_chars",
    "parts",  # what stands between runs of line feeds
    "duplicate_parts",
    "duplicate_part_chars",
    "paragraphs",  # what stands between empty rows, without white space at the ends of the text
    "duplicate_paragraphs",
    "duplicate_paragraph_chars",
)
SHORT = 30
(
    _CHARS,
    _FEEDS,
    _LINES,
    _LINE_CHARS,
    _BULLETS,
    _ELLIPSIS_LINES,
    _FILLED,
    _TERMINAL,
    _SHORT,
    _FILLED_CHARS,
    _PARTS,
    _DUPLICATES,
    _DUPLICATE_CHARS,
    _PARAGRAPHS,
    _DUPLICATE_PARAGRAPHS,
    _PARAGRAPH_CHARS,
) = range(len(COLUMNS))

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_ELLIPSIS = 0x2026
_BULLET = 0x2022


class Room(NamedTuple):
    """Room for one text of m bytes."""

    marks: np.ndarray  # uint8, m // 8: a bit for each first byte of a character
    ranks: np.ndarray  # int64, m // 64: the characters that begin in the blocks before
    stops: np.ndarray  # int64, m + 1: where each line ends
    begins: np.ndarray  # int64, m + 1: where the line behind it begins
    parts: np.ndarray  # uint64, at least 2 m: hashes of the parts
    paragraphs: np.ndarray  # uint64, at least 2 m: hashes of the paragraphs


def count_lines(starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """int64 of shape (n, len(COLUMNS)) for the texts data[starts[t]:ends[t]].

    Takes some 50 bytes of address space for each byte of the longest text, touched by the number of its lines.
    """
    longest = int((ends - starts).max(initial=0))
    size = 1 << table_bits_of(longest + 2)
    room = Room(
        np.empty(longest // 8 + 32, np.uint8),
        np.empty(longest // 64 + 4, np.int64),
        np.empty(longest + 2, np.int64),
        np.empty(longest + 2, np.int64),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
    )
    counts = np.zeros((len(starts), len(COLUMNS)), np.int64)
    _count_column(starts, ends, data, kinds, room, counts)
    return counts


@kernel
def _count_column(starts, ends, data, kinds, arrays, counts):
    room = Room(
        pointer(arrays.marks),
        pointer(arrays.ranks),
        pointer(arrays.stops),
        pointer(arrays.begins),
        pointer(arrays.parts),
        pointer(arrays.paragraphs),
    )
    for text in range(len(starts)):
        out = Counts(pointer(counts), text * len(COLUMNS))
        start, end = starts[text], ends[text]
        _scan(pointer(data), start, end, room, out)
        lines = find_lines(pointer(data), start, end, room.stops, room.begins)
        _count_lines(pointer(data), start, lines, pointer(kinds), room, out)
        _count_rows(pointer(data), start, end, lines, pointer(kinds), room, out)


class Counts(NamedTuple):
    """A row of the table of counts."""

    numbers: np.ndarray  # int64
    first: int


@part
def _add(out, column, number):
    put(out.numbers, out.first + column, get(out.numbers, out.first + column) + number)


@part
def _scan(data, start, end, room, out):
    """Where characters begin, and how many there are."""
    chars = 0
    block = 0
    for at in range(start, end, 64):
        mark = firsts(data, at) & below(end - at)
        put(room.ranks, block, chars)
        store64(room.marks, 8 * block, mark)
        chars += ones(mark)
        block += 1
    put(room.ranks, block, chars)
    store64(room.marks, 8 * block, _ZERO)
    _add(out, _CHARS, chars)


@part
def _chars(room, start, first, end):
    """Characters of data[first:end], in a text that begins at `start`."""
    return _rank(room, end - start) - _rank(room, first - start)


@part
def _rank(room, place):
    block = place >> 6
    return get(room.ranks, block) + ones(load64(room.marks, 8 * block) & below(place & 63))


@part
def find_lines(data, start, end, stops, begins):
    """Where each line of data[start:end] stops and the next begins, as `str.splitlines` has it; how many."""
    lines = 0
    at = start
    begin = start
    while at < end:
        found = (breaks(data, at) | wide_breaks(data, at)) & below(end - at)
        while found != _ZERO:
            stop = at + low_zeros(found)
            found &= found - _ONE
            if stop < begin:  # the LF of a CR LF
                continue
            byte = get(data, stop)
            width = 1
            if byte == 13 and stop + 1 < end and get(data, stop + 1) == 10:
                width = 2
            elif byte > 127:
                width = 2 if byte == 0xC2 else 3
            begin = stop + width
            put(stops, lines, stop)
            put(begins, lines, begin)
            lines += 1
        at += 64
    if begin < end:
        put(stops, lines, end)
        put(begins, lines, end)
        lines += 1
    return lines


@part
def _count_lines(data, start, lines, kinds, room, out):
    chars = bullets = ellipsis = 0
    begin = start
    for line in range(lines):
        stop = get(room.stops, line)
        chars += _chars(room, start, begin, stop)
        first = skip_spaces(data, begin, stop, kinds)
        if first < stop:
            code, _ = decode(data, first)
            bullets += code == 45 or code == _BULLET
            end = cut_spaces(data, first, stop, kinds)
            code, _ = decode(data, before(data, end))
            dots = code == 46 and end - first > 2 and get(data, end - 2) == 46 and get(data, end - 3) == 46
            ellipsis += dots or code == _ELLIPSIS
        begin = get(room.begins, line)
    _add(out, _LINES, lines)
    _add(out, _LINE_CHARS, chars)
    _add(out, _BULLETS, bullets)
    _add(out, _ELLIPSIS_LINES, ellipsis)


@part
def _count_rows(data, start, end, lines, kinds, room, out):
    """Rows, the parts between runs of line feeds, and paragraphs."""
    bits = table_bits(lines + 1)
    clear(room.parts, bits)
    clear(room.paragraphs, bits)
    text_first = skip_spaces(data, start, end, kinds)
    text_end = cut_spaces(data, text_first, end, kinds)
    first = text_first  # of the paragraph
    feeds = parts = 0
    begin = start  # of the row
    for line in range(lines):
        next_begin = get(room.begins, line)
        feed = get(data, next_begin - 1) == 10
        if next_begin < end and not feed:
            continue  # a line end inside the row
        stop = next_begin - 1 if feed else end
        feeds += feed
        if stop > begin:
            parts += 1
            _count_row(data, start, begin, stop, kinds, room, bits, out)
        elif text_first < begin < text_end:
            if first < begin:
                _count_paragraph(data, start, first, begin - 1, room, bits, out)
            first = next_begin
        begin = next_begin
    _count_paragraph(data, start, first, text_end, room, bits, out)
    if feeds:  # a line feed at the start or end of the text leaves an empty part there
        leads = get(data, start) == 10
        trails = get(data, end - 1) == 10
        parts += leads
        parts += trails
        _add(out, _DUPLICATES, leads & trails)
    _add(out, _FEEDS, feeds)
    _add(out, _PARTS, max(parts, 1))


@part
def _count_row(data, start, begin, stop, kinds, room, bits, out):
    chars = _chars(room, start, begin, stop)
    filled = skip_spaces(data, begin, stop, kinds) < stop
    if not add(room.parts, bits, hash_bytes(data, begin, stop)):
        _add(out, _DUPLICATES, 1)
        _add(out, _DUPLICATE_CHARS, chars)
        _add(out, _FILLED_CHARS, chars if filled else 0)
    if filled:
        code, _ = decode(data, before(data, stop))
        _add(out, _FILLED, 1)
        _add(out, _TERMINAL, get(kinds, code) & SENTENCE_END != 0)
        _add(out, _SHORT, chars <= SHORT)


@part
def _count_paragraph(data, start, first, end, room, bits, out):
    _add(out, _PARAGRAPHS, 1)
    if not add(room.paragraphs, bits, hash_bytes(data, first, end)):
        _add(out, _DUPLICATE_PARAGRAPHS, 1)
        _add(out, _PARAGRAPH_CHARS, _chars(room, start, first, end))
