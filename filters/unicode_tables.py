"""What ftfy does to each character and to which pairs of them, as tables for kernels/unicode.py.

A line stays as it is if no step of ftfy does anything to it, and all steps but two look at one character at a time. The two:
the normal form, for which Unicode gives a quick check (UAX 15, section 9: canonical order, and characters that may compose with
the one in front), and the search for mojibake, which begins with one regular expression, `ftfy.badness.BADNESS_RE`: an alternative of
short sequences of character sets. Each sequence has two neighbouring sets; no such pair in a line, no match.
"""

import functools
import itertools
import re
import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

from kernels import unicode as kernel
from kernels.kept import kept_table

VERSION = "6.3."  # of ftfy, whose steps these tables speak of
_PLANE = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x10000))))
_BEYOND = "\U00020000\U0001f600\U0001d7d8\U000f0000"  # a letter, a symbol, a digit, one without a meaning
_ITEM = re.compile(r"(\[(?:\\.|[^\]\\])*\]|\\.|[^\s#()*+{}|?\[\]])(\??)", re.DOTALL)
_BLOCK = 256


class Tables(NamedTuple):
    """`changed`: what becomes of a character that is changed wherever it stands. The others: see kernels/unicode.py."""

    traits: np.ndarray  # uint32 of shape (KNOWN,)
    pairs: np.ndarray  # uint8 of shape (CLASSES, CLASSES)
    changed: dict[str, str]


@kept_table(__file__, packages=("ftfy",))
def find_tables(quotes: bool, widths: bool, normalization: str) -> Tables:
    """The tables for one set of options; some 0.2 s to make."""
    classes, pairs = _pairs()
    traits = np.zeros(kernel.KNOWN, np.uint32)
    traits |= classes
    changed = _changed(quotes, widths)
    traits[list(map(ord, changed))] |= np.uint32(kernel.CHANGED << 16)
    if normalization != "none":
        traits |= _order(normalization)
    for char, flag in (("\n", kernel.LINE_FEED), ("&", kernel.AMPERSAND), ("<", kernel.LESS_THAN)):
        traits[ord(char)] |= np.uint32(flag << 16)
    traits.setflags(write=False)
    pairs.setflags(write=False)
    return Tables(traits, pairs, changed)


def _chars() -> list[str]:
    """All that the tables speak of, lone surrogates too: they do not occur, but keep the places right."""
    return list(map(chr, range(kernel.KNOWN)))


def _changed(quotes: bool, widths: bool) -> dict[str, str]:
    """The characters that ftfy changes one by one, and what they become by its steps in their order."""
    from ftfy import fixes

    steps = [fixes.fix_c1_controls, fixes.fix_latin_ligatures]
    steps += [fixes.fix_character_width] if widths else []
    steps += [fixes.uncurl_quotes] if quotes else []
    steps += [fixes.fix_line_breaks, fixes.remove_control_chars]
    changed = {}
    for first in range(0, kernel.KNOWN, _BLOCK):
        block = "".join(map(chr, range(first, first + _BLOCK)))
        if any(step(block) != block for step in steps):
            for char in block:
                become = functools.reduce(lambda text, step: step(text), steps, char)
                if become != char:
                    changed[char] = become
    return changed


def _order(form: str) -> np.ndarray:
    """Combining classes, and what may not stand in the normal form: parts of `traits`."""
    chars = _chars()
    ranks = np.fromiter(map(unicodedata.combining, chars), np.uint32, kernel.KNOWN)
    uncertain = np.array([not unicodedata.is_normalized(form, char) for char in chars])  # type: ignore[arg-type]
    for first, last in ((0x1161, 0x1175), (0x11A8, 0x11C2)):  # Hangul vowels and finals join what is in front
        uncertain[first : last + 1] = True
    for decomposition in map(unicodedata.decomposition, chars):
        if " " in decomposition and decomposition[0] != "<":
            uncertain[int(decomposition.split()[1], 16)] = True
    flags = uncertain * np.uint32(kernel.UNCERTAIN) + (ranks > 0) * np.uint32(kernel.MARK)
    return ranks << np.uint32(8) | flags.astype(np.uint32) << np.uint32(16)


