"""What is compared: a document as the set of hashes of its runs of five tokens.

    tokens("It's 5 o'clock 東京")  ->  ["it", "s", "5", "o", "clock", "東", "京"]

A token is one Han, kana or Hangul character, or a run of other letters, digits and underscores; the text is
lower-cased first. A combining mark belongs to the letter before it: without that rule Hindi, Thai or Burmese
words fall to pieces at each vowel sign ("हिन्दी" would be five tokens), and five such tokens are hardly two
words. A mark without a letter before it is no token. Thai and Burmese write no spaces, so a token there is a
phrase. Joiners (U+200C, U+200D) and the soft hyphen are no letters: they part tokens. Not covered: Unicode
normalisation ("é" as one code point or as two gives two tokens).

Hashes are 64 bits: a token is the sum over its characters of mix(position, code point), a shingle a
polynomial of its tokens' hashes, each finalised with `hashing.mix`. Everything is computed over whole arrays
of code points. Among 10 million distinct shingles the chance of any collision is 3e-6.
"""

import hashlib
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa

from dedup.exact import normalise
from dedup.hashing import GOLDEN, mix_in_place

SHINGLE_TOKENS = 5

# Ranges of Han, kana and Hangul (U+3005-3007 and U+30FC are letters inside such words)
_SINGLE_RANGES = (
    *((0x1100, 0x11FF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C)),
    *((0x3041, 0x3096), (0x309D, 0x30FF), (0x3130, 0x318F), (0x31F0, 0x31FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF)),
    *((0xFF66, 0xFFDC), (0x1AFF0, 0x1B16F), (0x20000, 0x323AF)),
)
_SEPARATOR, _RUN, _SINGLE, _MARK = range(4)
_PLANES = 0x40000  # no letters above plane 3; its marks (variation selectors) are added by hand

_BLOCK_CHARS = 1 << 20  # characters of documents handled together: 60 MB of arrays at the worst
_PIECE_CHARS = 1 << 17  # characters hashed at once: eight arrays of it stay in the second-level cache
_STEP = 0xD6E8FEB86659FD93  # base of the polynomial over token hashes, odd


@cache
def character_classes() -> np.ndarray:
    """uint8 by code point (0x110000): 0 separator, 1 letter of a run, 2 token by itself, 3 combining mark."""
    classes = np.zeros(0x110000, np.uint8)
    for code in range(_PLANES):
        character = chr(code)
        if character.isalnum() or character == "_":
            classes[code] = _RUN
        elif unicodedata.category(character)[0] == "M":
            classes[code] = _MARK
    classes[0xE0100:0xE01F0] = _MARK
    for low, high in _SINGLE_RANGES:
        part = classes[low : high + 1]
        part[part == _RUN] = _SINGLE
    return classes


def tokens(text: str) -> list[str]:
    """The tokens of a text in order; lower case."""
    lowered = text.lower()
    starts, ends, _ = _token_spans(_code_points(lowered))
    return [lowered[a:b] for a, b in zip(starts.tolist(), ends.tolist())]


def shingle_set(text: str, n: int = SHINGLE_TOKENS) -> np.ndarray:
    """The sorted unique uint64 hashes of the shingles of one text; never empty (see `shingle_sets`)."""
    return shingle_sets(pa.array([text], pa.large_string()), n)[1]


def shingle_sets(texts: pa.Array | pa.ChunkedArray, n: int = SHINGLE_TOKENS) -> tuple[np.ndarray, np.ndarray]:
    """The shingle sets of a column: offsets int64 (rows + 1) and values uint64, each row sorted and unique.

    A document with fewer than `n` tokens is compared whole: one shingle of all its tokens. One without any
    token is compared by its normalised text. So no set is empty, and short documents are alike only if they
    are equal. Null counts as "". Memory beyond the result: 56 bytes a character (Han; words 10)
    of a block or the longest document.
    """
    sizes, values = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for block in _blocks(texts):
        block_sizes, block_values = _shingle_block(block, n)
        sizes.append(block_sizes)
        values.append(block_values)
    return np.concatenate(([0], np.cumsum(np.concatenate(sizes)))), np.concatenate(values)


def _blocks(texts: pa.Array | pa.ChunkedArray) -> Iterator[list[str]]:
    block: list[str] = []
    held = 0
    for start in range(0, len(texts), 1024):
        for text in texts.slice(start, 1024).to_pylist():
            block.append((text or "").lower())
            held += len(block[-1])
            if held >= _BLOCK_CHARS:
                yield block
                block, held = [], 0
    if block:
        yield block


