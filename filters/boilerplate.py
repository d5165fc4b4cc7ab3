"""An edit that takes lines of web pages out: adverts, cookie notices, subscriptions, QR codes, paywalls.

boilerplate_lines   "The text.\\n扫描二维码，关注我们\\nMore text.\\n© 2021 Example. All rights reserved."   ->   "The text.\\nMore text."

What counts as such a line is data: configs/lines/NAME.yaml. Not covered: advertising inside a paragraph, menus (short
lines of any words), languages but English and Chinese.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from filters.counts import in_lines
from filters.registry import edit, signal
from filters.rows import pattern_of, plain, put_rows
from filters.texts import Texts, ratio

SOURCE = "this project; the rules are in configs/lines/web.yaml"
LINES = Path(__file__).resolve().parent.parent / "configs" / "lines"
LONGEST = 100  # characters of a line that is looked at: beyond that a sentence has more to say
ORNAMENTS = "-–—=*•·|>»›→▶►▼↓↑★☆◆■●~_\ufeff\u200b"


class LineRule(NamedTuple):
    """A rule of configs/lines/NAME.yaml; see the head of web.yaml."""

    name: str
    find: tuple[str, ...]
    pattern: str
    example: str


@functools.cache
def load_line_rules(name: str) -> tuple[LineRule, ...]:
    """The rules of configs/lines/NAME.yaml, in order."""
    entries = yaml.safe_load((LINES / f"{name}.yaml").read_text("utf-8"))["rules"]
    return tuple(LineRule(key, tuple(each["find"]), each["pattern"], each["example"]) for key, each in entries.items())


def bare(line: str) -> str:
    """The line without white space and ornaments at its ends: what a pattern must fit."""
    while (cut := line.strip().strip(ORNAMENTS)) != line:
        line = cut
    return line


@edit(source=SOURCE)
def boilerplate_lines(texts: Texts, *, patterns: Literal["web", "none"] = "web", extra: Sequence[str] = ()) -> pa.Array:
    """Take out lines that are nothing but advert, cookie notice, subscription, QR code, paywall or copyright notice.

    `patterns`: the list to use. `extra`: regular expressions of one's own, each for all of a line of up to 100 characters
    without white space and ornaments at its ends, upper and lower case alike. Lines end at line feeds; the others stay as
    they are, nothing left gives "". Null stays null. Errors: ValueError for an expression that cannot be read.
    """
    rules = load_line_rules(patterns) if patterns != "none" else ()
    own = [pattern_of(each, "boilerplate_lines: extra") for each in extra]
    array = plain(texts)
    if not rules and not own:
        return array
    flat, begins, gone, rows = _fitting_lines(array, rules, own)
    stays = np.ones(len(flat), bool)
    stays[gone] = False
    touched = np.unique(np.searchsorted(begins, gone, side="right") - 1)
    left = [_join(flat, stays, begins[row], begins[row + 1]) for row in touched]
    return put_rows(array, rows[touched], left)


@signal(family="plain", source=SOURCE)
def advert_line_ratio(texts: Texts) -> np.ndarray:
    """Lines that the edit boilerplate_lines takes out / lines that are not blank."""
    _, begins, gone, rows = _fitting_lines(plain(texts), load_line_rules("web"), [])
    counts = np.zeros(len(texts), np.int64)
    np.add.at(counts, rows[np.searchsorted(begins, gone, side="right") - 1], 1)
    return ratio(counts, texts.once(in_lines)["filled_rows"])


def _fitting_lines(
    array: pa.Array, rules: Sequence[LineRule], own: Sequence[str]
) -> tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray]:
    """Lines of the texts that may have one to take out; where each of these texts begins in them (and behind the last); the numbers of
    the lines to take out; the rows of the texts."""
    found = f"(?i:{'|'.join(re.escape(word) for rule in rules for word in rule.find)})"
    whole = re.compile("|".join(f"(?:{each})" for each in (*(rule.pattern for rule in rules), *own)), re.IGNORECASE)
    rows = _candidates(array, None if own else found)
    lines = pc.split_pattern(array.take(pa.array(rows)), "\n")
    at = _candidates(lines.values, None if own else found)
    fits = [_fits(whole, line) for line in lines.values.take(pa.array(at)).to_pylist()]
    return lines.values, lines.offsets.to_numpy(), at[fits], rows


def _candidates(array: pa.Array, expression: str | None) -> np.ndarray:
    """The rows in which the expression is found; None: all."""
    if expression is None:
        return np.flatnonzero(pc.is_valid(array).to_numpy(zero_copy_only=False))
    return np.flatnonzero(
        pc.fill_null(pc.match_substring_regex(array, expression), False).to_numpy(zero_copy_only=False)
    )


def _fits(whole: re.Pattern[str], line: str) -> bool:
    return len(short := bare(line)) <= LONGEST and bool(whole.fullmatch(short))


def _join(lines: pa.Array, stays: np.ndarray, begin: int, end: int) -> str:
    return "\n".join(lines[begin:end].filter(pa.array(stays[begin:end])).to_pylist())