@cache
def _pairs() -> tuple[np.ndarray, np.ndarray]:
    """(the class of each code point, uint32 of shape (KNOWN,); which pairs of classes may be mojibake)

    Characters that stand in the same sets are of one class.
    """
    from ftfy.badness import BADNESS_RE

    sequences = _sequences(BADNESS_RE.pattern)
    chosen = [_rarest(items) for items in sequences if len(items) > 1]
    alone = [items[0][0] for items in sequences if len(items) == 1]
    rows = np.stack([_members(item) for item in (*itertools.chain(*chosen), *alone)])  # (sets, KNOWN + 1)
    packed = np.ascontiguousarray(np.packbits(rows, axis=0).T)
    _, firsts, members = np.unique(packed.view(f"V{packed.shape[1]}"), return_index=True, return_inverse=True)
    members = members.reshape(-1)
    if len(firsts) + 1 > kernel.CLASSES:
        raise ValueError(f"{len(firsts)} kinds of characters in ftfy's search for mojibake; there is room for 255")
    # class 0 is that of no character, for the start of a line; what lies beyond has a fixed one
    order = [members[-1], *(kind for kind in range(len(firsts)) if kind != members[-1])]
    number = np.zeros(len(order), np.uint32)
    number[order] = np.arange(len(order), dtype=np.uint32) + kernel.BEYOND
    pairs = np.zeros((kernel.CLASSES, kernel.CLASSES), np.uint8)
    kinds = rows[:, firsts]
    for place in range(len(chosen)):
        pairs[np.ix_(number[kinds[2 * place]], number[kinds[2 * place + 1]])] = 1
    pairs[:, number[kinds[2 * len(chosen) :].any(axis=0)]] = 1  # with whatever stands in front
    return number[members[:-1]], pairs


def _sequences(pattern: str) -> list[list[tuple[str, bool]]]:
    """The alternatives of a verbose pattern: for each its items, and whether an item may be missing.

    Errors: ValueError if there is more in it than sets, characters and "?".
    """
    found: list[list[tuple[str, bool]]] = [[]]
    at = 0
    while at < len(pattern):
        if pattern[at].isspace():
            at += 1
        elif pattern[at] == "#":
            at = pattern.index("\n", at)
        elif pattern[at] == "|":
            found.append([])
            at += 1
        elif item := _ITEM.match(pattern, at):
            found[-1].append((item[1], bool(item[2])))
            at = item.end()
        else:
            raise ValueError(f"ftfy's search for mojibake cannot be read at {pattern[at : at + 20]!r}")
    return found


def _rarest(items: list[tuple[str, bool]]) -> tuple[str, str]:
    """Two neighbouring sets, both there in each match, with the fewest pairs of characters.

    One of them has no ASCII, so that runs of ASCII need no look.
    """
    found = []
    for (first, optional), (second, other) in itertools.pairwise(items):
        if optional or other or "^" in (first, second):
            continue
        one, two = _members(first), _members(second)
        if not (one[:128].any() and two[:128].any()):
            found.append((int(one.sum()) * int(two.sum()), first, second))
    if not found:
        raise ValueError(f"ftfy's search for mojibake cannot be read: {items}")
    return min(found)[1:]


@cache
def _members(item: str) -> np.ndarray:
    """Which code points match a set: bool of shape (KNOWN + 1,). The last one speaks for all beyond plane 0, and so do all
    of plane 1; sets speak of those only as a whole, by being complements or by \\w."""
    if any(char > "\uffff" for char in item):
        raise ValueError(f"ftfy's search for mojibake cannot be read: {item!r}")
    expression = re.compile(item, re.DOTALL)
    found = np.zeros(kernel.KNOWN + 1, bool)
    found[list(map(ord, expression.findall(_PLANE)))] = True
    found[0x10000:] = bool(expression.search(_BEYOND))
    return found
