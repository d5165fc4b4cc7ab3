"""HTML pages to the text a reader would read.

In: rows with `html` (bytes) and `content_type`. Out: `text` filled, `html` null; rows without html are not touched.

    html=b"<html><nav>Home</nav><main><h1>Mills</h1><p>They grind.</p></main>", content_type="text/html"
    -> text="Mills\\n\\nThey grind."

Reasons: "not_html" (a picture, a PDF, JSON, a feed ...: neither the declared type nor the bytes are a page; detail says
what was declared), "no_text" (a page with nothing to read) and "robots" (a directive that the recipe refuses; detail
names it). Not covered: text in scripts (pages built in the browser), frames, PDF and other documents.
"""

import re
from typing import Any, Literal, NamedTuple

import orjson
import pyarrow as pa

from filters.charset import BOMS, decode
from filters.extract_engines import ToText
from filters.extract_engines import engine as make_engine
from filters.html_limits import refused as too_costly
from filters.page_metadata import OPT_OUT, page_metadata
from filters.registry import nearest
from filters.step import Step, all_kept, reasons, set_column

HTML_TYPES = {"text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"}
# Servers also send these with pages; the bytes decide, since feeds, SVG and source code come under the same names.
PLAIN_TYPES = {"text/plain", "text/markdown"}
SNIFF_BYTES = 1024

# First bytes of what is no text whatever the header says
MAGIC = (
    b"%PDF-",
    b"\x89PNG",
    b"GIF8",
    b"\xff\xd8\xff",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"RIFF",
    b"\x7fELF",
    b"Rar!",
    b"BZh",
    b"wOF",
    b"\x00\x00\x01\x00",
)

