"""The script of a text, by its letters: ISO 15924 codes such as Latn, Cyrl, Arab, Jpan, Hans, Hant.

    "Die Mühle"   ->   "Latn"        "这是简体字"   ->   "Hans"        "這是繁體字"   ->   "Hant"        "1 + 1"   ->   "Zyyy"

The script with most letters wins, a Han, kana or Hangul one counts as three. Han and kana together are Jpan where there is a kana for
every ten Han or more. Han without them are Hans or Hant by the characters that only the simplified (GB 2312) or only the traditional
(Big5) character set has; Hani if neither has more.
"Zyyy": no letters, "Zzzz": letters of scripts that are not listed.
"""

from functools import cache

import numpy as np

from filters.texts import Texts

# Unicode blocks (first, behind the last); letters in them count
BLOCKS: dict[str, tuple[tuple[int, int], ...]] = {
    "Latn": ((0x41, 0x250), (0x1E00, 0x1F00), (0x2C60, 0x2C80), (0xA720, 0xA800), (0xAB30, 0xAB70), (0xFB00, 0xFB07), (0xFF21, 0xFF5B)),
    "Cyrl": ((0x400, 0x530), (0x1C80, 0x1C90), (0xA640, 0xA6A0)),
    "Grek": ((0x370, 0x400), (0x1F00, 0x2000)),
    "Arab": ((0x600, 0x700), (0x750, 0x780), (0x870, 0x900), (0xFB50, 0xFE00), (0xFE70, 0xFEFF)),
    "Hebr": ((0x590, 0x600), (0xFB1D, 0xFB50)),
    "Deva": ((0x900, 0x980), (0xA8E0, 0xA900)),
    "Beng": ((0x980, 0xA00),),
    "Guru": ((0xA00, 0xA80),),
    "Gujr": ((0xA80, 0xB00),),
    "Orya": ((0xB00, 0xB80),),
    "Taml": ((0xB80, 0xC00),),
    "Telu": ((0xC00, 0xC80),),
    "Knda": ((0xC80, 0xD00),),
    "Mlym": ((0xD00, 0xD80),),
    "Sinh": ((0xD80, 0xE00),),
    "Thai": ((0xE00, 0xE80),),
    "Laoo": ((0xE80, 0xF00),),
    "Tibt": ((0xF00, 0x1000),),
    "Mymr": ((0x1000, 0x10A0), (0xA9E0, 0xAA00), (0xAA60, 0xAA80)),
    "Geor": ((0x10A0, 0x1100), (0x1C90, 0x1CC0), (0x2D00, 0x2D30)),
    "Hang": ((0x1100, 0x1200), (0x3130, 0x3190), (0xA960, 0xA980), (0xAC00, 0xD800)),
    "Ethi": ((0x1200, 0x13A0), (0x2D80, 0x2DE0), (0xAB00, 0xAB30)),
    "Cher": ((0x13A0, 0x1400), (0xAB70, 0xABC0)),
    "Cans": ((0x1400, 0x1680), (0x18B0, 0x1900)),
    "Khmr": ((0x1780, 0x1800),),
    "Mong": ((0x1800, 0x18B0),),
    "Armn": ((0x530, 0x590), (0xFB13, 0xFB18)),
    "Syrc": ((0x700, 0x750), (0x860, 0x870)),
    "Thaa": ((0x780, 0x7C0),),
    "Nkoo": ((0x7C0, 0x800),),
    "Olck": ((0x1C50, 0x1C80),),
    "Tfng": ((0x2D30, 0x2D80),),
    "Java": ((0xA980, 0xA9E0),),
    "Yiii": ((0xA000, 0xA4D0),),
    "Kana": ((0x3041, 0x3100), (0x31F0, 0x3200), (0xFF66, 0xFFA0)),
    "Hani": ((0x3005, 0x3008), (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000)),
}  # fmt: skip
COUNTED = ("", "Zzzz", *BLOCKS, "Hans", "Hant")  # the columns of `in_scripts`; Hani has the Han that tell nothing
HAN = [COUNTED.index(name) for name in ("Hani", "Hans", "Hant")]
KANA, HANG = COUNTED.index("Kana"), COUNTED.index("Hang")
_WEIGHTS = np.where(np.isin(np.arange(len(COUNTED)), [*HAN, KANA, HANG]), 3, 1)
KANA_PER_HAN = 0.1  # as in filters/chinese.py
# what `script_names` can answer
SCRIPTS = frozenset({*COUNTED[1:], "Jpan", "Zyyy"} - {"Kana"})


def in_scripts(texts: Texts) -> np.ndarray:
    """Letters of each script, int64 of shape (texts, len(COUNTED)); a Han, kana or Hangul one counts as three.

    Such a character is as long in UTF-8 as three Latin letters, and says about as much.
    """
    from kernels.scripts import count_scripts

    spans = texts.spans
    return count_scripts(spans.starts, spans.ends, spans.data, script_table(), len(COUNTED)) * _WEIGHTS


def script_names(counts: np.ndarray) -> list[str]:
    """The script of each text, from `in_scripts`."""
    han, kana = counts[:, HAN].sum(axis=1), counts[:, KANA]
    joined = counts.copy()
    joined[:, [KANA, *HAN]] = 0
    joined[:, HAN[0]] = han + kana
    best = np.where(joined.any(axis=1), joined.argmax(axis=1), 0)
    names = np.array(["Zyyy", *COUNTED[1:]])[best]
    chinese = np.where(is_japanese(han, kana), "Jpan", chinese_names(counts))
    return np.where(best == HAN[0], chinese, names).tolist()


def chinese_names(counts: np.ndarray) -> list[str]:
    """Hans, Hant or Hani for each text, whatever other letters it has."""
    simplified, traditional = counts[:, HAN[1]], counts[:, HAN[2]]
    return np.select([simplified > traditional, traditional > simplified], ["Hans", "Hant"], "Hani").tolist()


def is_japanese(han: np.ndarray, kana: np.ndarray) -> np.ndarray:
    """Whether Han and kana together are Japanese: a kana for every ten Han."""
    return (kana > 0) & (kana >= KANA_PER_HAN * han)


@cache
def script_table() -> np.ndarray:
    """uint8 of shape (kernels.characters.TABLE_SIZE,): the place in COUNTED of each letter, 0 for what is none."""
    from filters.kinds import kind_table
    from kernels.characters import ALPHA

    letters = (kind_table() & ALPHA) != 0
    table = letters.astype(np.uint8)  # Zzzz
    for number, blocks in enumerate(BLOCKS.values(), start=2):
        for first, end in blocks:
            table[first:end] = np.where(letters[first:end], number, 0)
    han = "".join(map(chr, np.flatnonzero(table == HAN[0]).tolist()))
    simplified, traditional = (set(han.encode(charset, "ignore").decode(charset)) for charset in ("gb2312", "big5"))
    table[list(map(ord, simplified - traditional))] = HAN[1]
    table[list(map(ord, traditional - simplified))] = HAN[2]
    table.setflags(write=False)
    return table
