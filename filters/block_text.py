"""Blocks of a page, set as text or as Markdown.

    Block(markup="They <b>grind</b>.", item=4, number=0, lists=1, ...)   ->   "  • They grind."   or   "- They **grind**."

Text is set as the `resiliparse` engine sets it: an empty line between paragraphs, list items on lines of their own, a tab
between the cells of a row. Markdown (CommonMark with pipe tables) has headings, lists, code blocks, tables, quotes, strong and emphasised
text, inline code and, if asked for, links. Characters that could be read as marks are not escaped: what is wanted is text for a model to
read, not a page to render. Cells of tables that lay out a page rather than hold data become paragraphs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """A run of text between block-level tags and where it stands; nodes are numbers of elements, -1: in none."""

    markup: str
    item: int = -1
    number: int = 0  # of the item in an <ol>, 0 in other lists
    lists: int = 0
    cell: int = -1
    row: int = -1
    table: int = -1
    heading: int = 0
    pre: int = -1
    quotes: int = 0
    list: int = -1  # the outermost one around


LONG_CELL = 200  # mean characters in a cell above which a table is taken for layout

_TAGS = re.compile(r"<[^>]*>")  # the serialiser writes a ">" inside a value as "&gt;"
_BREAK = re.compile(r"(?:(?<!\s)\s+)?<br[^>]*>\s*")  # begun anew at each blank of a run, it would be quadratic
# runs of blanks, but not the single space between two words
_SPACE = re.compile(r"[\t\r\n\f\xa0][ \t\r\n\f\xa0]*| [ \t\r\n\f\xa0]+")


class _Mark(NamedTuple):
    """Inline elements that Markdown has a mark for."""

    ends: list[str]
    whole: re.Pattern[str]
    joined: re.Pattern[str]  # between two that touch: "**a****b**" would be no strong text
    mark: str


_MARKS = [
    _Mark(
        [f"</{name}>" for name in names.split("|")],
        re.compile(rf"<(?:{names})(?:\s[^>]*)?>(.*?)</(?:{names})>", re.DOTALL),
        re.compile(rf"</(?:{names})><(?:{names})(?:\s[^>]*)?>"),
        mark,
    )
    for names, mark in (("strong|b", "**"), ("em|i", "*"), ("code", "`"))
]
_ANCHOR = re.compile(r'<a\s[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)


def inline(markup: str, pre: bool, markdown: bool, links: bool) -> str:
    """The text of one block: tags gone, entities resolved, white space as a browser shows it."""
    if pre:
        return (
            html.unescape(_TAGS.sub("", _BREAK.sub("\n", markup) if "<br" in markup else markup)).strip("\n").rstrip()
        )
    if markdown and "<" in markup:
        for kind in _MARKS:
            markup = _marked(markup, kind)
        if links:
            markup = _ANCHOR.sub(_link, markup)
    if "<br" in markup:
        parts = [_plain(part) for part in _BREAK.split(markup)]
        return "\n".join(part for part in parts if part)
    return _plain(markup)


def _marked(markup: str, kind: _Mark) -> str:
    """Marks around the text of each element of a kind: inside its blanks, none around an empty one."""

    def replace(found: re.Match[str]) -> str:
        inner = found.group(1)
        text = inner.strip()
        if not _TAGS.sub("", text).strip():
            return inner
        return inner.replace(text, f"{kind.mark}{text}{kind.mark}", 1)

    last = max(markup.rfind(end) + len(end) if end in markup else 0 for end in kind.ends)
    # what begins behind the last end tag ends in another block: a search from each would be quadratic
    return kind.whole.sub(replace, kind.joined.sub("", markup[:last])) + markup[last:] if last else markup


def _plain(markup: str) -> str:
    text = html.unescape(_TAGS.sub("", markup) if "<" in markup else markup)
    return _SPACE.sub(" ", text).strip(" ")


def _link(found: re.Match[str]) -> str:
    target, shown = found.group(1), found.group(2).strip()
    return f"[{shown}]({target})" if shown and not target.startswith(("#", "javascript:")) else shown


def as_text(blocks: Sequence[Block]) -> str:
    """Plain text."""
    return _Setting(False, False).text(blocks)


def as_markdown(blocks: Sequence[Block], links: bool = False) -> str:
    """Markdown; `links`: with their targets."""
    return _Setting(True, links).text(blocks)


def _layout_tables(blocks: Sequence[Block], texts: Sequence[str]) -> set[int]:
    """Tables whose cells hold several paragraphs or much text."""
    cells: dict[int, dict[int, list[int]]] = {}
    for block, text in zip(blocks, texts):
        if block.table >= 0 and block.cell >= 0:
            cells.setdefault(block.table, {}).setdefault(block.cell, []).append(len(text))
    return {table for table, found in cells.items() if _is_layout(found)}


def _is_layout(cells: dict[int, list[int]]) -> bool:
    letters = sum(map(sum, cells.values()))
    return letters > LONG_CELL * len(cells) or sum(len(each) > 1 for each in cells.values()) * 2 > len(cells)


def _indent(item: Block, markdown: bool) -> str:
    depth = max(item.lists, 1)
    return "  " * (depth - 1 if markdown else depth)


def _bullet(item: Block, markdown: bool) -> str:
    return f"{item.number}. " if item.number else "- " if markdown else "• "


def _same(a: int, b: int) -> bool:
    return a == b and a >= 0


class _Setting:
    """Blocks set one behind the other; knows what stands open: a row of a table, a code block."""

    def __init__(self, markdown: bool, links: bool) -> None:
        self.markdown, self.links = markdown, links
        self.last: Block | None = None
        self.cells = 0  # of the row that is open
        self.tables: set[int] = set()  # that have their rule

    def text(self, blocks: Sequence[Block]) -> str:
        texts = [inline(block.markup, block.pre >= 0, self.markdown, self.links) for block in blocks]
        layout = _layout_tables(blocks, texts)
        out: list[str] = []
        for block, text in zip(blocks, texts):
            if not text:
                continue
            if block.table in layout:
                block = block._replace(cell=-1, row=-1, table=-1)
            if self.markdown and 0 <= block.pre < block.item:  # a list in a <pre> is a list; code in an item is code
                block = block._replace(pre=-1)
            if self.markdown and block.row >= 0:
                text = text.replace("\n", " ").replace("|", "\\|")
            out += [self.between(block), self.marked(block, text)]
            self.last = block
        out.append(self.end(None))
        return "".join(out)

    def between(self, block: Block) -> str:
        """What stands between the last block and this one: a tab, a line feed, an empty line."""
        last = self.last
        if last is None:
            return self.begin(block)
        if _same(last.row, block.row):
            return " " if last.cell == block.cell else self.next_cell()
        close = (
            (_same(last.table, block.table) and block.row >= 0 and last.row >= 0)
            or (_same(last.list, block.list) and last.item != block.item)
            or _same(last.pre, block.pre)
        )
        return self.end(block) + ("\n" if close else "\n\n") + self.begin(block)

    def next_cell(self) -> str:
        self.cells += 1
        return " | " if self.markdown else "\t"

    def begin(self, block: Block) -> str:
        if not self.markdown or block.row < 0:
            return ""
        self.cells = 1
        return "| "

    def end(self, block: Block | None) -> str:
        """Closes a row (with the rule behind a table's first one) or a code block."""
        last = self.last
        if not self.markdown or last is None:
            return ""
        if last.row >= 0:
            rule = "" if last.table in self.tables else "\n|" + "---|" * self.cells
            self.tables.add(last.table)
            return " |" + rule
        if last.pre < 0 or (block and _same(last.pre, block.pre)):
            return ""
        return "\n" + (_indent(last, True) + " " * len(_bullet(last, True)) if last.item >= 0 else "") + "```"

    def marked(self, block: Block, text: str) -> str:
        """`text` with the mark of its kind in front."""
        if block.row >= 0:
            return text
        if self.markdown and block.pre >= 0 and not (self.last and _same(self.last.pre, block.pre)):
            text = f"```\n{text}"
        if block.item >= 0:
            return self.listed(block, text)
        if not self.markdown or block.pre >= 0:
            return text
        if block.heading:
            return f"{'#' * block.heading} {text}".replace("\n", " ")
        mark = "> " * block.quotes
        return mark + text.replace("\n", "\n" + mark)

    def listed(self, block: Block, text: str) -> str:
        """A list item: only its first block has the mark, the others stand under it."""
        indent, mark = _indent(block, self.markdown), _bullet(block, self.markdown)
        first = self.last is None or self.last.item != block.item
        return indent + (mark if first else " " * len(mark)) + text.replace("\n", "\n" + indent + " " * len(mark))
