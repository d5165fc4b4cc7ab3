"""The affix rule of filters/words.py over the bytes of a column: its words as hashes, widths and flags.

    "It's (2 m)."   ->   It 's ( 2 m ) .   widths 2 2 1 1 1 1 1

A loop finds the chunks between white space by masks of 64 bytes. Most are plain words or numbers, bare or between
marks, and are done here; the others go through the whole rule (kernels/affix.py).
"""

from __future__ import annotations

import numpy as np

from kernels.affix import FIRST_OF_LINE, HAS_LETTER, PROPER, Chunk, Words, cut_piece, mark_flags, put_word
from kernels.characters import LEAD, TRAIL, is_break
from kernels.compile import kernel, part
from kernels.memory import get, int64, load64, pointer, put
from kernels.simd import below, digits, last_one, letters, low_zeros, ones, spaces

# what `cut_words` counts
COLUMNS = ("words", "proper", "proper_chars", "with_letter", "stop_words", "sentences")

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


def cut_words(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray, stop_words: np.ndarray
) -> tuple[Words, np.ndarray, np.ndarray]:
    """The words of the texts data[starts[t]:ends[t]] and what is counted over them.

    stop_words: uint64 hashes, up to 64. Returns (Words, their first place by text: int64 of shape (n + 1,), counts:
    int64 of shape (n, len(COLUMNS))). Takes some 25 bytes of address space for each byte of the longest text, of which
    as much is touched as there are words.
    """
    lengths = ends - starts
    longest = int(lengths.max(initial=0))
    room = int(lengths.sum()) // 4 + longest + 8
    words = Words(np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.uint8))
    scratch = Chunk(
        np.empty(longest + 2, np.uint32),
        np.empty(longest + 2, np.uint16),
        np.empty(longest + 2, np.int64),
        np.empty(longest + 2, np.int64),
    )
    slots, shift = _stop_slots(stop_words)
    firsts = np.zeros(len(starts) + 1, np.int64)
    counts = np.zeros((len(starts), len(COLUMNS)), np.int64)
    done = 0
    while True:
        done = _cut_column(starts, ends, data, kinds, slots, shift, scratch, words, firsts, counts, done)
        if done == len(starts):
            return words, firsts, counts
        room = 2 * room + longest
        words = Words(*[_grown(array, room, firsts[done]) for array in words])


def _grown(array: np.ndarray, room: int, used: int) -> np.ndarray:
    out = np.empty(room, array.dtype)
    out[:used] = array[:used]
    return out


@kernel
def _cut_column(starts, ends, data, kinds, slots, shift, scratch, words, firsts, counts, done):
    """Texts from `done` on, as far as there is room; where it stopped."""
    chunk = Chunk(pointer(scratch.codes), pointer(scratch.kinds), pointer(scratch.at), pointer(scratch.ends))
    out = Words(pointer(words.hashes), pointer(words.widths), pointer(words.flags))
    room = len(words.hashes)
    count = firsts[done]
    for text in range(done, len(starts)):
        if count + ends[text] - starts[text] > room:
            return text
        first = count
        count = _cut_text(pointer(data), starts[text], ends[text], pointer(kinds), chunk, out, count)
        firsts[text + 1] = count
        _count_words(out, first, count, pointer(slots), shift, pointer(counts), text * len(COLUMNS))
    return len(starts)


def _stop_slots(hashes: np.ndarray) -> tuple[np.ndarray, np.uint64]:
    """(uint64 table of 64, shift): the hash h stands at (h >> shift) & 63. A shift without a clash is searched."""
    for shift in np.arange(58, dtype=np.uint64):
        places = (hashes >> shift) & np.uint64(63)
        if len(set(places.tolist())) == len(hashes):
            slots = np.zeros(64, np.uint64)
            slots[places] = hashes
            return slots, shift
    raise ValueError(f"{len(hashes)} stop words do not fit into a table of 64")


@part
def _count_words(words, first, end, slots, shift, counts, row):
    """The counts of COLUMNS over words[first:end]."""
    proper = chars = with_letter = sentences = 0
    seen = _ZERO
    ended = 0
    for at in range(first, end):
        flags = int64(get(words.flags, at))
        is_proper = (flags >> 1) & 1
        proper += is_proper
        chars += is_proper * int64(get(words.widths, at))
        with_letter += flags & 1
        # a line begins a sentence, and so does a word (no punctuation) behind a sentence end
        line = (flags >> 4) & 1
        ended &= 1 - line
        ends = (flags >> 2) & 1
        begins = ended & (1 - ends) & (1 - ((flags >> 3) & 1))
        sentences += line + begins
        ended = (ended & (1 - begins)) | ends
        slot = (get(words.hashes, at) >> shift) & np.uint64(63)
        seen |= np.uint64(get(slots, slot) == get(words.hashes, at)) << slot
    for at, value in enumerate((end - first, proper, chars, with_letter, ones(seen), sentences)):
        put(counts, row + at, value)


