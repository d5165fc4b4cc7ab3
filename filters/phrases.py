"""Lists of words and phrases made ready for kernels/phrases.py, and what it counts written plainly.

What of a list is used: each line in lower case, white space at its ends taken off, in Unicode's form NFC. Lines without a letter
("13.") are left out, and so are single letters: as parts of other words they say nothing ("性" is in "可能性" and "性能").
"""

import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np

from filters.kinds import kind_table, lower_table
from kernels import phrases as kernel
from kernels.characters import ALNUM
from kernels.runs import UNKNOWN

# Scripts without spaces between words: Thai and Lao, Myanmar, Khmer, kana and Bopomofo, Han, Yi
UNSPACED = (
    (0x0E00, 0x0F00),
    (0x1000, 0x10A0),
    (0x1780, 0x1800),
    (0x3005, 0x3008),
    (0x3031, 0x3130),
    (0x31A0, 0x31C0),
    (0x31F0, 0x3200),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA4D0),
    (0xAA60, 0xAA80),
    (0xF900, 0xFB00),
    (0xFF66, 0xFFA0),
    (0x20000, 0x40000),
)


def used(lines: Iterable[str]) -> frozenset[str]:
    """The phrases of a list that are looked for."""
    phrases = {"".join(map(_small, unicodedata.normalize("NFC", line.strip()))) for line in lines}
    return frozenset(phrase for phrase in phrases if len(phrase) > 1 and any(map(str.isalpha, phrase)))


def trie_of(phrases: Iterable[str]) -> kernel.Trie:
    """The trie of phrases that `used` gave."""
    return kernel.build_trie([list(map(ord, phrase)) for phrase in sorted(phrases)])


@cache
def class_table() -> np.ndarray:
    """uint8 of shape (kernels.characters.TABLE_SIZE,): kernels.phrases.WORD, RUN or OTHER for each code point."""
    table = np.where(kind_table() & ALNUM, kernel.WORD, kernel.OTHER).astype(np.uint8)
    for first, end in ((0x300, 0xD800), (0xF900, 0x40000), (0xE0000, 0xE1000)):
        table[[code for code in range(first, end) if unicodedata.category(chr(code))[0] == "M"]] = kernel.WORD
    for first, end in UNSPACED:
        table[first:end] = kernel.RUN
    table.setflags(write=False)
    return table


@cache
def small_table() -> np.ndarray:
    """uint32: filters.kinds.lower_table with a character in place of those that need a look at their neighbours."""
    table = lower_table().copy()
    for code in np.flatnonzero(table == UNKNOWN).tolist():
        table[code] = ord(_small(chr(code)))
    table.setflags(write=False)
    return table


def plain_counts(text: str, phrases: frozenset[str]) -> tuple[int, int]:
    """The twin of kernels.phrases.count_phrases: (phrases found, their characters)."""
    small = "".join(map(_small, text))
    kinds = [*map(_class, text), kernel.OTHER]
    longest = max(map(len, phrases), default=0)
    found = chars = at = 0
    while at < len(text):
        width = 0
        if at == 0 or not kinds[at - 1] == kinds[at] == kernel.WORD:
            ends = range(min(at + longest, len(text)), at, -1)
            edges = (end for end in ends if not kinds[end - 1] == kinds[end] == kernel.WORD)
            width = next((end - at for end in edges if small[at:end] in phrases), 0)
        found += bool(width)
        chars += width
        at += max(width, 1)
    return found, chars


def _small(character: str) -> str:
    """The lower case if that is one character; capital sigma by itself."""
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _class(character: str) -> int:
    code = ord(character)
    if any(first <= code < end for first, end in UNSPACED):
        return kernel.RUN
    return kernel.WORD if character.isalnum() or unicodedata.category(character)[0] == "M" else kernel.OTHER
