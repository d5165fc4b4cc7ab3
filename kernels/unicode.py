"""Lines of a column of texts that may need repair: control characters, mojibake, entities, another normal form.

Lines end at line feeds only, and have theirs with them, as ftfy cuts a text. What each code point means comes in as two
tables (filters/unicode_tables.py makes them from ftfy's own):

    traits[code]          class | combining class << 8 | flags << 16, for the code points below `KNOWN`
    pairs[class, class]   1 where two characters of these classes, one behind the other, may be mojibake

A line that is not listed needs nothing; one that is listed may turn out to need nothing either.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.characters import decode
from kernels.compile import kernel, part
from kernels.memory import get, load64, pointer, put

KNOWN = 0x20000  # planes 0 and 1
BEYOND = 1  # the class of all code points above
CLASSES = 256

# flags of a code point
CHANGED = 1  # changed by itself, wherever it stands
UNCERTAIN = 2  # may not stand in the normal form, or not behind the character in front
LINE_FEED = 4
AMPERSAND = 8
LESS_THAN = 16
MARK = 32  # has a combining class

# troubles of a line
SURE = 1  # has a character that is changed, or an entity that is resolved
PAIR = 2  # has two characters in a row that may be mojibake
FORM = 4  # may not be in the normal form
AFTER_MARKUP = 8  # no trouble: a "<" stands in an earlier line of the text

_LONG = 1_000_000  # ftfy cuts a line of more characters into pieces, and a "<" counts from its piece on
_ENTITY = 24  # letters and digits at most
_HIGH = np.uint64(0x8080808080808080)
_EACH = np.uint64(0x0101010101010101)
_SPACES = np.uint64(0x2020202020202020)
_AMPERSANDS = np.uint64(0x2626262626262626)
_LESS_THANS = np.uint64(0x3C3C3C3C3C3C3C3C)
_DELETES = np.uint64(0x7F7F7F7F7F7F7F7F)


class Lines(NamedTuple):
    """The lines that may need repair: line i is data[begins[i]:stops[i]], of the text texts[i]; all int64."""

    texts: np.ndarray
    begins: np.ndarray
    stops: np.ndarray
    troubles: np.ndarray


def find_troubled(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, traits: np.ndarray, pairs: np.ndarray
) -> Lines:
    """The troubled lines of the texts data[starts[i]:ends[i]], in order."""
    room = 1024
    while True:
        found = np.empty((4, room), np.int64)
        count = _find_column(starts, ends, data, traits, pairs, found)
        if count <= room:
            return Lines(*found[:, :count])
        room = count


@kernel
def _find_column(starts, ends, data, traits, pairs, found):
    source, table, matrix, out = pointer(data), pointer(traits), pointer(pairs), pointer(found)
    room = found.shape[1]
    count = 0
    for text in range(len(starts)):
        markup = False
        begin = starts[text]
        while begin < ends[text]:
            stop, trouble, less_than = _read_line(source, begin, ends[text], table, matrix, markup)
            if trouble:
                if count < room:
                    put(out, count, text)
                    put(out, room + count, begin)
                    put(out, 2 * room + count, stop)
                    put(out, 3 * room + count, trouble | (AFTER_MARKUP if markup else 0))
                count += 1
            markup = markup or less_than
            begin = stop
    return count


@part
def _read_line(data, begin, end, traits, pairs, markup):
    """(where the line ends that begins at `begin`, its troubles, whether there is a "<" in it)"""
    at = begin
    before = np.uint32(0)  # the class of the character in front; 0 is that of none
    mark = np.uint32(0)  # its combining class
    suspicious = np.uint8(0)
    trouble = 0
    entity = False
    less_than = False
    while at < end:
        if at + 8 <= end and _is_plain(load64(data, at)):
            first = get(traits, np.int64(get(data, at))) & np.uint32(0xFF)
            suspicious |= get(pairs, np.int64(before * np.uint32(CLASSES) + first))
            before = get(traits, np.int64(get(data, at + 7))) & np.uint32(0xFF)
            mark = np.uint32(0)
            at += 8
            continue
        code, width = decode(data, at)
        at += width
        trait = get(traits, np.int64(code)) if code < KNOWN else np.uint32(BEYOND | UNCERTAIN << 16)
        kind = trait & np.uint32(0xFF)
        suspicious |= get(pairs, np.int64(before * np.uint32(CLASSES) + kind))
        before = kind
        trait >>= np.uint32(8)
        if not trait:
            mark = trait
            continue
        rank = trait & np.uint32(0xFF)
        flags = trait >> np.uint32(8)
        if flags & np.uint32(CHANGED):
            trouble |= SURE
        if flags & np.uint32(UNCERTAIN) or (rank and rank < mark):
            trouble |= FORM
        mark = rank
        if flags & np.uint32(AMPERSAND):
            entity = entity or _is_entity(data, at, end)
        less_than = less_than or flags & np.uint32(LESS_THAN) != 0
        if flags & np.uint32(LINE_FEED):
            break
    if entity and not markup and (not less_than or at - begin > _LONG):
        trouble |= SURE
    return at, trouble | (PAIR if suspicious else 0), less_than


@part
def _is_plain(word):
    """Whether eight bytes are printable ASCII without "&" and "<"; a trick for each: a zero byte borrows."""
    below_space = (word - _SPACES) & ~word
    no_ampersand = word ^ _AMPERSANDS
    no_less_than = word ^ _LESS_THANS
    no_delete = word ^ _DELETES
    found = (no_ampersand - _EACH) & ~no_ampersand
    found |= (no_less_than - _EACH) & ~no_less_than
    found |= (no_delete - _EACH) & ~no_delete
    return (found | below_space | word) & _HIGH == np.uint64(0)


@part
def _is_entity(data, at, end):
    """Whether data[at:end] goes on as an entity does behind its "&": #?[0-9A-Za-z]{1,24};"""
    if at < end and get(data, at) == 35:
        at += 1
    first = at
    while at < end and at - first <= _ENTITY and _is_alnum(get(data, at)):
        at += 1
    return 0 < at - first <= _ENTITY and at < end and get(data, at) == 59


@part
def _is_alnum(byte):
    return 48 <= byte <= 57 or 97 <= (byte | 32) <= 122
