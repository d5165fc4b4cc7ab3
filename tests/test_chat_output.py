"""Conversations out: every layout written, read again, loaded; what does not fit; what trainers are told."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from reading import load, rows

from pipeline.chat.canonical import dumps, loads
from pipeline.chat.layouts import LAYOUTS
from pipeline.chat.reader import LayoutReader
from pipeline.chat.reading import conversations
from pipeline.chat.tables_out import notes_of, shape_names, shape_of, with_text
from pipeline.chat.writing import FORMS, Unfit, write
from pipeline.commands.check import check
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError
from pipeline.folder import clear
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.readers import Options
from pipeline.run import Outcome, run

AUTO = Options(layout="auto")
CHAT = Path(__file__).parent.parent / "configs" / "chat"
FILES = {
    "alpaca_identity.json": "alpaca",
    "alpaca_xquad_ar.jsonl.gz": "alpaca",
    "alpaca_xquad_en.jsonl.gz": "alpaca",
    "alpaca_xquad_ru.jsonl.gz": "alpaca",
    "alpaca_xquad_zh.jsonl.gz": "alpaca",
    "messages_identity.jsonl": "messages",
    "qa_gsm8k_test.jsonl": "question_answer",
    "seed_tasks.jsonl": "self_instruct",
    "sharegpt_glaive_toolcall_en.json": "sharegpt",
    "sharegpt_glaive_toolcall_zh.json": "sharegpt",
    "sharegpt_identity.json": "sharegpt",
    "user_oriented_instructions.jsonl": "self_instruct",
}
ABOUT = ("source", "url", "date", "lang")


def records(path: Path) -> list[dict[str, Any]]:
    import gzip

    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]


def written(row: dict[str, Any], layout: str, turns: str = "") -> dict[str, Any]:
    """A row of the documents table as a record of `layout`, with what its metadata holds."""
    fields = write(loads(row["conversation"]), notes_of(row["metadata"]), layout, turns or FORMS[layout][0])
    return {"id": row["id"], **fields, **json.loads(row["metadata"] or "{}")}


def without_notes(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "_layout"}


def there_and_back(path: Path, layout: str, tmp_path: Path) -> None:
    """File -> messages, as text of a file -> the file's own layout: the same records."""
    as_messages = tmp_path / "messages.jsonl"
    found = rows(load(path, options=AUTO))
    as_messages.write_text("".join(json.dumps(written(row, "messages")) + "\n" for row in found), encoding="utf-8")
    again = rows(load(as_messages, options=Options(layout="messages")))
    for original, row in zip(records(path), again, strict=True):
        made = set() if "id" in original else {"id"}
        back = without_notes(written(row, layout))
        assert {key: value for key, value in back.items() if key not in made} == original


@pytest.mark.shared
@pytest.mark.parametrize("name", FILES)
def test_every_real_file_comes_back(shared_data: Path, name: str, tmp_path: Path) -> None:
    there_and_back(shared_data / "sft" / name, FILES[name], tmp_path)


@pytest.mark.parametrize("name", ["alpaca_identity.json", "sharegpt_glaive.json", "qa_gsm8k.jsonl", "seed_tasks.jsonl"])
def test_small_files_come_back(name: str, tmp_path: Path) -> None:
    layout = next(kind for known, kind in FILES.items() if known.startswith(name.split(".")[0]))
    there_and_back(CHAT / name, layout, tmp_path)


# -- generated records -----------------------------------------------------------------------------

text = st.text(alphabet=st.sampled_from('ab \n\t中é"\\{}'), max_size=12)
said = text.filter(bool)
arguments = st.dictionaries(text, st.one_of(st.integers(-5, 5), text, st.booleans(), st.none()), max_size=2)
call = st.fixed_dictionaries({"name": said, "arguments": arguments})
spelling = st.sampled_from(
    [
        lambda v: json.dumps(v),
        lambda v: json.dumps(v, ensure_ascii=False),
        lambda v: json.dumps(v, separators=(",", ":")),
        lambda v: json.dumps(v, indent=2, ensure_ascii=False),
        lambda v: " " + json.dumps(v),
    ]
)
sharegpt_turn = st.one_of(
    st.builds(
        lambda name, value: {"from": name, "value": value},
        st.sampled_from(["human", "user", "gpt", "chatgpt", "observation", "tool", "system"]),
        text,
    ),
    st.builds(lambda how, calls: {"from": "function_call", "value": how(calls)}, spelling, st.one_of(call, st.lists(call, min_size=1, max_size=2))),
)  # fmt: skip


