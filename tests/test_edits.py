"""The edits: their cases, empty and one-character texts, twice over, and what a wrong option says."""

import inspect
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from filters import EDITS, SIGNALS, Texts, load_builtin
from filters.boilerplate import LONGEST, bare, load_line_rules
from filters.chinese import _converter

load_builtin()
CASES = [json.loads(line) for line in (Path(__file__).parent / "cases/edits.jsonl").read_text("utf-8").splitlines()]
NAMES = sorted({case["edit"] for case in CASES})
WAYS = [
    *((name, {}) for name in NAMES),
    ("normalize_whitespace", {"keep_indent": False, "max_newlines": 1}),
    ("normalize_unicode", {"form": "NFKC"}),
    ("halfwidth", {"punctuation": True}),
    ("boilerplate_lines", {"extra": ["a+"], "patterns": "none"}),
]
PIECES = [
    "a",
    "A",
    " ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "\u00a0",
    "\u3000",
    "Ａ",
    "，",
    "１",
]
PIECES += [
    "é",
    "e\u0301",
    "[",
    "]",
    "1",
    "[1]",
    "[12]",
    "[edit]",
    "【3】",
    "漢字",
    "の",
    "。",
    ".",
    "©",
    "Read more",
    "»",
    "|",
    "广告",
    "[2",
    "(",
    ":",
]
TEXT = st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.text(max_size=20))


def run(name, texts, **options):
    if name == "simplify_chinese":
        pytest.importorskip("opencc", reason="needs the extra 'chinese'")
    return EDITS[name].function(Texts(pa.array(texts, pa.large_string())), **options).to_pylist()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['edit']}: {case['about']}")
def test_case(case):
    options = case.get("options", {})
    assert run(case["edit"], [case["text"]], **options) == [case["expected"]]
    assert run(case["edit"], [case["expected"]], **options) == [case["expected"]]


@pytest.mark.parametrize(("name", "options"), WAYS)
def test_little_texts(name, options):
    texts = ["", None, "x", "好", "\n", "[", "😀"]
    assert run(name, texts, **options) == texts
    assert run(name, [], **options) == []


@pytest.mark.parametrize(("name", "options"), WAYS)
@given(texts=st.lists(TEXT, max_size=4))
def test_twice_is_once_and_each_by_itself(name, options, texts):
    once = run(name, texts, **options)
    assert run(name, once, **options) == once
    assert [run(name, [text], **options)[0] for text in texts] == once


@pytest.mark.parametrize("name", NAMES)
def test_any_layout(name):
    texts = ["skipped", " ＡＢＣ\u3000x[1].\n\n\n\nRead more", None, "漢字", "e\u0301"]
    array = pa.array(texts)
    expected = run(name, texts)
    for column in (array, array.cast(pa.large_string()), pa.chunked_array([array[:2], array[2:2], array[2:]])):
        for first in (0, 1):
            out = EDITS[name].function(Texts(column[first:]))
            assert out.to_pylist() == expected[first:]
            assert out.type == pa.large_string()


@given(TEXT, st.booleans(), st.integers(1, 3))
def test_whitespace_is_as_promised(text, keep_indent, max_newlines):
    (out,) = run("normalize_whitespace", [text], keep_indent=keep_indent, max_newlines=max_newlines)
    assert "\n" * (max_newlines + 1) not in out
    assert not re.search("[\r\x0b\x0c\x85\u2028\u2029\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]|[ \t](?:\n|\\Z)", out)
    assert not re.search(r"[^\s][ \t]{2,}|\S\t", out)
    assert keep_indent or not re.search(r"(?m)^[ \t]", out)
    assert "".join(out.split()) == "".join(text.split())  # no word is lost


@pytest.mark.parametrize("rule", load_line_rules("web"), ids=lambda rule: rule.name)
def test_each_line_rule_has_its_example(rule):
    assert re.compile(rule.pattern, re.IGNORECASE).fullmatch(bare(rule.example))
    others = [
        other.name
        for other in load_line_rules("web")
        if other is not rule and re.compile(other.pattern, re.I).fullmatch(bare(rule.example))
    ]
    assert not others
    assert len(rule.example) <= LONGEST
    assert any(word.lower() in rule.example.lower() for word in rule.find)
    assert run("boilerplate_lines", [f"before\n{rule.example}\nafter"]) == ["before\nafter"]
    assert (
        run("boilerplate_lines", [rule.example + " and more, said the man"])
        == [rule.example + " and more, said the man"]
        or rule.name in OPEN
    )
    assert not re.search(r"\\[sdwbSDWBAZ]|\(\?", rule.pattern.replace("(?:", ""))  # what RE2 reads otherwise


