"""Sets of characters that the word rule and the signals ask about: the data, no decisions.

Each is a plain string or frozenset of single characters, so that `char in QUOTES` reads as it is meant.
Ranges that are too long to spell out are written as hexadecimal code points. Lone surrogates do not occur in
Arrow text.
"""

import string
import unicodedata
from functools import cache


def _ranges(spec: str) -> frozenset[str]:
    """The characters of "0021 203C-203D": code points and inclusive ranges of them."""
    found: set[str] = set()
    for part in spec.split():
        first, _, last = part.partition("-")
        found.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return frozenset(found)


# Characters that can end a sentence: Unicode property Sentence_Terminal (PropList.txt, Unicode 16).
SENTENCE_ENDS = _ranges(
    """
    0021 002E 003F 0589 061D-061F 06D4 0700-0702 07F9 0837 0839 083D-083E 0964-0965 104A-104B 1362 1367-1368
    166E 1735-1736 17D4-17D5 1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C
    1C7E-1C7F 2024 203C-203D 2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 2E60-2E61 3002 A4FF A60E-A60F A6F3 A6F7
    A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F
    FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF
    11238-11239 1123B-1123C 112A9 113D4-113D5 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E
    11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38
    16B44 16D6E-16D6F 16E98 1BC9F 1DA88
    """
)

# A word made of these alone is a symbol, not a word (the Gopher rules count words without them). The set is
# that of datatrove 0.10 but for a few marks of rare scripts, so that thresholds mean the same here: ASCII and
# common typographic punctuation, the ends of sentences, and the control characters except tab and line feed.
# It has no bullet, no "©" and no "€": those count as words.
SYMBOLS = (
    frozenset(string.punctuation)
    | frozenset("–—…“”„’´«»►━∶％１〈〉《》「」【】（）、。，．：；？！～")
    | SENTENCE_ENDS
    | _ranges("0000-0008 000B-000C 000D-001F 007F-009F")
)

QUOTES = frozenset("'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧")
CURRENCY = frozenset("$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿")
CLAUSE_MARKS = frozenset("…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪")
HYPHENS = frozenset(["-", "–", "—", "--", "---", "——", "~"])

# Scripts written without spaces, one character a word: Han, kana and the iteration marks between them.
CJK_CLASS = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HAN_CLASS = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"


@cache
def is_pictograph(char: str) -> bool:
    """Unicode category So: emoji, arrows, box drawing, signs such as ©."""
    return unicodedata.category(char) == "So"


@cache
def is_punctuation(char: str) -> bool:
    """Any of the Unicode categories P*."""
    return unicodedata.category(char).startswith("P")


@cache
def can_lead(char: str) -> bool:
    """Whether the character is cut off the front of a word."""
    return char in CLAUSE_MARKS or char in QUOTES or char in CURRENCY or char in "§%=—–" or is_pictograph(char)


@cache
def can_trail(char: str) -> bool:
    """Whether the character is cut off the end of a word whatever stands before it."""
    return char in CLAUSE_MARKS or char in QUOTES or char in "—–" or is_pictograph(char)