@given(st.lists(sharegpt_turn, min_size=1, max_size=5), st.none() | st.tuples(spelling, st.lists(call, max_size=2)))
def test_generated_sharegpt_comes_back(turns: list[Any], tools: Any) -> None:
    record: dict[str, Any] = {"conversations": turns}
    if tools is not None:
        record["tools"] = tools[0](tools[1])
    ((conversation, note),), _ = conversations(LAYOUTS["sharegpt"], record)
    assert write(loads(dumps(conversation)), {"sharegpt": note}, "sharegpt", "sharegpt") == record


@given(text, text, text, st.lists(st.tuples(text, text).map(list), max_size=2), text)
def test_generated_alpaca_comes_back(
    instruction: str, given_: str, output: str, history: list[Any], system: str
) -> None:
    record = {"instruction": instruction, "input": given_, "output": output, "history": history, "system": system}
    ((conversation, note),), _ = conversations(LAYOUTS["alpaca"], record)
    back = write(loads(dumps(conversation)), {"alpaca": note}, "alpaca", "text")
    expected = {key: value for key, value in record.items() if value or key not in ("history", "system")}
    assert back == expected


# -- what does not fit -----------------------------------------------------------------------------

USER, REPLY = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}],
}
TALKS: dict[str, dict[str, Any]] = {
    "one": {"messages": [USER, REPLY]},
    "two": {"messages": [USER, REPLY, USER, REPLY]},
    "system": {"messages": [{"role": "system", "content": "S"}, USER, REPLY]},
    "call": {"messages": [USER, CALLED, {"role": "tool", "content": "1"}, REPLY]},
    "says and calls": {"messages": [USER, {**CALLED, "content": "now"}]},
    "tools": {"messages": [USER, REPLY], "tools": [{"type": "function", "function": {"name": "f"}}]},
    "question": {"messages": [USER]},
    "thinks": {"messages": [USER, {**REPLY, "reasoning_content": "hm"}]},
    "pair": {"messages": [USER], "chosen": [REPLY], "rejected": [REPLY]},
    "label": {"messages": [USER, REPLY], "label": False},
}
BOTH = {"pair": "pair", "label": "label"}
THINKS = {"thinks": "reasoning"}
ONE = {"two": "turns", "system": "turns", "call": "turns", "says and calls": "turns", "question": "turns"}
OTHERS = [name for name in TALKS if name not in BOTH]
REASONS = {
    ("messages", "messages"): BOTH,
    ("sharegpt", "sharegpt"): {**BOTH, **THINKS, "says and calls": "call"},
    ("alpaca", "text"): {
        **BOTH,
        **THINKS,
        "call": "turns",
        "says and calls": "call",
        "tools": "tools",
        "question": "turns",
    },
    ("prompt_completion", "messages"): {**BOTH, "question": "turns"},
    ("prompt_completion", "text"): {**BOTH, **THINKS, **ONE, "tools": "tools"},
    ("question_answer", "text"): {**BOTH, **THINKS, **ONE, "tools": "tools"},
    ("preference", "messages"): {**dict.fromkeys(OTHERS, "no_pair"), "label": "label"},
    ("kto", "messages"): {**dict.fromkeys(OTHERS, "no_label"), "pair": "pair"},
    ("kto", "sharegpt"): {**dict.fromkeys(OTHERS, "no_label"), "pair": "pair", **THINKS},
    ("text", "text"): {},
}


@pytest.mark.parametrize("layout, turns", REASONS)
def test_what_a_layout_cannot_hold(layout: str, turns: str) -> None:
    for name, talk in TALKS.items():
        reason = REASONS[layout, turns].get(name)
        if reason is None:
            write(talk, {}, layout, turns)
            continue
        with pytest.raises(Unfit) as unfit:
            write(talk, {}, layout, turns)
        assert unfit.value.reason == f"layout.{reason}", name


