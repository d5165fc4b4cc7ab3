"""The affix rule: how text is cut into words and symbols, and lines into sentences.

    "Don't stop (e.g. at 5km)..."  ->  Do n't stop ( e.g. at 5 km ) ...

Text is cut at white space. From each chunk marks are stripped from the front and then from the end, one at a
time; then come English contractions and units after a number; what is left is cut at marks inside it
("and/or", "well-known"). Every Han or kana character is a word of its own. That is close to the English rules
of spaCy, which datatrove's filters count with, so that thresholds tuned there mean the same here
(tests/test_agreement.py holds the share of equal decisions), without a list of a thousand special words. Not
covered: words of scripts without spaces other than Chinese and Japanese (Thai, Khmer, Lao stay whole chunks),
and emoticons.
"""

from itertools import chain
from typing import Any

from filters.characters import (
    CJK_CLASS,
    CURRENCY,
    HYPHENS,
    QUOTES,
    SENTENCE_ENDS,
    can_lead,
    can_trail,
    is_pictograph,
    is_punctuation,
)
from filters.late import late

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Rae et al. 2021, section A.1.1

_CJK = late(f"[{CJK_CLASS}]")
_CJK_TOKEN = late(rf"[{CJK_CLASS}]|[^\W_{CJK_CLASS}]+|[\W_]")
_DOTS = late(r"\.\.+")
_CONTRACTION = late(r"(?<=.)(?:n['’]t|['’](?:ll|re|ve|d|m))$|(?<=^[cC]an)not$")
_UNIT = late(
    r"(?<=[0-9])(?:km|m|dm|cm|mm|nm|ha|ft|in|yd|g|kg|mg|t|lb|oz|Pa|hPa|kPa|mbar|mb|MB|kb|kB|KB|gb|GB|tb|TB|T|G|M|K"
    r"|am|pm|AM|PM)$"
)
# an address is one word, except behind other text: [here](http://...
_URL = late(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MARK_INSIDE = late(r"\.\.+|-{1,3}|——|[^\w\s]")
_ABBREVIATION = late(r"[^\W\d_]\.(?:[^\W\d_]\.)*")  # a.  e.g.  U.S.


def split_words(text: str) -> list[str]:
    """The words and symbols of `text` in order; none is empty and none holds white space."""
    return list(chain.from_iterable(map(_TOKENS.__getitem__, text.split())))


def count_sentences(line: str) -> int:
    """Sentences of a line: one more than the words that follow a sentence end; 0 if there is no word.

    Closing quotes and brackets after the end belong to the sentence before.
    """
    sentences = 1
    ended = False
    chunks = line.split()
    for chunk in chunks:
        new, ended = _SENTENCES[chunk, ended]
        sentences += new
    return sentences if chunks else 0


def split_chunk(chunk: str) -> tuple[str, ...]:
    """The words of a piece of text without white space."""
    if _CJK.search(chunk):
        return tuple(_CJK_TOKEN.findall(chunk))
    if chunk.isalnum() and chunk.isascii() and chunk[0].isalpha() and len(chunk) != 6:  # 6: "cannot"
        return (chunk,)
    words: list[str] = []
    start, end = 0, len(chunk)
    while start < end and (width := _leading(chunk, start, end)):
        words.append(chunk[start : start + width])
        start += width
    ends = [end]
    while start < end and (width := _trailing(chunk, start, end)):
        end -= width
        ends.append(end)
    if start < end:
        words += _split_core(chunk[start:end])
    words += [chunk[first:last] for first, last in zip(reversed(ends), reversed(ends[:-1]), strict=False)]
    return tuple(words)


def _leading(chunk: str, start: int, end: int) -> int:
    """How many characters are cut off the front of chunk[start:end]; 0 for none."""
    char = chunk[start]
    if char == ".":
        dots = _DOTS.match(chunk, start, end)
        return len(dots[0]) if dots else 0
    if char == "+":
        return 0 if chunk[start + 1 : start + 2].isdigit() else 1
    return 1 if can_lead(char) else 0


def _trailing(chunk: str, start: int, end: int) -> int:
    """How many characters are cut off the end of chunk[start:end]; 0 for none."""
    char = chunk[end - 1]
    if char == ".":
        return _trailing_dots(chunk, start, end)
    if can_trail(char):
        return 1
    before = chunk[end - 2] if end - 2 >= start else ""
    if (char in "+%" or char in CURRENCY) and before.isdigit():
        return 1
    if char in "sS" and before and before in "'’" and end - 2 > start:
        return 2
    return 0


def _trailing_dots(chunk: str, start: int, end: int) -> int:
    """A run of dots always; one dot where it ends a sentence and not an abbreviation."""
    run = end - start - len(chunk[start:end].rstrip("."))
    if run > 1 or run == end - start:
        return run
    if end - start <= 16 and _ABBREVIATION.fullmatch(chunk, start, end):
        return 0
    before = chunk[end - 2]
    if before.islower() or before.isdigit() or before in "%-+²" or can_trail(before):
        return 1
    return 1 if end - 3 >= start and chunk[end - 3 : end - 1].isupper() and chunk[end - 3].isalpha() else 0


def _split_core(core: str) -> list[str]:
    """What is left between the marks: a contraction or unit at the end, or cuts at marks inside."""
    tail = _CONTRACTION.search(core) or _UNIT.search(core)
    if tail:
        return [*_split_core(core[: tail.start()]), tail[0]]
    if core.isalnum() or _URL.match(core):
        return [core]
    words = []
    start = 0
    for mark in _MARK_INSIDE.finditer(core):
        if mark.start() > 0 and _cuts(core[mark.start() - 1], mark[0], core[mark.end() : mark.end() + 1]):
            words += [core[start : mark.start()], mark[0]]
            start = mark.end()
    words.append(core[start:])
    return [word for word in words if word]


def _cuts(before: str, mark: str, after: str) -> bool:
    """Whether a mark inside a word, between these two characters, cuts it."""
    if mark.startswith("..") or mark == "…" or is_pictograph(mark[0]):
        return True
    if mark in "+-*^" and before.isdigit() and (after.isdigit() or after == "-"):
        return True
    if mark == ".":
        return (before.islower() or before in QUOTES) and (after.isupper() or after in QUOTES)
    if mark == ",":
        return before.isalpha() and after.isalpha()
    return (mark in HYPHENS or mark in ":<>=/") and before.isalnum() and after.isalpha()


class _Known(dict):
    """Results by key, worked out when first asked for: most chunks of a text were seen before.

    Long chunks are not kept and the whole is emptied when it is full, so it stays below some 50 MB.
    """

    FULL = 200_000  # chunks; English text has some 60,000 different ones in 50 MB
    LONG = 32  # characters

    def keep(self, chunk: str, key: Any, result: Any) -> Any:
        if len(chunk) <= self.LONG:
            if len(self) >= self.FULL:
                self.clear()
            self[key] = result
        return result


class _Tokens(_Known):
    def __missing__(self, chunk: str) -> tuple[str, ...]:
        return self.keep(chunk, chunk, split_chunk(chunk))


class _Sentences(_Known):
    """(chunk, whether a sentence ended before it) -> (sentences that begin in it, whether one ended at its
    end)."""

    def __missing__(self, key: tuple[str, bool]) -> tuple[int, bool]:
        chunk, ended = key
        begun = 0
        for word in split_chunk(chunk):
            if word in SENTENCE_ENDS:
                ended = True
            elif ended and not all(map(is_punctuation, word)):
                begun, ended = begun + 1, False
        return self.keep(chunk, key, (begun, ended))


_TOKENS = _Tokens()
_SENTENCES = _Sentences()
