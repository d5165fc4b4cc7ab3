"""The engine `gristmill`: main content by judging the blocks of a page, one by one.

In: a page as a string. Out: its main content as text or Markdown.

    "<body><nav><a href=/>Home</a></nav><div class=post><p>They grind. ..."   ->   "They grind. ..."

resiliparse's HTML5 parser (lexbor) reads the page and writes it anew, well-formed. One compiled pass over these bytes cuts it into
blocks (runs of text between block-level tags), a second measures each block, its neighbours and its containers, and an ensemble of
decision trees (filters/models/blocks.npz) says how likely it is content. What it learned from and how well it does: docs/extraction.md.

Not covered: content that scripts would load, content that stands only in JSON, the article inside <iframe>.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from filters.block_text import Block, as_markdown, as_text
from filters.block_words import CUES, ID, cue_table, tag_table
from kernels import html_blocks, html_features, html_places
from kernels.trees import tree_sums

MODEL = Path(__file__).parent / "models" / "blocks.npz"
# How likely a block must be content. Cross-validated on the pages the model was trained on: news and articles are at their best at
# 0.55. Pages of many small blocks (lists, shops) are less sure: where the blocks that pass hold less than LEAST of the words, the next
# threshold is taken (mean F1 of all kinds of pages 0.848 instead of 0.840).
THRESHOLDS = (0.55, 0.45, 0.35, 0.25, 0.15, 0.05)
LEAST = 0.05
PADDING = 64  # bytes behind the page that the scanner may look at

_ATTRIBUTES = (
    "class",
    "id",
    "role",
    "itemprop",
    "hidden",
    "aria-hidden",
    "true",
    "style",
    "display:none",
    "visibility:hidden",
)
_WORDS = tuple(np.frombuffer(word.encode(), np.uint8) for word in _ATTRIBUTES)
_HEADINGS = sum(1 << ID[f"h{level}"] for level in range(1, 7))
_PLACE_TAGS = tuple(
    ID[name] for name in ["li", "ul", "ol", "td", "th", "tr", "table", "h1", "h6", "pre", "blockquote", "menu", "dir"]
)


class Blocks(NamedTuple):
    """A page's blocks: arrays of `kernels.html_blocks.scan`, cut to what is filled."""

    source: bytes
    nodes: np.ndarray
    blocks: np.ndarray
    drops: np.ndarray


class Model(NamedTuple):
    """Trees for `kernels.trees.tree_sums`; `cuts` are the least sums of blocks that are kept, for each of THRESHOLDS."""

    feature: np.ndarray
    threshold: np.ndarray
    children: np.ndarray
    leaves: np.ndarray
    node_starts: np.ndarray
    leaf_starts: np.ndarray
    cuts: tuple[int, ...]


@functools.cache
def load_model() -> Model:
    """The shipped trees. Errors: ValueError if they were made for other features."""
    with np.load(MODEL) as found:
        arrays = {name: found[name] for name in found.files}
    names = _feature_names()
    if int(arrays["columns"]) != len(names):
        raise ValueError(
            f"{MODEL} was made for {int(arrays['columns'])} features, there are {len(names)}; train it again"
        )
    cuts = tuple(int(np.ceil(float(arrays["scale"]) * np.log(each / (1 - each)))) for each in THRESHOLDS)
    return Model(**{name: arrays[name] for name in Model._fields[:-1]}, cuts=cuts)


def scan(markup: str) -> Blocks:
    """Blocks of well-formed mark-up."""
    source = markup.encode("utf-8", "replace")
    data = np.frombuffer(source + bytes(PADDING), np.uint8)
    rows = source.count(b"<") + 2
    nodes = np.zeros((rows, html_blocks.NODE_COLUMNS), np.int32)
    blocks = np.zeros((rows, html_blocks.BLOCK_COLUMNS), np.int64)
    drops = np.zeros((rows, 2), np.int64)
    n_nodes, n_blocks, n_drops = html_blocks.scan(
        data, len(source), *tag_table(), *cue_table(), html_blocks.KINDS, _WORDS, nodes, blocks, drops
    )
    return Blocks(source, nodes[:n_nodes], blocks[:n_blocks], drops[:n_drops])


def measure(page: Blocks) -> np.ndarray:
    """float32 (blocks, features)."""
    columns = len(_feature_names())
    rows = np.zeros((len(page.blocks), columns), np.float32)
    if len(rows):
        html_features.features(
            page.nodes, len(page.nodes), page.blocks, len(rows), ID["h1"], ID["article"], _HEADINGS, len(CUES), rows
        )
    return rows


