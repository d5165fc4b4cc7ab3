"""HTML pages to the text a reader would read.

In: rows with `html` (bytes) and `content_type`. Out: `text` filled, `html` null; rows without html are not touched.

    html=b"<html><nav>Home</nav><main><h1>Mills</h1><p>They grind.</p></main>", content_type="text/html"
    -> text="Mills\\n\\nThey grind."

Reasons: "not_html" (a picture, a PDF, JSON, a feed ...: neither the declared type nor the bytes are a page; detail says
what was declared) and "no_text" (a page with nothing to read). Not covered: text in scripts (pages built in the browser),
frames, PDF and other documents.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pyarrow as pa

from filters.charset import BOMS, decode
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

_TRAILING = re.compile(r"[^\S\n]+(?=\n)")
_MANY_NEWLINES = re.compile(r"\n{3,}")
_CELLS = re.compile(r"(?<=[^\t\n])[ \t]*\t[ \t]*")

# What the main-content heuristic leaves in and nobody reads as text. Class and id names of common site software
# (MediaWiki, Bootstrap, WordPress); each was seen in extracted pages or in the page set of mozilla/readability.
SKIP = [
    ".breadcrumb",
    ".breadcrumbs",
    ".mw-editsection",  # "[edit]" behind each heading
    "#siteSub",  # "From Wikipedia, the free encyclopedia"
    "#contentSub",  # "< parent page"
    "#jump-to-nav",
    ".printfooter",
    ".catlinks",
]

# resiliparse 2.0 with main_content loses a text node that is one character of three UTF-8 bytes: the "和" between two
# <code>, a lone "—" or "，". A noncharacter beside it saves it, and is taken out of the text again.
GUARD = "\ufdd0"
_LONE = re.compile(r"(>\s*)([\u0800-\uffff]|&#?\w{2,8};)(\s*<)")

_TAG = re.compile(r"<[^>]*>\s*")
_LINK = re.compile(r"<a\b[^>]*>(.*?)</a>", re.DOTALL)
MENU_LEVELS = 3  # resiliparse 2.0: a <ul> at most so far below <body> is a menu


def extract(*, engine: Literal["resiliparse"] = "resiliparse", main_content: bool = True) -> Step:
    """A step that turns pages into text.

    `main_content=False` takes the whole visible page, menus and footers too.
    Errors: ValueError for an unknown engine.
    """
    if engine != "resiliparse":
        raise ValueError(f"extract: unknown engine {engine!r}; the engines are: 'resiliparse'")
    to_text = _resiliparse(main_content)

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        html = table["html"] if "html" in table.column_names else None
        if html is None or html.null_count == len(html):
            return table, all_kept(len(table))
        types = table["content_type"].to_pylist() if "content_type" in table.column_names else [None] * len(table)
        texts = table["text"].to_pylist()
        out: dict[int, tuple[str, str | None]] = {}
        for row, page in enumerate(html.to_pylist()):
            if page is not None:
                texts[row], reason, detail = _page_text(page, types[row], to_text)
                if reason:
                    out[row] = (reason, detail)
        table = set_column(table, "text", pa.array(texts, pa.large_string()))
        table = set_column(table, "html", pa.nulls(len(table), pa.large_binary()))
        if not out:
            return table, all_kept(len(table))
        names, details = zip(*out.values())
        return table, reasons(len(table), list(out), list(names), detail=list(details))

    return step


def _page_text(
    page: bytes, content_type: str | None, to_text: Callable[[str], str]
) -> tuple[str | None, str | None, str | None]:
    """(text, None, None), or (None, reason, detail) for a page that is none or has nothing to read."""
    kind = kind_of(page, content_type)
    if kind is None:
        return None, "not_html", content_type or "no content type"
    text = decode(page, content_type).text
    text = tidy(to_text(text)) if kind == "html" else text
    return (text, None, None) if text.strip() else (None, "no_text", None)


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


def _resiliparse(main_content: bool) -> Callable[[str], str]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    def to_text(html: str) -> str:
        if not main_content:
            return plain(HTMLTree.parse(html))
        return plain(HTMLTree.parse(_LONE.sub(r"\1\2" + GUARD + r"\3", html))).replace(GUARD, "")

    def plain(tree: Any) -> str:
        if main_content:
            _save_lists(tree)
        return extract_plain_text(
            tree,
            preserve_formatting=True,  # paragraphs and lines are what the line and paragraph rules look at
            main_content=main_content,
            list_bullets=True,  # "bullet_line_ratio" needs them
            alt_texts=False,  # "Logo", file names, tracking pixels
            links=False,  # URLs are not text
            form_fields=False,
            noscript=False,  # "please enable JavaScript"
            comments=False,  # user comments: other authors, other quality
            post_meta=False,  # "posted on ... by ..."
            skip_elements=SKIP if main_content else [],
        )

    return to_text


def _save_lists(tree: Any) -> None:
    """Put each list of text that stands close to <body> a few levels deeper, in place.

    resiliparse takes every <ul> up to three levels below <body> for a menu. A menu's text is links; so lists whose text is
    mostly not in links are saved. Everything here is one walk: its selector results are searched anew at each index, and
    there are pages of 14,000 links.
    """
    level = [tree.body] if tree.body is not None else []
    lists = []
    for _ in range(MENU_LEVELS):
        level = [child for node in level for child in _children(node)]
        lists += [node for node in level if node.tag == "ul"]
    for found in lists:
        source = found.html
        linked = sum(len(_TAG.sub("", link)) for link in _LINK.findall(source))
        if 2 * linked >= len(_TAG.sub("", source)):
            continue
        outer = inner = tree.create_element("div")
        for _ in range(MENU_LEVELS - 1):
            deeper = tree.create_element("div")
            inner.append_child(deeper)
            inner = deeper
        found.parent.insert_before(outer, found)
        inner.append_child(found)


def _children(node: Any) -> Iterator[Any]:
    child = node.first_element_child
    while child is not None:
        yield child
        child = child.next_element


def tidy(text: str) -> str:
    """Extracted text as a reader would set it: no blanks at line ends, one tab between cells, at most one empty line.

    Blanks at line starts stay: they are the indents of code.
    """
    text = _CELLS.sub("\t", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _MANY_NEWLINES.sub("\n\n", _TRAILING.sub("", text + "\n")).strip("\n").rstrip()
