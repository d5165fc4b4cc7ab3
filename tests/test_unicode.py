"""repair_unicode against ftfy itself, its published cases, and twice over."""

import json

import ftfy
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.texts import Texts
from filters.unicode import repair_unicode

DEFAULT = ftfy.TextFixerConfig(uncurl_quotes=False, fix_character_width=False, explain=False)
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
