"""repair_unicode against ftfy itself, its published cases, and twice over."""

import gzip
import json

import ftfy
import pyarrow as pa
import pytest
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES
from hypothesis import example, given
from hypothesis import strategies as st

from filters import unicode, unicode_tables
from filters.texts import Texts
from filters.unicode import repair_unicode
from kernels import unicode as kernel

DEFAULT = ftfy.TextFixerConfig(uncurl_quotes=False, fix_character_width=False, explain=False)
ENCODINGS = ("latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1253", "macroman", "cp437")
MIXED = [
    "\n",
    "\r\n",
    "\r",
    "\u2028",
    "\x85",
    "\x81",
    "\x00",
    "\x0b",
    "\x0c",
    "\x1b[0m",
    "\x1b",
    "\x7f",
    "<",
    "&amp;",
    "&lt;b",
]
MIXED += [
    "&#x41;",
    "&nope;",
    "&" + "a" * 24 + ";",
    "&" + "a" * 25 + ";",
    "&;",
    "＆amp;",
    "&a\x00mp;",
    "＜",
    "&EACUTE;",
    "“",
    "’",
    "ʼ",
]
MIXED += [
    "e",
    "\u0301",
    "\u0323",
    "\u05b0",
    "\u0653",
    "\u093c",
    "क",
    "\u1100",
    "\u1161",
    "\u11a8",
    "각",
    "\uf900",
    "\U0002f800",
]
MIXED += [
    "中",
    "，",
    "ｶ",
    "\uff9e",
    "ﬁ",
    "ŉ",
    "①",
    "œ",
    "Ã ",
    "à ",
    "\xa0",
    "é» a",
    "\U0001d15e",
    "😀",
    "\ufeff",
    "plain text of some length ",
]
MOJIBAKE = "".join(
    char for char in map(chr, range(0x10000)) if any(map(BADNESS_RE.search, (char, "Â" + char, char + "€")))
)
MOJIBAKE += "".join(MOJIBAKE_CATEGORIES.values())
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))) + "\t\n"


def repair(texts, **options):
    return repair_unicode(Texts(pa.array(texts, pa.large_string())), **options).to_pylist()


@given(st.text(st.sampled_from(PRINTABLE)))
def test_the_ascii_shortcut_is_exact(text):
    assert repair([text]) == [ftfy.fix_text(text, config=DEFAULT)]


@given(st.text(st.sampled_from("aâ€™Ã©&lt;amp\x07\x1b[0m\r\n\x00 “”ﬁ①Ａ中é\u0301")))
def test_the_same_as_ftfy(text):
    assert repair([text]) == [ftfy.fix_text(text, config=DEFAULT)]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("The cafÃ© isnâ€™t open", {}, "The café isn’t open"),
        ("a\x00b\x07c\td\ne", {}, "abc\td\ne"),
        ("a\r\nb\rc", {}, "a\nb\nc"),
        ("“so”", {}, "“so”"),
        ("“so”", {"quotes": True}, '"so"'),
        ("ＬＯＵＤ，你好", {}, "ＬＯＵＤ，你好"),
        ("ＬＯＵＤ，你好", {"widths": True}, "LOUD,你好"),
        ("e\u0301", {}, "é"),
        ("①", {}, "①"),
        ("①", {"normalization": "NFKC"}, "1"),
        ("e\u0301", {"normalization": "none"}, "e\u0301"),
        ("AT&amp;T", {}, "AT&T"),
        ("<p>AT&amp;T</p>", {}, "<p>AT&amp;T</p>"),  # mark-up: the entity stands there on purpose
        ("", {}, ""),
        ("x", {}, "x"),
        ("\x00", {}, ""),
        ("&", {}, "&"),
        ("\ufeff", {}, ""),
    ],
)
def test_case(text, options, expected):
    assert repair([text], **options) == [expected]


def test_null_stays_null():
    assert repair([None, "a", None]) == [None, "a", None]


@pytest.mark.parametrize("name", ["synthetic", "negative"])
def test_published_cases(small_data, name):
    check((small_data / f"unicode/{name}.json").read_text("utf-8"))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["in-the-wild", "language-names", "synthetic", "negative"])
def test_all_published_cases(shared_data, name):
    check((shared_data / f"dirty/mojibake/{name}.json").read_text("utf-8"))


def check(cases):
    cases = [case for case in json.loads(cases) if case["expect"] == "pass"]
    once = repair([case["original"] for case in cases], quotes=True, widths=True)
    assert once == [case["fixed"] for case in cases]
    for options in ({}, {"quotes": True, "widths": True}):
        once = repair([case["original"] for case in cases], **options)
        assert repair(once, **options) == once


# the twin is ftfy on the whole text: the short cuts and the cut into lines must not show

WORDS = st.sampled_from(["naïve", "“so”", "中文", "Привет", "déjà vu…", "😀", "α β", "×²", "à"])
ENCODED = st.tuples(st.one_of(WORDS, st.text(max_size=3)), st.sampled_from(ENCODINGS)).map(
    lambda pair: pair[0].encode().decode(pair[1], "replace")
)
PIECES = st.one_of(
    st.sampled_from(MIXED), st.sampled_from(MOJIBAKE), ENCODED, ENCODED.map(str.upper), WORDS, st.text(max_size=6)
)
OPTIONS = st.fixed_dictionaries(
    {"quotes": st.booleans(), "widths": st.booleans(), "normalization": st.sampled_from(["NFC", "NFKC", "none"])}
)


