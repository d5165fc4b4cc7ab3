"""JSON Lines into columns: the strings of wanted fields, unescaped, one after another; the other fields as they stand.

    {"id": "a", "stars": 3, "text": "one\\ntwo"}    wanted: text, id
    ->  text "one⏎two"   id "a"   rest {"stars": 3}

Only what is plain is taken: an object whose wanted fields are strings, null or whole numbers, each there once, all keys
without escapes. Any other line is `SLOW` and leaves no trace in the columns: who calls reads it with a JSON library, which
also says what is wrong with a line that is no JSON. The rest is not checked here but by who parses it.

`data` is UTF-8 (who calls has checked it) and each line ends with a line feed, which no string may hold: so no loop runs
beyond its line. Up to 127 bytes are read, and 64 written, behind what is asked: `PAD` of kernels/memory.py.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels.compile import kernel, part
from kernels.memory import get, int64, pointer, put
from kernels.simd import below, json_signs, low_zeros, put_same

BLANK, FAST, SLOW = 0, 1, 2
_NONE = np.uint64(0)
_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_DIGITS = 18  # a whole number of so many digits fits into 64 bits


class Columns(NamedTuple):
    """What is written; the last column is the rest."""

    out: Any  # pointer to uint8, shape (columns, width)
    width: int
    there: Any  # pointer to uint8 (0 or 1), shape (columns, rows)
    rows: int
    written: Any  # pointer to int64, shape (columns,): where the next byte of a column goes


@kernel
def json_columns(data, start, stop, keys, key_ends, text, out, ends, there, starts, kinds):
    """Reads lines of data[start:stop], at most as many as `kinds` has room for. Returns (lines, where the next begins).

    keys, key_ends: the wanted fields' names (uint8) and where each ends (int64); `text` is the number of the one that is
    text: only a string will do for it, and an empty one is kept where it is none for the others.
    out: uint8, shape (wanted + 1, at least stop - start + PAD); ends: int64 and there: uint8, both of shape (wanted + 1,
    lines), filled for each line (SLOW and blank ones have nothing in any column); starts: int64, where each line begins;
    kinds: uint8, BLANK, FAST or SLOW.
    """
    wanted, most = len(key_ends), len(kinds)
    written = np.zeros(wanted + 1, np.int64)
    names, name_ends, flags, places = pointer(keys), pointer(key_ends), pointer(there), pointer(ends)
    columns = Columns(pointer(out), out.shape[1], flags, there.shape[1], pointer(written))
    bytes_ = pointer(data)
    at, line = start, 0
    while at < stop and line < most:
        starts[line] = at
        for column in range(wanted + 1):
            put(flags, column * columns.rows + line, 0)
        kinds[line], at = _line(bytes_, at, names, name_ends, wanted, text, columns, line)
        if kinds[line] != FAST:
            while get(bytes_, at) != 10:
                at += 1
            at += 1
        for column in range(wanted + 1):
            place = column * columns.rows + line
            if kinds[line] != FAST:
                put(flags, place, 0)
                written[column] = get(places, place - 1) if line else 0
            put(places, place, written[column])
        line += 1
    return line, at


@part
def _blank(data, at):
    """The next place that is no white space of JSON; a line feed is none."""
    byte = get(data, at)
    while byte == 32 or byte == 13 or byte == 9:
        at += 1
        byte = get(data, at)
    return at


@part
def _line(data, at, names, name_ends, wanted, text, columns, line):
    """(kind, where the next line begins if it is FAST, else a place in this line)."""
    at = _blank(data, at)
    first = get(data, at)
    if first != 123:
        while first == 32 or (first >= 9 and first <= 13 and first != 10):
            at += 1
            first = get(data, at)
        return (BLANK if first == 10 else SLOW), at
    at = _blank(data, at + 1)
    seen, rest = 0, False
    if get(data, at) == 125:
        return SLOW, at  # no fields: no text
    while True:
        if get(data, at) != _QUOTE:
            return SLOW, at
        key, end = at + 1, _skip_string(data, at + 1)
        if end < 0 or _has_escape(data, key, end):
            return SLOW, at
        at = _blank(data, end + 1)
        if get(data, at) != _COLON:
            return SLOW, at
        value = _blank(data, at + 1)
        column = _which(data, key, end, names, name_ends, wanted)
        if column < wanted:
            if seen >> column & 1:
                return SLOW, at
            seen |= 1 << column
            at = _wanted(data, value, columns, column, line, column == text)
        else:
            at = _skip_value(data, value)
            if at >= 0:
                _put_rest(data, key - 1, at, columns, wanted, not rest)
                rest = True
        if at < 0:
            return SLOW, value
        at = _blank(data, at)
        sign = get(data, at)
        at = _blank(data, at + 1) if sign != 10 else at
        if sign == 125:
            break
        if sign != _COMMA:
            return SLOW, at
    if get(data, at) != 10 or not get(columns.there, text * columns.rows + line):
        return SLOW, at
    if rest:
        put(columns.out, wanted * columns.width + get(columns.written, wanted), 125)
        put(columns.written, wanted, get(columns.written, wanted) + 1)
        put(columns.there, wanted * columns.rows + line, 1)
    return FAST, at + 1


@part
def _which(data, start, end, names, name_ends, wanted):
    """The number of the wanted field whose name is data[start:end]; `wanted` if none is."""
    first = int64(0)
    for column in range(wanted):
        last = get(name_ends, column)
        if last - first == end - start:
            same = 0
            while same < end - start and get(names, first + same) == get(data, start + same):
                same += 1
            if same == end - start:
                return column
        first = last
    return wanted


@part
def _skip_string(data, at):
    """The place of the quote that ends the string whose first byte is data[at]; -1 if a control character comes first."""
    while True:
        signs = json_signs(data, at)
        if signs == _NONE:
            at += 64
            continue
        at += low_zeros(signs)
        byte = get(data, at)
        if byte == _QUOTE:
            return at
        if byte != _BACKSLASH or get(data, at + 1) < 32:
            return -1
        at += 2


@part
def _has_escape(data, at, end):
    for place in range(at, end):  # noqa: SIM110 (numba knows no generators)
        if get(data, place) == _BACKSLASH:
            return True
    return False


@part
def _skip_value(data, at):
    """Where the value that begins at data[at] ends; -1 if it does not end in its line. What is in it is not checked."""
    byte = get(data, at)
    if byte == _QUOTE:
        end = _skip_string(data, at + 1)
        return end + 1 if end >= 0 else -1
    depth, first = 0, at
    while True:
        byte = get(data, at)
        if byte == _QUOTE:
            at = _skip_string(data, at + 1)
            if at < 0:
                return -1
        elif byte == 123 or byte == 91:
            depth += 1
        elif byte == 125 or byte == 93:
            if depth == 0:
                return at if at > first else -1
            depth -= 1
            if depth == 0:
                return at + 1
        elif byte == 10:
            return -1
        elif byte == _COMMA and depth == 0:
            return at if at > first else -1
        at += 1


@part
def _copy(data, at, size, out, to):
    """out[to:to + size] = data[at:at + size], and up to 63 bytes more."""
    done = 0
    while done < size:
        put_same(out, to + done, data, at + done)
        done += 64


@part
def _put_rest(data, start, end, columns, wanted, opens):
    """One more `"key": value` of the rest."""
    to = wanted * columns.width + get(columns.written, wanted)
    put(columns.out, to, 123 if opens else _COMMA)
    _copy(data, start, end - start, columns.out, to + 1)
    put(columns.written, wanted, get(columns.written, wanted) + 1 + end - start)


@part
def _wanted(data, at, columns, column, line, is_text):
    """The value at data[at] into its column. Where it ends; -1 if it is none of those that are taken."""
    byte = get(data, at)
    if byte == 110:  # null
        plain = get(data, at + 1) == 117 and get(data, at + 2) == 108 and get(data, at + 3) == 108
        return at + 4 if plain else -1
    to = column * columns.width + get(columns.written, column)
    if byte == _QUOTE:
        at, end = _unescape(data, at + 1, columns.out, to)
    elif is_text:
        return -1
    else:
        at, end = _whole_number(data, at, columns.out, to)
    if at < 0:
        return -1
    if is_text or end > to:
        put(columns.there, column * columns.rows + line, 1)
    put(columns.written, column, end - column * columns.width)
    return at


@part
def _whole_number(data, at, out, to):
    """(end, end in out) of a number as it stands, if it is written as a JSON library would write it; (-1, 0) if not."""
    first = at
    negative = get(data, at) == 45
    at += 1 if negative else 0
    digits = at
    while get(data, at) >= 48 and get(data, at) <= 57:
        at += 1
    size = at - digits
    byte = get(data, at)
    if size == 0 or size > _DIGITS or (get(data, digits) == 48 and (size > 1 or negative)):
        return -1, to
    if byte == 46 or byte == 69 or byte == 101:  # a fraction
        return -1, to
    _copy(data, first, at - first, out, to)
    return at, to + at - first


@part
def _unescape(data, at, out, to):
    """The string whose first byte is data[at], to `out`. (behind its quote, end in out); (-1, 0) if it is none."""
    while True:
        signs, done = json_signs(data, at), int64(0)
        # one sign after the other, and not 64 bytes anew behind each: the next one is known before this one is dealt with
        while signs != _NONE:
            place = low_zeros(signs)
            put_same(out, to, data, at + done)  # what is too much is written over
            to += place - done
            byte = get(data, at + place)
            if byte == _QUOTE:
                return at + place + 1, to
            if byte != _BACKSLASH:
                return -1, to
            after, to = _escape(data, at + place + 1, out, to)
            if after < 0:
                return -1, to
            done = after - at
            signs &= ~below(done)
        if done < 64:
            put_same(out, to, data, at + done)
            to += 64 - done
            done = int64(64)
        at += done


@part
def _escape(data, at, out, to):
    """What stands behind a backslash. (behind it, end in out); (-1, 0) if nothing that JSON knows."""
    byte = get(data, at)
    if byte == 117:
        return _escaped_code(data, at + 1, out, to)
    if byte == 110:
        byte = 10
    elif byte == 116:
        byte = 9
    elif byte == 114:
        byte = 13
    elif byte == 98:
        byte = 8
    elif byte == 102:
        byte = 12
    elif byte != _QUOTE and byte != _BACKSLASH and byte != 47:
        return -1, to
    put(out, to, byte)
    return at + 1, to + 1


@part
def _escaped_code(data, at, out, to):
    """Four hex digits, or two times four with `\\u` between for what UTF-16 writes in two. A half alone is refused."""
    code = _hex4(data, at)
    at += 4
    if code >= 0xD800 and code < 0xE000:
        if code >= 0xDC00 or get(data, at) != _BACKSLASH or get(data, at + 1) != 117:
            return -1, to
        low = _hex4(data, at + 2)
        if low < 0xDC00 or low > 0xDFFF:
            return -1, to
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        at += 6
    if code < 0:
        return -1, to
    if code < 0x80:
        put(out, to, code)
        return at, to + 1
    if code < 0x800:
        put(out, to, 0xC0 | code >> 6)
        put(out, to + 1, 0x80 | code & 63)
        return at, to + 2
    if code < 0x10000:
        put(out, to, 0xE0 | code >> 12)
        put(out, to + 1, 0x80 | code >> 6 & 63)
        put(out, to + 2, 0x80 | code & 63)
        return at, to + 3
    put(out, to, 0xF0 | code >> 18)
    put(out, to + 1, 0x80 | code >> 12 & 63)
    put(out, to + 2, 0x80 | code >> 6 & 63)
    put(out, to + 3, 0x80 | code & 63)
    return at, to + 4


@part
def _hex4(data, at):
    """The number that four hex digits are; -1 if one is none."""
    number = 0
    for place in range(at, at + 4):
        byte = get(data, place)
        if byte >= 48 and byte <= 57:
            digit = int64(byte) - 48
        elif (byte | 32) >= 97 and (byte | 32) <= 102:
            digit = int64(byte | 32) - 87
        else:
            return -1
        number = number << 4 | digit
    return number
