"""Bytes of a page to a string.

In: the bytes and the declared content type ("text/html; charset=gbk", may be None). Out: `Decoded(text, charset, how)`.

    decode("<meta charset=gb2312><p>您好".encode("gb18030"), "text/html")
    -> Decoded(text="<meta charset=gb2312><p>您好", charset="gb18030", how="meta")

Order of trust: byte order mark, the charset of the content type, `<meta>` (or the XML declaration), detection.
That is the order of the WHATWG encoding sniffing algorithm, with one difference: a browser obeys a declaration
even if the page turns to question marks, we fall to the next source of truth.

Labels mean what browsers take them for (WHATWG Encoding, section 4.2): "iso-8859-1" is windows-1252, "gb2312" is
gb18030, "euc-kr" is windows-949. Not covered: UTF-7, HZ, ISO-2022-KR and -CN (attack vectors, no browser reads them).
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD_BYTES = 4096  # WHATWG asks for 1024, comments counted; pages with long scripts before <meta> are common
COMMENT_BYTES = 16384  # how far comments are cut away before the head is measured

BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),  # before UTF-16, whose mark is its prefix
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

# The codec that decodes the whole of what browsers accept under a name (the library gives the narrower Python codec)
CODECS = {
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-11": "cp874",
    "x-mac-cyrillic": "mac-cyrillic",  # WHATWG labels that the library does not know
    "x-mac-ukrainian": "mac-cyrillic",
}

# A declared charset is believed when at most this share of the characters outside ASCII is broken: one bad byte
# in an advertisement must not turn a whole UTF-8 page into mojibake.
BROKEN_SHARE = 0.02

_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"<meta[\s/][^>]*>", re.IGNORECASE)
_META_CHARSET = re.compile(rb"""[\s"'/;]charset\s*=\s*(?:"\s*([^">]*)"|'\s*([^'>]*)'|([^\s"'/>;]+))""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*\sencoding\s*=\s*["']\s*([A-Za-z0-9._:-]+)""")
_HEADER_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)
_NOT_ASCII = re.compile(rb"[^\x00-\x7f](?:[\x00-\x7f]?[^\x00-\x7f])*[\x40-\x7e]?")

_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{1,3}")


class Decoded(NamedTuple):
    text: str
    charset: str  # Python codec name
    how: str  # "bom", "header", "meta", "detected" or "replaced" (nothing fits, broken bytes are U+FFFD)


def codec(label: str | None) -> str | None:
    """Python codec for a charset label, or None if browsers do not know the label."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = (label or "").strip().lower()
    name = CODECS.get(label) or map_encoding_to_html5(label, fallback_utf8=False)
    return CODECS.get(name, name) if name else None


def header_charset(content_type: str | None) -> str | None:
    """Label in a content type: 'text/html; charset="GBK"' -> 'GBK'."""
    found = _HEADER_CHARSET.search(content_type or "")
    return found.group(1) if found else None


def meta_charset(page: bytes) -> str | None:
    """First known label in the page's first bytes: <meta charset>, <meta content="...charset=">, XML declaration."""
    head = _COMMENT.sub(b"", page[:COMMENT_BYTES])[:HEAD_BYTES]
    for tag in _META.findall(head):
        found = _META_CHARSET.search(tag)
        if found:
            label = next(group for group in found.groups() if group is not None)
            name = label.split(b";")[0].strip().decode("ascii", "replace")
            if codec(name):
                return name
    found = _XML_ENCODING.search(head)
    return found.group(1).decode("ascii") if found else None


def detect(page: bytes) -> str | None:
    """Codec found from the bytes alone: strict UTF-8 first, then UTF-16 by its zeros, then uchardet."""
    from resiliparse.parse.encoding import detect_encoding

    try:
        page.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        pass
    zeros = page[:HEAD_BYTES]
    if zeros.count(0) * 4 > len(zeros):  # mark-up in UTF-16 is half zeros; 8-bit text has none
        return "utf-16-le" if zeros[1::2].count(0) > zeros[::2].count(0) else "utf-16-be"
    # Only the parts outside ASCII: mark-up teaches the detector nothing and fills its sample. The WHATWG mapping of
    # the library is not used: it gives UTF-8 for every name it does not know, windows-949 among them.
    sample = b" ".join(_NOT_ASCII.findall(page)) if b"<" in page and b"\x1b" not in page else page
    found = detect_encoding(sample or page, html5_compatible=False)
    if not found:
        return None
    return codec(found) or found.lower()


def decode(page: bytes, content_type: str | None = None) -> Decoded:
    """The page as a string, without byte order mark and zero characters; never raises."""
    for mark, marked in BOMS:
        if page.startswith(mark):
            return Decoded(_clean(page[len(mark) :].decode(marked, "replace")), marked, "bom")
    meta = codec(meta_charset(page))
    if meta and meta.startswith("utf-16"):  # the declaration was read as ASCII, so it is wrong (WHATWG: take UTF-8)
        meta = "utf-8"
    declared: list[tuple[str | None, str]] = [(codec(header_charset(content_type)), "header"), (meta, "meta")]
    for name, how in declared:
        if name and name.startswith(("cp125", "iso")) and _surely_utf8(page):
            continue  # an 8-bit charset "decodes" everything; servers send ISO-8859-1 by default over UTF-8 pages
        text = _try(page, name, BROKEN_SHARE)
        if text is not None and name is not None:
            return Decoded(text, name, how)
    detected = detect(page)
    text = _try(page, detected, 0.0)
    if text is not None and detected is not None:
        return Decoded(text, detected, "detected")
    return _least_broken(page, [detected, *(name for name, _ in declared), "utf-8"])


def _surely_utf8(page: bytes) -> bool:
    """Strict UTF-8 with three characters outside ASCII or more: text of an 8-bit charset is not that by accident."""
    if len(_UTF8_SEQUENCE.findall(page, 0, 1 << 20)) < 3:
        return False
    try:
        page.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def _try(page: bytes, name: str | None, broken: float) -> str | None:
    """The decoded page, or None where more than the share `broken` of the characters outside ASCII is broken."""
    if name is None:
        return None
    try:
        return _clean(page.decode(name))
    except LookupError:
        return None
    except UnicodeDecodeError:
        if broken == 0.0:
            return None
    text = page.decode(name, "replace")
    outside = sum(1 for character in text if character > "\x7f")
    return _clean(text) if text.count("\ufffd") <= broken * outside else None


def _least_broken(page: bytes, names: list[str | None]) -> Decoded:
    """Nothing decodes: the codec with the fewest replacement characters, the earlier one of two equals."""
    best: Decoded | None = None
    for name in names:
        try:
            text = page.decode(name or "utf-8", "replace")
        except LookupError:
            continue
        if best is None or text.count("\ufffd") < best.text.count("\ufffd"):
            best = Decoded(text, name or "utf-8", "replaced")
    assert best is not None  # utf-8 is always among them
    return best._replace(text=_clean(best.text))


def _clean(text: str) -> str:
    """No byte order mark in front (a page made of two files has one after the declaration), no zero characters."""
    return text.lstrip("\ufeff").replace("\x00", "")
