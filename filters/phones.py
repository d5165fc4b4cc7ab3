"""Phone numbers in running text.

    find_phones("Tel. 555-0199, order 5550199")  ->  [(5, 13)]

Two kinds of evidence are enough. A *shape* that little else has: "+" with a country code, the North American
(415) 555-2671, a trunk zero with groups (020 7946 0958, 03.93.92.16.85), Chinese mobile and landline numbers. Or a *word*: seven
digits or more behind "phone", "call me at", "电话", or before "fax", "office". Numbers with neither are left alone: years,
ISBN, time stamps, order numbers and table cells are far more frequent than bare phone numbers.

Not covered: numbers spelt in words or in digits other than 0-9, local numbers without a word near them.
Numbering facts: ITU-T E.164 (at most 15 digits), NANPA (area and exchange begin with 2-9), MIIT (mobile 13-19).
"""

import re

from filters.late import late

_SEP = r"[ \u00a0.\-\u2010-\u2013]"
# An unbroken run of digits and phone punctuation with seven digits or more: nothing else is looked at.
_RUN = late(r"[0-9](?:[ \u00a0.()/\-\u2010-\u2013]{0,3}[0-9]){6,}+")
_OPENING = late(r"[+( ]*\Z")

_LEFT = r"(?<![A-Za-z0-9_@#$€£¥=/\\+\-\u2010-\u2013])(?<![0-9][.,:](?=[0-9]))"
_RIGHT = r"(?![A-Za-z0-9_@%]|[.:/\-\u2010-\u2013][0-9]|\s?[%°€£])"
_EXTENSION = r"(?:(?:\s?(?:x|ext\.?|extension|#)\s?|转)[0-9]{1,6}|)"

SHAPES = [
    # international: +44 20 7946 0958, +46 (0)8 928 571 38, +1 (415) 555-2671, 001-518-640-0854
    rf"(?:\(?\+\s?[1-9][0-9]{{0,3}}\)?|00[1-9][0-9]{{0,2}}(?={_SEP}))(?:[ \u00a0.\-/\u2010-\u2013]{{0,2}}\(?[0-9]{{1,11}}\)?){{1,7}}",
    # North America: (415) 555-2671, 415-555-2671, 1.415.555.2671
    rf"(?:1{_SEP})?(?:\([2-9][0-9]{{2}}\){_SEP}?|[2-9][0-9]{{2}}[.\-\u2010-\u2013])[2-9][0-9]{{2}}{_SEP}[0-9]{{4}}",
    r"(?<![0-9] )(?:1 )?[2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4}(?! [0-9])",
    # China: 13812345678, 138-1234-5678, 86 138 1234 5678
    r"(?:86[ \-]?)?1[3-9][0-9](?:[ \-]?[0-9]{4}){2}",
    # China: 010-88886666, (0571) 88886666-123, 400-820-8820
    r"(?:\(0[1-9][0-9]{1,2}\) ?|0[1-9][0-9]{1,2}[\- ])[2-8][0-9]{6,7}(?:-[0-9]{1,5})?",
    r"[48]00[\- ][0-9]{3}[\- ][0-9]{4}",
    # a trunk zero and groups: 020 7946 0958, 0487 98 11 92, 03.93.92.16.85, 0341 8387176, (08) 8747 6301
    rf"\(?0[1-9][0-9]{{0,3}}\)?(?:{_SEP}|/){{1,2}}(?:[0-9]{{6,8}}|[0-9]{{2,5}}(?:{_SEP}[0-9]{{2,4}}){{1,3}})",
]
_SHAPE = late(f"{_LEFT}(?:{'|'.join(SHAPES)}){_EXTENSION}{_RIGHT}")
_BARE = late(
    rf"(?<![A-Za-z0-9_@#$€£¥/\\+])(?<![0-9][.,:\-])\(?[0-9](?:[ \u00a0.()/\-\u2010-\u2013]{{0,2}}[0-9]){{6,14}}+{_EXTENSION}{_RIGHT}"
)

