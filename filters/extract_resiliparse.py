"""The engine `resiliparse`: the main content by resiliparse's own heuristic, with what it loses put right.

"<nav>Home</nav><main><h1>Mills</h1><p>They grind.</p></main>"   ->   "Mills\\n\\nThey grind."
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

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


def engine(main_content: bool, form: Literal[True, "minimal_html"] = True, links: bool = False) -> Callable[[str], str]:
    """Page to text. `main_content=False`: the whole visible page. `form`: True, or "minimal_html" for reduced HTML."""
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
            preserve_formatting=form,  # paragraphs and lines are what the line and paragraph rules look at
            main_content=main_content,
            list_bullets=True,  # "bullet_line_ratio" needs them
            alt_texts=False,  # "Logo", file names, tracking pixels
            links=links,  # URLs are not text
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
