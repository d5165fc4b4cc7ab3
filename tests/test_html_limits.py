"""What a page would cost the parser is known before it is parsed; a page that hangs the extractor never reaches it."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from resiliparse.parse.html import HTMLTree

from filters import html_limits
from filters.charset import decode
from filters.extract import extract, tidy
from filters.html_limits import MAX_DEPTH, measure
from pipeline.readers import Columns, read

DEMO = Path(__file__).resolve().parent.parent / "configs" / "demo" / "pages.warc.gz"


def tree_of(page: str) -> tuple[int, int]:
    """(depth, nodes) of the parser's own tree; html, head and body are no nodes here, but count for the depth."""
    deepest = nodes = 0
    todo: list[tuple[Any, int]] = [(part, 1) for part in HTMLTree.parse(page).document.child_nodes]
    while todo:
        node, depth = todo.pop()
        if not node.tag.startswith("#"):
            nodes += node.tag not in ("html", "head", "body")
            deepest = max(deepest, depth)
        todo += [(child, depth + 1) for child in node.child_nodes]
    return deepest, nodes


def test_real_pages_are_measured_as_the_parser_builds_them() -> None:
    batches = read(str(DEMO), format="warc", columns=Columns(), default_source="s")
    pages = [page for batch in batches for page in batch.table["html"].to_pylist() if page]
    assert len(pages) > 100
    for page in pages[::3]:
        text = decode(page, "text/html").text
        depth, nodes, attributes = measure(text.encode())
        true_depth, true_nodes = tree_of(text)
        assert -3 <= depth - (true_depth - 2) <= 1 and attributes < 100
        assert abs(nodes - true_nodes) <= 0.04 * true_nodes + 4


MARKUP = {  # what the tree builder does with it: depth and elements below <body>
    "one<p>two<p>three": (1, 2),
    "<ul><li>a<li>b<ul><li>c</ul><li>d</ul>": (4, 6),
    "<table><tbody><tr><td>a<td>b<tr><td>c</table>": (4, 7),
    "<p><b>x<p>y<p>z": (2, 6),  # <b> is opened anew twice
    "<p><b>x</b><p>y": (2, 3),
    "<b><b><b><b><b><b>": (6, 6),
    "<p><b><b><b><b><b><b></p>text": (7, 10),  # three equal ones are opened anew
    "<p><b id=1><b id=2><b id=3><b id=4></p>text": (5, 9),
    "<a>t<a>t<a>t": (1, 3),
    "<div></span></div><div></p></div>": (1, 2),
    "<svg><path/><path/><g><path/></g></svg><div/><div/>": (3, 7),
    "<script>'<div><div><div>'</script><p>": (1, 2),
    "<!-- <div><div> --><!><div><!--><p>--><textarea><div></textarea>": (3, 3),
    "<p title='<div><div>' a=<b>x": (1, 1),
    "<br><img><hr><input>": (1, 4),
    "< b><3 <é> </ b>": (0, 0),
    "<dl><dt>a<dd>b<dt>c</dl>": (2, 4),
    "<h1>a<h2>b<h3>c": (1, 3),
    "<form><div></form><form><div></form>text": (3, 4),  # the form ends, what is open in it does not
    "<caption><div></table><caption><div></table><td>text": (2, 2),  # parts of a table outside of one are nothing
    "<body><div></body><body><div></html>text": (2, 2),
    "<select><option>a<option>b</select>": (2, 3),
}


@pytest.mark.parametrize("markup", MARKUP)
def test_rules_of_the_tree_builder(markup: str) -> None:
    assert measure(markup.encode())[:2] == MARKUP[markup]


def open_ones(count: int, name: str = "") -> str:
    """A paragraph that leaves so many formatting elements open, all different."""
    return "<p>" + "".join(f"<b id={name}{i}>" for i in range(count)) + "</p>"


ANEW = [
    "<p>x</p>", "<p><img></p>", " <p>x</p>", "<div>\n<p>x</p></div>", "<table><td>x</td></table><p>x</p>", "<table> <td> </td></table><p>x</p>",
    "<object>x</object><p>x</p>", "<p><object>x</object></p>", "<meta><p>x</p>", "<p><span></span></p>", "<p><textarea></textarea></p>",
    "<p><link></p>", "<p><svg></svg></p>", "<p><ruby><rt></ruby></p>", "<p><rt></rt></p>", "<p></br></p>", "<p><a></a></p>", "<p><br></p>",
    "<p><select><option>a</select></p>", "<hr><p>x</p>", "<xmp></xmp>", "<template>x</template><p>x</p>", "<p><iframe>x</iframe></p>",
    "<p><button></button></p>", "<p><label></label></p>", "<p><noscript>x</noscript></p>", "<p></b></b><i></p>", "<table><b></table><p>x</p>",
]  # fmt: skip