# these end in a few words of any kind
OPEN = {
    "copyright_line", "qr_code", "follow_account", "account_name", "like_and_share", "read_original", "copyright_zh", "reprint", "editor",
    "infringement", "navigation_zh", "original_title", "related_zh", "licence_number", "cookies_zh", "paywall_zh", "enable_javascript", "powered_by",
}  # fmt: skip


def test_a_wrong_option_is_named():
    with pytest.raises(ValueError, match="max_newlines is 0; expected 1 or more"):
        run("normalize_whitespace", [], max_newlines=0)
    with pytest.raises(ValueError, match=r"'a\('.*is no regular expression"):
        run("boilerplate_lines", [], extra=["a("])


def test_missing_opencc_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opencc", None)
    _converter.cache_clear()
    with pytest.raises(ValueError, match=r"pip install 'gristmill\[chinese\]'"):
        EDITS["simplify_chinese"].function(Texts(pa.array([], pa.large_string())))
    _converter.cache_clear()


@pytest.mark.parametrize(
    ("line", "flagged"),
    [
        ("Sign in to see more of it", True),
        ("We had to sign in twice that day", False),
        ("The whole story of the mill. Read more...", True),
        ("To read more about the mill you have to go to the library of the village", False),
        ("3 items in cart", True),
        ("1,204 views", True),
        ("12K followers", True),
        ("3 likes were all it got in a week", False),
        ("2021 - 2022", True),
        ("BREAKING NEWS from the Mill", True),
        ("NASA and ESA signed the treaty", False),
        ("Menu", True),
        ("", False),
        ("- - -", False),
        ("磨坊主慢慢地磨着麦子 面粉从石头之间流出来", False),
    ],
)
def test_refinedweb_lines(line, flagged):
    """Cases of the paper's table of line-wise corrections, and near misses."""
    import filters

    filters.load_builtin()
    text = f"The mill grinds the grain.\n{line}\nIt is slow work."
    (found,) = filters.EDITS["refinedweb_lines"].function(filters.Texts(pa.array([text]))).to_pylist()
    assert found == (text.replace(f"\n{line}", "") if flagged else text)


def test_entropy_and_advert_lines():
    import filters

    filters.load_builtin()
    texts = filters.Texts(pa.array(["", "aaaa", "abab", "abcd", "Text.\nAll rights reserved.\n\nMore text."]))
    assert filters.SIGNALS["byte_entropy"].function(texts).tolist()[:4] == [0.0, 0.0, 1.0, 2.0]
    assert filters.SIGNALS["advert_line_ratio"].function(texts).tolist() == [0, 0, 0, 0, pytest.approx(1 / 3)]


@given(st.lists(TEXT | st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")), max_size=4))
def test_entropy_has_a_plain_twin(texts):
    found = SIGNALS["byte_entropy"].function(Texts(pa.array(texts, pa.large_string()))).tolist()
    for text, value in zip(texts, found, strict=True):
        shares = [count / len(text.encode()) for count in Counter(text.encode()).values()]
        assert value == pytest.approx(-sum(share * math.log2(share) for share in shares), abs=1e-12)


@given(
    st.lists(
        st.lists(st.sampled_from(["广告", " Read more »", "A line.", "", " ", "x"]), max_size=6).map("\n".join),
        max_size=4,
    )
)
def test_advert_lines_have_a_plain_twin(texts):
    found = SIGNALS["advert_line_ratio"].function(Texts(pa.array(texts, pa.large_string()))).tolist()
    for text, left, value in zip(texts, run("boilerplate_lines", texts), found, strict=True):
        before, after = (sum(bool(line.strip()) for line in each.split("\n")) for each in (text, left))
        assert value == (pytest.approx((before - after) / before) if before else 0)


def test_docs_name_every_edit_and_option_with_its_default():
    """The table of docs/recipes.md against the registry."""
    page = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text("utf-8")
    rows = {row[0]: row[1] for row in re.findall(r"(?m)^\| `(\w+)` \| (.*?) \|", page[page.index("### edits") :])}
    builtin = {name: each for name, each in EDITS.items() if each.function.__module__.startswith("filters.")}
    assert builtin.keys() <= rows.keys()
    for name, each in builtin.items():
        options = list(inspect.signature(each.function).parameters.values())[1:]
        told = dict(re.findall(r"`(\w+): ([^`]*)`", rows[name]))
        for option in options:
            public = option.name.rstrip("_")
            if option.default is None and public not in told:
                assert f"`{public}` (needed)" in rows[name]
            else:
                default = yaml.safe_load(told.pop(public))
                assert default == (list(option.default) if isinstance(option.default, tuple) else option.default), (
                    public
                )
        assert not told, f"{name} has no {told}"
