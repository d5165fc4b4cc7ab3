"""The chunks of a text between ASCII white space: where they are, and a bit a byte for what stands in them.

"It's (2 m)."   ->   chunks 0-4, 5-7, 8-11; digits ......1....; others ..1..1...11
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.characters import TRAIL
from kernels.compile import part
from kernels.memory import get, load64, pointer, put, store64
from kernels.simd import (
    below,
    beyond_ascii,
    breaks,
    digits,
    last_one,
    letters,
    low_zeros,
    ones,
    put_places,
    sentence_ends,
    spaces,
)

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


class Masks(NamedTuple):
    """What is found in a text of m bytes: a bit a byte, and where the chunks between ASCII white space are."""

    others: np.ndarray  # uint8, m // 8 + 32: no white space, letter or digit
    inside: np.ndarray  # uint8, m // 8 + 32: no white space
    enders: np.ndarray  # uint8, m // 8 + 32: may be a word that ends a sentence, or is not ASCII
    digits: np.ndarray  # uint8, m // 8 + 32
    lines: np.ndarray  # uint8, m // 8 + 32: the first chunk behind the end of a line begins here
    edges: np.ndarray  # int32, m + 8: where each chunk begins and where it stops, from the start of the text


def new_masks(longest: int) -> Masks:
    """Room for texts of up to `longest` bytes."""
    others, inside, enders, numbers, lines = (np.empty(longest // 8 + 32, np.uint8) for _ in range(5))
    return Masks(others, inside, enders, numbers, lines, np.empty(longest + 8, np.int32))


@part
def mask_pointers(masks):
    return Masks(
        pointer(masks.others),
        pointer(masks.inside),
        pointer(masks.enders),
        pointer(masks.digits),
        pointer(masks.lines),
        pointer(masks.edges),
    )


@part
def bits(mask, at):
    """The bits of a mask from the byte `at` of the text on, 57 or more."""
    return load64(mask, at >> 3) >> np.uint64(at & 7)


@part(forceinline=True)
def _line_starts(data, at, inside, line):
    """(where the first chunk behind the end of a line begins, whether the end of a line is carried on to what follows)."""
    # an addition carries the end of a line through the white space behind it
    ended = breaks(data, at) & ~inside
    begun = ~inside + ended
    behind = begun + line
    return behind & inside, np.uint64((begun < ended) | (behind < line))


@part
def scan_chunks(data, start, end, masks):
    """Fill others, digits, lines and edges for data[start:end]; how many chunks there are."""
    edges = 0
    carry = _ZERO
    line = _ONE  # whether a line has ended and no chunk has come since
    place = 0
    for at in range(start, end, 64):
        inside = ~spaces(data, at) & below(end - at)
        numbers = digits(data, at) & inside
        store64(masks.digits, place, numbers)
        store64(masks.others, place, inside & ~(letters(data, at) | numbers))
        starts, line = _line_starts(data, at, inside, line)
        store64(masks.lines, place, starts)
        turns = inside ^ ((inside << _ONE) | carry)
        carry = inside >> np.uint64(63)
        edges = put_places(masks.edges, edges, turns, at - start)
        place += 8
    for at in range(place, place + 16, 8):
        store64(masks.digits, at, _ZERO)
        store64(masks.others, at, _ZERO)
        store64(masks.lines, at, _ZERO)
    put(masks.edges, edges, end - start)  # where the last chunk ends with the last block
    return (edges + 1) >> 1


@part
def scan_ends(data, start, end, masks):
    """Fill inside, enders and lines for data[start:end]; how many lines begin."""
    lines = 0
    line = _ONE
    place = 0
    for at in range(start, end, 64):
        inside = ~spaces(data, at) & below(end - at)
        store64(masks.inside, place, inside)
        store64(masks.enders, place, (sentence_ends(data, at) | beyond_ascii(data, at)) & inside)
        starts, line = _line_starts(data, at, inside, line)
        store64(masks.lines, place, starts)
        lines += ones(starts)
        place += 8
    for at in range(place, place + 16, 8):
        store64(masks.inside, at, _ZERO)
        store64(masks.enders, at, _ZERO)
        store64(masks.lines, at, _ZERO)
    return lines


@part
def next_one(mask, at, end):
    """The place of the first bit of a mask from the byte `at` of the text on; `end` if there is none before."""
    while at < end:
        found = bits(mask, at)
        if found != _ZERO:
            return min(at + low_zeros(found), end)
        at += 57
    return end


@part
def next_zero(mask, at, end):
    """The same for the first bit that is not set."""
    while at < end:
        found = ~bits(mask, at) & below(57)
        if found != _ZERO:
            return min(at + low_zeros(found), end)
        at += 57
    return end


@part
def behind_zero(mask, at, start):
    """Behind the last bit in front of `at` that is not set; `start` if there is none from there on."""
    while at > start:
        back = min(at - start, 56)
        found = ~bits(mask, at - back) & below(back)
        if found != _ZERO:
            return at - back + last_one(found) + 1
        at -= back
    return start


@part
def is_ended(data, stop, length, kinds):
    """Whether letters with one mark behind them, `length` bytes that end at data[stop], are surely two words."""
    if length < 2 or (length == 7 and says_not(data, stop - 7)):
        return False
    mark = get(data, stop - 1)
    if mark == 46:
        return length > 2 and get(data, stop - 2) >= 97
    return mark < 128 and get(kinds, mark) & TRAIL != 0


@part
def says_not(data, start):
    """Whether "not" stands three bytes behind data[start]."""
    return (load64(data, start) >> np.uint64(24)) & np.uint64(0xFFFFFF) == np.uint64(0x746F6E)
