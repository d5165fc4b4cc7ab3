"""What a character is for tokens and for lower case: one table for the kernels, from Python's own Unicode data."""

import unicodedata
from functools import cache

import numpy as np

from kernels.kept import kept_table

# Ranges of Han, kana and Hangul (U+3005-3007 and U+30FC are letters inside such words)
_SINGLE_RANGES = (
    *((0x1100, 0x11FF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C)),
    *((0x3041, 0x3096), (0x309D, 0x30FF), (0x3130, 0x318F), (0x31F0, 0x31FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF)),
    *((0xFF66, 0xFFDC), (0x1AFF0, 0x1B16F), (0x20000, 0x323AF)),
)
_HAN_RANGES = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
FOLDS = ("width", "simplified")
SEPARATOR, RUN, SINGLE, MARK = range(4)
_PLANES, _MARK_PLANES = 0x40000, 0x20000  # nothing above but variation selectors, which are added by hand
_COUNT = 0x110000
_CASED_PLANES = ((0, 0x20000), (0xE0000, 0xE1000))  # cased and case-ignorable characters are in these
_SPACES_END = 0x3001  # the last character that is white space is U+3000
_SPECIAL = (0x130, 0x3A3)  # dotted capital I: two characters in lower case; capital sigma: hangs on its neighbours


@kept_table(__file__)
def character_classes() -> np.ndarray:
    """uint8 by code point (0x110000): 0 separator, 1 letter of a run, 2 token by itself, 3 combining mark."""
    characters = list(map(chr, range(_PLANES)))
    letters = np.fromiter(map(str.isalnum, characters), bool, _PLANES)
    letters[ord("_")] = True
    classes = np.zeros(_COUNT, np.uint8)
    classes[:_PLANES][letters] = RUN
    others = np.flatnonzero(~letters[:_MARK_PLANES])
    kinds = "".join(map(unicodedata.category, map(characters.__getitem__, others.tolist())))  # two letters each
    classes[others[np.frombuffer(kinds.encode(), np.uint8)[::2] == ord("M")]] = MARK
    classes[0xE0100:0xE01F0] = MARK
    for low, high in _SINGLE_RANGES:
        part = classes[low : high + 1]
        part[part == RUN] = SINGLE
    return classes


@kept_table(__file__)
def character_table() -> np.ndarray:
    """uint32 by code point, as `kernels.letters` reads it."""
    codes = np.arange(_COUNT, dtype=np.uint32)
    codes[0xD800:0xE000] = 0xFFFD
    codes[list(_SPECIAL)] = ord(" ")
    # nothing but the sigma hangs on its neighbours, so all can be lower-cased in one string
    lower = _lowered(codes)
    lower[list(_SPECIAL)] = 0x69, 0x3C3
    table = lower | character_classes()[lower].astype(np.uint32) << 21
    for part in _CASED_PLANES:
        cased, ignorable = _around_sigma(np.arange(*part, dtype=np.uint32))
        table[slice(*part)] |= cased << 23 | ignorable << 24
    spaces = [code for code in range(_SPACES_END) if chr(code).isspace()]
    table[spaces] |= 1 << 25
    table[list(_SPECIAL)] |= 1 << 26
    table.flags.writeable = False
    return table


@cache
def folding(fold: tuple[str, ...]) -> dict[int, int]:
    """Code point -> code point, for `str.translate`: what counts as one character under these folds, of FOLDS.

    `simplified` is OpenCC's t2s of each character alone, so both sides of a pair come out equal whatever phrase a
    character stands in. Errors: ValueError if OpenCC is not installed.
    """
    found: dict[int, int] = {}
    if "width" in fold:
        found |= {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
    if "simplified" in fold:
        found |= _simplified()
    return found


def _simplified() -> dict[int, int]:
    try:
        import opencc
    except ImportError:
        raise ValueError(
            "fold: {simplified: true} needs OpenCC, which is not installed. Next: pip install 'gristmill[chinese]' (or: pip install opencc)"
        ) from None
    codes = [code for low, high in _HAN_RANGES for code in range(low, high + 1)]
    simple = opencc.OpenCC("t2s").convert("\n".join(map(chr, codes))).split("\n")
    once = {code: ord(to) for code, to in zip(codes, simple, strict=True) if len(to) == 1 and ord(to) != code}
    return {code: once.get(to, to) for code, to in once.items()}  # 薴 is 苧, and that is 苎


@cache
def folded_table(fold: tuple[str, ...]) -> np.ndarray:
    """`character_table` in which each character has the entry of what it folds to."""
    if not fold:
        return character_table()
    table = character_table().copy()
    to = folding(fold)
    table[list(to)] = character_table()[list(to.values())]
    table.flags.writeable = False
    return table


def _around_sigma(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint32: cased, case-ignorable. Asked of `str.lower` itself: a sigma is final after a cased letter, with or
    without ignorable characters between."""
    probe = np.full((len(codes), 4), ord(" "), np.uint32)
    probe[:, 1], probe[:, 2] = codes, 0x3A3
    probe[(codes >= 0xD800) & (codes < 0xE000), 1] = ord(" ")
    probe[codes == 0x130, 1] = ord("I")  # cased as well, and one character in lower case
    cased = _lowered(probe)[2::4] == 0x3C2
    probe[:, 0] = ord("a")
    ignorable = (_lowered(probe)[2::4] == 0x3C2) & ~cased
    return cased.astype(np.uint32), ignorable.astype(np.uint32)


def _lowered(codes: np.ndarray) -> np.ndarray:
    text = codes.tobytes().decode("utf-32-le").lower()
    return np.frombuffer(text.encode("utf-32-le"), np.uint32).copy()