def test_a_question_that_an_edit_changed() -> None:
    """The note says two paragraphs; what is left of the question is parted as far as it can be."""
    talk = {"messages": [{"role": "user", "content": "one"}, REPLY]}
    assert write(talk, {"alpaca": {"input": 2}}, "alpaca", "text")["instruction"] == "one"
    assert write(talk, {"alpaca": {"input_at": 9}}, "alpaca", "text")["instruction"] == "one"


# -- runs ------------------------------------------------------------------------------------------


def mill(folder: Path, output: str, inputs: str = "[{paths: CHAT, layout: auto}]", steps: str = "[]") -> Outcome:
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"input: {inputs.replace('CHAT', str(CHAT))}\nsteps: {steps}\noutput: {output}\n")
    job, settings = prepare(str(recipe))
    return run(job, settings.run, LocalEngine(), Silent())


PAIRS = [
    {"prompt": f"Which is larger, {n} or {n + 1}?", "chosen": f"{n + 1}, by one.", "rejected": f"{n} is.", "margin": n}
    for n in range(8)
]
LABELS = [{"prompt": p["prompt"], "completion": p["chosen"], "label": n % 2 == 0} for n, p in enumerate(PAIRS)]
OUTPUTS = [(layout, turns) for layout, forms in FORMS.items() for turns in forms]


def plainly(conversation: str) -> str:
    """With the arguments of calls as objects: some layouts have them as text."""
    found = loads(conversation)
    for turn in found["messages"]:
        for function in (call["function"] for call in turn.get("tool_calls", ())):
            if isinstance(function["arguments"], str):
                function["arguments"] = json.loads(function["arguments"])
    return dumps(found)


@pytest.mark.parametrize("format", ["jsonl.zst", "parquet"])
@pytest.mark.parametrize("layout, turns", OUTPUTS)
def test_written_corpora_load_and_check(layout: str, turns: str, format: str, tmp_path: Path) -> None:
    """datasets.load_dataset gives the rows; gristmill check finds no fault; gristmill reads the same conversations again."""
    import datasets

    source = {"preference": PAIRS, "kto": LABELS}.get(layout)
    inputs = "[{paths: CHAT, layout: auto}]"
    if source:
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in source))
        inputs = f"[{{paths: {tmp_path}/in.jsonl, layout: auto}}]"
    out = tmp_path / "out"
    outcome = mill(
        tmp_path,
        f"{{path: {out}, format: {format}, layout: {layout}, turns: {turns}, split: {{train: 0.8, test: 0.2}}}}",
        inputs,
    )
    account = outcome.manifest["account"]
    assert account["kept"] + account["rejected"] == account["read"] >= 8 and account["kept"] >= 8
    assert [str(finding.wrong) for finding in check(str(out)) if not finding.ok] == []
    found = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in found.items()} == {
        k: v for k, v in outcome.manifest["splits"].items() if v
    }
    assert "conversation" not in found["train"].column_names
    assert ("text" in found["train"].column_names) == (layout == "text")
    if layout != "text":
        given = [tmp_path / "in.jsonl"] if source else sorted(CHAT.glob("*.json*"))
        talks = Counter(plainly(row["conversation"]) for file in given for row in rows(load(file, options=AUTO)))
        reader = LayoutReader(layout)
        again = Counter(plainly(reader.read(row)[0][0].conversation) for split in found.values() for row in split)
        assert again <= talks
    if source:
        assert sum(map(len, found.values())) == 8 and account["rejected"] == 0


