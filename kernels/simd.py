"""Which of 64 bytes are of a kind: one bit each, in a uint64.

    spaces(data, at)     bit i is set if data[at + i] is ASCII white space

Each mask is written twice: as vector code, through llvmlite, which LLVM turns into AVX-512, AVX2 or NEON instructions
as the machine has them; and as a plain loop, used where GRISTMILL_SIMD=0 is set (should a newer llvmlite break the
first). All read the 66 bytes from `at`, whatever is asked: see `PAD` in kernels/memory.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types

from kernels.compile import part
from kernels.memory import get, intrinsic, put

SIMD = os.environ.get("GRISTMILL_SIMD", "1") != "0"
_VECTOR = ir.VectorType(ir.IntType(8), 64)
_ONE = np.uint64(1)


class _Bytes:
    """64 bytes from `at` + `behind` in IR, and tests on them that give <64 x i1>."""

    def __init__(self, builder: Any, data: Any, at: Any, behind: int = 0) -> None:
        self.builder, self.data, self.at = builder, data, at
        place = builder.gep(data, [builder.add(at, ir.Constant(ir.IntType(64), behind))])
        self.value = builder.load(builder.bitcast(place, _VECTOR.as_pointer()))
        self.value.align = 1

    def behind(self, by: int) -> _Bytes:
        return _Bytes(self.builder, self.data, self.at, by)

    def _all(self, byte: int) -> Any:
        return ir.Constant(_VECTOR, [byte] * 64)

    def lower(self) -> _Bytes:
        """The same with bit 5 set: ASCII letters in lower case."""
        self.value = self.builder.or_(self.value, self._all(0x20))
        return self

    def is_(self, byte: int) -> Any:
        return self.builder.icmp_unsigned("==", self.value, self._all(byte))

    def within(self, first: int, last: int) -> Any:
        offset = self.builder.sub(self.value, self._all(first))
        return self.builder.icmp_unsigned("<=", offset, self._all(last - first))

    def has(self, bits: int) -> Any:
        return self.builder.icmp_unsigned("!=", self.builder.and_(self.value, self._all(bits)), self._all(0))

    def either(self, *masks: Any) -> Any:
        out = masks[0]
        for mask in masks[1:]:
            out = self.builder.or_(out, mask)
        return out

    def both(self, *masks: Any) -> Any:
        out = masks[0]
        for mask in masks[1:]:
            out = self.builder.and_(out, mask)
        return out


def _mask(vector: Callable[[_Bytes], Any], plain: Callable[[Any, Any], Any]) -> Any:
    """A compiled function (data, at) -> uint64 from a test on vectors or one on data[i]."""
    if not SIMD:
        return _loop(part(plain))

    def mask(typing: Any, data: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = context.cast(builder, args[1], signature.args[1], types.int64)
            return builder.bitcast(vector(_Bytes(builder, args[0], at)), ir.IntType(64))

        return types.uint64(data, index), generate

    return intrinsic(mask)


def _loop(test: Any) -> Any:
    @part
    def mask(data, at):
        out = np.uint64(0)
        for i in range(64):
            if test(data, at + i):
                out |= _ONE << np.uint64(i)
        return out

    return mask


spaces = _mask(
    lambda v: v.either(v.is_(32), v.within(9, 13), v.within(28, 31)),
    lambda data, i: get(data, i) == 32 or 9 <= get(data, i) <= 13 or 28 <= get(data, i) <= 31,
)
# what splits words for fastText
separators = _mask(
    lambda v: v.either(v.is_(32), v.within(9, 13), v.is_(0)),
    lambda data, i: get(data, i) == 32 or 9 <= get(data, i) <= 13 or get(data, i) == 0,
)
letters = _mask(lambda v: v.lower().within(97, 122), lambda data, i: 97 <= (get(data, i) | 32) <= 122)
digits = _mask(lambda v: v.within(48, 57), lambda data, i: 48 <= get(data, i) <= 57)
# what a run of ASCII may hold that is one token
word_signs = _mask(
    lambda v: v.either(v.is_(95), v.within(48, 57), v.behind(0).lower().within(97, 122)),
    lambda data, i: get(data, i) == 95 or 48 <= get(data, i) <= 57 or 97 <= (get(data, i) | 32) <= 122,
)
# first bytes of characters: all but 10xxxxxx
firsts = _mask(
    lambda v: v.builder.icmp_signed(">=", v.value, v._all(-64 & 255)),
    lambda data, i: get(data, i) & 192 != 128,
)
beyond_ascii = _mask(lambda v: v.within(128, 255), lambda data, i: get(data, i) > 127)
# what may end a sentence in ASCII: "!", "?", and a dot that no small letter or digit follows
sentence_ends = _mask(
    lambda v: v.either(
        v.is_(33),
        v.is_(63),
        v.both(v.is_(46), v.builder.not_(v.either(v.behind(1).within(97, 122), v.behind(1).within(48, 57)))),
    ),
    lambda data, i: (
        get(data, i) == 33
        or get(data, i) == 63
        or (get(data, i) == 46 and not (97 <= get(data, i + 1) <= 122) and not (48 <= get(data, i + 1) <= 57))
    ),
)
# UTF-8 by kinds of bytes: continuations, first bytes of two, three and four, and what stands in no UTF-8: bytes that begin
# no character, and second bytes that would make an overlong form, a surrogate or a number above U+10FFFF
continuations = _mask(lambda v: v.within(0x80, 0xBF), lambda data, i: 0x80 <= get(data, i) <= 0xBF)
two_leads = _mask(lambda v: v.within(0xC2, 0xDF), lambda data, i: 0xC2 <= get(data, i) <= 0xDF)
three_leads = _mask(lambda v: v.within(0xE0, 0xEF), lambda data, i: 0xE0 <= get(data, i) <= 0xEF)
four_leads = _mask(lambda v: v.within(0xF0, 0xF4), lambda data, i: 0xF0 <= get(data, i) <= 0xF4)
never_utf8 = _mask(
    lambda v: v.either(
        v.within(0xC0, 0xC1),
        v.within(0xF5, 0xFF),
        v.both(v.is_(0xE0), v.behind(1).within(0x80, 0x9F)),
        v.both(v.is_(0xED), v.behind(1).within(0xA0, 0xBF)),
        v.both(v.is_(0xF0), v.behind(1).within(0x80, 0x8F)),
        v.both(v.is_(0xF4), v.behind(1).within(0x90, 0xBF)),
    ),
    lambda data, i: (
        0xC0 <= get(data, i) <= 0xC1
        or get(data, i) >= 0xF5
        or (get(data, i) == 0xE0 and 0x80 <= get(data, i + 1) <= 0x9F)
        or (get(data, i) == 0xED and 0xA0 <= get(data, i + 1) <= 0xBF)
        or (get(data, i) == 0xF0 and 0x80 <= get(data, i + 1) <= 0x8F)
        or (get(data, i) == 0xF4 and 0x90 <= get(data, i + 1) <= 0xBF)
    ),
)
# first bytes of characters of two and of three bytes that are no white space and the same in lower case: U+05C0 to U+07FF;
# U+0800 to U+0FFF, U+3001 to U+9FFF, U+AC00 to U+D7FF, U+FF00 to U+FF20
caseless_twos = _mask(lambda v: v.within(0xD7, 0xDF), lambda data, i: 0xD7 <= get(data, i) <= 0xDF)
caseless_threes = _mask(
    lambda v: v.either(
        v.is_(0xE0),
        v.both(v.is_(0xE3), v.behind(1).within(0x81, 0xBF)),
        v.both(v.is_(0xE3), v.behind(1).is_(0x80), v.behind(2).within(0x81, 0xBF)),
        v.both(v.is_(0xEF), v.behind(1).is_(0xBC), v.behind(2).within(0x80, 0xA0)),
        v.within(0xE4, 0xE9),
        v.both(v.is_(0xEA), v.behind(1).within(0xB0, 0xBF)),
        v.within(0xEB, 0xED),
    ),
    lambda data, i: (
        get(data, i) == 0xE0
        or (get(data, i) == 0xE3 and (get(data, i + 1) >= 0x81 or get(data, i + 2) >= 0x81))
        or (get(data, i) == 0xEF and get(data, i + 1) == 0xBC and get(data, i + 2) <= 0xA0)
        or 0xE4 <= get(data, i) <= 0xE9
        or (get(data, i) == 0xEA and get(data, i + 1) >= 0xB0)
        or 0xEB <= get(data, i) <= 0xED
    ),
)
line_feeds = _mask(lambda v: v.is_(10), lambda data, i: get(data, i) == 10)
# what a JSON string is not simply copied at: its end, an escape, a control character (none may stand in one)
json_signs = _mask(
    lambda v: v.either(v.is_(34), v.is_(92), v.within(0, 31)),
    lambda data, i: get(data, i) == 34 or get(data, i) == 92 or get(data, i) < 32,
)
hash_signs = _mask(lambda v: v.is_(35), lambda data, i: get(data, i) == 35)
open_curlies = _mask(lambda v: v.is_(123), lambda data, i: get(data, i) == 123)
open_squares = _mask(lambda v: v.is_(91), lambda data, i: get(data, i) == 91)
# the control characters that end a line: LF VT FF CR FS GS RS
breaks = _mask(
    lambda v: v.either(v.within(10, 13), v.within(28, 30)),
    lambda data, i: 10 <= get(data, i) <= 13 or 28 <= get(data, i) <= 30,
)
# U+0085 is C2 85; U+2028 and U+2029 are E2 80 A8 and E2 80 A9
wide_breaks = _mask(
    lambda v: v.either(
        v.both(v.is_(0xC2), v.behind(1).is_(0x85)),
        v.both(v.is_(0xE2), v.behind(1).is_(0x80), v.behind(2).within(0xA8, 0xA9)),
    ),
    lambda data, i: (
        (get(data, i) == 0xC2 and get(data, i + 1) == 0x85)
        or (get(data, i) == 0xE2 and get(data, i + 1) == 0x80 and 0xA8 <= get(data, i + 2) <= 0xA9)
    ),
)
# pairs of letters that stand in the phrases looked for and are rare elsewhere
ps_pairs = _mask(
    lambda v: v.both(v.behind(1).lower().is_(115), v.lower().is_(112)),
    lambda data, i: (get(data, i) | 32) == 112 and (get(data, i + 1) | 32) == 115,
)
phrase_pairs = _mask(
    lambda v: v.either(
        *[
            v.both(v.behind(1).lower().is_(ord(pair[1])), v.behind(0).lower().is_(ord(pair[0])))
            for pair in ("ja", "cy", "ms", "oo")
        ]
    ),
    lambda data, i: (
        ((get(data, i) | 32) == 106 and (get(data, i + 1) | 32) == 97)
        or ((get(data, i) | 32) == 99 and (get(data, i + 1) | 32) == 121)
        or ((get(data, i) | 32) == 109 and (get(data, i + 1) | 32) == 115)
        or ((get(data, i) | 32) == 111 and (get(data, i + 1) | 32) == 111)
    ),
)
# where a web address may be: "://" and "ww"
address_marks = _mask(
    lambda v: v.either(
        v.both(v.is_(58), v.behind(1).is_(47), v.behind(2).is_(47)),
        v.both(v.behind(1).lower().is_(119), v.behind(0).lower().is_(119)),
    ),
    lambda data, i: (
        (get(data, i) == 58 and get(data, i + 1) == 47 and get(data, i + 2) == 47)
        or ((get(data, i) | 32) == 119 and (get(data, i + 1) | 32) == 119)
    ),
)
two_dots = _mask(
    lambda v: v.both(v.is_(46), v.behind(1).is_(46)),
    lambda data, i: get(data, i) == 46 and get(data, i + 1) == 46,
)
# "…" is E2 80 A6
ellipses = _mask(
    lambda v: v.both(v.is_(0xE2), v.behind(1).is_(0x80), v.behind(2).is_(0xA6)),
    lambda data, i: get(data, i) == 0xE2 and get(data, i + 1) == 0x80 and get(data, i + 2) == 0xA6,
)


def _put(vector: Callable[[_Bytes], Any], plain: Any) -> Any:
    """A compiled function (out, place, data, at) that writes 64 bytes made of the 64 from `at`."""
    if not SIMD:
        return plain

    def write(typing: Any, out: Any, place: Any, data: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            to, at = (context.cast(builder, args[n], signature.args[n], types.int64) for n in (1, 3))
            written = vector(_Bytes(builder, args[2], at))
            stored = builder.store(written, builder.bitcast(builder.gep(args[0], [to]), _VECTOR.as_pointer()))
            stored.align = 1
            return context.get_dummy_value()

        return types.void(out, place, data, index), generate

    return intrinsic(write)


def _small(read: _Bytes) -> Any:
    capital = read.within(65, 90)
    small = read.builder.select(capital, read.builder.or_(read.value, read._all(0x20)), read.value)
    return read.builder.select(read.either(read.within(9, 13), read.within(28, 31)), read._all(32), small)


@part
def _put_same_plain(out, place, data, at):
    for i in range(64):
        put(out, place + i, get(data, at + i))


@part
def _put_small_plain(out, place, data, at):
    for i in range(64):
        byte = get(data, at + i)
        if 65 <= byte <= 90:
            byte |= 32
        elif 9 <= byte <= 13 or 28 <= byte <= 31:
            byte = 32
        put(out, place + i, byte)


# out[place:place + 64] = data[at:at + 64] with capitals of ASCII in lower case and white space of ASCII as spaces
put_small = _put(_small, _put_small_plain)
# out[place:place + 64] = data[at:at + 64]
put_same = _put(lambda read: read.value, _put_same_plain)


def flagged(flag: int) -> Any:
    """A mask of the bytes in which this one bit is set."""
    return _mask(lambda v: v.has(flag), lambda data, i: get(data, i) & flag != 0)


def _bit_count(name: str) -> Any:
    """ctpop, cttz or ctlz of a uint64, as int64."""

    def count(typing: Any, bits: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if name == "ctpop":
                return builder.ctpop(args[0])
            return getattr(builder, name)(args[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.uint64), generate

    return intrinsic(count)


@part
def _ones_plain(bits):
    pairs = bits - ((bits >> _ONE) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bytes_ = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bytes_ * np.uint64(0x0101010101010101)) >> np.uint64(56))


@part
def _zeros_plain(bits):
    return _ones_plain(~bits & (bits - _ONE))


@part
def _high_zeros_plain(bits):
    for shift in (1, 2, 4, 8, 16, 32):
        bits |= bits >> np.uint64(shift)
    return _ones_plain(~bits)


# set bits; zeros below the lowest set bit and above the highest (64 if there is none)
ones = _bit_count("ctpop") if SIMD else _ones_plain
low_zeros = _bit_count("cttz") if SIMD else _zeros_plain
high_zeros = _bit_count("ctlz") if SIMD else _high_zeros_plain


@part
def last_one(bits):
    """The place of the highest set bit; -1 if there is none."""
    return 63 - high_zeros(bits)


@part
def below(count):
    """The lowest `count` bits set, for count in 0 .. 64."""
    return ~np.uint64(0) if count >= 64 else (_ONE << np.uint64(count)) - _ONE


@part(forceinline=True)
def put_places(out: Any, count: int, mask: Any, at: int) -> int:
    """Puts `at` + i for each bit i of `mask` behind the first `count` of `out`, which has room for three more; how many there are."""
    total = count + ones(mask)
    while mask != np.uint64(0):  # four at once, what is too many is written over
        for _ in range(4):
            put(out, count, at + low_zeros(mask))
            mask &= mask - _ONE
            count += 1
    return total
