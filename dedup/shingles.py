"""What is compared: a document as the set of hashes of its runs of five tokens, or of n characters.

    tokens("It's 5 o'clock 東京")  ->  ["it", "s", "5", "o", "clock", "東", "京"]

A token is one Han, kana or Hangul character, or a run of other letters, digits and underscores; the text is
lower-cased first. A combining mark belongs to the letter before it: without that rule Hindi, Thai or Burmese
words fall to pieces at each vowel sign ("हिन्दी" would be five tokens), and five such tokens are hardly two
words. A mark without a letter before it is no token. Thai and Burmese write no spaces, so a token there is a
phrase. Joiners (U+200C, U+200D) and the soft hyphen are no letters: they part tokens. Not covered: Unicode
normalisation ("é" as one code point or as two gives two tokens).

A shingle can be a run of characters instead: code points in lower case, white space left out (a line that is broken
elsewhere changes nothing), all else counts, punctuation too. A fold makes characters equal before either: full-width
letters, digits and signs are their ASCII, traditional Chinese characters simplified ones. The text stays as it is.

Hashes are 64 bits: a token is the sum over its characters of mix(position, code point), a shingle a
polynomial of its tokens' hashes, each finalised with `hashing.mix`. Among 10 million distinct shingles the chance of
any collision is 3e-6. The sets are made by `kernels.shingles`; below are tokens as a reader wants them, and their
hashes over arrays of code points, which `dedup.plain` builds on.
"""

import hashlib
from functools import cache

import numpy as np
import pyarrow as pa

from dedup.characters import MARK, RUN, SEPARATOR, SINGLE, character_classes, character_table, folded_table, folding
from dedup.columns import Column, frozen, row_blocks, text_buffers
from dedup.exact import normalise
from dedup.hashing import GOLDEN, mix_in_place
from kernels.char_shingles import char_shingle_rows
from kernels.shingles import ascii_draws, shingle_rows

SHINGLE_TOKENS = 5
UNITS = ("tokens", "chars")

_BLOCK_CHARS = 1 << 20  # bytes of documents, so characters at most, that are handled together
_PIECE_CHARS = 1 << 17  # characters hashed at once: eight arrays of it stay in the second-level cache
_STEP = 0xD6E8FEB86659FD93  # base of the polynomial over token hashes, odd


def tokens(text: str) -> list[str]:
    """The tokens of a text in order; lower case."""
    lowered = text.lower()
    starts, ends, _ = _token_spans(_code_points(lowered))
    return [lowered[a:b] for a, b in zip(starts.tolist(), ends.tolist())]


def shingle_set(text: str, n: int = SHINGLE_TOKENS) -> np.ndarray:
    """The sorted unique uint64 hashes of the shingles of one text; never empty (see `shingle_sets`)."""
    return shingle_sets(pa.array([text], pa.large_string()), n)[1]


def shingle_sets(
    texts: Column, n: int = SHINGLE_TOKENS, unit: str = "tokens", fold: tuple[str, ...] = (), salt: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The shingle sets of a column: offsets int64 (rows + 1) and values uint64, each row sorted and unique.

    `unit`: "tokens" or "chars"; `fold`: of `dedup.characters.FOLDS`; sets of another `salt` (0 .. 2**64 - 1) share
    nothing. A document with fewer than `n` tokens (characters) is compared whole: one shingle of all it has. One
    without any is compared by its normalised text. So no set is empty, and short documents are alike only if they
    are equal. Null counts as "". Memory beyond the result: at most 8 bytes for each byte of a block or of the
    longest document (tokens of English 3; characters 16).
    """
    if unit not in UNITS:
        raise ValueError(f"unit: expected one of {', '.join(UNITS)}, got {unit!r}")
    sizes, values = [np.zeros(0, np.int64)], []
    for offsets, data in text_buffers(texts):
        # two bytes make a token at the least; what is not used of this is never touched
        most = (offsets[-1] - offsets[0]) // (2 if unit == "tokens" else 1) + 2 * (len(offsets) - 1)
        room, count = np.empty(most, np.uint64), 0
        for low, high in row_blocks(offsets, _BLOCK_CHARS):
            block_sizes = _shingle_block(offsets, data, low, high, (n, unit, fold, salt), room[count:])
            sizes.append(block_sizes)
            count += int(block_sizes.sum())
        values.append(room[:count])
    counts = np.concatenate(sizes)
    return np.concatenate(([0], np.cumsum(counts))), values[0] if len(values) == 1 else _joined(values)


def _joined(values: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([*values, np.zeros(0, np.uint64)])


def _shingle_block(
    offsets: np.ndarray,
    data: np.ndarray,
    low: int,
    high: int,
    kind: tuple[int, str, tuple[str, ...], int],
    values: np.ndarray,
) -> np.ndarray:
    """Set sizes int64 (rows,) of the rows [low, high); the sets go to `values` (uint64), one after another."""
    n, unit, fold, salt = kind
    table = folded_table(fold)
    sizes = np.empty(high - low, np.int64)
    if unit == "tokens":
        shingle_rows(offsets, data, low, high, n, np.uint64(salt), table, *_ascii_draws(), sizes, values)
    else:
        char_shingle_rows(offsets, data, low, high, n, np.uint64(salt), table, sizes, values)
    untold = np.flatnonzero(sizes < 0)
    if len(untold):
        sizes[untold] = 1
        places = np.cumsum(sizes)[untold] - 1
        for place, row in zip(places.tolist(), (untold + low).tolist()):
            text = data[offsets[row] : offsets[row + 1]].tobytes().decode()
            values[place] = _text_hash(text.translate(folding(fold))) ^ salt
    return sizes


@cache
def _ascii_draws() -> tuple[np.ndarray, np.ndarray]:
    drawn, letters = ascii_draws(character_table())
    return frozen(drawn, np.uint64), frozen(letters, np.uint64)


def _text_hash(text: str) -> int:
    digest = hashlib.blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


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
    opens = classes == SINGLE
    marks = classes == MARK
    if marks.any():
        base = np.where(marks, 0, np.arange(len(codes)))
        np.maximum.accumulate(base, out=base)
        classes = classes[base]
        classes[classes == MARK] = SEPARATOR  # a mark at the very start
    is_run = classes == RUN
    opens |= is_run
    opens[1:] &= ~(is_run[1:] & is_run[:-1])
    part = classes != SEPARATOR
    closes = part.copy()
    closes[:-1] &= opens[1:] | ~part[1:]
    return np.flatnonzero(opens), np.flatnonzero(closes) + 1, classes


def _hash_spans(codes: np.ndarray, classes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """uint64 (tokens,): mix of the sum of mix(position in the token, code point). Position and character
    together draw a random number, as in tabulation hashing: no choice of characters cancels out as in a
    polynomial."""
    if not len(starts):
        return np.zeros(0, np.uint64)
    inside = np.flatnonzero(classes != SEPARATOR)
    firsts = np.searchsorted(inside, starts)
    position = inside - np.repeat(starts, np.diff(np.append(firsts, len(inside))))
    drawn = position.view(np.uint64)
    drawn <<= np.uint64(32)
    drawn |= codes[inside]
    drawn += np.uint64(GOLDEN)
    return mix_in_place(np.add.reduceat(mix_in_place(drawn), firsts))