@pytest.mark.parametrize("tail", ANEW)
def test_what_is_opened_anew_is_what_the_parser_opens(tail: str) -> None:
    page = open_ones(20) + tail * 20
    depth, nodes, _ = measure(page.encode())
    true_depth, true_nodes = tree_of(page)
    unsaid = 2 * page.count("<table")  # <tbody> and <tr> are not counted where they do not stand
    assert abs(nodes - true_nodes) <= 0.05 * true_nodes + unsaid and abs(depth - (true_depth - 2)) <= 2


POISON = {
    "nested lists": ("<ul><li>" * 100_000, "html_depth.max"),
    "nested divs": ("<div>" * 100_000, "html_depth.max"),
    "formatting opened anew": (open_ones(400) + "<p>x</p>" * 4000, "html_nodes.max"),
    "formatting opened anew by pictures": (open_ones(400) + "<p><img></p>" * 4000, "html_nodes.max"),
    "formatting opened anew by an end tag": (open_ones(400) + "<p></br></p>" * 4000, "html_nodes.max"),
    "formatting around a table": (open_ones(400) + "<table><td>x</table>" + "<p>x</p>" * 4000, "html_nodes.max"),
    "formatting behind silence": (
        "".join(open_ones(400, f"{i}x") for i in range(4)) + "<ul><li>" * 9,
        "html_depth.max",
    ),
    "formatting left open": ("".join(f"<font size={i}>" for i in range(10_000)) + "<div>" * 10_000, "html_depth.max"),
    "misplaced in tables": ("<table>" + "<b>x<div>" * 10_000, "html_depth.max"),
    "forms that end before what is in them": ("<form><div></form>" * 20_000, "html_depth.max"),
    "captions of no table": ("<caption><div></table>" * 20_000, "html_depth.max"),
    "many bodies": ("<body><div></body>" * 20_000, "html_depth.max"),
    "attributes": ("<p " + "".join(f" a{i}=1" for i in range(100_000)) + ">x", "html_attributes.max"),
}


@pytest.mark.parametrize("name", POISON)
def test_a_page_that_would_take_minutes_costs_only_itself(name: str) -> None:
    """Each of these takes the parser or the search for the main content seconds to hours, or gigabytes."""
    page, reason = POISON[name]
    good = "<html><body><main><p>A page of some words that everybody can read.</p></main></body></html>"
    table = pa.table({"html": pa.array([good.encode(), f"<html><body>{page}".encode()] * 2, pa.large_binary())})
    table = table.append_column("text", pa.nulls(4, pa.large_string()))
    started = time.process_time()
    after, why = extract()(table)
    assert time.process_time() - started < 5
    found = why.to_pylist()
    assert [entry and entry["reason"] for entry in found] == [None, reason, None, reason]
    assert found[1]["value"] > found[1]["threshold"] > 0
    assert after["text"].to_pylist()[::2] == ["A page of some words that everybody can read."] * 2


def test_large_pages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_limits, "MAX_BYTES", 100)
    assert html_limits.refused("é" * 51) == ("html_bytes.max", 102.0, 100.0)
    assert html_limits.refused("é" * 50) is None


def test_depth_at_the_limit() -> None:
    assert html_limits.refused("<div>" * MAX_DEPTH) is None
    assert html_limits.refused("<div>" * (MAX_DEPTH + 1)) == ("html_depth.max", MAX_DEPTH + 1.0, float(MAX_DEPTH))


def test_random_markup_stays_inside_the_scratch() -> None:
    chance = random.Random(1)
    names = [name for listed in html_limits._NAMES.values() for name in listed.split()]
    for _ in range(300):
        tags = [
            chance.choice(("<{}>", "</{}>", "<{} a=b>", "<{}/>", "x")).format(chance.choice(names)) for _ in range(3000)
        ]
        depth, nodes, _ = measure("".join(tags).encode())
        assert 0 < depth <= MAX_DEPTH + 600 and nodes > 0


def test_runs_of_blanks_take_no_time() -> None:
    """In a <pre> they stay; by the square of their number 300,000 took ten minutes."""
    started = time.process_time()
    for blank in (" ", "\t", "\u00a0", "\x0b", " \t"):
        assert tidy("a" + blank * 300_000 + "b").startswith("a")
    assert time.process_time() - started < 2
    assert tidy("a \t b\n \tc\n\t\td\ne  f \t\n") == "a\tb\n \tc\n\t\td\ne  f"
