"""Conversations through whole runs: rules, cut turns, dedup by parts, rendered text, and tokens with what is trained on."""

from __future__ import annotations

import contextlib
import gzip
import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tokenizers
from chats import CHATS, call, turns
from corpus import CHECKOUT

from filters.chat.spans import reply_spans
from filters.chat.template import ChatTemplate, load_template
from filters.chat.tokens import Chat
from filters.tokenizer_files import describe, open_tokenizer
from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError, RunError
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.run import run

TEMPLATE = CHECKOUT / "configs" / "tokenizers" / "chatml.jinja"
TOKENIZER = CHECKOUT / "configs" / "tokenizers" / "demo.json"
HEAD = f"""
chat: {{template: {TEMPLATE}}}
tokens: {{tokenizer: {TOKENIZER}, eos: "<|endoftext|>"}}
"""


def mill(folder: Path, page: str, *extra: str) -> dict[str, Any]:
    """A run's manifest; the output is folder/out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(page)
    job, settings = prepare(str(folder / "recipe.yaml"), [f'output.path="{folder / "out"}"', *extra])
    run(job, settings.run, LocalEngine(), Silent(), False)
    return json.loads((folder / "out" / "manifest.json").read_text())


def written(folder: Path, chats: list[dict[str, Any]]) -> str:
    """Conversations as messages in a file; the `input` of a recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"id": f"c{n}", **chat}, ensure_ascii=False) for n, chat in enumerate(chats)]
    (folder / "chats.jsonl").write_text("\n".join(rows) + "\n")
    return f"input: {{paths: {folder}/chats.jsonl, layout: messages, dataset: ours}}\n"


