"""Formulas of a page as LaTeX between dollar signs, before any engine sees the page.

    <math alttext="x^2"><msup>...</msup></math>                                    ->   $x^2$
    <math display="block"><semantics>...<annotation encoding="application/x-tex">  ->   $$...$$
    <script type="math/tex; mode=display">\\frac12</script>                         ->   $$\\frac12$$

Where a formula brings no LaTeX it stays as it is. KaTeX and MathJax show a formula a second time for the eyes: their copy goes, since it
is the same formula in loose characters. Not covered: MathML translated to LaTeX, formulas as pictures.
"""

from __future__ import annotations

import html
import re

from filters.page_metadata import until

# Tags have bounds: "<math <math <math ..." without an end would be searched anew from each beginning
_MATH = re.compile(r"<math\b([^>]{0,4000})>(.*?)</math>", re.DOTALL | re.IGNORECASE)
_ANNOTATION = re.compile(
    r"""<annotation\b[^<>]{0,500}?encoding\s*=\s*["']?(?:application/x-(?:la)?tex|tex|latex)["']?[^<>]{0,500}>(.*?)</annotation>""",
    re.DOTALL | re.IGNORECASE,
)
_ALTTEXT = re.compile(r"""\salttext\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_SCRIPT = re.compile(
    r"""<script\b[^<>]{0,500}?type\s*=\s*["']?math/tex(?:;\s*mode\s*=\s*(display))?[^<>]{0,500}>(.*?)</script>""",
    re.DOTALL | re.IGNORECASE,
)
_SHOWN_AGAIN = re.compile(r"""<span\b[^<>]{0,500}?class\s*=\s*["']katex-html["'][^<>]{0,500}>""", re.IGNORECASE)
_SPAN = re.compile(r"<(/?)span\b[^>]{0,4000}>", re.IGNORECASE)
_DISPLAY_STYLE = re.compile(r"^\{\\displaystyle\s*(.*)\}$", re.DOTALL)  # MediaWiki wraps every formula in it


def formulas_as_latex(page: str) -> str:
    """The page with `$...$` (`$$...$$` where displayed) for each formula that brings its LaTeX."""
    if "</math>" in page:
        ended = until(page, "</math>")
        page = _MATH.sub(_math, ended) + page[len(ended) :]
        if "katex-html" in page:
            page = _without_katex(page)
    if "math/tex" in page:
        ended = until(page, "</script>")
        set_ = _SCRIPT.sub(lambda found: _dollars(found.group(2), bool(found.group(1)), escaped=False), ended)
        page = set_ + page[len(ended) :]
    return page


def _math(found: re.Match[str]) -> str:
    attributes, body = found.group(1), found.group(2)
    latex = _ANNOTATION.search(until(body, "</annotation>"))
    alt = _ALTTEXT.search(attributes)
    source = latex.group(1) if latex else (alt.group(1) or alt.group(2)) if alt else None
    if not source or not source.strip():
        return found.group()
    return _dollars(
        source, re.search(r"""display\s*=\s*["']?block""", attributes, re.IGNORECASE) is not None, escaped=True
    )


def _dollars(source: str, displayed: bool, escaped: bool) -> str:
    latex = (html.unescape(source) if escaped else source).strip().removesuffix("\\,").strip()
    inner = _DISPLAY_STYLE.match(latex)
    mark = "$$" if displayed else "$"
    return mark + html.escape((inner.group(1) if inner else latex).strip(), quote=False) + mark


def _without_katex(page: str) -> str:
    """The page without the spans that show a formula again, each up to its own end tag."""
    parts, at = [], 0
    for found in _SHOWN_AGAIN.finditer(page):
        if found.start() < at:
            continue
        parts.append(page[at : found.start()])
        depth, at = 1, found.end()
        for tag in _SPAN.finditer(page, at):
            depth += -1 if tag.group(1) else 1
            at = tag.end()
            if depth == 0:
                break
    return "".join(parts) + page[at:]
