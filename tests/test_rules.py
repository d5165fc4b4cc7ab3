"""Rules and rule sets: both sides of every bound, the order of rules, recording, and letters for wrong rule
sets."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cases_files import cases

import filters
from filters import SIGNALS, Texts, signal
from filters.lines import c4_lines
from filters.rules import Rule, keep_rules, load_rule_set
from filters.step import all_kept, reasons, set_column

filters.load_builtin()
FOLDER = Path(__file__).resolve().parent.parent / "configs" / "rules"
RULE_SETS = {path.stem: load_rule_set(path) for path in sorted(FOLDER.glob("*.yaml"))}
RULE_CASES = cases("rules")


def table(*texts: str | None) -> pa.Table:
    return pa.table({"id": pa.array(map(str, range(len(texts)))), "text": pa.array(texts, pa.large_string())})


def one_side(rule_set: str, side: str) -> Rule:
    name, _, bound = side.rpartition(".")
    (rule,) = (rule for rule in RULE_SETS[rule_set].rules if rule.signal == name)
    return Rule(name, **{bound: getattr(rule, bound)})


@pytest.mark.parametrize("case", RULE_CASES, ids=lambda case: f"{case['rule_set']}-{case['rule']}-{case['value']:.4g}")
def test_one_rule(case):
    rule = one_side(case["rule_set"], case["rule"])
    recorded, (reason,) = keep_rules([rule], record=True)(table(case["text"]))
    assert recorded[f"signal.{rule.signal}"].to_pylist() == [case["value"]]
    if case["keep"]:
        assert reason.as_py() is None
    else:
        threshold = rule.max if rule.min is None else rule.min
        expected = {"reason": case["rule"], "value": case["value"], "threshold": threshold, "detail": None}
        assert reason.as_py() == expected


# the per-language sets share their signals and their mechanism with these: see tests/test_stop_words.py; chats: tests/test_chat_rules.py
@pytest.mark.parametrize("name", [name for name in RULE_SETS if not name.startswith(("fineweb2_", "sft_"))])
def test_every_bound_has_a_drop_case_a_keep_case_and_one_exactly_there(name):
    for rule in RULE_SETS[name].rules:
        for bound in ("min", "max"):
            threshold = getattr(rule, bound)
            if threshold is None:
                continue
            side = f"{rule.signal}.{bound}"
            mine = [case for case in RULE_CASES if (case["rule_set"], case["rule"]) == (name, side)]
            assert any(not case["keep"] for case in mine), f"{name}: no drop case for {side}"
            assert any(case["keep"] and case["value"] == threshold for case in mine), f"{name}: none at {side}"
            # nothing is below 0, so at a highest value of 0 the case at the bound is the only keep case
            inside = any(case["keep"] and case["value"] != threshold for case in mine)
            assert inside or threshold == 0, f"{name}: no keep case for {side}"


@pytest.mark.parametrize("case", cases("rule_sets"), ids=lambda case: f"{case['rule_set']}-{case['about']}")
def test_a_whole_rule_set(case):
    rules = [
        Rule(rule.signal, **case.get("instead", {}).get(rule.signal, {"min": rule.min, "max": rule.max}))
        for rule in RULE_SETS[case["rule_set"]].rules
    ]
    texts = pa.array([case["text"]], pa.large_string())
    if case["rule_set"] == "c4":
        texts = c4_lines(Texts(texts))
    _, (reason,) = keep_rules(rules)(pa.table({"text": texts}))
    assert (reason.as_py() and reason.as_py()["reason"]) == case["reason"]


def test_the_first_rule_that_fails_gives_the_reason():
    rules = [Rule("word_count", min=2), Rule("char_count", max=9)]
    same, found = keep_rules(rules)(table("one", "one two", "longer than this", None))
    assert same.column_names == ["id", "text"]
    assert [each and (each["reason"], each["value"], each["threshold"]) for each in found.to_pylist()] == [
        ("word_count.min", 1.0, 2.0),
        None,
        ("char_count.max", 16.0, 9.0),
        ("word_count.min", 0.0, 2.0),
    ]


@pytest.fixture
def measured():
    """A signal that counts what it is asked, and is gone afterwards."""
    asked: list[str] = []

    def nosy(texts: Texts) -> np.ndarray:
        """Nothing, or NaN for the text "nan"."""
        asked.extend(texts.strings)
        return np.array([np.nan if text == "nan" else 0.0 for text in texts.strings])

    signal(family="test", source="test")(nosy)
    yield asked
    del SIGNALS["nosy"]


def test_a_row_that_is_out_is_not_measured(measured):
    rules = [Rule("char_count", max=3), Rule("nosy", max=1)]
    keep_rules(rules)(table("long one", "abc"))
    assert measured == ["abc"]


def test_record_measures_every_row(measured):
    rules = [Rule("char_count", max=3), Rule("nosy", max=1)]
    recorded, found = keep_rules(rules, record=True)(table("long one", "abc"))
    assert measured == ["long one", "abc"]
    assert recorded["signal.char_count"].to_pylist() == [8.0, 3.0]
    assert recorded["signal.nosy"].to_pylist() == [0.0, 0.0]
    again, _ = keep_rules(rules, record=True)(recorded)
    assert again.column_names == recorded.column_names
    assert found.is_null().to_pylist() == [False, True]


def test_nan_fails(measured):
    _, found = keep_rules([Rule("nosy", min=0)])(table("nan", "a"))
    assert found.to_pylist() == [
        {
            "reason": "nosy.nan",
            "value": pytest.approx(np.nan, nan_ok=True),
            "threshold": None,
            "detail": None,
        },
        None,
    ]


def test_a_signal_of_the_wrong_shape_is_named(measured):
    def nosy(texts: Texts) -> np.ndarray:
        """Two numbers a text."""
        return np.zeros((len(texts), 2))

    signal(family="test", source="test")(nosy)
    with pytest.raises(ValueError, match=r"'nosy' .* shape \(1, 2\) for 1 texts"):
        keep_rules([Rule("nosy", min=0)])(table("a"))


def test_an_empty_table_passes():
    _, found = keep_rules(RULE_SETS["gopher_quality"].rules)(table())
    assert len(found) == 0


def test_unknown_signal():
    with pytest.raises(ValueError, match=r"'word_cont', did you mean 'word_count'\?"):
        keep_rules([Rule("word_cont", min=1)])


@pytest.mark.parametrize("bounds", [{}, {"min": float("nan")}, {"min": 2, "max": 1}])
def test_a_rule_that_makes_no_sense(bounds):
    with pytest.raises(ValueError, match="the rule for 'word_count' has"):
        Rule("word_count", **bounds)


def test_rule_sets_know_their_signals_and_sources():
    assert set(RULE_SETS) >= {"gopher_quality", "gopher_repetition", "c4", "fineweb", "chinese_web"}
    for each in RULE_SETS.values():
        assert each.about and each.source and each.rules
        assert all(rule.signal in SIGNALS for rule in each.rules)
    assert RULE_SETS["chinese_web"].languages == ("zh",)


HEAD = "about: a\nsource: b\n"
WRONG = {
    "no mapping": ("- a\n", r"line 1: a rule set must be a mapping"),
    "empty file": ("", r"a rule set must be a mapping"),
    "no YAML": ("a: [", r"is not YAML"),
    "unknown key": (HEAD + "rule: {}\n", r"line 3: a rule set has no key 'rule', did you mean 'rules'\?"),
    "no rules": (HEAD, r"needs the key 'rules'"),
    "unknown side": (
        HEAD + "rules:\n  x: {mix: 1}\n",
        r"line 4: the rule 'x' has no key 'mix', did you mean 'min'\?",
    ),
    "no number": (HEAD + "rules:\n  x: {min: a}\n", r"line 4: x.min must be a number, got 'a'"),
    "a number in quotes": (HEAD + "rules:\n  x: {min: '1'}\n", r"line 4: x.min must be a number, got '1'"),
    "no side": (HEAD + "rules:\n  x: {}\n", r"line 4: the rule for 'x' has neither min nor max"),
    "twice": (HEAD + "rules:\n  x: {min: 1}\n  x: {min: 2}\n", r"line 5: 'x' stands there twice"),
    "languages no list": (
        HEAD + "languages: en\nrules:\n  x: {min: 1}\n",
        r"line 3: languages must be a list",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_set_gets_a_letter(name, tmp_path):
    page, letter = WRONG[name]
    (tmp_path / "mine.yaml").write_text(page)
    with pytest.raises(ValueError, match=letter) as error:
        load_rule_set(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(error.value)


def test_reasons_and_columns():
    found = reasons(3, [2, 0], ["a", "b"], value=[1.0, None], detail="x")
    assert found.to_pylist() == [
        {"reason": "b", "value": None, "threshold": None, "detail": "x"},
        None,
        {"reason": "a", "value": 1.0, "threshold": None, "detail": "x"},
    ]
    assert found.null_count == 1 and all_kept(2).null_count == 2 and len(reasons(0, [], "a")) == 0
    with pytest.raises(ValueError, match="2 rows go out, but 1 entries"):
        reasons(3, [0, 1], ["a"])
    assert set_column(table("a"), "text", pa.array(["b"]))["text"].to_pylist() == ["b"]
    assert set_column(table("a"), "new", pa.array([1])).column_names == ["id", "text", "new"]
