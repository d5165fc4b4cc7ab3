"""The affix rule of filters/words.py over the bytes of a column: its words as hashes, widths and flags.

    "It's (2 m)."   ->   It 's ( 2 m ) .   widths 2 2 1 1 1 1 1

A first loop finds the chunks between white space by masks of 64 bytes. The second takes them one by one: most are plain
words or numbers and are done here; short ones in ASCII go to kernels/ascii.py, all others to kernels/affix.py.
"""

from __future__ import annotations

import numpy as np

from kernels.affix import FIRST_OF_LINE, HAS_LETTER, PROPER, Chunk, Words, cut_piece, put_word
from kernels.ascii import LONGEST, Piece, ascii_flags, cut_ascii
from kernels.chunks import bits, is_ended, mask_pointers, new_masks, says_not, scan_chunks
from kernels.compile import kernel, part
from kernels.memory import PAD, get, int64, pointer, put
from kernels.sentences import count_alone, count_flagged
from kernels.simd import below, beyond_ascii, flagged, low_zeros, ones

# what `cut_words` counts
COLUMNS = ("words", "proper", "proper_chars", "with_letter", "stop_words", "sentences")

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_PROPER = flagged(PROPER)
_HAS_LETTER = flagged(HAS_LETTER)


def count_sentences(starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The column "sentences" of `cut_words` alone, int64 of shape (n,), in a fifth of the time."""
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
    room = int(lengths.sum()) // 4 + longest + PAD
    words = Words(np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.uint8))
    scratch = Chunk(
        np.empty(longest + 2, np.uint32),
        np.empty(longest + 2, np.uint16),
        np.empty(longest + 2, np.int64),
        np.empty(longest + LONGEST + 2, np.int64),
    )
    masks = new_masks(longest)
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
    room_of_masks = mask_pointers(masks)
    out = Words(pointer(words.hashes), pointer(words.widths), pointer(words.flags))
    room = len(words.hashes) - PAD
    source, table = pointer(data), pointer(kinds)
    count = firsts[done]
    for text in range(done, len(starts)):
        if count + ends[text] - starts[text] > room:
            return text
        row = text * len(COLUMNS)
        if brief:
            found = count_alone(source, starts[text], ends[text], table, room_of_masks, chunk, out)
            put(pointer(counts), row + len(COLUMNS) - 1, found)
            continue
        first = count
        count = _cut_text(source, starts[text], ends[text], table, room_of_masks, chunk, out, count)
        firsts[text + 1] = count
        _count_words(out, first, count, pointer(slots), shift, pointer(counts), row)
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
    proper = with_letter = 0
    for at in range(first, end, 64):
        inside = below(end - at)
        proper += ones(_PROPER(words.flags, at) & inside)
        with_letter += ones(_HAS_LETTER(words.flags, at) & inside)
    chars = 0
    for at in range(first, end):
        chars += ((int64(get(words.flags, at)) >> 1) & 1) * int64(get(words.widths, at))
    seen = _ZERO
    for at in range(first, end):
        slot = (get(words.hashes, at) >> shift) & np.uint64(63)
        seen |= np.uint64(get(slots, slot) == get(words.hashes, at)) << slot
    sentences = count_flagged(words, first, end)
    for at, value in enumerate((end - first, proper, chars, with_letter, ones(seen), sentences)):
        put(counts, row + at, value)


@part
def _cut_text(data, start, end, kinds, masks, chunk, words, count):
    """Append the words of data[start:end] to `words`, which holds `count`; the new count."""
    new_line = False  # a line ended in the chunk before, at a character that is no ASCII
    for number in range(scan_chunks(data, start, end, masks)):
        first = int64(get(masks.edges, 2 * number))
        length = int64(get(masks.edges, 2 * number + 1)) - first
        begin, stop = start + first, start + first + length
        new_line |= bits(masks.lines, first) & _ONE != _ZERO
        line = FIRST_OF_LINE * int64(new_line)
        if length > LONGEST:
            count, new_line = cut_piece(data, begin, stop, kinds, chunk, new_line, words, count)
            continue
        inside = below(length)
        others = bits(masks.others, first) & inside
        numbers = bits(masks.digits, first) & inside
        if others == _ZERO and _is_plain(data, begin, length, numbers):
            flags = PROPER if numbers & _ONE != _ZERO else HAS_LETTER | PROPER
            put_word(data, begin, stop, length, flags | line, words, count)
            count += 1
        elif beyond_ascii(data, begin) & inside == _ZERO:
            last = _ONE << np.uint64(length - 1)
            piece = Piece(data, begin, stop, others, numbers, kinds)
            if others == last and numbers == _ZERO and is_ended(data, stop, length, kinds):
                begins = _ONE | last
            else:
                begins = cut_ascii(piece)
            count = _put_words(piece, begins, line, words, count)
        else:
            count, new_line = cut_piece(data, begin, stop, kinds, chunk, new_line, words, count)
            continue
        new_line = False
    return count


@part(forceinline=True)
def _put_words(piece, begins, flags, words, count):
    """Append the words of a piece, of which `begins` has the first bytes; `flags`: what the first one has besides."""
    at = piece.first
    while True:
        begins >>= _ONE
        size = low_zeros(begins) + 1 if begins != _ZERO else piece.stop - at
        put_word(piece.data, at, at + size, size, ascii_flags(piece, at, size) | flags, words, count)
        count += 1
        if begins == _ZERO:
            return count
        begins >>= np.uint64(size - 1)
        flags = 0
        at += size


@part
def _is_plain(data, begin, length, numbers):
    """Whether letters and digits are one word: a letter first, or digits only. "cannot" is two."""
    if numbers & _ONE != _ZERO:
        return numbers == below(length)
    return length != 6 or (numbers == _ZERO and not says_not(data, begin))
