"""Personal data in text, replaced by tags.

    "Mail jo@mill.org or call +44 20 7946 0958."   ->   "Mail <EMAIL> or call <PHONE>."

| kind  | tag     | what counts |
|-------|---------|-------------|
| email | <EMAIL> | local part in any script, domain with a letter top level or an address literal |
| cn_id | <CN_ID> | 18-character Chinese resident identity number: province, date and check character right |
| card  | <CARD>  | 12-19 digits, issuer's prefix and length, Luhn check right |
| ip    | <IP>    | IPv4 and IPv6 that are routed in the public Internet (`private_ips`: all) |
| phone | <PHONE> | see filters/phones.py |

Where two kinds claim the same characters the one further up wins: the stricter its check, the higher a kind stands.
Tags, not made-up stand-ins: a stand-in drawn from a counter makes the output depend on the order of the work.
Not covered: names, street addresses, social security numbers, IBAN, passports; version and section numbers with four parts
("v1.2.3.4", "Chrome/120.0.0.0", "section 1.2.3.4") are no addresses.
"""

import bisect
import datetime
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Literal

import pyarrow as pa

from filters.late import late
from filters.phones import find_phones
from filters.registry import edit
from filters.texts import Texts

Kind = Literal["email", "cn_id", "card", "ip", "phone"]
Span = tuple[int, int]

KINDS: tuple[Kind, ...] = ("email", "cn_id", "card", "ip", "phone")  # in the order of their claims
TAGS: dict[str, str] = {kind: f"<{kind.upper()}>" for kind in KINDS}


