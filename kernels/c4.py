"""The line rules of C4 over a column: the lines that stay, copied one behind the other into new texts.

    "Menu\\nThis line is a sentence.[12]"   ->   "This line is a sentence."

The twin is `c4_lines` in filters/plain_texts.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.characters import DECIMAL, SPACE, cut_spaces, decode, skip_spaces
from kernels.compile import kernel, part
from kernels.lines import find_lines
from kernels.marks import as_bytes, says
from kernels.memory import PAD, get, load64, pointer, put, store64
from kernels.simd import below, beyond_ascii, firsts, low_zeros, ones, open_squares, phrase_pairs, spaces

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


_EDIT = as_bytes("edit]")
_CITATION = as_bytes("citation needed]")
_SCRIPT = as_bytes("javascript")
_TERMS = as_bytes("terms of use")
_PRIVACY = as_bytes("privacy policy")
_POLICY = as_bytes(" policy")
_USES = as_bytes("uses ")
_USE_OF = as_bytes("use of ")
_USE = as_bytes("use ")


class Options(NamedTuple):
    """Those of the edit `c4_lines`."""

    terminal_punctuation: bool
    min_words: int
    max_word_length: int
    javascript: bool
    policy: bool
    citations: bool


def keep_lines(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray, options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """(offsets, data) of the new texts: int64 of shape (n + 1,) and uint8, PAD bytes behind the last, so that kernels read it as it is."""
    lengths = ends - starts
    longest = int(lengths.max(initial=0))
    stops, begins = np.empty(longest + 2, np.int64), np.empty(longest + 2, np.int64)
    out = np.empty(int(lengths.sum()) + PAD, np.uint8)
    offsets = np.zeros(len(starts) + 1, np.int64)
    _keep_column(starts, ends, data, kinds, options, stops, begins, out, offsets)
    end = int(offsets[-1]) + PAD
    out[end - PAD : end] = 0
    return offsets, out[:end]


@kernel
def _keep_column(starts, ends, data, kinds, options, stops, begins, out, offsets):
    source, target, table = pointer(data), pointer(out), pointer(kinds)
    for text in range(len(starts)):
        lines = find_lines(source, starts[text], ends[text], pointer(stops), pointer(begins))
        first = offsets[text]
        end = first
        begin = starts[text]
        kept = 0
        for line in range(lines):
            to = end
            if kept:
                put(target, end, 10)
                to += 1
            stop = _keep_line(source, begin, stops[line], table, options, target, to)
            if stop >= 0:
                end = stop
                kept += 1
            begin = begins[line]
        offsets[text + 1] = _strip(target, first, end, table)


@part
def _strip(out, first, end, kinds):
    """Take white space off out[first:end], what is left moves to `first`; its new end."""
    begin = skip_spaces(out, first, end, kinds)
    end = cut_spaces(out, begin, end, kinds)
    return _copy(out, begin, end, out, first) if begin > first else end


@part
def _copy(data, start, end, out, to):
    """data[start:end] to out[to:]; where it ends there. Up to seven bytes behind that are written too."""
    for at in range(0, end - start, 8):
        store64(out, to + at, load64(data, start + at))
    return to + end - start


@part
def _keep_line(data, begin, stop, kinds, options, out, to):
    """Copy the line data[begin:stop] to out[to:] as it stays, and the end there; -1 if it goes out."""
    begin = skip_spaces(data, begin, stop, kinds)
    stop = cut_spaces(data, begin, stop, kinds)
    if not _has_words(data, begin, stop, kinds, options.min_words):
        return -1
    end = _copy_cited(data, begin, stop, kinds, out, to) if options.citations else _copy(data, begin, stop, out, to)
    if options.terminal_punctuation and not _ends_well(out, to, end):
        return -1
    if (options.javascript or options.policy) and _mentions(out, to, end, options):
        return -1
    limit = options.max_word_length
    if end - to > limit and _count(out, to, end) > limit and _longest_word(data, begin, stop, kinds) > limit:
        return -1
    return end


@part
def _count(data, start, end):
    """The characters of data[start:end]."""
    chars = 0
    for at in range(start, end, 64):
        chars += ones(firsts(data, at) & below(end - at))
    return chars


@part
def _has_words(data, start, end, kinds, number):
    """Whether data[start:end], stripped, has at least `number` words between white space."""
    inside = ~spaces(data, start) & below(end - start)
    if beyond_ascii(data, start) & inside == _ZERO and ones(inside & ~(inside << _ONE)) >= number:
        return True  # as for nearly all lines, the first 64 bytes tell
    words = 1 if start < end else 0
    while start < end and words < number:
        code, width = decode(data, start)
        start += width
        if get(kinds, code) & SPACE:
            start = skip_spaces(data, start, end, kinds)
            words += 1
    return words >= number


@part
def _longest_word(data, start, end, kinds):
    """The characters of the longest word between white space."""
    longest = chars = 0
    while start < end:
        code, width = decode(data, start)
        start += width
        chars = 0 if get(kinds, code) & SPACE else chars + 1
        longest = max(longest, chars)
    return longest


@part
def _copy_cited(data, start, end, kinds, out, to):
    """As `_copy`, without marks such as [12]."""
    free = start  # behind what is copied or left out
    for at in range(start, end, 64):
        brackets = open_squares(data, at) & below(end - at)
        while brackets != _ZERO:
            bracket = at + low_zeros(brackets)
            brackets &= brackets - _ONE
            behind = _citation_end(data, bracket + 1, end, kinds)
            if behind:
                to = _copy(data, free, bracket, out, to)
                free = behind
    return _copy(data, free, end, out, to)


@part
def _citation_end(data, start, end, kinds):
    """The end of a citation mark whose bracket stands in front of `start`; 0 if it is none."""
    if says(data, start, end, _EDIT, False):
        return start + len(_EDIT)
    if says(data, start, end, _CITATION, False):
        return start + len(_CITATION)
    while start < end:
        code, width = decode(data, start)
        start += width
        if code == 93:
            return start
        if not get(kinds, code) & DECIMAL:
            return 0
    return 0


@part
def _ends_well(data, start, end):
    """Whether data[start:end] ends in . ? ! " or ', and not in an ellipsis."""
    if end == start:
        return False
    last = get(data, end - 1)
    if last == 46:
        return not (end - start > 2 and get(data, end - 2) == 46 and get(data, end - 3) == 46)
    return last == 63 or last == 33 or last == 34 or last == 39