def _shingle_block(lowered: list[str], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Set sizes int64 (rows,) and values uint64 of lower-cased texts."""
    lengths = np.fromiter(map(len, lowered), np.int64, len(lowered))
    firsts = np.concatenate(([0], np.cumsum(lengths + 1)))  # + 1: a line end keeps neighbours' tokens apart
    starts, hashes = _token_hashes(_code_points("\n".join(lowered)))
    token_offsets = np.searchsorted(starts, firsts)
    counts = np.diff(token_offsets)

    sizes = np.maximum(counts - n + 1, 1)
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    values = np.empty(offsets[-1], np.uint64)
    long = counts >= n
    if long.any():
        windows = _windows(hashes, n)
        first_window = np.repeat(token_offsets[:-1][long] - np.cumsum(sizes[long]) + sizes[long], sizes[long])
        first_window += np.arange(len(first_window))
        values[np.repeat(long, sizes)] = windows[first_window]
        del windows, first_window
    short = np.flatnonzero(~long)
    values[offsets[short]] = _whole(hashes, token_offsets[short], counts[short], n)
    for row in short[counts[short] == 0].tolist():
        values[offsets[row]] = _text_hash(lowered[row])
    return _sort_rows(offsets, values)


def _windows(hashes: np.ndarray, n: int) -> np.ndarray:
    """uint64 (tokens - n + 1,): the hash of each run of n tokens, whatever documents it touches."""
    total = np.zeros(len(hashes) - n + 1, np.uint64)
    for position in range(n):
        total += hashes[position : position + len(total)] * _power(position)
    total += _salt(n)
    return mix_in_place(total)


def _whole(hashes: np.ndarray, first: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """uint64: one hash for all tokens of each document of fewer than n; the count is part of it."""
    total = np.zeros(len(counts), np.uint64)
    for position in range(n - 1):
        has = counts > position
        total[has] += hashes[first[has] + position] * _power(position)
    total += counts.astype(np.uint64) * np.uint64(GOLDEN)
    return mix_in_place(total)


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_STEP, exponent, 1 << 64))


def _salt(count: int) -> np.uint64:
    return np.uint64(count * GOLDEN % (1 << 64))


def _text_hash(text: str) -> int:
    digest = hashlib.blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _sort_rows(offsets: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort each row where it lies and drop repeats: sizes int64 (rows,), values uint64."""
    bounds = offsets.tolist()
    for low, high in pairwise(bounds):
        if high - low > 1:
            values[low:high].sort()
    first = np.empty(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    first[offsets[:-1]] = True
    return np.add.reduceat(first, offsets[:-1], dtype=np.int64), values[first]


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _token_hashes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start int64 and hash uint64 of each token, piece by piece so that memory follows the piece."""
    starts, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    low, size = 0, _PIECE_CHARS
    while low < len(codes):
        piece = codes[low : low + size]
        begin, end, classes = _token_spans(piece)
        if low + size < len(codes) and len(begin):
            # the last token may go on in the next piece: leave it to that one
            step = int(begin[-1])
            begin, end = begin[:-1], end[:-1]
        else:
            step = len(piece)
        if step == 0:
            size *= 2  # one token fills the piece
            continue
        starts.append(begin + low)
        hashes.append(_hash_spans(piece[:step], classes[:step], begin))
        low, size = low + step, _PIECE_CHARS
    return np.concatenate(starts), np.concatenate(hashes)


def _token_spans(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and end (int64) of each token, and the class of each character with marks counted to their
    letter."""
    classes = character_classes()[codes]
    opens = classes == _SINGLE
    marks = classes == _MARK
    if marks.any():
        base = np.where(marks, 0, np.arange(len(codes)))
        np.maximum.accumulate(base, out=base)
        classes = classes[base]
        classes[classes == _MARK] = _SEPARATOR  # a mark at the very start
    is_run = classes == _RUN
    opens |= is_run
    opens[1:] &= ~(is_run[1:] & is_run[:-1])
    part = classes != _SEPARATOR
    closes = part.copy()
    closes[:-1] &= opens[1:] | ~part[1:]
    return np.flatnonzero(opens), np.flatnonzero(closes) + 1, classes


def _hash_spans(codes: np.ndarray, classes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """uint64 (tokens,): mix of the sum of mix(position in the token, code point). Position and character
    together draw a random number, as in tabulation hashing: no choice of characters cancels out as in a
    polynomial."""
    if not len(starts):
        return np.zeros(0, np.uint64)
    inside = np.flatnonzero(classes != _SEPARATOR)
    firsts = np.searchsorted(inside, starts)
    position = inside - np.repeat(starts, np.diff(np.append(firsts, len(inside))))
    drawn = position.view(np.uint64)
    drawn <<= np.uint64(32)
    drawn |= codes[inside]
    drawn += np.uint64(GOLDEN)
    return mix_in_place(np.add.reduceat(mix_in_place(drawn), firsts))
