"""Wikitext to plain text.

    '''Grist''' is [[grain|corn]]<ref>A mill.</ref> that {{lang|en|has}} been ...   ->   Grist is corn that  been ...

Kept: paragraphs, headings (their words on a line), list items (a "-" for each mark), the words of links, the text of
HTML tags. Out: templates, tables, references, comments, files, categories, links to other languages, formulas, code
galleries, magic words. Templates are programs that live on other pages: what they would write (units, dates, quoted
names) is missing, which is the price of reading a dump alone. Time grows with the length only, whatever the nesting.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple


class Wiki(NamedTuple):
    """Names of namespaces in lower case: links to `files` and `categories` are no words of the text."""

    files: frozenset[str] = frozenset({"file", "image"})
    categories: frozenset[str] = frozenset({"category"})


COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
VERBATIM = ("nowiki", "pre", "source", "syntaxhighlight")
GONE = (
    "ref",
    "math",
    "chem",
    "ce",
    "gallery",
    "timeline",
    "score",
    "graph",
    "mapframe",
    "imagemap",
    "templatestyles",
    "hiero",
)
PAIRED = re.compile(rf"<(/?)({'|'.join(VERBATIM + GONE)})\b[^<>]*?(/?)>", re.IGNORECASE)
# patterns begin with a fixed sign where they can ("\\n", not "^"): the search is ten times faster then
NESTS = re.compile(r"[\[\]{}|](?:(?<=\{)[{|]|(?<=\})\}|(?<=\[)\[|(?<=\])\]|(?<=\n\|)\}(?!\}))")
CLOSES = {"}}": "{{", "|}": "{|", "]]": "[["}
EXTERNAL = re.compile(r"\[(?<!\[\[)(?:https?:|ftp:)?//[^\s\[\]]{1,2000}(?: ([^\[\]\n]{0,2000}))?\]")
HEADING = re.compile(r"\n=.*")
ITEM = re.compile(r"\n([*#:;]+)[ \t]*")
QUOTES = re.compile(r"''+")
MAGIC = re.compile(r"__[A-Z]{3,}__")
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>")
RULE = re.compile(r"\n----+")
LINES = re.compile(r"\n\n\n+")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?")  # a link "[[fr:Mouture]]" stands beside the article
KEPT = "\ue000{}\ue001"  # private characters that stand for a passage that is no wikitext
KEPT_PLACE = re.compile("\ue000(\\d+)\ue001")


def plain(text: str, wiki: Wiki | None = None) -> str:
    """The words of a page of wikitext."""
    kept: list[str] = []

    text = "\n" + text.replace("\ue000", "").replace("\ue001", "")
    text = _paired(COMMENT.sub("", text), kept)
    text = EXTERNAL.sub(lambda found: found[1] or "", text)
    text = _nested(text, wiki or Wiki())
    text = HEADING.sub(_heading, text)
    text = ITEM.sub(_item, text)
    text = MAGIC.sub("", QUOTES.sub("", text))
    text = RULE.sub("\n", TAG.sub("", BREAK.sub("\n", text)))
    text = html.unescape(text).replace("\xa0", " ")
    text = KEPT_PLACE.sub(lambda found: kept[int(found[1])], text)
    text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    return LINES.sub("\n\n", text).strip()


def _paired(text: str, kept: list[str]) -> str:
    """Without what stands between the tags of `GONE`; what stands between those of `VERBATIM` goes to `kept`, and its
    number stays. A tag that is never closed is left as it is."""
    tags = list(PAIRED.finditer(text))
    closing: dict[str, list[re.Match[str]]] = {}
    for tag in reversed(tags):  # the next one is the last of the list
        if tag[1]:
            closing.setdefault(tag[2].lower(), []).append(tag)
    out: list[str] = []
    at = 0
    for tag in tags:
        if tag.start() < at or tag[1]:
            continue
        ends, name = closing.get(tag[2].lower(), []), tag[2].lower()
        while ends and ends[-1].start() < tag.end():
            ends.pop()
        end = tag if tag[3] else ends[-1] if ends else None
        if end is not None:
            out.append(text[at : tag.start()])
            if name in VERBATIM and end is not tag:
                kept.append(text[tag.end() : end.start()])
                out.append(KEPT.format(len(kept) - 1))
            at = end.end()
    return "".join([*out, text[at:]])


def _heading(found: re.Match[str]) -> str:
    line = found[0].rstrip()
    words = line.strip("\n=").strip()
    return "\n" + words if line.endswith("=") and words else found[0]


def _item(found: re.Match[str]) -> str:
    return "\n- " if found[1][-1] in "*#" else "\n"


def _nested(text: str, wiki: Wiki) -> str:
    """Without templates and tables, and with links as their words, in one pass with a stack.

    A mark that is never closed is dropped alone: what lies behind it is text, not the rest of a template.
    """
    stack: list[tuple[str, list[str]]] = [("", [])]
    at = 0
    for found in NESTS.finditer(text):
        sign = found[0]
        stack[-1][1].append(text[at : found.start()])
        at = found.end()
        if sign not in CLOSES:
            stack.append((sign, []))
            continue
        depth = next((i for i in range(len(stack) - 1, max(len(stack) - 9, 0), -1) if stack[i][0] == CLOSES[sign]), 0)
        if not depth:
            continue
        inner = _joined(stack, depth)
        stack[-1][1].append(_link(inner, wiki) if sign == "]]" else "")
    stack[-1][1].append(text[at:])
    return _joined(stack, 0)


def _joined(stack: list[tuple[str, list[str]]], depth: int) -> str:
    """Takes the stack down to `depth`; marks above it that were never closed leave only their text."""
    parts = [part for _, level in stack[depth:] for part in level]
    del stack[depth:]
    return "".join(parts)


def _link(inner: str, wiki: Wiki) -> str:
    target, bar, words = inner.partition("|")
    space, colon, _ = target.strip().lower().partition(":")
    if colon and space and (space in wiki.files or space in wiki.categories):
        return ""
    if colon and not bar and LANGUAGE.fullmatch(space):
        return ""
    if not bar:
        return target.strip().removeprefix(":")
    return words.rpartition("|")[2] if "|" in words else words
