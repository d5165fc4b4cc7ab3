"""Repeated lines and repeated runs of tokens once more, in plain Python.

Nothing calls this but tests: it is what the kernels must agree with, and the place to read what they compute."""

import unicodedata
from collections import defaultdict

from dedup.characters import SEPARATOR, character_classes
from dedup.shingles import _code_points, _token_spans

# -- lines -----------------------------------------------------------------------------------------


def normal_form(unit: str) -> str:
    """What of a line or paragraph is compared (see `dedup.lines`)."""
    # one character after another: here a sigma has one lower case, wherever it stands, and a dotted I has no dot
    lowered = "".join("i" if c == "İ" else c.lower().replace("ς", "σ") for c in unit)
    classes = character_classes()
    kept = (c for c in lowered if classes[ord(c)] != SEPARATOR)
    return "".join("0" if unicodedata.category(c) == "Nd" else c for c in kept)


def units(text: str, paragraphs: bool = False) -> list[list[int]]:
    """The units of a text, as numbers of its lines."""
    found: list[list[int]] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line or line.isspace():
            continue
        if paragraphs and found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def unit_text(text: str, lines: list[int]) -> str:
    return "\n".join(text.split("\n")[lines[0] : lines[-1] + 1])


def without_lines(text: str, cut: set[int]) -> str:
    """The text without the lines of these numbers, none of which is blank."""
    kept: list[str] = []
    after_cut = False
    for number, line in enumerate(text.split("\n")):
        blank = not line or line.isspace()
        if number in cut:
            after_cut = True
        elif not (blank and after_cut and (not kept or not kept[-1] or kept[-1].isspace())):
            kept.append(line)
            after_cut = False
    while after_cut and kept and (not kept[-1] or kept[-1].isspace()):
        kept.pop()
    return "\n".join(kept)


# -- runs of tokens --------------------------------------------------------------------------------


def token_spans(text: str) -> list[tuple[int, int]]:
    """Begin and end of each token of a text, in characters."""
    # lower case of one character at a time: places stay those of the text
    lowered = "".join(c.lower()[0] for c in text)
    starts, ends, _ = _token_spans(_code_points(lowered))
    return list(zip(starts.tolist(), ends.tolist()))


def repeated_windows(tokens: dict[int, list[str]], k: int, keep_first: bool) -> dict[int, set[int]]:
    """Document -> first tokens of the windows to cut. `tokens` by document, in the order that says who is first."""
    places: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for doc, words in tokens.items():
        for at in range(len(words) - k + 1):
            places[tuple(words[at : at + k])].append((doc, at))
    cut: dict[int, set[int]] = defaultdict(set)
    for equal in places.values():
        first = equal[0]
        apart = [place for place in equal if place[0] != first[0] or place[1] >= first[1] + k]
        for doc, at in (apart if keep_first else equal) if apart else []:
            cut[doc].add(at)
    return cut


def without_windows(text: str, windows: set[int], k: int) -> str:
    """The text without the tokens that the windows cover, and without the punctuation behind them."""
    places = token_spans(text)
    covered = {at for first in windows for at in range(first, first + k)}
    result, copied = "", 0
    for token in sorted(covered):
        if token - 1 in covered:
            continue
        last = token
        while last + 1 in covered:
            last += 1
        cut, end = places[token][0], places[last][1]
        result += text[copied:cut]
        copied = _behind_punctuation(text, end, at_line_start=cut == 0 or text[cut - 1] == "\n")
    return result + text[copied:]


def _behind_punctuation(text: str, end: int, at_line_start: bool) -> int:
    classes = character_classes()
    while end < len(text) and not text[end].isspace() and unicodedata.category(text[end]) not in ("Ps", "Pi"):
        if classes[ord(text[end].lower()[0])] != SEPARATOR:
            break
        end += 1
    blank = end
    while blank < len(text) and text[blank].isspace():
        blank += 1
    return blank if at_line_start or "\n" not in text[end:blank] else end
