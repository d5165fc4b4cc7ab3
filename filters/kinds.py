"""The table of character kinds that the kernels read, made from the sets of filters/characters.py."""

import unicodedata

import numpy as np

from filters import characters
from filters.characters import CURRENCY, QUOTES, SENTENCE_ENDS, SYMBOLS, can_lead, can_trail
from kernels import characters as bits
from kernels.kept import kept_table
from kernels.runs import UNKNOWN

# Everything that is of some kind: planes 0 to 3, and the tags and variation selectors. Beyond are code points without
# a meaning and private ones, which are of no kind (tests/test_text_kernels.py looks).
_SPANS = ((0, 0xD800), (0xE000, 0x40000), (0xE0000, 0xE1000))
CJK_SPANS = (
    (0x3005, 0x3008),
    (0x3040, 0x3100),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xF900, 0xFB00),
    (0x20000, 0x40000),
)


@kept_table(__file__, characters.__file__)
def kind_table() -> np.ndarray:
    """uint16 of shape (kernels.characters.TABLE_SIZE,): the kinds of each code point."""
    table = np.zeros(bits.TABLE_SIZE, np.uint16)
    tests = {
        bits.SPACE: str.isspace,
        bits.ALPHA: str.isalpha,
        bits.ALNUM: str.isalnum,
        bits.DIGIT: str.isdigit,
        bits.DECIMAL: str.isdecimal,
        bits.UPPER: str.isupper,
        bits.LOWER: str.islower,
    }
    categories = {
        bits.TITLE: ("Lt",),
        bits.PICTOGRAPH: ("So",),
        bits.PUNCTUATION: ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"),
    }
    for first, end in _SPANS:
        chars = list(map(chr, range(first, end)))
        for bit, test in tests.items():
            table[first:end] |= np.fromiter(map(test, chars), bool, end - first) * np.uint16(bit)
        category = np.array(list(map(unicodedata.category, chars)), "S2")
        for bit, names in categories.items():
            table[first:end] |= np.isin(category, np.array(names, "S2")) * np.uint16(bit)
    for bit, members in ((bits.SYMBOL, SYMBOLS), (bits.SENTENCE_END, SENTENCE_ENDS), (bits.QUOTE, QUOTES)):
        table[list(map(ord, members))] |= np.uint16(bit)
    for first, end in CJK_SPANS:
        table[first:end] |= np.uint16(bits.CJK)
    marks = np.flatnonzero((table & (bits.PUNCTUATION | bits.PICTOGRAPH | bits.SYMBOL | bits.QUOTE)) != 0).tolist()
    for code in {*marks, *map(ord, CURRENCY), *map(ord, "$+<=>^`|~")}:
        table[code] |= np.uint16(bits.LEAD * can_lead(chr(code)) + bits.TRAIL * can_trail(chr(code)))
    table.setflags(write=False)
    return table


@kept_table(__file__)
def lower_table() -> np.ndarray:
    """uint32: the lower case of each code point; those behind the end have none (kernels/runs.py)."""
    last = 0x1E921  # the last character with another lower case, an Adlam letter
    table = np.arange(last + 1, dtype=np.uint32)
    for code in range(last + 1):
        lower = chr(code).lower()
        # sigma is written in two ways in lower case, by what stands around it
        table[code] = ord(lower) if len(lower) == 1 and code != 0x3A3 else UNKNOWN
    table.setflags(write=False)
    return table
