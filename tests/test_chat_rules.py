"""Chat rules: each signal's value on small conversations, both sides of every bound, and conversations parsed once."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import orjson
import pyarrow as pa
import pytest
from cases_files import cases
from chats import turns
from hypothesis import strategies as st

import filters
from filters import SIGNALS
from filters.chat import signals
from filters.chat.phrases import LISTS, phrases_of
from filters.rules import Rule, keep_rules, load_rule_set
from filters.texts import Texts, Views, texts_of

filters.load_builtin()
FOLDER = Path(__file__).resolve().parent.parent / "configs" / "rules"
RULE_SETS = {name: load_rule_set(FOLDER / f"sft_{name}.yaml") for name in ("en", "zh")}
CASES = cases("chat_rules", text=False)
CHAT_SIGNALS = sorted(name for name, each in SIGNALS.items() if each.family == "chat")


def expanded(chat: dict[str, Any]) -> dict[str, Any]:
    for message in chat["messages"]:
        if isinstance(message["content"], list):
            message["content"] = "".join(piece * times for piece, times in message["content"])
    return chat


def table(*conversations: dict[str, Any] | None) -> pa.Table:
    chats = [each and json.dumps(each, ensure_ascii=False) for each in conversations]
    texts = [each and "\n\n".join(one["content"] for one in each["messages"]) for each in conversations]
    return pa.table({"text": pa.array(texts, pa.large_string()), "conversation": pa.array(chats, pa.large_string())})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['signal']}-{case['value']}-{case['about'][:30]}")
def test_a_signal_and_its_bound(case):
    chat = expanded(case["chat"])
    # beside others, which must not change the value
    found = texts_of(table({"messages": turns("x", "y")}, None, chat, {"messages": turns("a", "b", "c", "d")}))
    assert SIGNALS[case["signal"]].function(found)[2] == pytest.approx(case["value"], abs=0)
    for name in case.get("sets", ()):
        signal, _, side = case["rule"].rpartition(".")
        (rule,) = (rule for rule in RULE_SETS[name].rules if rule.signal == signal)
        _, (reason,) = keep_rules([Rule(signal, **{side: getattr(rule, side)})])(table(chat))
        assert (reason.as_py() and reason.as_py()["reason"]) == (None if case["keep"] else case["rule"])


@pytest.mark.parametrize("name", RULE_SETS)
def test_every_bound_has_a_drop_case_a_keep_case_and_one_exactly_there(name):
    for rule in RULE_SETS[name].rules:
        for side in ("min", "max"):
            bound = getattr(rule, side)
            mine = [c for c in CASES if c.get("rule") == f"{rule.signal}.{side}" and name in c["sets"]]
            if bound is not None:
                assert any(not case["keep"] for case in mine), f"{rule.signal}: no drop case"
                assert any(case["keep"] and case["value"] == bound for case in mine), f"{rule.signal}: none at {bound}"
                assert bound == 0 or any(case["keep"] and case["value"] != bound for case in mine), rule.signal


def test_every_chat_signal_has_cases_and_both_sets_ask_for_it():
    assert {case["signal"] for case in CASES} == set(CHAT_SIGNALS)
    for each in RULE_SETS.values():
        assert {rule.signal for rule in each.rules} == set(CHAT_SIGNALS)


@pytest.mark.parametrize("name", CHAT_SIGNALS)
def test_what_is_no_conversation_has_no_value_and_is_not_kept(name):
    plain = pa.table({"text": pa.array(["text", None], pa.large_string())})
    nulls = plain.append_column("conversation", pa.nulls(2, pa.large_string()))
    for given in (plain, nulls):
        values = SIGNALS[name].function(texts_of(given))
        assert values.shape == (2,) and np.isnan(values).all()
    _, (reason, _) = keep_rules([Rule(name, min=0)])(nulls)
    assert reason.as_py()["reason"] == f"{name}.nan"
    assert len(SIGNALS[name].function(texts_of(nulls.slice(0, 0)))) == 0


def test_a_whole_set_keeps_a_good_conversation_and_parses_each_once(monkeypatch):
    parsed, loads = [], orjson.loads
    monkeypatch.setattr("filters.chat.turns.orjson.loads", lambda text: parsed.append(text) or loads(text))
    good = {"messages": turns("请问磨坊是什么？", "磨坊是把谷物磨成面粉的地方，常常建在河边。")}
    bad = {"messages": turns("请问磨坊是什么？", "是")}
    given = table(good, bad)
    views = Views(given)
    _, found = keep_rules(RULE_SETS["zh"].rules)(given, views)
    assert [each and each["reason"] for each in found.to_pylist()] == [None, "shortest_reply_words.min"]
    _, found = keep_rules(RULE_SETS["en"].rules)(given.slice(0, 1), views.take(np.array([0])))  # the next step
    assert found.to_pylist() == [None]
    assert len(parsed) == 2


def test_values_do_not_hang_on_the_batch():
    chats = [expanded(case["chat"]) for case in CASES]
    together = texts_of(table(*chats))
    some = np.arange(0, len(chats), 3)
    for name in CHAT_SIGNALS:
        whole = together.once(SIGNALS[name].function)
        alone = [SIGNALS[name].function(texts_of(table(each)))[0] for each in chats[::7]]
        assert whole[::7].tolist() == alone
        assert SIGNALS[name].function(together.take(some)).tolist() == whole[some].tolist()


@pytest.mark.parametrize(
    "reply", ["```" + "0a" * 20_000 + "`", '{"a": "' + '\\"' * 20_000, '```json\n["' + '\\"' * 20_000 + "\n```"]
)
def test_a_long_line_takes_no_time_by_its_square(reply):
    given = texts_of(table({"messages": turns("a", reply)}))
    started = time.process_time()
    SIGNALS["unclosed_fence_count"].function(given)
    SIGNALS["unclosed_json_count"].function(given)
    assert time.process_time() - started < 1


FENCES = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*(\w*)[^\n`]*$", re.MULTILINE)
LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\[\]{}"]')


@hypothesis.given(st.text(st.sampled_from('`~ a\n"\\[]{}'), max_size=30))
def test_fences_and_literals_are_those_of_the_plain_expressions(text):
    found = [(fence.span(), fence.groups()) for fence in signals._FENCE.finditer(text)]
    assert found == [(fence.span(), fence.groups()) for fence in FENCES.finditer(text)]
    tokens = [token for token in LITERALS.findall(text) if len(token) == 1]
    cut = '"' in tokens or sum(token in "[{" for token in tokens) > sum(token in "]}" for token in tokens)
    try:
        json.loads(text)
    except ValueError:
        assert signals._unclosed(text) == cut


def test_conversations_follow_the_texts():
    texts = Texts(pa.array(["a", "b", "c"]), conversations=pa.array(["1", None, "3"]))
    assert texts.take(np.array([2, 0])).take(np.array([1])).conversations.to_pylist() == ["1"]
    assert Texts(pa.array(["a"])).conversations is None
    assert texts_of(pa.table({"text": ["a"]})).conversations is None


def test_the_lists_are_used_and_told():
    for name in ("as_an_ai", "refusals", "other_language"):
        assert len(phrases_of(name)) > 40
    assert "i’m an ai" in phrases_of("as_an_ai") and not any(each.startswith("#") for each in phrases_of("as_an_ai"))
    page = (LISTS / "README.md").read_text()
    for file in LISTS.glob("*.txt"):
        assert file.stem.removesuffix("_en").removesuffix("_zh") in page
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert len(set(lines)) == len(lines) and all(line == line.strip() for line in lines)