@functools.cache
def _feature_names() -> list[str]:
    return html_features.feature_names(32, len(CUES))


def content(page: Blocks) -> np.ndarray:
    """Numbers of the blocks that are main content, ascending; all, if hardly any looks like it."""
    model = load_model()
    sums = tree_sums(measure(page), *model[:-1])
    words = page.blocks[:, html_blocks.WORDS]
    for cut in model.cuts:
        chosen = np.flatnonzero(sums >= cut)
        if len(chosen) and words[chosen].sum() >= LEAST * words.sum():
            return _with_parts(page, chosen)
    return every(page)


def _with_parts(page: Blocks, chosen: np.ndarray) -> np.ndarray:
    """`chosen`, and the code and the tables beside chosen blocks: a row of figures alone looks like nothing that anybody reads."""
    where = _where(page, page.blocks)
    frames = np.where(where[:, html_places.PRE] >= 0, where[:, html_places.PRE], where[:, html_places.TABLE])
    left = np.flatnonzero(frames >= 0)
    left = left[~np.isin(left, chosen) & ~np.isin(frames[left], _linked_frames(page, frames))]
    if not len(left):
        return chosen
    parents = page.nodes[:, html_blocks.PARENT]
    before = chosen[np.maximum(np.searchsorted(chosen, left) - 1, 0)]
    mine, other = parents[frames[left]], parents[page.blocks[before, html_blocks.NODE]]
    # one level more on either side: code often has a wrapper of its own, and so have paragraphs
    beside = (mine == other) | (parents[mine] == other) | (mine == parents[other])
    return np.union1d(chosen, left[(before < left) & (mine >= 0) & (other >= 0) & beside])


def _linked_frames(page: Blocks, frames: np.ndarray) -> np.ndarray:
    """Code blocks and tables of which half or more is links: menus."""
    inside = frames >= 0
    letters = np.bincount(frames[inside], page.blocks[inside, html_blocks.LETTERS])
    linked = np.bincount(frames[inside], page.blocks[inside, html_blocks.LINKED])
    return np.flatnonzero((letters > 0) & (2 * linked >= letters))


def every(page: Blocks) -> np.ndarray:
    """Numbers of all blocks."""
    return np.arange(len(page.blocks))


def _where(page: Blocks, blocks: np.ndarray) -> np.ndarray:
    """int64 (blocks, html_places.COLUMNS)."""
    where = np.zeros((len(blocks), html_places.COLUMNS), np.int64)
    html_places.places(page.nodes, len(page.nodes), blocks, len(blocks), _PLACE_TAGS, where)
    return where


def placed(page: Blocks, chosen: np.ndarray) -> list[Block]:
    """The chosen blocks with their mark-up and where they stand."""
    blocks = page.blocks[chosen]
    where = _where(page, blocks)
    fields = [
        html_places.ITEM, html_places.NUMBER, html_places.LISTS, html_places.CELL, html_places.ROW, html_places.TABLE,
        html_places.HEADING, html_places.PRE, html_places.QUOTES, html_places.LIST,
    ]  # fmt: skip
    ends = blocks[:, [html_blocks.START, html_blocks.END]].tolist()
    firsts = np.searchsorted(page.drops[:, 0], blocks[:, html_blocks.START]).tolist()
    return [
        Block(_without(page, begin, end, first), *row)
        for (begin, end), first, row in zip(ends, firsts, where[:, fields].tolist())
    ]


def _without(page: Blocks, begin: int, end: int, first: int) -> str:
    """source[begin:end] without what is not read."""
    source, drops = page.source, page.drops
    if first >= len(drops) or drops[first, 0] >= end:
        return source[begin:end].decode("utf-8", "replace")
    parts = []
    while first < len(drops) and drops[first, 0] < end:
        parts.append(source[begin : drops[first, 0]])
        begin = max(begin, int(drops[first, 1]))
        first += 1
    parts.append(source[begin:end])
    return b"".join(parts).decode("utf-8", "replace")


def engine(main_content: bool, markdown: bool, links: bool) -> Callable[[str], str]:
    """Page to text or Markdown. `main_content=False`: all blocks."""
    from resiliparse.parse.html import HTMLTree

    def to_text(page: str) -> str:
        body: Any = HTMLTree.parse(page).body
        if body is None:
            return ""
        found = scan(body.html)
        chosen = content(found) if main_content else every(found)
        blocks = placed(found, chosen)
        return as_markdown(blocks, links) if markdown else as_text(blocks)

    return to_text