# What a page begins with, after white space, comments and an XML declaration: the list of WHATWG MIME sniffing,
# section 7.1, and a few containers that cut-out fragments begin with. For XML types only <html> itself counts.
_PROLOGUE = re.compile(rb"\s*(?:(?:<\?xml[^>]*>|<!--.*?-->|<\?xml-stylesheet[^>]*>)\s*)*", re.DOTALL)
_PAGE = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|h1|h2|div|font|table|a|style|title|b|br|p|main|article|section|meta"
    rb"|link|ul|ol|span|center|header|nav|form)[\s>/]",
    re.IGNORECASE,
)
_XHTML = re.compile(rb"<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)

_BLANKS = re.compile(r"[ \t]{2,}")
_MANY_NEWLINES = re.compile(r"\n{3,}")


class Refusal(NamedTuple):
    """Why a page gives no text, as in the ledger."""

    reason: str
    value: float | None = None
    threshold: float | None = None
    detail: str | None = None


def extract(
    *,
    engine: Literal["resiliparse", "trafilatura", "gristmill"] = "resiliparse",
    main_content: bool = True,
    as_: Literal["text", "markdown"] = "text",
    links: bool = False,
    formulas: bool | None = None,
    metadata: bool = False,
    refuse: list[str] | None = None,
) -> Step:
    """A step that turns pages into text.

    `main_content=False` takes the whole visible page, menus and footers too. `as_`: Markdown keeps headings, lists, code blocks and
    tables as marks; `links`: and the targets of links. `formulas`: those that bring LaTeX as `$...$`; None: yes, except for text of the engine
    resiliparse. `metadata`: title, date, author, language, canonical address, licence and robots rules of each page, into the column
    `metadata` where it has no such field yet. `refuse`: robots directives (noai, noindex, ...) whose pages go out.
    Errors: ValueError for a combination that cannot be, ImportError for a missing package.
    """
    _check(as_, links, refuse or [])
    to_text = make_engine(engine, main_content, as_ == "markdown", links)
    if formulas or (formulas is None and (as_ == "markdown" or engine == "gristmill")):
        to_text = _with_formulas(to_text)
    refused = frozenset(refuse or ())

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        html = table["html"] if "html" in table.column_names else None
        if html is None or html.null_count == len(html):
            return table, all_kept(len(table))
        types = table["content_type"].to_pylist() if "content_type" in table.column_names else [None] * len(table)
        texts = table["text"].to_pylist()
        about = _About(table) if metadata or refused else None
        out: dict[int, Refusal] = {}
        for row, page in enumerate(html.to_pylist()):
            if page is None:
                continue
            source, kind = _source(page, types[row])
            over = too_costly(source) if kind == "html" else None
            if over:
                out[row], texts[row] = Refusal(*over), None
                continue
            # a text has robots rules too: those of its header
            found = about.read(row, source if kind == "html" else "") if about and kind else frozenset()
            if barred := found & refused:
                out[row], texts[row] = Refusal("robots", detail=", ".join(sorted(barred))), None
            else:
                texts[row], why = _page_text(source, kind, types[row], to_text)
                if why:
                    out[row] = why
        table = set_column(table, "text", pa.array(texts, pa.large_string()))
        table = set_column(table, "html", pa.nulls(len(table), pa.large_binary()))
        if about and metadata:
            table = set_column(table, "metadata", about.merged())
        if not out:
            return table, all_kept(len(table))
        names, values, thresholds, details = zip(*out.values())
        return table, reasons(len(table), list(out), list(names), list(values), list(thresholds), list(details))

    return step


def _check(as_: str, links: bool, refuse: list[str]) -> None:
    for each in refuse:
        if each not in OPT_OUT:
            raise ValueError(
                f"extract: refuse has the directive {each!r}{nearest(each, OPT_OUT)} (known: {', '.join(OPT_OUT)})"
            )
    if links and as_ != "markdown":
        raise ValueError("extract: links: true is for as: markdown; in text a link is its words")


class _About:
    """Metadata of the pages of one table, page by page."""

    def __init__(self, table: pa.Table) -> None:
        columns = table.column_names
        self.urls = table["url"].to_pylist() if "url" in columns else [None] * len(table)
        self.old = table["metadata"].to_pylist() if "metadata" in columns else [None] * len(table)
        self.new: dict[int, dict[str, Any]] = {}

    def read(self, row: int, page: str) -> frozenset[str]:
        """Reads a page; the robots directives that hold for it."""
        old = _object(self.old[row])
        header = old.get("x_robots_tag")
        found = page_metadata(page, self.urls[row], header if isinstance(header, str) else None)
        self.new[row] = found | old  # what the record says of itself stands
        asked = set(found.get("robots", ()))
        return frozenset(asked | {"noindex", "nofollow"} if "none" in asked else asked)

    def merged(self) -> pa.Array:
        """The column `metadata`, the pages' own fields in it."""
        texts = list(self.old)
        for row, fields in self.new.items():
            if fields:
                texts[row] = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()
        return pa.array(texts, pa.large_string())


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _with_formulas(to_text: ToText) -> ToText:
    from filters.formulas import formulas_as_latex

    return lambda page: to_text(formulas_as_latex(page))


def _source(page: bytes, content_type: str | None) -> tuple[str, str | None]:
    """A page as a string, and what it is."""
    kind = kind_of(page, content_type)
    return (decode(page, content_type).text if kind else ""), kind


def _page_text(
    source: str, kind: str | None, content_type: str | None, to_text: ToText
) -> tuple[str | None, Refusal | None]:
    """(text, None), or (None, why) for a page that is none or has nothing to read."""
    if kind is None:
        return None, Refusal("not_html", detail=content_type or "no content type")
    text = tidy(to_text(source)) if kind == "html" else source
    return (text, None) if text.strip() else (None, Refusal("no_text"))


def kind_of(page: bytes, content_type: str | None) -> Literal["html", "plain"] | None:
    """What a body is, from its declared type and its first bytes; None if it is no text that can be extracted.

    A declared HTML type is believed unless the bytes are a known binary format. Plain text is believed likewise. Under
    any other type, or none, the bytes must begin like a page (for XML types: with <html> or its doctype).
    """
    head = page[:SNIFF_BYTES]
    if head.startswith(MAGIC):
        return None
    declared = (content_type or "").split(";")[0].strip().lower()
    if not head.startswith(tuple(mark for mark, _ in BOMS)) and _is_binary(head):
        return None
    if declared in HTML_TYPES:
        return "html"
    if declared in PLAIN_TYPES:
        return "plain"
    xml = declared.endswith(("/xml", "+xml"))
    head = _ascii_head(page)
    begins = _PROLOGUE.match(head)
    return "html" if (_XHTML if xml else _PAGE).match(head, begins.end() if begins else 0) else None


def _is_binary(head: bytes) -> bool:
    """Zero bytes that UTF-16 does not explain (there every other byte of mark-up is zero)."""
    zeros = head.count(0)
    return zeros > 0 and max(head[::2].count(0), head[1::2].count(0)) * 3 < len(head)


def _ascii_head(page: bytes) -> bytes:
    """The first bytes with byte order marks and the zeros of UTF-16 and UTF-32 taken out, to look for tags in."""
    for mark, _ in BOMS:
        page = page.removeprefix(mark)
    return page[: 8 * SNIFF_BYTES].replace(b"\x00", b"")


def tidy(text: str) -> str:
    """Extracted text as a reader would set it: no blanks at line ends, one tab between cells, at most one empty line.

    Blanks at line starts stay: they are the indents of code.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\t" in text:
        text = _BLANKS.sub(_cell, text)
    # a pattern for it looks at each character: 8 times as long
    lines = "\n".join([line.rstrip() for line in text.split("\n")])
    return _MANY_NEWLINES.sub("\n\n", lines).strip("\n").rstrip()


def _cell(blanks: re.Match[str]) -> str:
    """Blanks with a tab among them are one tab; at the start of a line all behind the first space are, if one is a tab."""
    run, start = blanks[0], blanks.start()
    kept = 0 if start and blanks.string[start - 1] != "\n" else run.find(" ") + 1 or len(run)
    return run[:kept] + "\t" if "\t" in run[kept:] else run