def twin(text, quotes=False, widths=False, normalization="NFC"):
    form = None if normalization == "none" else normalization
    return ftfy.fix_text(text, uncurl_quotes=quotes, fix_character_width=widths, normalization=form, explain=False)


@given(st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=4), OPTIONS)
@example(["&amp;\n<\n&amp;", "&amp;<\n&lt;"], {})
@example(["\x81", "\x81Ã©", "a\x00\u0301", "â\x00€™"], {"widths": True})
def test_the_same_as_ftfy_on_the_whole(texts, options):
    assert repair(texts, **options) == [twin(text, **options) for text in texts]


@given(st.text(st.sampled_from(MOJIBAKE + " aA\n"), max_size=30))
def test_the_same_as_ftfy_on_mojibake(text):
    assert repair([text]) == [twin(text)]


@given(
    st.text(st.sampled_from("a\u0301\u0323\u0345\u05b0\u0653\u064b\u093c\u1100\u1161\u11a8각\n\U0001d165"), max_size=20)
)
def test_the_same_as_ftfy_on_marks(text):
    for form in ("NFC", "NFKC"):
        assert repair([text], normalization=form) == [twin(text, normalization=form)]


def test_each_character_and_its_neighbours():
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    chars = chars[:0x3100] + chars[0x3100::97]
    texts = [f"{char}\n{char} a{char}é{char}{char}\u0301" for char in chars]
    assert repair(texts) == list(map(twin, texts))


def test_a_text_longer_than_ftfy_reads_at_once():
    long = "中" * (unicode.LONGEST - 3)
    texts = [long + " Ã a\nb", "&amp;" + long + "<&amp;"]  # a piece begins with "Ã ", and one with "<"
    assert repair(texts) == list(map(twin, texts))


def test_another_ftfy_gets_the_whole_text(monkeypatch):
    monkeypatch.setattr(ftfy, "__version__", "7.0")
    monkeypatch.setattr(kernel, "find_troubled", None)
    assert repair(["&amp;<\n&amp;", "a\x00", None]) == ["&amp;<\n&amp;", "a", None]


def test_a_search_that_cannot_be_read_is_refused():
    for pattern in ("a(b)", "a{2}", "[ab"):
        with pytest.raises(ValueError, match="cannot be read"):
            unicode_tables._sequences(pattern)
    with pytest.raises(ValueError, match="cannot be read"):
        unicode_tables._rarest([("a", False), ("é", True)])


def test_any_layout():
    texts = ["skipped", "a\x00b", None, "é", "cafÃ©", "plain", None, "e\u0301"]
    expected = [None if text is None else twin(text) for text in texts]
    array = pa.array(texts)
    for column in (array, array.cast(pa.large_string()), pa.chunked_array([array[:3], array[3:3], array[3:]])):
        assert repair_unicode(Texts(column)).to_pylist() == expected
        assert repair_unicode(Texts(column[1:])).to_pylist() == expected[1:]
        assert repair_unicode(Texts(column[5:7])).to_pylist() == expected[5:7]  # nothing changes here
        assert repair_unicode(Texts(column[5:7])).type == pa.large_string()
    assert repair_unicode(Texts(pa.chunked_array([], pa.large_string()))).to_pylist() == []


@pytest.mark.shared
@pytest.mark.parametrize("name", ["face.txt", "in-the-wild.json", "known-failures.json", "negative.json"])
def test_mojibake_files_as_they_are(shared_data, name):
    text = (shared_data / "dirty/mojibake" / name).read_text("utf-8")
    spelt = json.loads(text) if name.endswith(".json") else []
    texts = [text, *(case["original"] for case in spelt), "\n".join(case["original"] for case in spelt)]
    for options in ({}, {"quotes": True, "widths": True}):
        assert repair(texts, **options) == [twin(text, **options) for text in texts]


@pytest.mark.shared
def test_real_texts(shared_data):
    texts = []
    for at in range(4):
        with gzip.open(shared_data / f"text/multilingual_{at}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines][::97]
    for options in ({}, {"quotes": True, "widths": True, "normalization": "NFKC"}):
        assert repair(texts, **options) == [twin(text, **options) for text in texts]


def test_only_the_lines_that_need_it_are_read_by_ftfy(monkeypatch):
    """One line with mojibake among thousands costs that line, not the text: what is mended is asked line by line."""
    from filters import unicode

    asked = []
    mend = unicode._Mender.__call__
    monkeypatch.setattr(
        unicode._Mender, "__call__", lambda self, line, trouble: asked.append(line) or mend(self, line, trouble)
    )
    clean = "The mill grinds slowly, “fine” and 慢慢地 day by day. Ünï\n" * 500
    text = clean + "The cafÃ© isnâ€™t open\x07.\n" + clean
    found = repair_unicode(Texts(pa.array([clean, text, None], pa.large_string()))).to_pylist()
    assert found == [clean, clean + "The café isn't open.\n".replace("'", "’") + clean, None]
    assert asked == ["The cafÃ© isnâ€™t open\x07.\n"]
