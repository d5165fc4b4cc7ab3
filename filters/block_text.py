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

_TAGS = re.compile(r"<[^>]*>")
_BREAK = re.compile(r"\s*<br[^>]*>\s*")
_SPACE = re.compile(r"[ \t\r\n\f\xa0]+")
_LINE_SPACE = re.compile(r" *\n *")
_INLINE = (
    (re.compile(r"<(?:strong|b)(?:\s[^>]*)?>(\s*)(.*?)(\s*)</(?:strong|b)>", re.DOTALL), r"\1**\2**\3"),
    (re.compile(r"<(?:em|i)(?:\s[^>]*)?>(\s*)(.*?)(\s*)</(?:em|i)>", re.DOTALL), r"\1*\2*\3"),
    (re.compile(r"<code(?:\s[^>]*)?>(.*?)</code>", re.DOTALL), r"`\1`"),
)
_EMPTY = re.compile(r"\*\*\*\*|(?<![`\w])``(?![`\w])")
_ANCHOR = re.compile(r'<a\s[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)


def inline(markup: str, pre: bool, markdown: bool, links: bool) -> str:
    """The text of one block: tags gone, entities resolved, white space as a browser shows it."""
    if pre:
        return (
            html.unescape(_TAGS.sub("", _BREAK.sub("\n", markup) if "<br" in markup else markup)).strip("\n").rstrip()
        )
    if markdown and "<" in markup:
        for expression, marks in _INLINE:
            markup = expression.sub(marks, markup)
        markup = _EMPTY.sub("", markup)
        if links:
            markup = _ANCHOR.sub(_link, markup)
    if "<br" in markup:
        parts = [_plain(part) for part in _BREAK.split(markup)]
        return "\n".join(part for part in parts if part)
    return _plain(markup)


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
        return "\n```" if last.pre >= 0 and not (block and _same(last.pre, block.pre)) else ""

    def marked(self, block: Block, text: str) -> str:
        """`text` with the mark of its kind in front."""
        if block.row >= 0:
            return text
        if block.item >= 0:
            return self.listed(block, text)
        if not self.markdown:
            return text
        if block.pre >= 0:
            return text if self.last and _same(self.last.pre, block.pre) else f"```\n{text}"
        if block.heading:
            return f"{'#' * block.heading} {text}".replace("\n", " ")
        mark = "> " * block.quotes
        return mark + text.replace("\n", "\n" + mark)

    def listed(self, block: Block, text: str) -> str:
        """A list item: only its first block has the mark, the others stand under it."""
        depth = max(block.lists, 1)
        indent = "  " * (depth - 1 if self.markdown else depth)
        mark = f"{block.number}. " if block.number else "- " if self.markdown else "• "
        first = self.last is None or self.last.item != block.item
        return indent + (mark if first else " " * len(mark)) + text.replace("\n", "\n" + indent + " " * len(mark))
