"""Noise for training texts: what hands, keyboards and input methods do to a text, at random and repeatable.

    noisy("The quick brown fox.", {"typos": 0.1, "drops": 0.05}, seed=7)  ->  "The quivk brown fo."
    noisy("今天天气很好。", {"spacing": 0.3}, seed=1)                      ->  "今天 天气很 好。"

Each kind has a rate, the chance of each character that it can befall. Kinds are done in the order of KINDS, each on what the
one before left. A draw is a hash of seed, kind and place, so the same text, rates and seed give the same noise everywhere.
Letters that carry combining marks are left alone, so no mark comes to stand on another letter.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable

import numpy as np

Draws = Callable[[int], np.ndarray]
"""Uniform numbers below 1, so many of them (float64)."""

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Letters of a QWERTY keyboard; the rows are half a key apart, which a neighbour above or below is one step of."""
TRIES = 8
"""Seeds tried until a text changes: a short one with small rates often stays as it is."""

LETTER, PUNCTUATION, HAN, MARK, DIGIT = 1, 2, 4, 8, 16
_PLANES = 0x32400  # all assigned letters stand below; emoji among them are none of the kinds


def noisy(text: str, rates: dict[str, float], seed: int) -> str:
    """The text with noise; as it is where TRIES seeds change nothing. `rates`: kind -> chance, 0 to 1."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    for attempt in range(TRIES):
        found = points
        for number, (name, kind) in enumerate(KINDS.items()):
            if rates.get(name) and len(found):
                found = kind(found, rates[name], functools.partial(uniform, seed, number + len(KINDS) * attempt))
        if not np.array_equal(found, points):
            return found.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return text


def uniform(seed: int, stream: int, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) of one stream of a seed: splitmix64 of their places."""
    start = np.array([(seed + stream * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF], np.uint64)
    x = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ spread(start)
    return (spread(x) >> np.uint64(11)).astype(np.float64) / 2.0**53


def spread(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser, one to one on uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# -- the kinds -------------------------------------------------------------------------------------


def _spacing(points: np.ndarray, rate: float, draws: Draws) -> np.ndarray:
    """Chinese: a space between two Han characters that has none, or the one beside a Han character gone."""
    han = _is(points, HAN)
    space, drawn = points == 32, draws(len(points)) < rate
    beside = np.append(False, han[:-1]) | np.append(han[1:], False)
    apart = np.append(han[:-1] & han[1:], False) & drawn
    kept = ~(space & beside & drawn)
    return np.insert(points, np.flatnonzero(apart) + 1, 32)[np.insert(kept, np.flatnonzero(apart) + 1, True)]


def _width(points: np.ndarray, rate: float, draws: Draws) -> np.ndarray:
    """ASCII letters, digits and signs to their full-width forms, and back."""
    half, full = (points > 32) & (points < 127), (points > 0xFF00) & (points < 0xFF5F)
    drawn = draws(len(points)) < rate
    moved = np.where(half & drawn, points + 0xFEE0, points)
    return np.where(full & drawn, points - 0xFEE0, moved).astype(np.uint32)


def _punctuation(points: np.ndarray, rate: float, draws: Draws) -> np.ndarray:
    """A mark gone, or there twice, as often."""
    drawn, marks = draws(len(points)), _is(points, PUNCTUATION)
    times = np.where(marks & (drawn < rate / 2), 0, np.where(marks & (drawn < rate), 2, 1))
    return np.repeat(points, times)


def _case(points: np.ndarray, rate: float, draws: Draws) -> np.ndarray:
    """A small letter large, or a large one small."""
    return np.where(draws(len(points)) < rate, _swapped(points), points)


def _swaps(points: np.ndarray, rate: float, draws: Draws) -> np.ndarray:
    """Two letters side by side in each other's place."""
    free = _plain(points, LETTER)
    chosen = np.append(free[:-1] & free[1:], False) & (draws(len(points)) < rate)
    # of a run every second, so that no letter moves twice
    run = np.arange(len(points)) - np.maximum.accumulate(np.where(chosen, -1, np.arange(len(points))))
    left = np.flatnonzero(chosen & (run % 2 == 1))
    found = points.copy()
    found[left], found[left + 1] = points[left + 1], points[left]
    return found


def _drops(points: np.ndarray, rate: float, draws: Draws) -> np.ndarray:
    """A letter or digit gone; never all of them."""
    gone = _plain(points, LETTER | DIGIT) & (draws(len(points)) < rate)
    return points if gone[_is(points, LETTER | DIGIT)].all() else points[~gone]


def _typos(points: np.ndarray, rate: float, draws: Draws) -> np.ndarray:
    """A Latin letter's neighbour on the keyboard in its place."""
    drawn = draws(len(points))
    around, count = _keyboard()
    inside = _plain(points, LETTER) & (points < 128) & (drawn < rate)
    at = points[inside]
    # the same draw says which neighbour: below the rate it is uniform again
    which = (drawn[inside] / rate * count[at]).astype(np.int64)
    found = points.copy()
    found[inside] = around[at, which]
    return found


KINDS: dict[str, Callable[[np.ndarray, float, Draws], np.ndarray]] = {
    "spacing": _spacing, "width": _width, "punctuation": _punctuation, "case": _case, "swaps": _swaps, "drops": _drops, "typos": _typos,
}  # fmt: skip


# -- what a character is ---------------------------------------------------------------------------


def _is(points: np.ndarray, kind: int) -> np.ndarray:
    table = _kinds()
    return (table[np.minimum(points, len(table) - 1)] & kind) > 0


def _plain(points: np.ndarray, kind: int) -> np.ndarray:
    """Of the kind, and no mark follows."""
    return _is(points, kind) & ~np.append(_is(points, MARK)[1:], False)


def _swapped(points: np.ndarray) -> np.ndarray:
    table = _cases()
    return np.where(points < len(table), table[np.minimum(points, len(table) - 1)], points)


def kind_of(character: str) -> int:
    """LETTER, PUNCTUATION, HAN, MARK, DIGIT, or several of them."""
    category = unicodedata.category(character)
    han = "CJK" in unicodedata.name(character, "") and category == "Lo"
    mark = category[0] == "M" or category == "Cf"
    return (
        LETTER * (category[0] == "L")
        + PUNCTUATION * (category[0] == "P")
        + HAN * han
        + MARK * mark
        + DIGIT * (category == "Nd")
    )


@functools.cache
def _kinds() -> np.ndarray:
    """uint8 of each code point; the last one is of no kind."""
    return np.array([*(kind_of(chr(point)) for point in range(_PLANES - 1)), 0], np.uint8)


@functools.cache
def _cases() -> np.ndarray:
    """uint32: the other case of each code point of the first plane that has one; else itself."""
    other = [chr(point).swapcase() for point in range(0xD800)]
    back = [len(each) == 1 and each.swapcase() == chr(point) for point, each in enumerate(other)]
    return np.array([ord(each) if fits else point for point, (each, fits) in enumerate(zip(other, back))], np.uint32)


@functools.cache
def _keyboard() -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of each ASCII letter, in its case (uint32 (128, 8), unused places 0), and how many."""
    around, count = np.zeros((128, 8), np.uint32), np.zeros(128, np.int64)
    for letter, near in neighbours().items():
        for change in (str.lower, str.upper):
            at = ord(change(letter))
            around[at, : len(near)], count[at] = [ord(change(other)) for other in near], len(near)
    return around, count


@functools.cache
def neighbours() -> dict[str, str]:
    """Letter -> the letters one key beside, above or below it."""
    places = {letter: (column + row / 2, row) for row, keys in enumerate(ROWS) for column, letter in enumerate(keys)}
    return {
        letter: "".join(
            other for other, (a, b) in places.items() if other != letter and abs(a - x) <= 1 and abs(b - y) <= 1
        )
        for letter, (x, y) in places.items()
    }
