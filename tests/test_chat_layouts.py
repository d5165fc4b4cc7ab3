"""Layouts of fine-tuning data: what is read of each record, what is noted, what does not fit."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import mill
from reading import account, load, quarantined, rows

from pipeline.chat.canonical import Misfit, dumps, loads, plain_text, turns
from pipeline.chat.layouts import LAYOUTS, detect
from pipeline.chat.reader import LayoutReader
from pipeline.engines.local import LocalEngine
from pipeline.errors import InputError, RecipeError
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.readers import Options
from pipeline.run import run

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases" / "chat_layouts.jsonl").open(encoding="utf-8")]
AUTO = Options(layout="auto")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["about"])
def test_a_record_in_canonical_form(case: dict[str, Any]) -> None:
    reader = LayoutReader(case.get("layout", "auto") if "error" in case else "auto")
    if "error" in case:
        with pytest.raises(Misfit) as misfit:
            reader.read(case["record"])
        assert case["error"] in str(misfit.value)
        return
    found, taken = reader.read(case["record"])
    assert reader.layout is not None and reader.layout.name == case["layout"]
    wanted = case.get("conversations") or [case["conversation"]]
    assert [loads(read.conversation) for read in found] == wanted
    assert [read.note for read in found] == (case.get("notes") or [case.get("note", {})])
    assert set(case["record"]) - taken == set(case.get("rest", []))
    for read in found:  # keys of the canonical form stand in one order
        assert read.conversation == dumps(loads(read.conversation)) and read.text == plain_text(
            loads(read.conversation)
        )
    if "text" in case:
        assert found[0].text == case["text"]


def test_every_layout_has_a_case_and_is_found_by_its_marks() -> None:
    assert {case.get("layout") for case in CASES} >= set(LAYOUTS)
    for layout in LAYOUTS.values():
        for marks in layout.marks:
            assert detect(marks) is layout


def write_jsonl(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


ALPACA = [{"instruction": f"Say {i}.", "input": "", "output": str(i), "stars": i} for i in range(6)]


def test_the_first_record_decides_for_the_file(tmp_path: Path) -> None:
    """A record of another layout is quarantined with file, record and what it looks like; so is one of none."""
    stray = {"messages": [{"role": "user", "content": "a"}]}
    path = write_jsonl(tmp_path / "x.jsonl", [{"body": "no layout"}, *ALPACA[:3], stray, *ALPACA[3:]])
    for batch_rows in (1, 2, 1000):
        batches = load(path, options=AUTO, batch_rows=batch_rows)
        account(batches)
        assert [row["text"] for row in rows(batches)] == [f"Say {i}.\n\n{i}" for i in range(6)]
        first, second = quarantined(batches)
        assert first["record"] == 0 and "NoLayout: the fields body are of no layout" in first["error"]
        assert second["record"] == 4 and second["shard"].endswith("x.jsonl")
        assert second["error"].startswith("NotAlpaca: there is no field 'instruction'")
        assert "this one has the fields of messages" in second["error"]
    assert json.loads(rows(batches)[5]["metadata"]) == {"stars": 5}


def test_a_mapping_in_the_recipe(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "x.jsonl", [{"query": "a", "response": "b", "prompt": "not this", "n": 1}, {"query": "a"}]
    )
    mapping = {"prompt": "query", "completion": "response"}
    batches = load(path, options=Options(layout=mapping))
    assert rows(batches)[0]["text"] == "a\n\nb"
    assert json.loads(rows(batches)[0]["metadata"]) == {"n": 1, "prompt": "not this"}
    (entry,) = quarantined(batches)
    assert "there is no field 'completion'" in entry["error"] and "completion = response" in entry["error"]


def test_records_of_every_container(tmp_path: Path) -> None:
    """JSON array, envelope, one object, JSON Lines, gzip, CSV, Parquet: the same conversations."""
    plain = [{key: value for key, value in record.items() if key != "stars"} for record in ALPACA]
    (tmp_path / "a.json").write_text(json.dumps(plain, indent=1))
    (tmp_path / "b.json").write_text(json.dumps({"version": 1, "data": plain}))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(write_jsonl(tmp_path / "c", plain).read_bytes()))
    with (tmp_path / "d.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "input", "output"])
        writer.writeheader()
        writer.writerows(plain)
    pq.write_table(pa.Table.from_pylist(plain), tmp_path / "e.parquet")
    wanted = [row["conversation"] for row in rows(load(tmp_path / "a.json", options=AUTO))]
    assert len(wanted) == 6 and '"content":"Say 0."' in wanted[0]
    for name in ("b.json", "c.jsonl.gz", "d.csv", "e.parquet"):
        assert [row["conversation"] for row in rows(load(tmp_path / name, options=AUTO))] == wanted, name
    lone = {"instruction": "I", "instances": [{"input": "x", "output": "1"}]}
    (tmp_path / "f.json").write_text(json.dumps(lone, indent=1))
    assert [row["text"] for row in rows(load(tmp_path / "f.json", options=AUTO))] == ["I\n\nx\n\n1"]
    messages = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "name": "n"}]}]
    pq.write_table(pa.Table.from_pylist(messages), tmp_path / "g.parquet")
    (row,) = rows(load(tmp_path / "g.parquet", options=AUTO))
    assert loads(row["conversation"]) == messages[0]
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "h.parquet")
    with pytest.raises(InputError, match="it has not the columns of any layout; it has body"):
        load(tmp_path / "h.parquet", options=AUTO)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


CALL = '{"from": "function_call", "value": "{\\"name\\": \\"f\\", \\"arguments\\": {\\"x\\": ARGUMENT}}"}'
ODD = {  # a record of the layout that is like no other -> the error of its entry, None where it is read
    "half a character in the text of a call": (
        CALL.replace("ARGUMENT", '\\"\\\\ud800\\"'),
        "'utf-8' codec can't encode",
    ),
    "a call 2000 deep": (CALL.replace("ARGUMENT", nested(2000)), "maximum recursion depth"),
    "a note 500 deep": ('{"from": "human", "value": "a", "more": ' + nested(500) + "}", None),
    "a note 1010 deep": ('{"from": "human", "value": "a", "more": ' + nested(1010) + "}", "maximum recursion depth"),
}


@pytest.mark.parametrize("about", ODD)
def test_an_odd_record_costs_itself_only(about: str, tmp_path: Path) -> None:
    turn, error = ODD[about]
    good = '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}\n'
    odd = '{"conversations": [{"from": "human", "value": "q"}, ' + turn + "]}\n"
    (tmp_path / "x.jsonl").write_text(good + odd + good)
    for batch_rows in (1, 1000):
        batches = load(tmp_path / "x.jsonl", options=AUTO, batch_rows=batch_rows)
        account(batches)
        assert [row["text"] for row in rows(batches)] == ["a\n\nb", *(["q\n\na"] if error is None else []), "a\n\nb"]
        assert [entry["record"] for entry in quarantined(batches)] == ([] if error is None else [1])
        assert all(str(error) in entry["error"] for entry in quarantined(batches))


def test_a_note_beside_deep_metadata(tmp_path: Path) -> None:
    record = '{"instruction": "I", "input": "i", "output": "o", "deep": ' + nested(500) + "}\n"
    (tmp_path / "x.jsonl").write_text(record)
    (row,) = rows(load(tmp_path / "x.jsonl", options=AUTO))
    assert row["metadata"] == f'{{"_layout":{{"alpaca":{{"input":1}}}},"deep":{nested(500)}}}'


def test_values_of_parquet_that_json_has_no_word_for(tmp_path: Path) -> None:
    """Beside a turn they are noted as metadata is; among the arguments of a call they cost their record."""
    noted = [{"from": "human", "value": "a", "hash": b"\xff", "cost": Decimal("1.5")}]
    called = [{"from": "function_call", "value": {"name": "f", "arguments": {"x": b"\xff"}}}]
    pq.write_table(pa.Table.from_pylist([{"conversations": noted}]), tmp_path / "a.parquet")
    (row,) = rows(load(tmp_path / "a.parquet", options=AUTO))
    assert json.loads(row["metadata"]) == {"_layout": {"sharegpt": {"turns": {"0": {"cost": "1.5", "hash": "/w=="}}}}}
    called_as = [
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"x": value}}}]}]}
        for value in (b"\xff", None)
    ]
    for name, records, left in (("b", [{"conversations": called}], 0), ("c", called_as, 1)):
        pq.write_table(pa.Table.from_pylist(records), tmp_path / f"{name}.parquet")
        batches = load(tmp_path / f"{name}.parquet", options=AUTO)
        account(batches)
        assert "bytes is not JSON serializable" in quarantined(batches)[0]["error"] and len(rows(batches)) == left


def test_instances_of_one_record(tmp_path: Path) -> None:
    """They share its number in the file, and their ids tell them apart."""
    record = {"id": "t1", "instruction": "I", "instances": [{"input": "", "output": str(i)} for i in range(3)]}
    path = write_jsonl(tmp_path / "x.jsonl", [record, {**record, "id": "t2"}])
    found = rows(load(path, options=AUTO))
    assert [row["id"] for row in found] == ["t1", "t1#2", "t1#3", "t2", "t2#2", "t2#3"]
    assert [row["_record"] for row in found] == [0, 0, 0, 1, 1, 1]


COUNTS = {
    "alpaca_identity.json": ("alpaca", 91),
    "alpaca_xquad_zh.jsonl.gz": ("alpaca", 1190),
    "messages_identity.jsonl": ("messages", 500),
    "qa_gsm8k_test.jsonl": ("question_answer", 1319),
    "seed_tasks.jsonl": ("self_instruct", 175),
    "sharegpt_glaive_toolcall_en.json": ("sharegpt", 300),
    "sharegpt_glaive_toolcall_zh.json": ("sharegpt", 300),
    "sharegpt_identity.json": ("sharegpt", 500),
    "user_oriented_instructions.jsonl": ("self_instruct", 252),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", COUNTS)
def test_real_files(shared_data: Path, name: str) -> None:
    layout, count = COUNTS[name]
    path = shared_data / "sft" / name
    batches = load(path, options=AUTO)
    account(batches)
    assert len(rows(batches)) == count and not quarantined(batches)
    assert rows(load(path, options=Options(layout=layout), batch_rows=7)) == rows(batches)
    for row in rows(batches):
        conversation = loads(row["conversation"])
        assert row["text"] == plain_text(conversation) and conversation["messages"][0]["role"] == "user"
        assert len(list(turns(conversation))) == len(conversation["messages"]) >= 2


def test_a_run_carries_the_conversations(tmp_path: Path) -> None:
    """Beside plain documents: these have none."""
    write_jsonl(tmp_path / "x.jsonl", ALPACA)
    write_jsonl(tmp_path / "y.jsonl", [{"text": "A plain document."}])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"input: [{{paths: {tmp_path}/x.jsonl, layout: auto}}, {{paths: {tmp_path}/y.jsonl}}]\n"
        f"output: {{path: {tmp_path}/out, format: jsonl}}\n"
    )
    job, settings = prepare(str(recipe))
    assert run(job, settings.run, LocalEngine(), Silent()).manifest["account"]["kept"] == 7
    kept = [json.loads(line) for line in (tmp_path / "out" / "train" / "part-00000.jsonl").open()]
    assert sum(row["conversation"] is None for row in kept) == 1
    talks = sorted(row["conversation"] for row in kept if row["conversation"])
    assert loads(talks[0])["messages"][1] == {"role": "assistant", "content": "0"}
    mill(tmp_path / "again", inputs=[str(tmp_path / "out" / "train" / "*")], recipe=str(again(tmp_path)))
    back = [json.loads(line) for line in (tmp_path / "again" / "train" / "part-00000.jsonl").open()]
    assert sorted(row["conversation"] for row in back) == talks
    assert {json.dumps(row["metadata"]) for row in back} == {
        json.dumps(row["metadata"]) for row in kept if row["metadata"]
    }


def again(folder: Path) -> Path:
    """A recipe that reads what the first one wrote; the plain document is quarantined."""
    path = folder / "again.yaml"
    path.write_text(
        "input: {paths: x, layout: conversation}\noutput: {path: y, format: jsonl}\nrun: {max_quarantined: 1}\n"
    )
    return path


WRONG = {
    "{paths: X, layout: alpacca}": "no layout is called 'alpacca'",
    "{paths: X, layout: {prompt: a, completon: b}}": "no layout has a field 'completon'",
    "{paths: X, layout: {prompt: a}}": "the fields prompt together are no layout",
    "{paths: X/p.html, layout: auto}": "'layout' speaks of records with fields; html has none",
}


@pytest.mark.parametrize("entry", WRONG)
def test_wrong_recipes(entry: str, tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text("<p>x")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"input: {entry.replace('X', str(tmp_path))}\noutput: {{path: {tmp_path}/out}}\n")
    with pytest.raises(RecipeError) as error:
        prepare(str(recipe))
    assert WRONG[entry] in str(error.value) and "recipe.yaml:1" in str(error.value)
