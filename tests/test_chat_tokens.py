"""Spans of replies, ids and masks: as transformers where it says them, and as written out here where it does not."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import tokenizers
from chats import CHATS, DATE, SPECIAL, TEMPLATES, call, turns
from corpus import CHECKOUT
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.chat.spans import reply_spans
from filters.chat.template import ChatTemplate, TemplateError, load_template
from filters.chat.tokens import Chat, chat_of, check_tokenizer, mask_of
from filters.tokenizer_files import describe, open_tokenizer
from pipeline.chat.reader import LayoutReader

DEMO = CHECKOUT / "configs" / "tokenizers" / "demo.json"
MARKS = ["<|im_start|>", "<|im_end|>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>"]


def template(name: str) -> ChatTemplate:
    return load_template(str(TEMPLATES / f"{name}.jinja"), date=DATE, special=SPECIAL)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> str:
    """The demo's tokenizer with the marks of the templates."""
    made = tokenizers.Tokenizer.from_file(str(DEMO))
    made.add_special_tokens(MARKS)
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(file))
    return str(file)


def chat(name: str, tokenizer: str, **more) -> Chat:
    return Chat(template(name), tokenizer=describe(open_tokenizer(tokenizer), None, None), **more)


REPLIES = {
    ("chatml", "many turns"): ["  Hello! <|im_end|>\n", "Bye 😀<|im_end|>\n", 'Yes: "x"<|im_end|>\n'],
    ("chatml_generation", "many turns"): ["  Hello! <|im_end|>\n", "Bye 😀<|im_end|>\n", 'Yes: "x"<|im_end|>\n'],
    ("llama2", "many turns"): [" Hello! </s>", " Bye 😀 </s>", ' Yes: "x" </s>'],
    ("llama3", "Chinese"): ["磨坊是把谷物磨成粉的地方。\n\n它很古老。<|eot_id|>"],
    ("gemma", "one turn"): ["A machine that grinds.<end_of_turn>\n"],
    # the system message moves to the last user turn: these replies are found by what changes
    ("mistral", "many turns"): ["  Hello! </s>", "Bye 😀</s>", ' Yes: "x"</s>'],
    # thoughts are left out of all replies but the last
    ("thinking", "thoughts"): ["2<|im_end|>\n", "4<|im_end|>\n", "<think>\n\n</think>\n\n6<|im_end|>\n"],
    ("chatml", "prompt only"): [],
}


@pytest.mark.parametrize("case", REPLIES, ids=" ".join)
def test_the_replies_of_a_template(case):
    name, which = case
    text, spans = reply_spans(template(name), CHATS[which])
    assert text == template(name).render(CHATS[which])
    assert [text[start:end] for start, end in spans] == REPLIES[case]
    assert reply_spans(template(name), CHATS[which], last=True) == (text, spans[-1:])


def test_a_tool_call_is_a_reply_and_its_answer_is_none():
    text, spans = reply_spans(template("chatml"), CHATS["tools"])
    called, told, bye = (text[start:end] for start, end in spans)
    assert called.strip().startswith("<tool_call>") and called.endswith("</tool_call><|im_end|>\n")
    assert told == "北京现在 21 °C。<|im_end|>\n" and bye == "<p>Bye</p><|im_end|>\n"
    text, spans = reply_spans(template("mistral"), CHATS["tools"])
    called = '[TOOL_CALLS] [{"name": "天气", "arguments": {"城市": "北京", "days": 2, "exact": true}}]</s>'
    assert [text[start:end] for start, end in spans] == [called, "北京现在 21 °C。</s>", " <p>Bye</p></s>"]


def test_a_template_that_hides_its_replies_is_told():
    hidden = ChatTemplate({"default": "{{ messages | length }}{{ messages[-1].content | length }}"})
    with pytest.raises(TemplateError, match=r"message 2 cannot be told; put \{% generation %\}"):
        reply_spans(hidden, {"messages": turns("a", "bb", "c", "d")})


@pytest.mark.parametrize("which", CHATS)
@pytest.mark.parametrize("name", ["chatml", "chatml_generation", "gemma", "llama2", "thinking"])
def test_ids_are_those_of_transformers(name, which, tokenizer):
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed; ids are not compared with it"
    )
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=tokenizer, **SPECIAL)
    theirs.chat_template = (TEMPLATES / f"{name}.jinja").read_text()
    try:
        told = theirs.apply_chat_template(
            CHATS[which]["messages"], tools=CHATS[which].get("tools"), return_dict=True,
            return_assistant_tokens_mask="generation" in name,
        )  # fmt: skip
    except Exception as error:
        assert "jinja2" in type(error).__module__
        with pytest.raises(TemplateError):
            chat(name, tokenizer).encode([CHATS[which]])
        return
    ours = chat(name, tokenizer).encode([CHATS[which]])
    assert ours.ids.tolist() == told["input_ids"] and ours.ends.tolist() == [len(told["input_ids"])]
    assert chat(name, tokenizer).count([CHATS[which]]).tolist() == ours.ends.tolist()
    if "generation" in name:
        assert ours.mask.tolist() == told["assistant_masks"]


