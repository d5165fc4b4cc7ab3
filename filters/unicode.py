"""Wrongly decoded text put right: mojibake, control characters, one Unicode normal form.

    "The cafÃ© isnâ€™t open\\x07"   ->   "The café isn’t open"

The work is ftfy's (Speer 2019, "ftfy", Zenodo, doi 10.5281/zenodo.2591652). What it does besides: lone C1 controls are read as
windows-1252, ligatures are spelt out, line ends become "\\n", terminal escapes and byte order marks go. HTML entities are resolved
only in a text without "<" (ftfy's "auto"): with "<" the text may be source code or mark-up that shows entities on purpose.
Not covered: words broken by OCR, transliteration, homoglyphs.
"""

import functools
import re
from collections.abc import Callable
from typing import Literal

import pyarrow as pa

from filters.registry import edit
from filters.texts import Texts

# Printable ASCII, tab and newline, and no "&" (an entity could begin there): nothing in ftfy changes such a text.
# tests/test_unicode.py holds this against ftfy on generated text.
_PLAIN = re.compile(r"[\t\n\x20-\x25\x27-\x7e]*")


@edit(source="Speer 2019, ftfy")
def repair_unicode(
    texts: Texts,
    *,
    quotes: bool = False,
    widths: bool = False,
    normalization: Literal["NFC", "NFKC", "none"] = "NFC",
) -> pa.Array:
    """Mend mojibake, remove control characters, bring to one Unicode normal form (ftfy).

    `quotes`: curly quotes become straight ones. `widths`: full-width Latin and half-width kana take their usual width;
    off by default because full-width punctuation is right in Chinese and Japanese. `normalization`: "NFKC" also
    folds compatibility characters (①, ﬁ, ㎏) and so loses information; "none" keeps the code points.
    Null stays null. Result: large_string, one a text.
    """
    repair = _repair(quotes, widths, normalization)
    given = texts.array.is_null().to_pylist()
    repaired = [
        None if null else text if _PLAIN.fullmatch(text) else repair(text) for text, null in zip(texts.strings, given)
    ]
    return pa.array(repaired, pa.large_string())


@functools.cache
def _repair(quotes: bool, widths: bool, normalization: str) -> Callable[[str], str]:
    import ftfy

    config = ftfy.TextFixerConfig(
        uncurl_quotes=quotes,
        fix_character_width=widths,
        normalization=None if normalization == "none" else normalization,  # type: ignore[arg-type]
        explain=False,
    )
    return functools.partial(ftfy.fix_text, config=config)
