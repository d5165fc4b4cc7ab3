"""Chat templates: character for character what transformers renders, and letters for what cannot be rendered."""

from __future__ import annotations

import ast
import importlib.util
import json
import warnings
from pathlib import Path

import pytest
from chats import CHATS, DATE, SPECIAL, TEMPLATES, turns

from filters.chat.template import ChatTemplate, TemplateError, load_template

NAMES = sorted(file.stem for file in TEMPLATES.glob("*.jinja"))


def template(name: str, **more) -> ChatTemplate:
    return load_template(str(TEMPLATES / f"{name}.jinja"), date=DATE, special=SPECIAL, **more)


@pytest.fixture(scope="module")
def theirs():
    """transformers' rendering: (source, chat, prompt) -> text, or the message of the error."""
    if importlib.util.find_spec("transformers") is None:
        warnings.warn(
            "transformers is not installed: chat templates are not compared with it (pip install transformers)",
            stacklevel=1,
        )
        pytest.skip("transformers is not installed; chat templates are not compared with it")
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template

    def render(source, chat, prompt=False, **variables):
        messages = [*chat["messages"], *chat.get("chosen", [])]
        try:
            return render_jinja_template(
                [messages], tools=chat.get("tools"), chat_template=source, add_generation_prompt=prompt, **variables
            )[0][0]
        except jinja2.TemplateError as error:
            return f"refused: {error}"

    return render


def ours(made: ChatTemplate, chat, prompt=False) -> str:
    try:
        return made.render(chat, prompt)
    except TemplateError as error:
        return str(error).replace("the chat template does not take this conversation", "refused")


@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", NAMES)
def test_as_transformers_renders(name, chat, prompt, theirs):
    source = (TEMPLATES / f"{name}.jinja").read_text()
    source = source.replace("strftime_now('%d %b %Y')", "'26 Jul 2024'")  # theirs tells today
    assert ours(template(name), CHATS[chat], prompt) == theirs(source, CHATS[chat], prompt, **SPECIAL)


def shipped_template() -> str:
    """A template of a published model, as it stands in the installed transformers: Llama 4's, with tools and dates."""
    spec = importlib.util.find_spec("transformers")
    file = Path(spec.submodule_search_locations[0]) / "models" / "llama4" / "processing_llama4.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    (found,) = (
        node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "chat_template"
    )
    return found


