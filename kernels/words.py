"""The affix rule of filters/words.py over the bytes of a column: its words as hashes, widths and flags.

    "It's (2 m)."   ->   It 's ( 2 m ) .   widths 2 2 1 1 1 1 1

A first loop finds the chunks between white space by masks of 64 bytes. The second takes them one by one: most are plain
words or numbers and are done here; short ones in ASCII go to kernels/ascii.py, all others to kernels/affix.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.affix import FIRST_OF_LINE, HAS_LETTER, PROPER, Chunk, Words, cut_piece, mark_flags, put_word
from kernels.ascii import LONGEST, Piece, cut_ascii
from kernels.characters import TRAIL
from kernels.compile import kernel, part
from kernels.memory import get, int64, load64, pointer, put, store64
from kernels.simd import below, beyond_ascii, breaks, digits, letters, ones, put_places, sentence_ends, spaces

# what `cut_words` counts
COLUMNS = ("words", "proper", "proper_chars", "with_letter", "stop_words", "sentences")

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


def count_sentences(starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The column "sentences" of `cut_words` alone, int64 of shape (n,), in about half the time."""
    _, _, counts = cut_words(starts, ends, data, kinds, np.empty(0, np.uint64), True)
    return counts[:, COLUMNS.index("sentences")]


def cut_words(
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    kinds: np.ndarray,
    stop_words: np.ndarray,
    sentences_only: bool = False,
) -> tuple[Words, np.ndarray, np.ndarray]:
    """The words of the texts data[starts[t]:ends[t]] and what is counted over them.

    stop_words: uint64 hashes, up to 64. Returns (Words, their first place by text: int64 of shape (n + 1,), counts:
    int64 of shape (n, len(COLUMNS))). Takes some 25 bytes of address space for each byte of the longest text, of which
    as much is touched as there are words. `sentences_only`: nothing else that is returned has a meaning.
    """
    lengths = ends - starts
    longest = int(lengths.max(initial=0))
    room = int(lengths.sum()) // 4 + longest + 8
    words = Words(np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.uint8))
    scratch = Chunk(
        np.empty(longest + 2, np.uint32),
        np.empty(longest + 2, np.uint16),
        np.empty(longest + 2, np.int64),
        np.empty(longest + LONGEST + 2, np.int64),
    )
    bits = longest // 8 + 32
    others, enders, numbers, lines = (np.empty(bits, np.uint8) for _ in range(4))
    masks = Masks(others, enders, numbers, lines, np.empty(longest + 8, np.int32))
    slots, shift = _stop_slots(stop_words)
    firsts = np.zeros(len(starts) + 1, np.int64)
    counts = np.zeros((len(starts), len(COLUMNS)), np.int64)
    done = 0
    while True:
        done = _cut_column(
            starts, ends, data, kinds, slots, shift, scratch, masks, words, firsts, counts, done, sentences_only
        )
        if done == len(starts):
            return words, firsts, counts
        room = 2 * room + longest
        words = Words(*[_grown(array, room, firsts[done]) for array in words])


def _grown(array: np.ndarray, room: int, used: int) -> np.ndarray:
    out = np.empty(room, array.dtype)
    out[:used] = array[:used]
    return out


@kernel
def _cut_column(starts, ends, data, kinds, slots, shift, scratch, masks, words, firsts, counts, done, brief):
    """Texts from `done` on, as far as there is room; where it stopped."""
    chunk = Chunk(pointer(scratch.codes), pointer(scratch.kinds), pointer(scratch.at), pointer(scratch.ends))
    room_of_masks = Masks(
        pointer(masks.others),
        pointer(masks.enders),
        pointer(masks.digits),
        pointer(masks.lines),
        pointer(masks.edges),
    )
    out = Words(pointer(words.hashes), pointer(words.widths), pointer(words.flags))
    room = len(words.hashes)
    count = firsts[done]
    for text in range(done, len(starts)):
        if count + ends[text] - starts[text] > room:
            return text
        first = count
        count = _cut_text(
            pointer(data), starts[text], ends[text], pointer(kinds), room_of_masks, chunk, out, count, brief
        )
        firsts[text + 1] = count
        if brief:
            put(pointer(counts), text * len(COLUMNS) + len(COLUMNS) - 1, _count_sentences(out, first, count))
        else:
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
    proper = chars = with_letter = 0
    seen = _ZERO
    for at in range(first, end):
        flags = int64(get(words.flags, at))
        is_proper = (flags >> 1) & 1
        proper += is_proper
        chars += is_proper * int64(get(words.widths, at))
        with_letter += flags & 1
        slot = (get(words.hashes, at) >> shift) & np.uint64(63)
        seen |= np.uint64(get(slots, slot) == get(words.hashes, at)) << slot
    sentences = _count_sentences(words, first, end)
    for at, value in enumerate((end - first, proper, chars, with_letter, ones(seen), sentences)):
        put(counts, row + at, value)


@part
def _count_sentences(words, first, end):
    """A line begins a sentence, and so does a word (no punctuation) behind a sentence end."""
    sentences = 0
    ended = 0
    for at in range(first, end):
        flags = int64(get(words.flags, at))
        line = (flags >> 4) & 1
        ended &= 1 - line
        ends = (flags >> 2) & 1
        begins = ended & (1 - ends) & (1 - ((flags >> 3) & 1))
        sentences += line + begins
        ended = (ended & (1 - begins)) | ends
    return sentences


