"""The engines that make text of a page, behind one call: `engine(name, ...)` gives a function from page to text.

    engine("gristmill", markdown=True)("<main><h1>Mills</h1><p>They grind.</p></main>")   ->   "# Mills\\n\\nThey grind."

How fast and how right each is: docs/extraction.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

ToText = Callable[[str], str]

_PRE = re.compile(r"(<pre>.*?</pre>)", re.DOTALL)
_TABLE_LINES = re.compile(r"(?m)(?:^[^<\n][^\n]*\t[^\n]*\n?)+")
_BARE_LINE = re.compile(r"(?m)^(?!\s*</?(?:h[1-6]|p|ul|ol|li|table|tr)\b)(?!\s*$)([^\n]+)$")


def engine(name: str, main_content: bool = True, markdown: bool = False, links: bool = False) -> ToText:
    """The engine of that name. `links`: targets of links too (Markdown).

    Errors: ValueError for an unknown name, ImportError where a package is missing; each says what to do.
    """
    if name == "resiliparse":
        return _resiliparse_markdown(main_content, links) if markdown else _resiliparse(main_content)
    if name == "trafilatura":
        return _trafilatura(main_content, markdown, links)
    if name == "gristmill":
        from filters import blocks

        return blocks.engine(main_content, markdown, links)
    raise ValueError(f"extract: unknown engine {name!r}; the engines are: 'resiliparse', 'trafilatura', 'gristmill'")


def _resiliparse(main_content: bool) -> ToText:
    from filters import extract_resiliparse

    return extract_resiliparse.engine(main_content)


def _resiliparse_markdown(main_content: bool, links: bool) -> ToText:
    """resiliparse's reduced HTML, set as Markdown: it has headings, paragraphs, lists, code blocks and rows of tables."""
    from filters import blocks, extract_resiliparse
    from filters.block_text import as_markdown

    reduce = extract_resiliparse.engine(main_content, "minimal_html", links)

    def to_text(page: str) -> str:
        found = blocks.scan(closed(reduce(page)))
        return as_markdown(blocks.placed(found, blocks.every(found)), links)

    return to_text


def closed(reduced: str) -> str:
    """Reduced HTML with its bare lines as paragraphs and its lines of cells as tables."""
    parts = _PRE.split(reduced)
    return "".join(part if part.startswith("<pre>") else _lines(part) for part in parts)


def _lines(part: str) -> str:
    return _BARE_LINE.sub(r"<p>\1</p>", _TABLE_LINES.sub(_table, part.replace("<br>\n", "<br>")))


def _table(found: re.Match[str]) -> str:
    rows = [re.split(r"\t+", line.strip("\t")) for line in found.group().splitlines()]
    return "<table>" + "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows) + "</table>\n"


def _trafilatura(main_content: bool, markdown: bool, links: bool) -> ToText:
    trafilatura = _import_trafilatura()
    if not main_content and markdown:
        raise ValueError(
            "extract: trafilatura sets only the main content as Markdown; take engine: gristmill for whole pages"
        )
    if not main_content:
        return lambda page: trafilatura.html2txt(page) or ""
    form = "markdown" if markdown else "txt"
    options = {"output_format": form, "include_comments": False, "include_formatting": markdown, "include_links": links}
    return lambda page: trafilatura.extract(page, **options) or ""


def _import_trafilatura() -> Any:
    try:
        import trafilatura
    except ImportError as error:
        raise ImportError(
            f"extract: engine: trafilatura needs a package that is not there ({error}). "
            "Install it: pip install 'gristmill[trafilatura]'. The engines without it: resiliparse, gristmill."
        ) from None
    return trafilatura
