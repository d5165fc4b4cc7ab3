"""Steps on turns: `on: assistant` is the step on each turn alone, folded back; edits keep text and turns together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import load, rows
from test_chat_output import CHAT, mill

import filters
from filters.language import language
from filters.step import DOCUMENT, reasons
from pipeline.chat.canonical import ROLES, Conversation, dumps, loads, plain_text, turns
from pipeline.chat.turns import on_turns
from pipeline.commands.explain import explain
from pipeline.errors import RecipeError
from pipeline.readers import Options
from pipeline.recipes.build import build
from pipeline.recipes.row_step import RowStep

filters.load_builtin()


def said(*contents: str, **more: Any) -> Conversation:
    """user, assistant, user, ... with these contents."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)], **more}


def table(conversations: list[Conversation | None]) -> pa.Table:
    columns: dict[str, Any] = {field.name: pa.nulls(len(conversations), field.type) for field in DOCUMENT}
    texts = ["A plain document." if each is None else plain_text(each) for each in conversations]
    columns["text"] = pa.array(texts, pa.large_string())
    columns["source"] = pa.array(["s"] * len(conversations))
    columns["conversation"] = pa.array([each and dumps(each) for each in conversations], pa.large_string())
    return pa.table(columns)


def step(kind: str, options: dict[str, Any], on: list[str], where: dict[str, list[str]] | None = None) -> Any:
    return build(RowStep("01.x", kind, options, where or {}, on), False)


SHORT = {"rules": [["word_count", 2, None]]}


def test_a_document_goes_with_its_first_failing_turn() -> None:
    given_ = table(
        [said("a b", "c d"), said("a b", "c", "d e", "f"), said("a", "b c"), None, said("a b", "c", chosen=[])]
    )
    after, why = step("rules", SHORT, ["assistant"])(given_)
    assert after.equals(given_)
    assert [entry and entry["detail"] for entry in why.to_pylist()] == [
        None,
        "turn 2 (assistant)",
        None,
        None,
        "turn 2 (assistant)",
    ]
    assert why[1].as_py() == {
        "reason": "word_count.min",
        "value": 1.0,
        "threshold": 2.0,
        "detail": "turn 2 (assistant)",
    }
    _, why = step("rules", SHORT, ["user", "assistant"])(given_)
    assert [entry and entry["detail"] for entry in why.to_pylist()][2] == "turn 1 (user)"
    _, why = step("rules", SHORT, ["assistant"], {"source": ["other"]})(given_)
    assert why.null_count == 5


def test_replies_of_a_pair_are_turns_of_the_assistant() -> None:
    pair = said(
        "a b", chosen=[{"role": "assistant", "content": "c d"}], rejected=[{"role": "assistant", "content": "e"}]
    )
    _, why = step("rules", SHORT, ["assistant"])(table([pair]))
    assert why[0].as_py()["detail"] == "rejected turn 1 (assistant)"


def test_an_edit_changes_turn_and_text() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": "ＡＢ"}}}
    talk = said("ＡＢ", "ＣＤ", "ＥＦ")
    talk["messages"].append({"role": "assistant", "content": "", "tool_calls": [call]})
    halfwidth = {"edit": "halfwidth", "options": {"punctuation": False}}
    after, why = step("edit", halfwidth, ["assistant"])(table([talk, None]))
    assert why.null_count == 2 and after["text"].to_pylist() == ["ＡＢ\n\nCD\n\nＥＦ", "A plain document."]
    found = loads(after["conversation"][0].as_py())
    assert [turn["content"] for turn in found["messages"]] == ["ＡＢ", "CD", "ＥＦ", ""]
    assert found["messages"][3]["tool_calls"] == [call]
    after, _ = step("edit", halfwidth, [])(table([talk, None]))  # without `on`: every turn
    assert after["text"].to_pylist() == ["AB\n\nCD\n\nEF", "A plain document."]
    assert plain_text(loads(after["conversation"][0].as_py())) == "AB\n\nCD\n\nEF"


def test_an_edit_that_leaves_nothing_of_a_turn() -> None:
    lines = {"edit": "boilerplate_lines", "options": {"patterns": "none", "extra": ["gone"]}}
    _, why = step("edit", lines, ["assistant"])(table([said("gone", "gone"), said("gone", "stays")]))
    assert why[0].as_py() == {"reason": "empty_turn", "value": 0.0, "threshold": 1.0, "detail": "turn 2 (assistant)"}
    assert why[1].as_py() is None


def test_a_step_that_raises_names_the_turn() -> None:
    def raises(rows_: pa.Table) -> Any:
        if "bad" in rows_["text"].to_pylist():
            raise ValueError("no good")
        return rows_, reasons(len(rows_), [], "none")

    from pipeline.refining.row_steps import guarded

    _, why = guarded(
        on_turns(raises, ["assistant"]), table([said("a", "b"), said("a", "b", "c", "bad"), said("bad", "b")])
    )
    assert [entry and (entry["reason"], entry["detail"]) for entry in why.to_pylist()] == [
        None,
        ("error.ValueError", "turn 4 (assistant): no good"),
        None,
    ]