@pytest.mark.parametrize("chat", CHATS)
def test_a_published_template(chat, theirs, tmp_path):
    config = {
        "chat_template": shipped_template(),
        "bos_token": {"content": "<|begin_of_text|>"},
        "eos_token": "<|eot|>",
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    made = load_template(str(tmp_path), date=DATE, variables={"date_string": "26 Jul 2024"})
    assert made.special == {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot|>"}
    told = theirs(config["chat_template"], CHATS[chat], date_string="26 Jul 2024", **made.special)
    assert ours(made, CHATS[chat]) == told and CHATS[chat]["messages"][-1]["content"][:3].strip() in told


def test_generation_blocks_are_found_where_transformers_finds_them(theirs):
    from transformers.utils.chat_template_utils import render_jinja_template

    made = template("chatml_generation")
    for chat in CHATS.values():
        text, spans = made.generated(chat)
        (told,), (indices,) = render_jinja_template(
            [chat["messages"]], chat_template=made.templates["default"], return_assistant_tokens_mask=True
        )
        assert (text, spans) == (told, indices)
    assert template("chatml").generated(CHATS["one turn"]) is None


def test_what_an_assistant_generates():
    text, spans = template("chatml_generation").generated(CHATS["many turns"])
    assert [text[start:end] for start, end in spans] == [
        "  Hello! <|im_end|>\n",
        "Bye 😀<|im_end|>\n",
        'Yes: "x"<|im_end|>\n',
    ]


def test_arguments_given_as_text_are_objects():
    chat = json.loads(json.dumps(CHATS["tools"]))
    function = chat["messages"][2]["tool_calls"][0]["function"]
    function["arguments"] = json.dumps(function["arguments"], ensure_ascii=True)
    assert template("chatml").render(chat) == template("chatml").render(CHATS["tools"])
    function["arguments"] = "{broken"
    assert '"{broken"' in template("chatml").render(chat)


def test_a_preference_pair_is_rendered_with_the_chosen_reply():
    (asked,), (answer,) = turns("Hi"), turns("Hi", "Hello")[1:]
    pair = {"messages": [asked], "chosen": [answer], "rejected": [{"role": "assistant", "content": "Go away"}]}
    assert template("gemma").render(pair) == template("gemma").render({"messages": [asked, answer]})


def test_the_date_is_the_recipes():
    undated = ChatTemplate(template("llama3").templates, SPECIAL)
    with pytest.raises(TemplateError, match=r"chat: \{date: 2025-01-31\}"):
        undated.render(CHATS["one turn"])
    assert "Today Date: 26 Jul 2024\n" in template("llama3").render(CHATS["one turn"])


def test_variables_reach_the_template():
    thinking = template("thinking").render(CHATS["prompt only"], prompt=True)
    silent = template("thinking", variables={"enable_thinking": False}).render(CHATS["prompt only"], prompt=True)
    assert silent == thinking + "<think>\n\n</think>\n\n"


def test_files_are_found_as_transformers_finds_them(tmp_path):
    config = tmp_path / "tokenizer_config.json"
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "with tools"}]
    config.write_text(json.dumps({"chat_template": named, "eos_token": "</s>", "pad_token": None}))
    for path in (tmp_path, config):
        made = load_template(str(path))
        assert made.special == {"eos_token": "</s>"}
        assert (made.render(CHATS["one turn"]), made.render(CHATS["tools"])) == ("plain", "with tools")
    assert load_template(str(config), name="default").render(CHATS["tools"]) == "plain"
    assert ChatTemplate(**json.loads(json.dumps(made.described()))) == made
    (tmp_path / "chat_template.jinja").write_text("beside {{ eos_token }}")
    assert load_template(str(config)).render(CHATS["tools"]) == "beside </s>"
    (tmp_path / "other.jinja").write_text("other {{ eos_token }}\n")
    assert load_template(str(tmp_path / "other.jinja")).render(CHATS["tools"]) == "other </s>"


WRONG = {
    "no file": (None, {}, "there is no chat template at"),
    "a base model": ("{}", {}, "has no chat_template"),
    "no JSON": ("{", {}, "is no JSON"),
    "no Jinja": ('{"chat_template": "a\\n{% if %}"}', {}, "template 'default': line 2 of the chat template"),
    "a name": ('{"chat_template": "a"}', {"name": "defaultt"}, "no template 'defaultt', did you mean 'default'"),
    "a date": ('{"chat_template": "a"}', {"date": "26 Jul"}, "date is '26 Jul'; expected one such as"),
    "a token": ('{"chat_template": "a"}', {"special": {"bos": "x"}}, "is called 'bos', did you mean 'bos_token'"),
    "no default": ('{"chat_template": {"rag": "a"}}', {}, "no default; say which"),
    "no texts": ('{"chat_template": [1]}', {}, "neither a text nor a list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_gets_a_letter(name, tmp_path):
    page, options, letter = WRONG[name]
    if page is not None:
        (tmp_path / "tokenizer_config.json").write_text(page)
    with pytest.raises((ValueError, FileNotFoundError), match=letter):
        load_template(str(tmp_path / "tokenizer_config.json"), **options)


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{% for i in range(999999999) %}x{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ messages + 1 }}",
        "{{ nobody.content }}",
    ],
)
def test_a_template_cannot_get_out(source):
    with pytest.raises(TemplateError):
        ChatTemplate({"default": source}).render(CHATS["one turn"])


def test_texts_with_our_marks_are_refused_and_not_misread():
    chat = {"messages": turns("Hi", "a\ufdd0b")}
    assert "a\ufdd0b" in template("chatml_generation").render(chat)
    with pytest.raises(TemplateError):
        template("chatml_generation").generated(chat)
