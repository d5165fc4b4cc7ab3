"""Edits on how a text is written, not what it says: white space, normal form, width of characters.

normalize_whitespace   "a\\u00a0 b \\r\\n\\n\\n\\nc"   ->   "a b\\n\\nc"
normalize_unicode      "e\\u0301"   ->   "é"
halfwidth              "ＡＢＣ　１２３，好"   ->   "ABC 123，好"
"""

import re
import unicodedata
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from filters.registry import edit
from filters.rows import edit_rows
from filters.texts import Texts

# Unicode category Zs but the space itself; what ends a line besides the line feed (str.splitlines, without FS GS RS)
_WIDE_BLANKS = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_LINE_ENDS = ("\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
_ANY_WIDE = re.compile(f"[{_WIDE_BLANKS}]")
_BLANKS = re.compile(r"[\t ]{2,}|\t")
# what there is to do in a text, exactly, for RE2; besides too many line feeds
_LOOSE = rf"[\r\x0b\x0c\x{{85}}\x{{2028}}\x{{2029}}{_WIDE_BLANKS}]|[^\n\t ](?:\t| [\t ])|[\t ](?:\n|\z)"


@edit(source="this project")
def normalize_whitespace(texts: Texts, *, max_newlines: int = 2, keep_indent: bool = True) -> pa.Array:
    """One space between words, no white space at the ends of lines, at most `max_newlines` line ends in a row.

    CR LF, CR, VT, FF, NEL, U+2028 and U+2029 become line feeds. Spaces, tabs and Unicode's other blanks (no-break,
    ideographic, ...) in a row become one space. `keep_indent`: spaces and tabs in front of a line stay, other blanks there become a
    space each; otherwise a line begins with its first word. Null stays null. Errors: ValueError if max_newlines < 1.
    """
    if max_newlines < 1:
        raise ValueError(
            f"normalize_whitespace: max_newlines is {max_newlines}; expected 1 or more, 2 keeps paragraphs"
        )
    many = re.compile(f"\n{{{max_newlines + 1},}}")

    def mend(text: str) -> str:
        for end in _LINE_ENDS:
            text = text.replace(end, "\n")
        lines = _ANY_WIDE.sub(" ", text).split("\n")
        return many.sub("\n" * max_newlines, "\n".join([_tidy(line, keep_indent) for line in lines]))

    loose = _LOOSE + ("" if keep_indent else r"|(?:\A|\n)[\t ]")
    feeds = pc.match_substring(texts.array, "\n" * (max_newlines + 1))
    return edit_rows(texts, pc.or_(feeds, pc.match_substring_regex(texts.array, loose)), mend)


def _tidy(line: str, keep_indent: bool) -> str:
    body = line.strip("\t ")
    if "  " in body or "\t" in body:
        body = _BLANKS.sub(" ", body)
    if not (keep_indent and body):
        return body
    return line[: len(line) - len(line.lstrip("\t "))] + body


@edit(source="Unicode Standard Annex 15")
def normalize_unicode(texts: Texts, *, form: Literal["NFC", "NFKC"] = "NFC") -> pa.Array:
    """Bring to one Unicode normal form.

    "NFC": letters and their marks composed. "NFKC" also folds compatibility characters (①, ﬁ, ㎏, full-width letters) and
    loses information. Null stays null.
    """
    candidates = pc.invert(pc.string_is_ascii(texts.array))
    return edit_rows(
        texts,
        candidates,
        lambda text: text if unicodedata.is_normalized(form, text) else unicodedata.normalize(form, text),
    )


_WIDE_LETTERS = "０-９Ａ-Ｚａ-ｚ\u3000"
_WIDE_ASCII = "\uff01-\uff5e\u3000"
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


@edit(source="Unicode block FF00-FFEF")
def halfwidth(texts: Texts, *, punctuation: bool = False) -> pa.Array:
    """Full-width Latin letters, digits and the ideographic space become ASCII; kana stay.

    `punctuation`: the full-width punctuation and symbols of ASCII too (，！：（）...); off by default because it is right in Chinese and
    Japanese. Null stays null.
    """
    wide = re.compile(f"[{_WIDE_ASCII if punctuation else _WIDE_LETTERS}]+")
    candidates = pc.match_substring_regex(texts.array, wide.pattern)
    return edit_rows(texts, candidates, lambda text: wide.sub(lambda found: found[0].translate(_NARROW), text))