@part
def _cut_text(data, start, end, kinds, chunk, words, count):
    """Append the words of data[start:end] to `words`, which holds `count`; the new count."""
    first = int64(-1)  # of the chunk that reaches into this block
    last = start  # the end of the chunk before
    new_line = True
    carry = others_before = numbers_before = _ZERO
    at = start
    while at <= end:  # once more where the text ends with a block, to close the last chunk
        inside = ~spaces(data, at) & below(end - at)
        numbers = digits(data, at)
        others = inside & ~(letters(data, at) | numbers)
        ahead = (inside << _ONE) | carry
        begins = inside & ~ahead
        stops = ahead & ~inside
        carry = inside >> np.uint64(63)
        while stops != _ZERO:
            stop = at + low_zeros(stops)
            stops &= stops - _ONE
            if first < 0:
                first = at + low_zeros(begins)
                begins &= begins - _ONE
                other = others >> np.uint64(first - at)
                number = numbers >> np.uint64(first - at)
            else:
                back = np.uint64(at - first)  # a chunk that is longer than a block goes another way
                other = (others << back) | (others_before >> (np.uint64(64) - back))
                number = (numbers << back) | (numbers_before >> (np.uint64(64) - back))
            if first - last != 1 or get(data, last) != 32:
                for gap in range(last, first):
                    new_line |= is_break(get(data, gap))
            last = stop
            done = _cut_plain(data, first, stop, other, number, kinds, new_line, words, count)
            if done > 0:
                count += done
                new_line = False
            else:
                count, new_line = cut_piece(data, first, stop, kinds, chunk, new_line, words, count)
            first = int64(-1)
        if begins != _ZERO:
            first = at + low_zeros(begins)
        others_before = others
        numbers_before = numbers
        at += 64
    return count


@part
def _cut_plain(data, first, stop, others, numbers, kinds, new_line, words, count):
    """A chunk that is an ASCII word or number, plain or between marks: how many words it gives, or 0 for all others.

    others, numbers: a bit a byte from the first on, whether it is no ASCII letter or digit; whether it is a digit.
    """
    length = stop - first
    if length > 56:
        return 0
    mask = below(length)
    other = others & mask
    number = numbers & mask
    line = FIRST_OF_LINE if new_line else 0
    if other == _ZERO:
        # of six: "cannot", and what has a number, for there could be a unit behind it
        special = (length == 6) & ((number != _ZERO) | _says_not(data, first))
        if number & _ONE == _ZERO and not special:
            put_word(data, first, stop, length, HAS_LETTER | PROPER | line, words, count)
            return 1
        if number == mask:
            put_word(data, first, stop, length, PROPER | line, words, count)
            return 1
        return 0
    leads = min(low_zeros(~other), length)
    if leads == length:
        return _put_marks(data, first, stop, LEAD, kinds, line, words, count) if length < 9 else 0
    marks = length - 1 - last_one(mask & ~other)
    core, core_end = first + leads, stop - marks
    size = core_end - core
    inner = mask & ~other
    # nothing but letters or nothing but digits between the marks: a number with a unit, and "cannot", fall apart
    if inner != below(length - marks) & ~below(leads) or (number != _ZERO and number != inner):
        return 0
    if marks + leads > 8 or (size == 6 and _says_not(data, core)):
        return 0
    for at in range(first, core):
        if not _is_ascii(data, at, kinds, LEAD):
            return 0
    for at in range(core_end, stop):
        if not _is_ascii(data, at, kinds, TRAIL) and not _is_full_stop(data, at, core_end, size, kinds):
            return 0
    flags = PROPER if number != _ZERO else HAS_LETTER | PROPER
    _put_marks(data, first, core, 0, kinds, line, words, count)
    put_word(data, core, core_end, size, flags | (0 if leads else line), words, count + leads)
    _put_marks(data, core_end, stop, 0, kinds, 0, words, count + leads + 1)
    return leads + 1 + marks


@part
def _is_ascii(data, at, kinds, kind):
    """Whether an ASCII character of that kind stands at data[at]."""
    return get(data, at) < 128 and get(kinds, get(data, at)) & kind != 0


@part
def _is_full_stop(data, at, core_end, size, kinds):
    """Whether data[at] is a dot that is surely cut off: behind a word of two letters or more, a number or a mark."""
    if get(data, at) != 46:
        return False
    ahead = get(data, at - 1)
    if at == core_end:
        return ahead <= 57 or (size > 1 and ahead >= 97)
    return _is_ascii(data, at - 1, kinds, TRAIL)


@part
def _put_marks(data, start, end, kind, kinds, line, words, count):
    """Append ASCII characters as words if all are of that kind (0: any), the first with the flag `line`; how many."""
    for at in range(start, end):
        if kind and end - start > 1 and not _is_ascii(data, at, kinds, kind):
            return 0
        if get(data, at) > 127:
            return 0
        flags = mark_flags(int64(get(kinds, get(data, at)))) | (line if at == start else 0)
        put_word(data, at, at + 1, 1, flags, words, count + at - start)
    return end - start


@part
def _says_not(data, start):
    """Whether "not" stands three bytes behind data[start]."""
    return (load64(data, start) >> np.uint64(24)) & np.uint64(0xFFFFFF) == np.uint64(0x746F6E)