@part
def _mentions(data, start, end, options):
    """Whether the line speaks of JavaScript, or of cookies and terms of use, as far as that is asked for."""
    for at in range(start, end, 64):
        pairs = phrase_pairs(data, at) & below(end - at)
        while pairs != _ZERO:
            pair = at + low_zeros(pairs)
            pairs &= pairs - _ONE
            first = get(data, pair) | 32
            if first == 106:
                if options.javascript and says(data, pair, end, _SCRIPT, True):
                    return True
            elif options.policy and _mentions_policy(data, pair, start, end, first):
                return True
    return False


@part
def _mentions_policy(data, pair, start, end, first):
    """Whether a phrase about cookies or terms stands around the pair of letters "ms", "cy" or "oo"."""
    if first == 109:
        return pair - 3 >= start and says(data, pair - 3, end, _TERMS, True)
    if first == 99:
        return pair - 5 >= start and says(data, pair - 5, end, _PRIVACY, True)
    cookie = pair - 1
    if cookie < start or get(data, cookie) | 32 != 99:
        return False
    behind = pair + 2
    if behind < end and get(data, behind) | 32 == 107:
        behind += 1
    elif behind + 3 <= end and load64(data, behind) & below(24) == np.uint64(0xAA84E2):  # the Kelvin sign is a "k"
        behind += 3
    else:
        return False
    if behind + 2 > end or get(data, behind) | 32 != 105 or get(data, behind + 1) | 32 != 101:
        return False
    behind += 2
    if says(data, behind, end, _POLICY, True):
        return True
    if behind >= end or get(data, behind) | 32 != 115:
        return False
    return (
        (cookie - 5 >= start and says(data, cookie - 5, end, _USES, True))
        or (cookie - 7 >= start and says(data, cookie - 7, end, _USE_OF, True))
        or (cookie - 4 >= start and says(data, cookie - 4, end, _USE, True))
    )
