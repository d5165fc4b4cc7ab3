"""Wrongly decoded text put right: mojibake, control characters, one Unicode normal form.

    "The cafÃ© isnâ€™t open\\x07"   ->   "The café isn’t open"

The work is ftfy's (Speer 2019, "ftfy", Zenodo, doi 10.5281/zenodo.2591652). What it does besides: lone C1 controls are read as
windows-1252, ligatures are spelt out, line ends become "\\n", terminal escapes and byte order marks go. HTML entities are resolved
only in a text without "<" (ftfy's "auto"): with "<" the text may be source code or mark-up that shows entities on purpose.
Not covered: words broken by OCR, transliteration, homoglyphs.
"""

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.registry import edit
from filters.rows import plain
from filters.texts import Spans, Texts


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
    return _splice(texts, _repaired(texts.buffers, quotes, widths, normalization))


LONGEST = 1_000_000  # characters that ftfy reads at once
WHOLE = -1  # all troubles there are: a text for ftfy
Change = tuple[int, int, int, bytes]  # number of the text, begin and end in the data, what comes there


def _repaired(buffers: tuple[np.ndarray, np.ndarray], quotes: bool, widths: bool, normalization: str) -> list[Change]:
    """The lines that ftfy changes, and what they become.

    ftfy cuts a text behind line feeds and mends piece by piece; what goes from one piece to the next is only
    that behind a "<" no entity is resolved any more. So a line can be mended by itself.
    """
    import ftfy

    from filters.unicode_tables import VERSION, find_tables
    from kernels import unicode as kernel

    offsets, data = buffers
    spans = Spans(offsets[:-1], offsets[1:], data)
    if ftfy.__version__.startswith(VERSION):
        tables = find_tables(quotes, widths, normalization)
        lines = kernel.find_troubled(spans.starts, spans.ends, data, tables.traits, tables.pairs)
        mend = _Mender(quotes, widths, normalization, tables.changed)
    else:  # its steps may be others: each text goes to it as a whole
        lines = kernel.Lines(np.arange(len(spans.starts)), spans.starts, spans.ends, np.full(len(spans.starts), WHOLE))
        mend = _Mender(quotes, widths, normalization, {})
    changes = []
    for text, begin, stop, trouble in zip(*map(np.ndarray.tolist, lines)):
        given = data[begin:stop].tobytes()
        mended = mend(given.decode(), trouble).encode()
        if mended != given:
            changes.append((text, begin, stop, mended))
    return changes


class _Mender:
    """What ftfy makes of a line, by a shorter way where there is one.

    ftfy changes characters and looks for mojibake over and over until nothing changes. Where there is no mojibake and no
    entity, before and after, one round is enough, and its steps but the normal form are a map of characters.
    """

    def __init__(self, quotes: bool, widths: bool, normalization: str, changed: dict[str, str]) -> None:
        from ftfy import badness, chardata

        from kernels import unicode as kernel

        self.kernel, self.is_bad, self.find_entity = kernel, badness.is_bad, chardata.HTML_ENTITY_RE.search
        self.form = None if normalization == "none" else normalization
        self.whole = {markup: _repair(quotes, widths, normalization, markup) for markup in (False, True)}
        self.changed = changed
        self.any_changed = re.compile("[" + re.escape("".join(changed)) + "]" if changed else "(?!)")

    def __call__(self, line: str, trouble: int) -> str:
        if trouble == WHOLE:
            return self.whole[False](line)
        markup = bool(trouble & self.kernel.AFTER_MARKUP)
        mended = None
        if len(line) <= LONGEST and "\x1b" not in line:  # else there are pieces, or terminal escapes of many characters
            mended = self._quick(line, trouble, markup or "<" in line)
        return self.whole[markup](line) if mended is None else mended

    def _quick(self, line: str, trouble: int, markup: bool) -> str | None:
        """The line mended, None if that takes more than one round."""
        if trouble & self.kernel.PAIR and self.is_bad(line):
            return None
        out = line
        if trouble & self.kernel.SURE:
            if not markup and self.find_entity(line):
                return None
            out = self.any_changed.sub(lambda found: self.changed[found[0]], line.replace("\r\n", "\n"))
        if self.form:
            out = unicodedata.normalize(self.form, out)  # type: ignore[arg-type]
        if out == line:
            return line
        if self.is_bad(out) or (not markup and self.find_entity(out)) or self.any_changed.search(out):
            return None
        return out


def _splice(texts: Texts, changes: list[Change]) -> pa.Array:
    """The texts with the changes made, which come in order and do not overlap."""
    array = texts.array
    if not changes:
        return plain(texts)
    offsets, data = texts.buffers
    grown = np.zeros(len(offsets), np.int64)
    pieces: list[Any] = []
    at = int(offsets[0])
    for text, begin, stop, piece in changes:
        pieces += [data[at:begin], piece]
        grown[text + 1] += len(piece) - (stop - begin)
        at = stop
    pieces.append(data[at : offsets[-1]])
    moved = offsets - offsets[0] + np.cumsum(grown)
    valid = (
        np.packbits(pc.is_valid(array).to_numpy(zero_copy_only=False), bitorder="little") if array.null_count else None
    )
    return pa.LargeStringArray.from_buffers(
        len(texts),
        pa.py_buffer(moved),
        pa.py_buffer(b"".join(pieces)),
        None if valid is None else pa.py_buffer(valid),
        array.null_count,
    )


@functools.cache
def _repair(quotes: bool, widths: bool, normalization: str, markup: bool) -> Callable[[str], str]:
    import ftfy

    config = ftfy.TextFixerConfig(
        unescape_html=False if markup else "auto",
        uncurl_quotes=quotes,
        fix_character_width=widths,
        normalization=None if normalization == "none" else normalization,  # type: ignore[arg-type]
        max_decode_length=LONGEST,
        explain=False,
    )
    return functools.partial(ftfy.fix_text, config=config)