def rows(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    files = sorted((folder / "out" / split).glob("part-*"))
    return [json.loads(line) for file in files for line in gzip.open(file, "rt")]


def rejected(folder: Path, out: str = "out") -> dict[str, str]:
    found = [row for file in sorted((folder / out / "rejected").glob("*")) for row in pq.read_table(file).to_pylist()]
    return {row["id"]: row["reason"] for row in found}


# -- the recipe that ships --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(ready):
    out = ready("sft_zh")
    return out, json.loads((out / "manifest.json").read_text())


def test_the_shipped_recipe_on_real_chinese_data(shipped):
    out, manifest = shipped
    account = manifest["account"]
    assert account["read"] == 90 + 99 == account["kept"] + account["rejected"] and not account["quarantined"]
    reasons = {reason for step in manifest["rejected"].values() for reason in step}
    assert {"shortest_reply_words.min", "refusal_count.max", "role_errors.max", "near_duplicate"} <= reasons
    assert 20 < account["kept"] < 150
    assert not [wrong for finding in check(str(out)) for wrong in finding.wrong]
    documents = pq.read_table(sorted((out / "documents" / "train").glob("*"))).to_pylist()
    sequences = pq.read_table(sorted((out / "train").glob("*"))).to_pylist()
    library = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    template = load_template(str(TEMPLATE))
    assert [row["id"] for row in documents] == [row["id"] for row in sequences]
    for document, sequence in zip(documents, sequences, strict=True):
        text, spans = reply_spans(template, json.loads(document["conversation"]))
        assert library.decode(sequence["input_ids"], skip_special_tokens=False) == text
        learned = [token for token in sequence["labels"] if token != -100]
        assert library.decode(learned, skip_special_tokens=False) == "".join(text[a:b] for a, b in spans)
        assert all(
            label in (-100, token) for token, label in zip(sequence["input_ids"], sequence["labels"], strict=True)
        )
        assert document["tokens"] == len(sequence["input_ids"]) == document["signals"]["chat_tokens"] <= 2048
    assert sum(len(row["input_ids"]) for row in sequences) == manifest["tokens"]["splits"]["train"]["tokens"]
    trained = sum(token != -100 for row in sequences for token in row["labels"])
    assert trained == manifest["tokens"]["splits"]["train"]["trained"] > 1000


def test_the_page_tells_what_it_does(shipped):
    _, manifest = shipped
    page = (CHECKOUT / "docs" / "chat_rules.md").read_text()
    told = page.partition("\nread ")[2].partition("```")[0]
    rows = [line.split() for line in told.splitlines() if line.strip()]
    found = [[step, reason, str(-n)] for step, reasons in manifest["rejected"].items() for reason, n in reasons.items()]
    assert sorted(row[:3] for row in rows if len(row) == 4) == sorted(found)
    assert ["kept", str(manifest["account"]["kept"])] in [row[:2] for row in rows]


def test_explain_measures_conversations(shipped):
    out, _ = shipped
    one = next(name for name, reason in rejected(out.parent, out.name).items() if reason == "refusal_count.max")
    with contextlib.chdir(CHECKOUT):  # where the paths of the recipe begin
        told = explain(str(out), one)
    assert "refusal_count" in told and "FAILS" in told


# -- tokens ----------------------------------------------------------------------------------------

MIXED = [CHATS["many turns"], CHATS["tools"], CHATS["Chinese"], {"messages": turns("Hi", "Hello there " * 40)}]


@pytest.mark.parametrize(
    "pack", [None, {"length": 48, "how": "concatenate"}, {"length": 48, "how": "best_fit", "pad": 1}]
)
@pytest.mark.parametrize("kind", ["parquet-tokens", "megatron", "mds", "litdata", "nanotron"])
def test_masks_stay_beside_their_tokens(kind, pack, tmp_path):
    """Whatever the format and packing: the trained tokens of a document's runs are its replies."""
    from pipeline.tokenized.formats import SUFFIX, read_stream

    page = written(tmp_path, MIXED) + HEAD + "output: {path: out, shuffle: false}\n"
    manifest = mill(tmp_path / kind, page, f"output.format={kind}", f"output.pack={json.dumps(pack)}")
    out = tmp_path / kind / "out"
    options = {
        "ids_below": 3000, "tokenizer": describe(open_tokenizer(str(TOKENIZER)), None, None),
        "pack": pack and {"pad": None, **pack},
    }  # fmt: skip
    stream = read_stream(str(out / "train" / f"part-00000{SUFFIX[kind]}"), kind, options)
    if kind == "parquet-tokens":
        labels = pq.read_table(out / "train")["labels"].combine_chunks().flatten().to_numpy()
        assert set(np.flatnonzero(labels != -100)) == {i for i in range(len(stream)) if labels[i] == stream[i]}
        mask = labels != -100
    else:
        mask = np.fromfile(out / "train" / "part-00000.mask", np.uint8) > 0
        assert "train/part-00000.mask" in {entry["path"] for entry in manifest["files"]}
    assert len(mask) == len(stream) and manifest["tokens"]["splits"]["train"]["trained"] == mask.sum()
    chat = Chat(load_template(str(TEMPLATE)), tokenizer=options["tokenizer"])
    cut = pack is not None and pack["how"] == "concatenate"  # the rest of the shard is dropped
    covered = np.zeros(len(stream), bool)
    for document in pq.read_table(out / "documents" / "train").to_pylist():
        places = np.concatenate([np.arange(run["start"], run["start"] + run["length"]) for run in document["runs"]])
        covered[places] = True
        found = chat.encode([json.loads(document["conversation"])])
        assert len(places) == len(found.ids) or cut
        assert stream[places].tolist() == found.ids[: len(places)].tolist()
        assert mask[places].tolist() == found.mask[: len(places)].astype(bool).tolist()
    assert not mask[~covered].any()  # padding


def test_texts_beside_conversations_are_trained_on_whole(tmp_path):
    page = written(tmp_path, MIXED[:1])[len("input: ") :].strip()
    (tmp_path / "plain.jsonl").write_text(json.dumps({"id": "p", "text": "A plain text."}) + "\n")
    page = (
        f"input: [{page}, {{paths: {tmp_path}/plain.jsonl}}]\n" + HEAD + "output: {path: out, format: parquet-tokens}\n"
    )
    mill(tmp_path / "run", page)
    found = {row["id"]: row for row in pq.read_table(tmp_path / "run" / "out" / "train").to_pylist()}
    library = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    assert found["p"]["input_ids"] == found["p"]["labels"] == [*library.encode("A plain text.").ids, 0]
    assert -100 in found["c0"]["labels"] and found["c0"]["input_ids"][-1] != 0


def test_the_last_reply_alone(tmp_path):
    page = written(tmp_path, MIXED[:1]) + HEAD.replace("}}\n", "}\n") + "output: {path: out, format: parquet-tokens}\n"
    mill(tmp_path / "run", page, "chat.train_on=last_reply")
    (row,) = pq.read_table(tmp_path / "run" / "out" / "train").to_pylist()
    learned = [token for token in row["labels"] if token != -100]
    library = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    assert library.decode(learned, skip_special_tokens=False) == 'Yes: "x"<|im_end|>\n'


def test_thoughts_are_rendered_and_trained_on(tmp_path):
    (tmp_path / "t.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\nA:\n{% else %}"
        "<think>{{ m.reasoning_content }}</think>{{ m.content }}\n{% endif %}{% endfor %}"
    )
    page = written(
        tmp_path, [{"messages": [*turns("1+1?"), {"role": "assistant", "content": "2", "reasoning": "easy"}]}]
    )
    head = HEAD.replace(str(TEMPLATE), str(tmp_path / "t.jinja"))
    mill(tmp_path / "run", page + head + "output: {path: out, format: parquet-tokens}\n")
    (row,) = pq.read_table(tmp_path / "run" / "out" / "train").to_pylist()
    learned = [token for token in row["labels"] if token != -100]
    library = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    assert library.decode(learned, skip_special_tokens=False) == "<think>easy</think>2\n"


# -- edits -----------------------------------------------------------------------------------------


def test_turns_are_cut_and_text_is_rendered(tmp_path):
    page = written(tmp_path, [CHATS["many turns"], CHATS["one turn"], {"messages": turns("long", "word " * 90)}]) + HEAD
    steps = "steps:\n  - edit: {cut_turns: {max_tokens: 200}}\n  - keep: {chat_tokens: {max: 200}}\n"
    out = "output: {path: out, format: jsonl.gz, signals: [chat_tokens]}\n"
    manifest = mill(tmp_path / "cut", page + steps + out)
    found = {row["id"]: row for row in rows(tmp_path / "cut")}
    assert rejected(tmp_path / "cut") == {"c2": "chat_tokens.max"}
    kept = json.loads(found["c0"]["conversation"])["messages"]
    whole = CHATS["many turns"]["messages"]
    assert kept == whole[: len(kept)] and 3 <= len(kept) < len(whole) and kept[-1]["role"] == "assistant"
    assert found["c0"]["text"] == "\n\n".join(each["content"] for each in kept)
    assert json.loads(found["c1"]["conversation"])["messages"] == CHATS["one turn"]["messages"]
    tokens = sum(row["signals"]["chat_tokens"] for row in found.values())
    assert manifest["tokens"]["splits"]["train"]["tokens"] == tokens
    mill(tmp_path / "text", page + steps + "  - edit: render_chat\n" + out)
    text = {row["id"]: row["text"] for row in rows(tmp_path / "text")}
    template = load_template(str(TEMPLATE))
    assert text == {name: template.render(json.loads(row["conversation"])) for name, row in found.items()}


def test_one_more_exchange_would_not_have_fitted(tmp_path):
    """What is left is the longest beginning that fits, for every limit."""
    from filters.chat.length import cut_turns, split
    from filters.chat.tokens import use
    from filters.texts import Texts

    described = describe(open_tokenizer(str(TOKENIZER)), None, None)
    use({"template": load_template(str(TEMPLATE)).described(), "train_on": "replies", "masks": False}, described)
    try:
        import pyarrow as pa

        from filters.chat.tokens import current

        column = pa.array([json.dumps(chat) for chat in MIXED])
        count = current("test").count
        for limit in range(1, 200, 7):
            cut = cut_turns(Texts(pa.array([""] * len(MIXED)), conversations=column), max_tokens=limit)
            for before, after in zip(MIXED, cut, strict=True):
                head, exchanges = split(before["messages"])
                fits = [
                    n for n in range(1, len(exchanges) + 1)
                    if count([{**before, "messages": [*head, *chain(*exchanges[:n])]}])[0] <= limit
                ]  # fmt: skip
                if after is None:
                    assert not fits or len(exchanges) in fits
                else:
                    assert after["messages"] == [*head, *chain(*exchanges[: max(fits)])]
    finally:
        use(None, None)


def test_a_long_conversation_is_rendered_a_few_times(monkeypatch):
    from filters.chat.length import _cut

    counted: list[int] = []
    monkeypatch.setattr(Chat, "count", lambda self, chats: counted.append(0) or [len(chats[0]["messages"])])
    long = {"messages": turns(*["x"] * 512)}
    for limit in (2, 3, 100, 510):
        counted.clear()
        assert _cut(Chat(None), long, limit)["messages"] == long["messages"][: limit // 2 * 2]
        assert len(counted) <= 8
    assert _cut(Chat(None), long, 1) is None


def test_bounds_are_fitted_to_conversations(tmp_path):
    page = written(tmp_path, [{"messages": turns("Say it", "word " * size)} for size in range(1, 21)])
    steps = "steps:\n  - keep: {longest_reply_chars: {quantile: [0.0, 0.5], min_documents: 10}}\n"
    mill(tmp_path / "run", page + steps + "output: {path: out, format: jsonl.gz}\n")
    assert set(rejected(tmp_path / "run")) == {f"c{number}" for number in range(10, 20)}


# -- dedup -----------------------------------------------------------------------------------------

QUESTION = "Please tell me in a few words what a grist mill is and how the two stones inside of it grind the corn"
ANSWER = "A grist mill grinds grain between two stones that are driven by water or wind until it is fine flour"
ASKED = [
    {"messages": turns(QUESTION, ANSWER)},
    {
        "messages": turns(
            QUESTION.upper() + "  ", "It makes flour out of grain, slowly, with heavy stones and a great wheel"
        )
    },
    {"messages": turns(QUESTION + " today", "Something else entirely: the miller sings while the wheel turns around")},
    {"messages": turns("Another question altogether, with nothing in it that the first one had", ANSWER)},
    {"messages": turns("Short", "Reply one"), "tools": []},
]


@pytest.mark.parametrize("layout", [None, "messages"])
@pytest.mark.parametrize(
    ("dedup", "gone"),
    [
        ("exact: {by: prompt, keep: shortest}", {"c0": "same_prompt"}),
        ("exact: {by: reply}", {"c3": "same_reply"}),
        ("exact: {by: conversation}", {}),
        ("exact: {}", {}),
        ("minhash: {by: prompt, threshold: 0.7, keep: shortest}", {"c0": "near_duplicate", "c2": "near_duplicate"}),
        ("minhash: {by: reply, threshold: 0.7}", {"c3": "near_duplicate"}),
        (
            "minhash: {by: prompt, threshold: 0.7, keep: {best: longest_reply_chars}}",
            {"c1": "near_duplicate", "c2": "near_duplicate"},
        ),
        ("minhash: {threshold: 0.7}", {}),
    ],
)
def test_dedup_by_part(dedup, gone, layout, tmp_path):
    page = (
        written(tmp_path, ASKED)
        + f"steps:\n  - dedup: {{{dedup}}}\noutput: {{path: out, format: jsonl.gz}}\nrun: {{max_source_loss: 1}}\n"
    )
    split = 'output.split={"train": 0.5, "test": 0.5}'
    mill(tmp_path / "run", page, split, *([f"output.layout={layout}"] if layout else []))
    assert rejected(tmp_path / "run") == gone
    assert not [wrong for finding in check(str(tmp_path / "run" / "out")) for wrong in finding.wrong]


def with_call(arguments: Any) -> dict[str, Any]:
    return {
        "messages": [
            turns("What is the weather going to be like in that city on the day I named?")[0],
            call("weather", arguments),
        ]
    }


def test_tool_calls_tell_replies_and_conversations_apart(tmp_path):
    chats = [with_call({"a": 1, "b": 2}), with_call({"b": 2, "a": 1}), with_call({"a": 3})]
    for number, (dedup, kept) in enumerate(
        [("exact: {by: conversation}", 2), ("minhash: {by: reply}", 2), ("exact: {}", 1), ("exact: {by: prompt}", 1)]
    ):
        page = (
            written(tmp_path, chats)
            + f"steps:\n  - dedup: {{{dedup}}}\noutput: {{path: out, format: jsonl.gz}}\nrun: {{max_source_loss: 1}}\n"
        )
        assert mill(tmp_path / str(number), page)["account"]["kept"] == kept


def test_whole_texts_and_parts_in_one_recipe(tmp_path):
    """What near-dedup compares is one thing, what `exact` compares another."""
    steps = "steps:\n  - dedup: {exact: {}}\n  - dedup: {minhash: {by: reply, threshold: 0.9}}\n"
    out = "output: {path: out, format: jsonl.gz}\nrun: {max_source_loss: 1}\n"
    page = (
        written(tmp_path, [with_call({"a": 1, "b": 2}), with_call({"b": 2, "a": 1}), with_call({"a": 3})]) + steps + out
    )
    assert mill(tmp_path / "run", page)["account"]["kept"] == 1
    assert sorted(rejected(tmp_path / "run").values()) == ["exact_duplicate", "near_duplicate"]
    assert not [wrong for finding in check(str(tmp_path / "run" / "out")) for wrong in finding.wrong]


# -- letters ---------------------------------------------------------------------------------------

WRONG = {
    "no conversations": ("input: {paths: DIR/chats.jsonl}\nchat: {template: T}\n", "no input is read as such"),
    "no template": ("IN\nsteps: [{keep: {chat_tokens: {max: 9}}}]\n", "chat_tokens needs a chat template"),
    "no template for an edit": ("IN\nsteps: [{edit: render_chat}]\n", "render_chat needs a chat template"),
    "no tokenizer": ("IN\nchat: {template: T}\nsteps: [{keep: {chat_tokens: {max: 9}}}]\n", "chat_tokens needs a tokenizer"),
    "no tokenizer to cut by": ("IN\nchat: {template: T}\nsteps: [{edit: cut_turns}]\n", "cut_turns needs a tokenizer"),
    "no such file": ("IN\nchat: {template: nowhere.jinja}\n", "there is no chat template at nowhere.jinja"),
    "no such option": ("IN\nchat: {templat: T}\n", "unknown key 'chat.templat', did you mean 'template'"),
    "what is trained on": ("IN\nchat: {template: T, train_on: all}\n", "expected 'replies' or 'last_reply'"),
    "a date that is none": ("IN\nchat: {template: T, date: soon}\n", "date is 'soon'; expected one such as"),
    "prompts of texts": ("input: {paths: DIR/chats.jsonl, text: id}\nsteps: [{dedup: {exact: {by: prompt}}}]\n", "dedup by prompt compares conversations"),
    "no part": ("IN\nsteps: [{dedup: {minhash: {by: answer}}}]\n", "'text', 'prompt', 'reply' or 'conversation'"),
    "nothing left": (
        "IN\nchat: {template: T}\ntokens: {tokenizer: TOK}\nsteps: [{edit: {cut_turns: {max_tokens: 0}}}]\n",
        "max_tokens is 0; expected 1 or more",
    ),
    "rules on turns": ("IN\nsteps: [{keep: sft_en, on: assistant}]\n", "role_errors looks at whole conversations"),
    "cuts on turns": (
        "IN\nchat: {template: T}\ntokens: {tokenizer: TOK}\nsteps: [{edit: cut_turns, on: user}]\n",
        "cut_turns looks at whole conversations, not at turns",
    ),
    "texts of prompts": (
        "IN\nsteps: [{dedup: {minhash: {by: prompt}}}]\n",
        "nobody could check this corpus",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_recipe_gets_a_letter(name, tmp_path):
    page, letter = WRONG[name]
    head = written(tmp_path, MIXED[:1])
    for word, value in (("IN\n", head), ("DIR", tmp_path), ("TOK}", f"{TOKENIZER}}}"), (": T", f": {TEMPLATE}")):
        page = page.replace(word, str(value))
    layout = ", layout: text" if name == "texts of prompts" else ""
    (tmp_path / "recipe.yaml").write_text(page + f"output: {{path: {tmp_path}/out{layout}}}\n")
    with pytest.raises(RecipeError, match=letter) as error:
        prepare(str(tmp_path / "recipe.yaml"))
    assert "recipe.yaml" in str(error.value)


def test_a_conversation_that_the_template_refuses_costs_itself_only(tmp_path):
    chats = [CHATS["one turn"], {"messages": [turns("a")[0], turns("b")[0], turns("x", "c d")[1]]}]
    page = written(tmp_path, chats) + HEAD.replace(
        str(TEMPLATE), str(CHECKOUT / "tests/data/chat_templates/llama2.jinja")
    ).replace("jinja}", "jinja, special: {bos_token: <s>, eos_token: </s>}}")
    out = "output: {path: out, format: jsonl.gz}\n"
    mill(tmp_path / "run", page + "steps:\n  - keep: {chat_tokens: {min: 1}}\n" + out)
    assert rejected(tmp_path / "run") == {"c1": "error.TemplateError"}


HIDDEN = "{% for m in messages %}{% if messages|length < 3 %}{{ m.content }};{% else %}{{ messages|length }}{% endif %}{% endfor %}"


def test_replies_that_cannot_be_told_cost_themselves_only(tmp_path):
    """Where masks are written the rule that the letter speaks of takes them out; texts are counted without looking."""
    (tmp_path / "t.jinja").write_text(HIDDEN)
    chats = [CHATS["one turn"], {"messages": turns("a", "bb", "c", "d")}]
    page = written(tmp_path, chats) + HEAD.replace(str(TEMPLATE), str(tmp_path / "t.jinja"))
    out, rule = "output: {path: out, format: FORMAT}\n", "steps:\n  - keep: {chat_tokens: {min: 1}}\n"
    with pytest.raises(RunError, match=r"conversation c1 cannot be rendered: .*message 2 cannot be told.*min: 1"):
        mill(tmp_path / "stops", page + out.replace("FORMAT", "parquet-tokens"))
    manifest = mill(tmp_path / "tokens", page + rule + out.replace("FORMAT", "parquet-tokens"))
    assert rejected(tmp_path / "tokens") == {"c1": "error.TemplateError"}
    assert manifest["account"] == {"read": 2, "kept": 1, "rejected": 1, "quarantined": 0}
    manifest = mill(tmp_path / "texts", page + rule + out.replace("FORMAT", "jsonl.gz"))
    library, template = tokenizers.Tokenizer.from_file(str(TOKENIZER)), ChatTemplate({"default": HIDDEN})
    tokens = sum(len(library.encode(template.render(each)).ids) for each in chats)
    assert manifest["account"]["kept"] == 2 and manifest["tokens"]["splits"]["train"]["tokens"] == tokens
