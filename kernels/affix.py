"""The affix rule for pieces of text that are no plain words: `split_chunk` of filters/words.py, function by function.

    "It's"   ->   It 's        "(5km)..."   ->   ( 5 km ) ...

A piece is decoded into characters and their kinds first; the words go to the end of three arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.characters import (
    ALNUM,
    ALPHA,
    CJK,
    DECIMAL,
    DIGIT,
    LEAD,
    LOWER,
    PICTOGRAPH,
    PUNCTUATION,
    QUOTE,
    SENTENCE_END,
    SPACE,
    SYMBOL,
    TITLE,
    TRAIL,
    UPPER,
    decode,
    is_break,
)
from kernels.compile import part
from kernels.hashes import hash_bytes
from kernels.memory import get, int64, put

# flags of a word
HAS_LETTER = 1
PROPER = 2  # not of symbols alone
ENDS_SENTENCE = 4
ALL_PUNCTUATION = 8
FIRST_OF_LINE = 16  # lines as str.splitlines cuts them

_APOSTROPHE = 0x2019
_EM_DASH = 0x2014
# the units of filters/words.py, as their bytes, the first one highest
UNITS = np.array(
    [
        int.from_bytes(unit, "big")
        for unit in b"km m dm cm mm nm ha ft in yd g kg mg t lb oz Pa hPa kPa mbar mb MB kb kB KB gb GB tb TB T G M K"
        b" am pm AM PM".split(b" ")
    ],
    np.int64,
)


class Words(NamedTuple):
    """Words one after the other."""

    hashes: np.ndarray  # uint64
    widths: np.ndarray  # int32, characters
    flags: np.ndarray  # uint8


class Chunk(NamedTuple):
    """Room for the characters of a chunk."""

    codes: np.ndarray  # uint32
    kinds: np.ndarray  # uint16
    at: np.ndarray  # int64, where each begins in the data, and one more for the end
    ends: np.ndarray  # int64, ends of the words cut off the end, from the right


@part
def mark_flags(kind):
    """The flags of a word that is one character."""
    flags = HAS_LETTER if kind & ALPHA else 0
    flags |= 0 if kind & SYMBOL else PROPER
    flags |= ENDS_SENTENCE if kind & SENTENCE_END else 0
    return flags | (ALL_PUNCTUATION if kind & PUNCTUATION else 0)


@part
def put_word(data, start, end, width, flags, words, count):
    put(words.hashes, count, hash_bytes(data, start, end))
    put(words.widths, count, width)
    put(words.flags, count, flags)


@part
def cut_piece(data, start, end, kinds, chunk, new_line, words, count):
    """Any piece of text between ASCII white space. Returns (new count, whether a new line begins behind it)."""
    length = 0  # of the chunk, in characters
    any_kind = 0
    at = start
    while True:
        code, width = decode(data, at) if at < end else (np.uint32(32), 0)
        kind = int64(get(kinds, code))
        if kind & SPACE:
            if length:
                put(chunk.at, length, at)
                before = count
                if any_kind & CJK:
                    count = _cut_cjk(data, length, chunk, words, count)
                else:
                    count = _cut_chunk(data, length, chunk, words, count)
                if new_line:
                    put(words.flags, before, get(words.flags, before) | FIRST_OF_LINE)
                    new_line = False
                length = 0
                any_kind = 0
            if at >= end:
                return count, new_line
            new_line |= is_break(code)
        else:
            put(chunk.codes, length, code)
            put(chunk.kinds, length, kind)
            put(chunk.at, length, at)
            any_kind |= kind
            length += 1
        at += width


@part
def _put_chars(data, start, end, chunk, words, count):
    """Append the word of the characters start .. end - 1 of a chunk; the new count."""
    any_kind = 0
    all_kinds = 0xFFFF
    for at in range(start, end):
        any_kind |= int64(get(chunk.kinds, at))
        all_kinds &= int64(get(chunk.kinds, at))
    flags = HAS_LETTER if any_kind & ALPHA else 0
    flags |= 0 if all_kinds & SYMBOL else PROPER
    flags |= ENDS_SENTENCE if end - start == 1 and all_kinds & SENTENCE_END else 0
    flags |= ALL_PUNCTUATION if all_kinds & PUNCTUATION else 0
    put_word(data, get(chunk.at, start), get(chunk.at, end), end - start, flags, words, count)
    return count + 1


@part
def _cut_cjk(data, length, chunk, words, count):
    """A chunk with Han or kana: each of those is a word, each run of other letters and digits, each mark."""
    start = 0
    while start < length:
        end = start + 1
        if get(chunk.kinds, start) & (ALNUM | CJK) == ALNUM:
            while end < length and get(chunk.kinds, end) & (ALNUM | CJK) == ALNUM:
                end += 1
            count = _put_chars(data, start, end, chunk, words, count)
        else:
            flags = mark_flags(int64(get(chunk.kinds, start)))
            put_word(data, get(chunk.at, start), get(chunk.at, end), 1, flags, words, count)
            count += 1
        start = end
    return count


@part
def _cut_chunk(data, length, chunk, words, count):
    """The affix rule: `split_chunk` of filters/words.py."""
    start, end = 0, length
    if length != 6 and _is_plain(chunk, length):
        return _put_chars(data, 0, length, chunk, words, count)
    while start < end:
        width = _leading(chunk, start, end)
        if width == 0:
            break
        count = _put_chars(data, start, start + width, chunk, words, count)
        start += width
    cut = 0
    put(chunk.ends, 0, end)
    while start < end:
        width = _trailing(chunk, start, end)
        if width == 0:
            break
        end -= width
        cut += 1
        put(chunk.ends, cut, end)
    while start < end:
        width = _tail(chunk, start, end)
        if width == 0:
            break
        end -= width
        cut += 1
        put(chunk.ends, cut, end)
    if start < end:
        count = _cut_core(data, start, end, chunk, words, count)
    for at in range(cut, 0, -1):
        count = _put_chars(data, get(chunk.ends, at), get(chunk.ends, at - 1), chunk, words, count)
    return count


@part
def _is_plain(chunk, length):
    """ASCII letters and digits, a letter first."""
    for at in range(length):
        if get(chunk.codes, at) > 127 or not get(chunk.kinds, at) & ALNUM:
            return False
    return get(chunk.kinds, 0) & ALPHA != 0


@part
def _leading(chunk, start, end):
    """How many characters are cut off the front of the characters start .. end - 1; 0 for none."""
    code = get(chunk.codes, start)
    if code == 46:
        dots = 1
        while start + dots < end and get(chunk.codes, start + dots) == 46:
            dots += 1
        return dots if dots > 1 else 0
    if code == 43:
        return 0 if start + 1 < end and get(chunk.kinds, start + 1) & DIGIT else 1
    return 1 if get(chunk.kinds, start) & LEAD else 0


@part
def _trailing(chunk, start, end):
    """How many characters are cut off the end of the characters start .. end - 1; 0 for none."""
    code = get(chunk.codes, end - 1)
    kind = get(chunk.kinds, end - 1)
    if code == 46:
        return _trailing_dots(chunk, start, end)
    if kind & TRAIL:
        return 1
    if end - 2 < start:
        return 0
    # what can lead but not trail is a currency sign, "§" or "="
    measure = code == 43 or code == 37 or (kind & LEAD and code != 0xA7 and code != 61)
    if measure and get(chunk.kinds, end - 2) & DIGIT:
        return 1
    if (code == 115 or code == 83) and end - 2 > start and _is_apostrophe(chunk, end - 2):
        return 2
    return 0


@part
def _is_apostrophe(chunk, at):
    return get(chunk.codes, at) == 39 or get(chunk.codes, at) == _APOSTROPHE


@part
def _trailing_dots(chunk, start, end):
    """A run of dots always; one dot where it ends a sentence and not an abbreviation."""
    run = 1
    while end - run > start and get(chunk.codes, end - run - 1) == 46:
        run += 1
    if run > 1 or run == end - start:
        return run
    if _is_abbreviation(chunk, start, end):
        return 0
    code = get(chunk.codes, end - 2)
    kind = get(chunk.kinds, end - 2)
    if kind & (LOWER | DIGIT | TRAIL) or code == 37 or code == 45 or code == 43 or code == 0xB2:
        return 1
    if end - 3 < start or not get(chunk.kinds, end - 3) & ALPHA:
        return 0
    pair = kind | get(chunk.kinds, end - 3)
    return 1 if pair & (UPPER | LOWER | TITLE) == UPPER else 0


@part
def _is_abbreviation(chunk, start, end):
    """Letters with a dot behind each, at most eight: a.  e.g.  U.S."""
    if end - start > 16 or (end - start) % 2:
        return False
    for at in range(start, end, 2):  # noqa: SIM110 (numba has no all() of a generator)
        if get(chunk.kinds, at) & (ALNUM | DECIMAL) != ALNUM or get(chunk.codes, at + 1) != 46:
            return False
    return True


@part
def _tail(chunk, start, end):
    """Characters of a contraction or unit at the end of what is left between the marks; 0 for none."""
    length = end - start
    last = get(chunk.codes, end - 1)
    if length > 2 and (last == 100 or last == 109) and _is_apostrophe(chunk, end - 2):  # 'd 'm
        return 2
    if length > 3:
        third, second = get(chunk.codes, end - 3), get(chunk.codes, end - 2)
        if last == 116 and third == 110 and _is_apostrophe(chunk, end - 2):  # n't
            return 3
        ll = second == 108 and last == 108
        if (ll or ((second == 114 or second == 118) and last == 101)) and _is_apostrophe(chunk, end - 3):  # 'll 're 've
            return 3
    if length == 6 and last == 116 and _is_cannot(chunk, start):
        return 3
    return _unit(chunk, start, end)


@part
def _is_cannot(chunk, start):
    codes = chunk.codes
    can = get(codes, start) | 32 == 99 and get(codes, start + 1) == 97 and get(codes, start + 2) == 110
    return can and get(codes, start + 3) == 110 and get(codes, start + 4) == 111


@part
def _unit(chunk, start, end):
    """Characters of a unit behind an ASCII digit at the end; 0 for none."""
    spelled = 0
    width = 0
    while width < 5 and end - width > start:
        code = int64(get(chunk.codes, end - width - 1))
        if not 97 <= (code | 32) <= 122:
            if not 48 <= code <= 57:
                return 0
            for unit in UNITS:
                if unit == spelled:
                    return width
            return 0
        spelled |= code << (8 * width)
        width += 1
    return 0


@part
def _cut_core(data, start, end, chunk, words, count):
    """Cut at the marks inside: `_split_core` of filters/words.py without its first step."""
    at = start
    while at < end and get(chunk.kinds, at) & ALNUM:
        at += 1
    if at == end or _is_url(chunk, start, end):
        return _put_chars(data, start, end, chunk, words, count)
    begun = start
    while at < end:
        width = _mark_width(chunk, at, end)
        if width and at > start and _cuts(chunk, at, at + width, end):
            if at > begun:
                count = _put_chars(data, begun, at, chunk, words, count)
            count = _put_chars(data, at, at + width, chunk, words, count)
            begun = at + width
        at += max(width, 1)
    return _put_chars(data, begun, end, chunk, words, count) if begun < end else count


@part
def _is_url(chunk, start, end):
    """Whether a scheme and "://" stand in front."""
    if not 97 <= (get(chunk.codes, start) | 32) <= 122:
        return False
    at = start + 1
    while at < end:
        code = get(chunk.codes, at)
        letter = 97 <= (code | 32) <= 122
        if not (letter or 48 <= code <= 57 or code == 43 or code == 46 or code == 45):
            break
        at += 1
    if at + 3 > end:
        return False
    return get(chunk.codes, at) == 58 and get(chunk.codes, at + 1) == 47 and get(chunk.codes, at + 2) == 47


@part
def _mark_width(chunk, at, end):
    """Characters of the mark that begins here: dots in a row, up to three hyphens, two dashes, any other; else 0."""
    code = get(chunk.codes, at)
    if get(chunk.kinds, at) & ALNUM or code == 95:
        return 0
    width = 1
    if code == 46:
        while at + width < end and get(chunk.codes, at + width) == 46:
            width += 1
    elif code == 45:
        while width < 3 and at + width < end and get(chunk.codes, at + width) == 45:
            width += 1
    elif code == _EM_DASH and at + 1 < end and get(chunk.codes, at + 1) == _EM_DASH:
        width = 2
    return width


@part
def _cuts(chunk, at, behind, end):
    """Whether the mark of the characters at .. behind - 1, which is not the first, cuts what it stands in."""
    code = get(chunk.codes, at)
    single = behind - at == 1
    if (code == 46 and not single) or (code == 0x2026) or get(chunk.kinds, at) & PICTOGRAPH:
        return True
    if behind >= end:
        return False
    before = get(chunk.kinds, at - 1)
    after = get(chunk.kinds, behind)
    arithmetic = single and (code == 43 or code == 45 or code == 42 or code == 94)
    if arithmetic and before & DIGIT and (after & DIGIT or get(chunk.codes, behind) == 45):
        return True
    if code == 46:
        return before & (LOWER | QUOTE) != 0 and after & (UPPER | QUOTE) != 0
    if code == 44:
        return before & ALPHA != 0 and after & ALPHA != 0
    hyphen = code == 45 or code == 0x2013 or code == _EM_DASH or code == 126
    relation = code == 58 or code == 60 or code == 62 or code == 61 or code == 47
    return (hyphen or relation) and before & ALNUM != 0 and after & ALPHA != 0