class Masks(NamedTuple):
    """What `_scan` finds in a text of m bytes: a bit a byte, and where the chunks between ASCII white space are."""

    others: np.ndarray  # uint8, m // 8 + 24: no white space, letter or digit
    enders: np.ndarray  # uint8, m // 8 + 24: may be a word that ends a sentence, or is not ASCII
    digits: np.ndarray  # uint8, m // 8 + 24
    lines: np.ndarray  # uint8, m // 8 + 24: the first chunk behind the end of a line begins here
    edges: np.ndarray  # int32, m + 8: where each chunk begins and where it stops, from the start of the text


@part
def _scan(data, start, end, masks):
    """Fill the masks for data[start:end]; how many chunks there are."""
    edges = 0
    carry = _ZERO
    line = _ONE  # whether a line has ended and no chunk has come since
    place = 0
    for at in range(start, end, 64):
        inside = ~spaces(data, at) & below(end - at)
        numbers = digits(data, at) & inside
        store64(masks.digits, place, numbers)
        store64(masks.others, place, inside & ~(letters(data, at) | numbers))
        store64(masks.enders, place, sentence_ends(data, at) | beyond_ascii(data, at))
        # an addition carries the end of a line through the white space behind it
        ended = breaks(data, at) & ~inside
        begun = ~inside + ended
        behind = begun + line
        line = np.uint64((begun < ended) | (behind < line))
        store64(masks.lines, place, behind & inside)
        turns = inside ^ ((inside << _ONE) | carry)
        carry = inside >> np.uint64(63)
        edges = put_places(masks.edges, edges, turns, at - start)
        place += 8
    for at in range(place, place + 16, 8):
        store64(masks.digits, at, _ZERO)
        store64(masks.others, at, _ZERO)
        store64(masks.enders, at, _ZERO)
        store64(masks.lines, at, _ZERO)
    put(masks.edges, edges, end - start)  # where the last chunk ends with the last block
    return (edges + 1) >> 1


@part
def _bits(mask, at):
    """The bits of a mask from the byte `at` of the text on, 57 or more."""
    return load64(mask, at >> 3) >> np.uint64(at & 7)


@part
def _cut_text(data, start, end, kinds, masks, chunk, words, count, brief):
    """Append the words of data[start:end] to `words`, which holds `count`; the new count.

    brief: a chunk in which no sentence ends, and which has a letter or digit, is put there as one word, and of that only
    the flags: it begins as many sentences. A dot before a small letter or digit is never a word of its own: it is not cut
    off either end of a chunk, and inside cuts only before a capital letter or a quote. (What a text ends with
    does not count: no word follows.)
    """
    new_line = False  # a line ended in the chunk before, at a character that is no ASCII
    for number in range(_scan(data, start, end, masks)):
        first = int64(get(masks.edges, 2 * number))
        length = int64(get(masks.edges, 2 * number + 1)) - first
        begin, stop = start + first, start + first + length
        new_line |= _bits(masks.lines, first) & _ONE != _ZERO
        line = FIRST_OF_LINE * int64(new_line)
        if length > LONGEST:
            count, new_line = cut_piece(data, begin, stop, kinds, chunk, new_line, words, count)
            continue
        inside = below(length)
        others = _bits(masks.others, first) & inside
        numbers = _bits(masks.digits, first) & inside
        if brief and others != inside and _bits(masks.enders, first) & inside == _ZERO:
            put(words.flags, count, PROPER | line)
            count += 1
        elif others == _ZERO and _is_plain(data, begin, length, numbers):
            flags = PROPER if numbers & _ONE != _ZERO else HAS_LETTER | PROPER
            put_word(data, begin, stop, length, flags | line, words, count)
            count += 1
        elif others == _ONE << np.uint64(length - 1) and numbers == _ZERO and _is_ended(data, stop, length, kinds):
            flags = mark_flags(int64(get(kinds, get(data, stop - 1))))
            if brief:
                put(words.flags, count, PROPER | line)
                put(words.flags, count + 1, flags)
            else:
                put_word(data, begin, stop - 1, length - 1, HAS_LETTER | PROPER | line, words, count)
                put_word(data, stop - 1, stop, 1, flags, words, count + 1)
            count += 2
        elif beyond_ascii(data, begin) & inside == _ZERO:
            piece = Piece(data, begin, stop, others, numbers, kinds)
            count = cut_ascii(piece, chunk.ends, new_line, words, count)
        else:
            count, new_line = cut_piece(data, begin, stop, kinds, chunk, new_line, words, count)
            continue
        new_line = False
    return count


@part
def _is_plain(data, begin, length, numbers):
    """Whether letters and digits are one word: a letter first, or digits only. "cannot" is two."""
    if numbers & _ONE != _ZERO:
        return numbers == below(length)
    return length != 6 or (numbers == _ZERO and not _says_not(data, begin))


@part
def _is_ended(data, stop, length, kinds):
    """Whether letters with one mark behind them, `length` bytes that end at data[stop], are surely two words."""
    if length < 2 or (length == 7 and _says_not(data, stop - 7)):
        return False
    mark = get(data, stop - 1)
    if mark == 46:
        return length > 2 and get(data, stop - 2) >= 97
    return mark < 128 and get(kinds, mark) & TRAIL != 0


@part
def _says_not(data, start):
    """Whether "not" stands three bytes behind data[start]."""
    return (load64(data, start) >> np.uint64(24)) & np.uint64(0xFFFFFF) == np.uint64(0x746F6E)