def test_real_dialogues_have_the_ids_and_masks_of_transformers():
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed; ids are not compared with it"
    )
    file = CHECKOUT / "tests" / "data" / "sft_zh" / "sharegpt_glaive_zh.json.gz"
    chats = [
        json.loads(LayoutReader("sharegpt").read(row)[0][0].conversation)
        for row in json.loads(gzip.decompress(file.read_bytes()))
    ]
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(DEMO))
    theirs.chat_template = (DEMO.parent / "chatml.jinja").read_text()
    found = Chat(
        load_template(str(DEMO.parent / "chatml.jinja")), tokenizer=describe(open_tokenizer(str(DEMO)), None, None)
    ).encode(chats)
    options = {"return_dict": True, "return_assistant_tokens_mask": True}
    told = [theirs.apply_chat_template(each["messages"], tools=each.get("tools"), **options) for each in chats]
    assert found.ids.tolist() == [number for one in told for number in one["input_ids"]]
    assert found.mask.tolist() == [bit for one in told for bit in one["assistant_masks"]]
    assert len(chats) == 99 and 0.1 < found.mask.mean() < 0.9


def test_the_mask_holds_the_replies_and_nothing_else(tokenizer):
    made = chat("chatml", tokenizer)
    several = [CHATS["Chinese"], CHATS["prompt only"], CHATS["many turns"]]
    found = made.encode(several)
    decode = tokenizers.Tokenizer.from_file(tokenizer).decode
    for chat_, start, end in zip(several, [0, *found.ends], found.ends):
        ids, mask = found.ids[start:end], found.mask[start:end].astype(bool)
        text, spans = reply_spans(made.template, chat_)
        assert decode(ids[mask], skip_special_tokens=False) == "".join(text[a:b] for a, b in spans)
        assert decode(ids, skip_special_tokens=False) == text
    last = chat("chatml", tokenizer, last=True).encode(several[2:])
    assert decode(last.ids[last.mask.astype(bool)], skip_special_tokens=False) == 'Yes: "x"<|im_end|>\n'


class PanicException(BaseException):
    """As Rust's panics reach Python."""


def test_texts_go_to_the_library_some_at_a_time_and_a_panic_is_an_error(tokenizer, monkeypatch):
    made, several = chat("chatml", tokenizer), list(CHATS.values()) * 3
    whole, counts = made.encode(several), made.count(several)
    library, sizes = made._library(), []

    class Watched:
        def encode_batch(self, texts, **options):
            sizes.append(sum(map(len, texts)) if len(texts) > 1 else 0)
            return library.encode_batch(texts, **options)

        encode_batch_fast = encode_batch

    monkeypatch.setattr("filters.tokenizer_files.BATCH_CHARS", 400)
    monkeypatch.setattr(Chat, "_library", lambda self: Watched())
    again = made.encode(several)
    assert all(
        np.array_equal(a, b) for a, b in zip((again.ids, again.mask, again.ends), (whole.ids, whole.mask, whole.ends))
    )
    assert made.count(several).tolist() == counts.tolist() and len(sizes) > 6 and max(sizes) <= 400

    def panic(*_, **__):
        raise PanicException("index out of bounds")

    monkeypatch.setattr(Watched, "encode_batch", panic)
    monkeypatch.setattr(Watched, "encode_batch_fast", panic)
    for work in (made.encode, made.count):
        with pytest.raises(ValueError, match="the tokenizer gave up on a text: index out of bounds"):
            work(several[:1])


def test_half_a_character_in_the_arguments_of_a_call_is_refused(tokenizer):
    broken = {"messages": [*turns("a"), call("f", '{"x": "\\ud800"}')]}
    with pytest.raises(TemplateError, match="can't encode character"):
        chat("chatml", tokenizer).count([broken])


said = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufdd0\ufdd1\ufdd2"), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(st.lists(said, min_size=2, max_size=6), st.booleans())
def test_replies_by_prefix_and_by_generation_block_are_the_same(texts, with_system):
    """Two ways to the same spans: what is added, and what the template says."""
    conversation = {"messages": turns(*texts, system="s" if with_system else None)}
    says = template("chatml_generation")
    source = says.templates["default"]
    for tag in ("generation", "endgeneration"):
        source = source.replace("{% " + tag + " %}", "{% if true %}" if tag == "generation" else "{% endif %}")
    assert reply_spans(ChatTemplate({"default": source}), conversation) == reply_spans(says, conversation)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4))),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6))),
)
def test_a_token_is_trained_if_any_of_its_characters_is(tokens, spans):
    offsets = np.array([(start, start + size) for start, size in tokens], np.int64).reshape(-1, 2)
    ranges = [(start, start + size) for start, size in spans]
    inside = {at for start, end in ranges for at in range(start, end)}
    for (start, end), bit in zip(offsets.tolist(), mask_of(offsets, ranges).tolist()):
        if start < end:
            assert bit == bool(inside & set(range(start, end)))


def test_a_chat_travels_as_json_and_other_tokenizers_are_refused(tokenizer, tmp_path):
    options = {"template": template("gemma").described(), "train_on": "last_reply", "masks": True}
    described = json.loads(json.dumps(options))
    assert chat_of(described, None) == Chat(template("gemma"), last=True, masks=True)
    check_tokenizer(describe(open_tokenizer(tokenizer), None, None))
    with pytest.raises(
        ValueError, match=r"tokens\.model is a sentencepiece file; with chat: give the model's tokenizer\.json"
    ):
        check_tokenizer({"path": "tokens.model", "kind": "sentencepiece"})
    with pytest.raises(ValueError, match="need a tokenizer: tokens:"):
        Chat(template("gemma")).count([CHATS["one turn"]])