def test_columns_are_those_that_the_corpus_needs(tmp_path: Path) -> None:
    plain = f"[{{paths: {CHAT}/alpaca_identity.json, layout: alpaca}}]"
    mill(tmp_path, f"{{path: {tmp_path}/a, format: parquet, layout: messages}}", plain)
    schema = pq.read_schema(tmp_path / "a" / "train" / "part-00000.parquet")
    assert schema.names == ["id", "messages", "source", "url", "date", "lang", "lang_score", "metadata"]
    assert [field.name for field in schema.field("messages").type.value_type] == ["role", "content"]
    mill(
        tmp_path,
        f"{{path: {tmp_path}/b, format: parquet, layout: messages}}",
        f"[{{paths: {CHAT}/sharegpt_glaive.json, layout: auto}}]",
    )
    schema = pq.read_schema(tmp_path / "b" / "train" / "part-00000.parquet")
    assert schema.names[:3] == ["id", "messages", "tools"]
    assert [field.name for field in schema.field("messages").type.value_type] == ["role", "content", "tool_calls"]
    assert shape_names(shape_of({"system": "S", "messages": [{"role": "user", "name": "n"}]})) == [
        "system",
        "turn.name",
    ]


def test_thoughts_are_written_and_tell_conversations_apart(tmp_path: Path) -> None:
    talks = [[USER, {**REPLY, **more}] for more in ({}, {"reasoning_content": "hm"}, {"thinking": "oh"}, {})]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    inputs, steps = f"[{{paths: {tmp_path}/in.jsonl, layout: auto}}]", "[{dedup: {exact: {by: conversation}}}]"
    outcome = mill(tmp_path, f"{{path: {tmp_path}/out, format: parquet, layout: messages}}", inputs, steps)
    assert outcome.manifest["account"]["kept"] == 3
    written = pq.read_table(tmp_path / "out" / "train")["messages"].to_pylist()
    assert {talk[1]["reasoning_content"] for talk in written} == {None, "hm", "oh"}
    outcome = mill(tmp_path, f"{{path: {tmp_path}/gpt, format: jsonl, layout: sharegpt}}", inputs, steps)
    assert outcome.manifest["rejected"]["98.layout"] == {"layout.reasoning": 2}


def test_what_does_not_fit_is_in_the_ledger(tmp_path: Path) -> None:
    outcome = mill(tmp_path, f"{{path: {tmp_path}/out, format: jsonl, layout: alpaca}}")
    assert set(outcome.manifest["rejected"]) == {"98.layout"} and outcome.manifest["account"]["kept"] > 150
    assert set(outcome.manifest["rejected"]["98.layout"]) == {"layout.tools"}
    rejected = pa.concat_tables(
        [pq.read_table(path) for path in sorted((tmp_path / "out" / "rejected").glob("*"))]
    ).to_pylist()
    assert any(row["detail"] == "it offers tools; layout: messages or sharegpt holds them" for row in rejected)
    again = mill(
        tmp_path,
        f"{{path: {tmp_path}/more, format: jsonl, layout: alpaca}}",
        f"[{{paths: {tmp_path}/out/train, layout: alpaca}}]",
    )
    assert again.manifest["account"]["kept"] == outcome.manifest["account"]["kept"]


def test_an_earlier_corpus_in_a_layout(tmp_path: Path) -> None:
    """Its texts are read back from the turns: what is in it already is not kept again."""
    near = "[{dedup: {minhash: {threshold: 0.8}}}]"
    inputs = f"[{{paths: {CHAT}/qa_gsm8k.jsonl, layout: auto}}]"
    mill(tmp_path, f"{{path: {tmp_path}/old, format: jsonl, layout: sharegpt}}", inputs, near)
    against = f"[{{dedup: {{minhash: {{threshold: 0.8, against: [{tmp_path}/old]}}}}}}]"
    settings = f"{{path: {tmp_path}/new, format: jsonl}}\nrun: {{max_source_loss: 1}}"
    new = mill(tmp_path, settings, inputs, against)
    assert new.manifest["account"]["kept"] == 0 and new.manifest["account"]["rejected"] == 25