def test_language_is_that_of_the_longest_turn() -> None:
    german = "Das ist ein langer deutscher Satz, der keinen Zweifel lässt, in welcher Sprache er steht."
    english = "This is quite a long English sentence, and nobody could doubt which language it is written in."
    talk = said(english, "Ja, das stimmt, natürlich ist das so.", english, german)
    found, why = on_turns(language(in_=["de", "en"], min_score=0.0), ["assistant"])(table([talk, None]))
    assert found["lang"].to_pylist() == ["de", None] and why.null_count == 2
    assert found["lang_score"][0].as_py() > 0.9 and found.schema.names == table([talk]).schema.names


contents = st.text(alphabet="ab \n中", max_size=6)
talks = st.none() | st.builds(lambda texts: said(*texts), st.lists(contents, min_size=1, max_size=5))


@given(st.lists(talks, max_size=8), st.lists(st.sampled_from(ROLES), min_size=1, max_size=4, unique=True))
def test_like_the_step_on_each_turn_alone(conversations: list[Conversation | None], roles: list[str]) -> None:
    """The plain meaning: a loop over documents and turns."""

    def odd(rows_: pa.Table) -> Any:
        sizes = pc.utf8_length(rows_["text"]).to_numpy()
        out = np.flatnonzero(sizes % 2)
        return rows_, reasons(len(rows_), out, "odd", value=sizes[out].astype(float))

    given_ = table(conversations)
    _, why = on_turns(odd, roles)(given_)
    for conversation, entry in zip(conversations, why.to_pylist()):
        wrong = [
            (number, turn)
            for _, number, turn in turns(conversation or {})
            if turn["role"] in roles and len(turn["content"]) % 2
        ]
        assert (entry is None) == (not wrong)
        if wrong:
            number, turn = wrong[0]
            assert entry["value"] == len(turn["content"])
            assert entry["detail"] == f"turn {number + 1} ({turn['role']})"


# -- runs ------------------------------------------------------------------------------------------


def test_in_a_recipe(tmp_path: Path) -> None:
    """The ledger names the turn, explain too; signals of documents are still those of the whole text."""
    steps = "[{keep: {word_count: {min: 4}}, on: assistant}, {edit: normalize_whitespace, on: [user]}]"
    output = f"{{path: {tmp_path}/out, format: jsonl, layout: sharegpt, signals: [word_count]}}"
    outcome = mill(tmp_path, output, f"[{{paths: {CHAT}/sharegpt_identity.json, layout: auto}}]", steps)
    assert outcome.manifest["account"]["rejected"] > 5
    (path,) = (tmp_path / "out" / "rejected").glob("*")
    for row in pq.read_table(path).to_pylist():
        assert row["step"] == "01.keep.word_count" and row["detail"].endswith("(assistant)")
    assert row["detail"] in explain(str(tmp_path / "out"), row["id"])
    originals = {row["id"]: row for row in rows(load(CHAT / "sharegpt_identity.json", options=Options(layout="auto")))}
    number = int(row["detail"].split()[1])
    turn = loads(originals[row["id"]]["conversation"])["messages"][number - 1]
    assert turn["role"] == "assistant" and len(turn["content"].split()) < 4
    for line in (tmp_path / "out" / "train" / "part-00000.jsonl").open():
        kept = json.loads(line)
        assert kept["signals"]["word_count"] > 8


def test_benchmark_items_in_questions(tmp_path: Path) -> None:
    """decontaminate on the user's turns: found in the question, and counted once for the document."""
    bench = tmp_path / "bench.jsonl"
    lines = (CHAT / "qa_gsm8k.jsonl").read_text().splitlines()
    bench.write_text("\n".join(lines[:3]) + "\n")
    inputs = f"[{{paths: {CHAT}/qa_gsm8k.jsonl, layout: auto}}]"
    steps = f"[{{decontaminate: {{against: [{bench}], fields: [question]}}, on: user}}]"
    outcome = mill(tmp_path, f"{{path: {tmp_path}/out, format: jsonl}}", inputs, steps)
    assert outcome.manifest["account"]["rejected"] == 3
    (told,) = outcome.manifest["decontamination"]["01.decontaminate"].values()
    assert told["documents"] == 3 and told["items_hit"] == 3
    steps = f"[{{decontaminate: {{against: [{bench}], fields: [question]}}, on: assistant}}]"
    assert (
        mill(tmp_path, f"{{path: {tmp_path}/out2, format: jsonl}}", inputs, steps).manifest["account"]["rejected"] == 0
    )


WRONG = {
    "[{keep: {word_count: {min: 2}}, on: asistant}]": "no turn has the role 'asistant', did you mean 'assistant'?",
    "[{dedup: {exact: {}}, on: user}]": "'on' works on turns one by one; dedup does not",
    "[{keep: {word_count: {min: 2}}, on: 3}]": "expected a role or a list of roles",
}


@pytest.mark.parametrize("steps", WRONG)
def test_wrong_recipes(steps: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        mill(tmp_path, f"{{path: {tmp_path}/out}}", steps=steps)
    assert WRONG[steps] in str(error.value) and "recipe.yaml:2" in str(error.value)


def test_no_turns_to_work_on(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no input is read as such"):
        mill(
            tmp_path,
            f"{{path: {tmp_path}/out}}",
            f"[{{paths: {CHAT}/qa_gsm8k.jsonl, text: question}}]",
            "[{keep: {word_count: {min: 2}}, on: user}]",
        )
