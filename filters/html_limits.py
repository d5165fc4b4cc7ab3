"""Which pages no extractor is given: those that would cost it minutes or gigabytes.

    refused(text) -> ("html_depth.max", 2000.0, 512.0) or None

An HTML parser's tree can be far larger than the page: 18 KB of `<b id=1><b id=2>...` in a paragraph that ends, and
paragraphs behind it, make a million elements (500 MB, 3 s), 72 KB eighty million. And what looks for the main content walks from
each element to the root: 10,000 nested lists take 7 s, 100,000 eleven minutes. What a page would cost is found by a look at
its bytes (`kernels.html`), so the answer is the same on every machine. It is a fence, not a proof: what gets through and
still hangs, crashes or eats memory is dealt with by `pipeline.refining.isolation`.
"""

from __future__ import annotations

import functools

import numpy as np

from kernels import html
from kernels.hashes import fnv_of

MAX_BYTES = 32 << 20
"""Of a page as UTF-8. Crawlers cut pages at 1 to 20 MB."""
MAX_DEPTH = 512
"""Elements inside one another. Browsers make no deeper trees (Blink: kMaximumHTMLParserDOMTreeDepth, 512)."""
MAX_NODES = 1_000_000
"""Elements: some 400 bytes each in the parser, and 38 ns for each level above it."""
MAX_ATTRIBUTES = 10_000
"""Attributes of one tag: the parser compares each with all others (40,000 take 3 s)."""

_CLOSES_P = (
    "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
    "hgroup hr li listing main menu nav ol p plaintext pre search section summary table ul dd dt"
)
_RAW = "iframe noembed noframes plaintext script style textarea title"
_PARTS = "caption tbody td tfoot th thead tr"
_NAMES = {
    html.VOID: "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr",
    html.RAW: f"{_RAW} xmp",
    html.FORMAT: "a b big code em font i nobr s small strike strong tt u",
    html.CLOSES_P: f"{_CLOSES_P} xmp",
    html.WALL: "applet caption marquee object table td template th foreignobject desc",
    html.FOREIGN: "svg math",
    html.OWN: f"{_PARTS} applet marquee object table template foreignobject desc",
    html.LI: "li",
    html.DD: "dd dt",
    html.CELL: "caption td th",
    html.ROW: "tr",
    html.SECTION: "tbody tfoot thead",
    html.OPTION: "optgroup option",
    html.LIST: "dir dl menu ol ul",
    html.TABLE: "table template",
    html.ONE: "a button nobr select",
    html.HEADING: "h1 h2 h3 h4 h5 h6",
    html.ALONE: "form",
    html.NO_TAG: "body head html",
    html.QUIET: f"{_CLOSES_P} {_RAW} {_PARTS} base basefont bgsound col colgroup frame frameset link meta param rb rp rt rtc source "
    "template track",
    html.MARKER: "applet caption marquee object td template th",
    html.OPENS: "br",
}


def refused(page: str) -> tuple[str, float, float] | None:
    """(reason, value, threshold) of a page that goes over a limit; None for one that may be extracted."""
    data = page.encode("utf-8", "replace")
    if len(data) > MAX_BYTES:
        return "html_bytes.max", float(len(data)), float(MAX_BYTES)
    depth, nodes, attributes = measure(data)
    for name, value, limit in (
        ("html_depth.max", depth, MAX_DEPTH),
        ("html_nodes.max", nodes, MAX_NODES),
        ("html_attributes.max", attributes, MAX_ATTRIBUTES),
    ):
        if value > limit:
            return name, float(value), float(limit)
    return None


def measure(data: bytes) -> tuple[int, int, int]:
    """(depth, nodes, attributes): how deep elements lie, how many there are, the most attributes of one tag.

    Counting stops at the first that is over its limit.
    """
    names, flags, paragraph = _table()
    stack, marks, loose = _scratch()
    bytes_ = np.frombuffer(data, np.uint8) if data else np.zeros(1, np.uint8)
    found = html.scan(bytes_, 0, len(data), names, flags, paragraph, MAX_DEPTH, MAX_NODES, stack, marks, loose)
    return int(found[0]), int(found[1]), int(found[2])


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray, np.uint64]:
    """Hashes of the names, their bits, and the hash of "p"."""
    names, flags = np.zeros(html.TABLE_SIZE, np.uint64), np.zeros(html.TABLE_SIZE, np.int64)
    for bit, listed in _NAMES.items():
        for name in listed.split():
            hashed = fnv_of(name) | 1  # as in the kernel
            slot = hashed & (html.TABLE_SIZE - 1)
            while names[slot] not in (0, hashed):
                slot = (slot + 1) & (html.TABLE_SIZE - 1)
            names[slot] = hashed
            flags[slot] |= bit
    return names, flags, np.uint64(fnv_of("p") | 1)


def _scratch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    most = MAX_DEPTH
    return (
        np.zeros(most + 8, np.uint64),
        np.zeros(2 * (most + 8), np.int64),
        np.zeros(8 * most + 16, np.int64),
    )