def test_snippets(tmp_path: Path) -> None:
    """Beside the data, with the columns that are there; and gone when the folder is cleared."""
    mill(
        tmp_path,
        f"{{path: {tmp_path}/out, format: jsonl, layout: sharegpt}}",
        f"[{{paths: {CHAT}/sharegpt_glaive.json, layout: auto}}]",
    )
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())["corpus"]
    assert (tmp_path / "out" / info["file_name"]).is_dir() and info["formatting"] == "sharegpt"
    row = json.loads((tmp_path / "out" / "train" / "part-00000.jsonl").open().readline())
    assert set(info["columns"].values()) <= set(row) and info["columns"]["tools"] == "tools"
    config = yaml.safe_load((tmp_path / "out" / "axolotl.yaml").read_text())["datasets"][0]
    assert config["field_messages"] in row and set(config["message_property_mappings"].values()) == {"from", "value"}
    told = (tmp_path / "out" / "README.md").read_text()
    assert "TRL does not read this layout" in told and "dataset: corpus" in told
    clear(str(tmp_path / "out"))
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.is_file()]


@pytest.mark.parametrize("layout, turns", OUTPUTS)
def test_snippets_name_columns_that_are_written(layout: str, turns: str) -> None:
    from pipeline.chat.snippets import axolotl, llama_factory
    from pipeline.chat.tables_out import columns

    chosen = {"name": layout, "turns": turns}
    schema = pa.schema(columns(chosen, ["tools", "system"] if turns == "sharegpt" else []))
    info = llama_factory(chosen, schema, ["train", "test"], "jsonl")
    if info:
        assert list(info) == ["corpus", "corpus_test"] and info["corpus_test"]["file_name"] == "test"
        assert set(info["corpus"]["columns"].values()) <= set(schema.names)
    config = axolotl(chosen, "jsonl")
    if config:
        entry = yaml.safe_load(config)["datasets"][0]
        named = [value for key, value in entry.items() if key.startswith("field")]
        named += (
            [v for k, v in entry["type"].items() if k.startswith("field")] if isinstance(entry["type"], dict) else []
        )
        assert set(named) <= set(schema.names)


@pytest.mark.parametrize("layout, turns", OUTPUTS)
def test_the_card_names_what_a_trainer_reads(layout: str, turns: str) -> None:
    from pipeline.chat.snippets import AXOLOTL_TYPES, COLUMNS, TRL, card_lines
    from pipeline.chat.tables_out import columns

    chosen = {"name": layout, "turns": turns}
    lines = card_lines(chosen, pa.schema(columns(chosen, [])), ["train"], "jsonl")
    for trainer, reads in (("TRL", TRL), ("LLaMA-Factory", COLUMNS), ("Axolotl", AXOLOTL_TYPES)):
        (told,) = [line for line in lines if line.startswith(f"- {trainer}")]
        assert ("does not read" in told) == ((layout, turns) not in reads)
        for kind, name in re.findall(r"`(turns|layout): (\w+)`", told):
            assert ((layout, name) if kind == "turns" else (name, FORMS[name][0])) in reads, told


WRONG = {
    "{path: OUT, layout: chatml}": "'output.layout' is 'chatml'",
    "{path: OUT, turns: text}": "give output.layout too",
    "{path: OUT, layout: alpaca, turns: messages}": "alpaca has no 'turns: messages' (it has text)",
}


@pytest.mark.parametrize("output", WRONG)
def test_wrong_outputs(output: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        mill(tmp_path, output.replace("OUT", f"{tmp_path}/out"))
    assert WRONG[output] in str(error.value)


def test_other_wrong_recipes(tmp_path: Path) -> None:
    plain = f"[{{paths: {CHAT}/qa_gsm8k.jsonl, text: question}}]"
    with pytest.raises(RecipeError, match="no input is read as such"):
        mill(tmp_path, f"{{path: {tmp_path}/out, layout: messages}}", plain)
    with pytest.raises(RecipeError, match="'kto' has a column 'label' of its own"):
        mill(tmp_path, f"{{path: {tmp_path}/out, layout: kto}}\nlabels: {{column: topic, values: [a, b]}}")
    with pytest.raises(RecipeError, match="would leave the turns of conversations as they are"):
        mill(tmp_path, f"{{path: {tmp_path}/out}}", steps="[{dedup: {lines: {}}}]")


def test_text_of_a_written_table() -> None:
    table = pa.table({"question": ["a"], "answer": ["b"]})
    assert with_text(table, "question_answer")["text"].to_pylist() == ["a\n\nb"]
