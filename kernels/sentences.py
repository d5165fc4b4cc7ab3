"""Sentences of a text without its words: only chunks in which one may end are cut, and what stands behind them.

    "A mill. It grinds\\ncorn"   ->   3

A line begins a sentence, and so does a word (no punctuation) behind a sentence end.
"""

from __future__ import annotations

import numpy as np

from kernels.affix import ALL_PUNCTUATION, ENDS_SENTENCE, FIRST_OF_LINE, cut_piece, mark_flags
from kernels.ascii import LONGEST, Piece, ascii_flags, cut_ascii
from kernels.chunks import behind_zero, bits, is_ended, next_one, next_zero, scan_ends
from kernels.compile import part
from kernels.memory import get, int64, put
from kernels.simd import below, beyond_ascii, digits, flagged, letters, low_zeros, ones

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_LINES = flagged(FIRST_OF_LINE)
_ENDS = flagged(ENDS_SENTENCE)


@part
def count_flagged(words, first, end):
    """The sentences of words[first:end], from their flags."""
    sentences = 0
    for at in range(first, end, 64):
        inside = below(end - at)
        sentences += ones(_LINES(words.flags, at) & inside)
        enders = _ENDS(words.flags, at) & inside
        while enders != _ZERO:
            sentences += _begins(words, at + low_zeros(enders) + 1, end)
            enders &= enders - _ONE
    return sentences


@part
def _begins(words, at, end):
    """Whether the first of words[at:end] that is no punctuation begins a sentence which is not a line, nor ends one itself."""
    while at < end:
        flags = int64(get(words.flags, at))
        if flags & ALL_PUNCTUATION == 0 or flags & (ENDS_SENTENCE | FIRST_OF_LINE):
            return int64(flags & (ALL_PUNCTUATION | ENDS_SENTENCE | FIRST_OF_LINE) == 0)
        at += 1
    return 0


@part
def count_alone(data, start, end, kinds, masks, chunk, words):
    """The sentences of data[start:end]; words: room for those of its longest chunk.

    A dot before a small letter or digit is never a word of its own: it is not cut off either end of a chunk, and inside
    cuts only before a capital letter or a quote. (What a text ends with does not count: no word follows.)
    """
    sentences = scan_ends(data, start, end, masks)
    length = end - start
    ended = False  # whether the next word that is no punctuation begins a sentence
    new_line = False  # a line ended in the chunk before, at a character that is no ASCII
    stop = 0
    while True:
        waits = ended or new_line
        first = next_one(masks.inside if waits else masks.enders, stop, length)
        if first == length:
            return sentences
        first = first if waits else behind_zero(masks.inside, first, stop)
        stop = next_zero(masks.inside, first, length)
        line = bits(masks.lines, first) & _ONE != _ZERO
        sentences -= line  # counted with its words
        new_line |= line
        enders = bits(masks.enders, first)
        begin = start + first
        more, ended, new_line = _count_chunk(data, begin, start + stop, enders, kinds, chunk, ended, new_line, words)
        sentences += more


@part
def _count_chunk(data, begin, stop, enders, kinds, chunk, ended, new_line, words):
    """(sentences that begin in the chunk data[begin:stop], whether one has ended at its end, whether a line has)."""
    length = stop - begin
    inside = below(length)
    wide = beyond_ascii(data, begin) & inside != _ZERO
    if length > LONGEST or wide:
        count, behind = cut_piece(data, begin, stop, kinds, chunk, new_line, words, 0)
        more, ended = _count_on(words, count, ended)
        return more, ended, behind
    numbers = digits(data, begin) & inside
    others = inside & ~(letters(data, begin) | numbers)
    if others != inside and enders & inside == _ZERO:  # a word, whatever else
        return int64(ended or new_line), False, False
    if others == _ONE << np.uint64(length - 1) and numbers == _ZERO and is_ended(data, stop, length, kinds):
        ends = mark_flags(int64(get(kinds, get(data, stop - 1)))) & ENDS_SENTENCE != 0
        return int64(ended or new_line), ends, False
    piece = Piece(data, begin, stop, others, numbers, kinds)
    begins = cut_ascii(piece)
    count = 0
    while begins != _ZERO:
        first = low_zeros(begins)
        begins &= begins - _ONE
        flags = ascii_flags(piece, begin + first, min(low_zeros(begins), length) - first)
        put(words.flags, count, flags | FIRST_OF_LINE * int64(new_line and count == 0))
        count += 1
    more, ended = _count_on(words, count, ended)
    return more, ended, False


@part
def _count_on(words, count, ended):
    """(sentences that the first `count` words begin, whether one has ended behind them)."""
    sentences = 0
    for at in range(count):
        flags = int64(get(words.flags, at))
        line = flags & FIRST_OF_LINE != 0
        ends = flags & ENDS_SENTENCE != 0
        begins = ended and not line and flags & (ENDS_SENTENCE | ALL_PUNCTUATION) == 0
        sentences += line or begins
        ended = ends or (ended and not line and not begins)
    return sentences, ended