@edit(
    source="this project; checks: ISO/IEC 7812 (cards), GB 11643-1999 (identity numbers), RFC 4291 (IPv6), ITU-T E.164 (phones)"
)
def scrub_pii(
    texts: Texts, *, kinds: Sequence[Kind] = KINDS, with_: Literal["tag"] = "tag", private_ips: bool = False
) -> pa.Array:
    """Replace e-mail and IP addresses, phone, card and Chinese identity numbers by tags such as <EMAIL>.

    `kinds`: which of them. `private_ips`: also addresses that say nothing about a person (private, loopback, documentation).
    Null stays null. Result: large_string, one a text. Errors: ValueError for an unknown kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or with_ != "tag":
        raise ValueError(f"scrub_pii: unknown {unknown or with_!r}; kinds are {', '.join(KINDS)}, and `with` is 'tag'")
    nulls = texts.array.is_null().to_pylist()
    return pa.array(
        [None if null else _scrub(text, kinds, private_ips) for text, null in zip(texts.strings, nulls)],
        pa.large_string(),
    )


def find_pii(text: str, kinds: Sequence[Kind] = KINDS, private_ips: bool = False) -> list[tuple[int, int, Kind]]:
    """(start, end, kind) in characters of all personal data in `text`, sorted, not overlapping."""
    claimed: list[tuple[int, int, Kind]] = []
    for kind in KINDS:
        if kind not in kinds:
            continue
        spans = find_ips(text, private_ips) if kind == "ip" else FINDERS[kind](text)
        for start, end in spans:
            at = bisect.bisect(claimed, (start, end, kind))
            free = (at == 0 or claimed[at - 1][1] <= start) and (at == len(claimed) or end <= claimed[at][0])
            if free:
                claimed.insert(at, (start, end, kind))
    return claimed


def _scrub(text: str, kinds: Sequence[Kind], private_ips: bool) -> str:
    found = find_pii(text, kinds, private_ips)
    if not found:
        return text
    pieces, last = [], 0
    for start, end, kind in found:
        pieces += [text[last:start], TAGS[kind]]
        last = end
    return "".join([*pieces, text[last:]])


# ---- e-mail ------------------------------------------------------------------------------------------------------

# Scripts written without spaces: a name in them before the address runs into the sentence
_CJK = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Letters with marks that \w does not know (Hebrew, Arabic, Indic vowel signs) and the joiners inside Persian and Indic words
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f\u135d-\u135f\u1780-\u17ff\u200c\u200d"
_LABEL = r"[A-Za-z0-9\u00a1-\u024f](?:[A-Za-z0-9\u00a1-\u024f\-]{0,61}[A-Za-z0-9\u00a1-\u024f])?"
_AT_DOMAIN = late(
    rf"@(?:(?:{_LABEL}\.){{1,8}}(?:[A-Za-z]{{2,24}}|[Xx][Nn]--[A-Za-z0-9\-]{{2,58}})(?![A-Za-z0-9_\-]|\.[A-Za-z0-9]|@)"
    r"|\[(?:\d{1,3}\.){3}\d{1,3}\])"
)
_LOCAL_END = late(rf"(?:[\w.%+\-{_MARKS}]|(?<=[A-Za-z])'(?=[A-Za-z]))+\Z")
_CJK_LETTER = late(f"[{_CJK}]")
_CJK_LOCAL = late(rf"(?:^|(?<=[^\w.]))[{_CJK}]{{1,12}}(?:\.[{_CJK}]{{1,12}})+[A-Za-z0-9._\-]*\Z")
_AFTER_CJK = late(rf"[^{_CJK}]*\Z")
LOCAL_CHARS = 64  # RFC 5321, 4.5.3.1.1
# "icon@2x.png", "app@1.0.min.js": names of files, not of hosts
FILE_ENDINGS = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "ico",
        "bmp",
        "css",
        "js",
        "mjs",
        "ts",
        "tsx",
        "jsx",
        "json",
        "html",
        "htm",
        "xml",
        "tgz",
        "gz",
        "jar",
        "exe",
        "dll",
        "pdf",
        "txt",
        "service",
    ]
)


def find_emails(text: str) -> list[Span]:
    """Spans of the e-mail addresses."""
    found = []
    for match in _AT_DOMAIN.finditer(text):
        start = _local_start(text, match.start())
        if start is None or match.group().rpartition(".")[2].lower() in FILE_ENDINGS:
            continue
        local = text[start : match.start()]
        if local == "git" and text.startswith(":", match.end()):
            continue  # git@github.com:owner/name.git
        found.append((start, match.end()))
    return found


def _local_start(text: str, at: int) -> int | None:
    """Where the local part before the "@" at `at` begins; None if there is no sound one."""
    window = text[max(0, at - LOCAL_CHARS) : at]
    found = _LOCAL_END.search(window)
    if not found or window.endswith("."):
        return None
    start = found.start()
    if _CJK_LETTER.search(window, start):
        named = _CJK_LOCAL.search(window) or _AFTER_CJK.search(window)
        start = named.start() if named else start
    local = window[start:].lstrip(".-%+")
    if not local or window[:start].endswith("@"):
        return None  # "@user@host.social" and "a@b@c.org" are no addresses
    return at - len(local)


# ---- numbers with check digits --------------------------------------------------------------------------------------

_LONG_NUMBER = late(r"[0-9](?:[ \-]?[0-9]){11}")  # nothing shorter is a card or an identity number
_NUMBER_LEFT = r"(?<![A-Za-z0-9_])(?<![0-9][.,\-+ ])(?<!\.)"
_NUMBER_RIGHT = r"(?![A-Za-z0-9_]|[.,\-][0-9])"
_CARD = late(
    rf"{_NUMBER_LEFT}(?:[0-9]{{12,19}}|[0-9]{{4}}(?P<s>[ \-])[0-9]{{4}}(?P=s)[0-9]{{4}}(?P=s)[0-9]{{4}}(?:(?P=s)[0-9]{{2,3}})?"
    rf"|[0-9]{{4}}(?P<t>[ \-])[0-9]{{6}}(?P=t)[0-9]{{4,5}}){_NUMBER_RIGHT}(?! [0-9])"
)
# Issuer prefix -> lengths. ISO/IEC 7812 ranges as the networks publish them; the 12-digit ones are Maestro.
ISSUERS: tuple[tuple[range, tuple[int, ...]], ...] = (
    (range(400000, 500000), (13, 16, 19)),  # Visa
    (range(510000, 560000), (16,)),  # Mastercard
    (range(222100, 272100), (16,)),
    (range(340000, 350000), (15,)),  # American Express
    (range(370000, 380000), (15,)),
    (range(300000, 306000), (14,)),  # Diners Club
    (range(309500, 309600), (14,)),
    (range(360000, 370000), (14, 16, 19)),
    (range(380000, 400000), (14, 16, 19)),
    (range(601100, 601200), (16, 17, 18, 19)),  # Discover
    (range(644000, 660000), (16, 17, 18, 19)),
    (range(350000, 360000), (16, 17, 18, 19)),  # JCB: 3528-3589 in use, all of 35 set aside
    (range(180000, 180100), (15,)),
    (range(213100, 213200), (15,)),
    (range(620000, 630000), (16, 17, 18, 19)),  # UnionPay
    (range(500000, 510000), (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (range(560000, 590000), (12, 13, 14, 15, 16, 17, 18, 19)),
    (range(630000, 640000), (12, 13, 14, 15, 16, 17, 18, 19)),
    (range(670000, 680000), (12, 13, 14, 15, 16, 17, 18, 19)),
)


def find_cards(text: str) -> list[Span]:
    """Spans of payment card numbers, in one piece or in the groups printed on cards."""
    if not _LONG_NUMBER.search(text):
        return []
    return [match.span() for match in _CARD.finditer(text) if is_card(re.sub("[ -]", "", match.group()))]


def is_card(digits: str) -> bool:
    """Known issuer and length, Luhn check digit right."""
    prefix = int(digits[:6])
    return any(prefix in issuer and len(digits) in lengths for issuer, lengths in ISSUERS) and luhn(digits)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit from the right doubled, sum of digits divisible by ten."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(divmod(2 * value, 10)[0] + 2 * value % 10 for value in values[1::2])) % 10 == 0


_CN_ID = late(rf"{_NUMBER_LEFT}[1-9](?: ?[0-9]){{16}} ?[0-9Xx]{_NUMBER_RIGHT}")
CN_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # 2**(17-i) mod 11
CN_ID_CHECK = "10X98765432"
# GB/T 2260: first two digits
CN_PROVINCES = frozenset(
    str(code)
    for codes in (
        range(11, 16),
        range(21, 24),
        range(31, 38),
        range(41, 47),
        range(50, 55),
        range(61, 66),
        (71, 81, 82, 83),
    )
    for code in codes
)


def find_cn_ids(text: str) -> list[Span]:
    """Spans of Chinese resident identity numbers, in one piece or with single spaces."""
    if not _LONG_NUMBER.search(text):
        return []
    return [match.span() for match in _CN_ID.finditer(text) if is_cn_id(match.group().replace(" ", ""))]


def is_cn_id(number: str) -> bool:
    """Province, date of birth from 1900 on, and check character of ISO 7064 MOD 11-2 are right."""
    if number[:2] not in CN_PROVINCES or number[6:8] not in ("19", "20"):
        return False
    try:
        datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    check = sum(int(digit) * weight for digit, weight in zip(number, CN_ID_WEIGHTS)) % 11
    return CN_ID_CHECK[check] == number[17].upper()


# ---- IP addresses -----------------------------------------------------------------------------------------------------

_FOUR_PARTS = late(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_TWO_COLONS = late(r":[0-9A-Fa-f]{0,4}:")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = late(rf"(?<![A-Za-z0-9_.])(?:{_OCTET}\.){{3}}{_OCTET}(?![A-Za-z0-9_]|\.[0-9])")
_IPV6 = late(
    r"(?<![A-Za-z0-9_:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?:%[0-9A-Za-z]+)?(?![A-Za-z0-9_:])"
)
# What stands right before a number with four parts that is no address
_NO_ADDRESS = late(
    r"(?:\b(?:v|ver|version|versions|release|releases|build|firmware|driver|update|revision|section|sections|sec|chapter|clause"
    r"|paragraph|article|table|figure|fig|appendix|step|rule|oid)\b[\s.:=#]{0,3}|§\s?|版本号?[\s:：为是]{0,3}|第|[A-Za-z]/)$",
    re.IGNORECASE,
)
_HEADING = late(r"[ \t]+[^\W\d_]")


def find_ips(text: str, private_ips: bool = False) -> list[Span]:
    """Spans of IPv4 and IPv6 addresses; only those routed in the public Internet unless `private_ips`."""
    found: list[Span] = []
    if _FOUR_PARTS.search(text):
        found += [match.span() for match in _IPV4.finditer(text) if _is_ipv4(text, match, private_ips)]
    if _TWO_COLONS.search(text):
        found += [match.span() for match in _IPV6.finditer(text) if _is_ipv6(match.group(), private_ips)]
    return sorted(found)


def _is_ipv4(text: str, match: re.Match[str], private_ips: bool) -> bool:
    start, end = match.span()
    if _NO_ADDRESS.search(text[max(0, start - 16) : start]):
        return False
    line_start = start == 0 or text[start - 1] == "\n"
    if line_start and end - start == 7 and _HEADING.match(text, end):
        return False  # "1.2.3.4 Title": a section number
    address = ipaddress.IPv4Address(match.group())
    if match.group().endswith(".0.0") and not private_ips:
        return False  # "Electron 14.0.0.0", "130.211.0.0/22": a version or a whole network, nobody's machine
    return private_ips or (address.is_global and not address.is_multicast)


def _is_ipv6(found: str, private_ips: bool) -> bool:
    groups = found.partition("%")[0]
    try:
        address = ipaddress.IPv6Address(groups)
    except ValueError:
        return False
    if "::" in groups:
        # "dead::beef" is also a name in C++ and Rust: the short form counts where addresses are really given out
        usual = address in ipaddress.IPv6Network("2000::/3") or (private_ips and len(groups) > 2)
        return usual and any(map(str.isdigit, groups)) and (private_ips or address.is_global)
    if all(len(group) == 2 for group in groups.split(":")):
        return False  # eight bytes of a fingerprint or an EUI-64
    return private_ips or not (
        address.is_private or address.is_multicast or address.is_link_local or address.is_loopback
    )


FINDERS: dict[str, Callable[[str], list[Span]]] = {
    "email": find_emails,
    "cn_id": find_cn_ids,
    "card": find_cards,
    "phone": find_phones,
}