_BEFORE = late(
    r"(?:\b(?:tele)?phones?\b|\btel\b|\bmobile\b|\bcell\b|\bfax\b|\bdesk\s?:|\bhotline\b|\bwhatsapp\b|\bsms\b"
    r"|\b(?:call|dial|ring|text|reach|contact|messages?|answer(?:ing)?)\b(?:[ ]\w+){0,2}?[ ](?:at|on|to|me|us|him|her|them)\b"
    r"|\b(?:call|dial)\b|\bt[ée]l[ée]?(?:phone|fono)?\b|\btelefono?\b|\bhandy\b|电话|手机|座机|热线|传真|联系方式|拨打|致电|電話|手機|携帯)"
    r"(?:\.?[ ](?:number|no|nr|num|is|us|me|at|on|now|phone|desk))*(?:号码?|號碼?|番号|是|为)?[\s.:：#=|,()\-]{0,6}$",
    re.IGNORECASE,
)
_AFTER = late(r"[ \-]?\(?(?:office|fax|mobile|cell|home|work|tel)\b", re.IGNORECASE)
_DATE = late(
    r"\(?(?:(?:19|20)[0-9][0-9][.\-/ ](?:0?[1-9]|1[0-2])[.\-/ ](?:0?[1-9]|[12][0-9]|3[01])(?![0-9])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[.\-/ ](?:0?[1-9]|[12][0-9]|3[01])[.\-/ ](?:19|20)[0-9][0-9](?![0-9])"
    r"|(?:19|20)[0-9][0-9] ?[\-\u2010-\u2013/] ?(?:19|20)[0-9][0-9](?![0-9]))"
)
_SSN = late(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_NUMBER_OF = late(
    r"(?<![A-Za-z])(?:ISBN|ISSN|EAN|DOI|ID|No|order|invoice|订单|编号)[\-\w]{0,3}[\s:.#：]{0,3}$", re.IGNORECASE
)

E164_DIGITS = range(8, 16)
CONTEXT_CHARS = 48


def find_phones(text: str) -> list[tuple[int, int]]:
    """Spans (start, end in characters) of the phone numbers in `text`, in order, not overlapping."""
    found: list[tuple[int, int]] = []
    for run in _RUN.finditer(text):
        start, end = run.span()
        start -= len(_OPENING.search(text[max(0, start - 3) : start]).group())  # type: ignore[union-attr]
        shaped = [
            match.span()
            for match in _SHAPE.finditer(text, start, min(len(text), end + 20))
            if match.start() < end and _is_phone(text, match.group(), match.start())
        ]
        found += shaped or _by_context(text, start, end)
    return found


def _is_phone(text: str, number: str, start: int) -> bool:
    digits = _digits(number)
    if (
        number.startswith("0")
        and not number.startswith("00")
        and not 9 <= len(digits) <= 12 + _extension_digits(number)
    ):
        return False
    if (
        number.startswith(("+", "(+", "00"))
        and len(digits) - _extension_digits(number) - 2 * number.startswith("00") not in E164_DIGITS
    ):
        return False
    if _SSN.fullmatch(number) or _DATE.match(number):
        return False
    if not _NUMBER_OF.search(text, max(0, start - 16), start):
        return True
    return bool(_BEFORE.search(text[max(0, start - CONTEXT_CHARS) : start]))  # "Tel. No.: +44 ..."


def _by_context(text: str, start: int, end: int) -> list[tuple[int, int]]:
    match = _BARE.search(text, start, min(len(text), end + 20))
    if not match or match.start() >= end or _DATE.match(match.group()) or _SSN.fullmatch(match.group()):
        return []
    before = text[max(0, match.start() - CONTEXT_CHARS) : match.start()]
    if _BEFORE.search(before) or _AFTER.match(text, match.end()):
        return [match.span()]
    return []


def _digits(number: str) -> str:
    return "".join(filter(str.isdigit, number))


def _extension_digits(number: str) -> int:
    extension = re.search(r"(?:x|ext\.?|extension|#|转)\s?([0-9]+)$", number)
    return len(extension.group(1)) if extension else 0
