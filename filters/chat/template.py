"""Chat templates: a conversation as the text a model is trained on, character for character as transformers renders it.

    template = load_template("tokenizer_config.json")          # or its folder, chat_template.json, a .jinja file
    template.render({"messages": [{"role": "user", "content": "你好"}]})   ->   "<|im_start|>user\\n你好<|im_end|>\\n"

A template is a Jinja program that travels with a model. It runs in Jinja's immutable sandbox with what transformers
gives it: blocks trimmed, `{% break %}`, `{% generation %}`, `tojson` that keeps Chinese as it is, `raise_exception`, the
tokenizer's special tokens by name. `strftime_now` has the date that the recipe gives, or refuses: a corpus must not
depend on the day. Equality with transformers is tested in tests/test_chat_template.py. Not covered: images, documents
for retrieval, tools given as Python functions.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filters.registry import nearest

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Names by which a template knows special tokens (transformers 5: `special_tokens_map`)."""

CONFIG, JINJA, NAMED = "tokenizer_config.json", "chat_template.jinja", "additional_chat_templates"
BEGIN, END = "\ufdd0", "\ufdd1"
"""Around `{% generation %}` while spans are looked for: noncharacters of Unicode, which no text should hold."""

_BLOCK = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")

REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names of a message's reasoning; transformers 5 gives templates the first two, whichever name the message has."""


class TemplateError(ValueError):
    """The template does not take a conversation, or is none."""


@dataclass(frozen=True)
class ChatTemplate:
    """Templates of one model by name, with all that they are rendered with; plain data, so it travels with a job.

    `name`: always this one; None: `tool_use` where a conversation has tools and there is one, else `default`. `date`: what
    `strftime_now` tells, as ISO 8601. `variables`: more names for the template, such as enable_thinking.
    """

    templates: dict[str, str]
    special: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    date: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)

    def render(self, conversation: dict[str, Any], prompt: bool = False) -> str:
        """The rendered text. `prompt`: with what stands before a reply. Errors: TemplateError."""
        return self._render(conversation, prompt, False)

    def generated(self, conversation: dict[str, Any]) -> tuple[str, list[tuple[int, int]]] | None:
        """The rendered text and where `{% generation %}` put text (start, end; characters); None if the template has no such
        block. Errors: TemplateError."""
        if not _BLOCK.search(self._source(conversation)):
            return None
        text, spans = _unmarked(self._render(conversation, False, True))
        if text != self._render(conversation, False, False):
            raise TemplateError("the chat template changes what stands in {% generation %}, so its place is not known")
        return text, spans

    def described(self) -> dict[str, Any]:
        """As JSON; `ChatTemplate(**described)` is the same."""
        return {
            "templates": self.templates, "special": self.special, "name": self.name, "date": self.date,
            "variables": self.variables,
        }  # fmt: skip

    def _source(self, conversation: dict[str, Any]) -> str:
        name = self.name or ("tool_use" if conversation.get("tools") and "tool_use" in self.templates else "default")
        return self.templates[name]

    def _render(self, conversation: dict[str, Any], prompt: bool, mark: bool) -> str:
        import jinja2

        try:
            text: str = compiled(self._source(conversation), self.date, mark).render(
                messages=[_message(one) for one in messages_of(conversation)],
                tools=conversation.get("tools") or None,
                documents=None,
                add_generation_prompt=prompt,
                **{**self.special, **self.variables},
            )
            if not text.isascii():
                text.encode()  # arguments of a call can hold half a character ("\\ud800"), which is no text
            return text
        except (
            jinja2.TemplateError,
            TypeError,
            AttributeError,
            LookupError,
            ArithmeticError,
            RecursionError,
            ValueError,
        ) as error:
            raise TemplateError(f"the chat template does not take this conversation: {error}") from None


def messages_of(conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that are rendered and judged: of a preference pair the shared ones and the chosen."""
    return [*conversation["messages"], *(conversation.get("chosen") or [])]


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """As templates want it: no null fields, arguments of tool calls as objects, reasoning by the names in use."""
    found = {key: value for key, value in message.items() if value is not None}
    if found.get("tool_calls"):
        found["tool_calls"] = [_call(call) for call in found["tool_calls"]]
    reasoning = next((found[key] for key in REASONING if key in found), None)
    return found if reasoning is None else {"thinking": reasoning, **found, "reasoning_content": reasoning}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(arguments, str):
        return call
    try:
        parsed = json.loads(arguments)
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": parsed}} if isinstance(parsed, dict) else call


def _unmarked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for number, piece in enumerate(marked.split(BEGIN)):
        inside, found, after = piece.partition(END)
        if (number and (not found or END in after)) or (not number and found):
            raise TemplateError("the {% generation %} blocks of the chat template stand in one another")
        if number:
            spans.append((at, at + len(inside)))
        pieces += [inside, after]
        at += len(inside) + len(after)
    return "".join(pieces), [span for span in spans if span[0] < span[1]]


# -- Jinja -----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def compiled(source: str, date: str | None, mark: bool) -> Any:
    """The Jinja template. `mark`: BEGIN and END around `{% generation %}`. Errors: TemplateError with the line; ImportError."""
    import jinja2

    try:
        return _environment(date, mark).from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno} of the chat template: {error.message}") from None


def _environment(date: str | None, mark: bool) -> Any:
    try:
        import jinja2.ext
        import jinja2.sandbox
    except ImportError:
        raise ImportError("chat templates are Jinja: pip install 'gristmill[chat]'") from None

    class Generation(jinja2.ext.Extension):
        """`{% generation %}...{% endgeneration %}`: what the assistant says. A scope of its own, as in transformers."""

        tags = {"generation"}  # noqa: RUF012 (jinja2 wants it like that)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            inside = jinja2.nodes.Scope(body).set_lineno(line)
            return [_plain(BEGIN), inside, _plain(END)] if mark else inside

    def _plain(text: str) -> Any:
        return jinja2.nodes.Output([jinja2.nodes.TemplateData(text)])

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def now(form: str) -> str:
        if date is None:
            raise jinja2.TemplateError(
                "it asks for the date of today, and a corpus must not depend on it; give one: chat: {date: 2025-01-31}"
            )
        return datetime.datetime.fromisoformat(date).strftime(form)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _tojson
    made.globals |= {"raise_exception": refuse, "strftime_now": now}
    return made


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Jinja's own escapes HTML, which no model was trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


# -- files -----------------------------------------------------------------------------------------


def load_template(
    path: str,
    name: str | None = None,
    date: str | None = None,
    variables: dict[str, Any] | None = None,
    special: dict[str, str] | None = None,
) -> ChatTemplate:
    """The template(s) in a tokenizer_config.json, a folder with one, a chat_template.json or a .jinja file.

    A chat_template.jinja beside a tokenizer_config.json goes before the one inside it, and special tokens come from the
    config beside a .jinja file, as in transformers; `special` overrides them. Errors: FileNotFoundError; ValueError for a
    file without a template, one that is no Jinja, or a name it does not have.
    """
    file = Path(path)
    folder, config = (file, file / CONFIG) if file.is_dir() else (file.parent, file.parent / CONFIG)
    if not file.exists():
        raise FileNotFoundError(f"there is no chat template at {path}; expected a {CONFIG} or a .jinja file")
    about = _object(config) if config.is_file() else {}
    if file.suffix == ".jinja":
        templates = {"default": _text(file)}
    elif file.is_dir() or file.name == CONFIG:
        templates = _beside(folder) or _templates(about, path)
    else:
        about = _object(file)
        templates = _templates(about, path)
    if not templates:
        raise ValueError(f"{path} has no chat_template, and no {JINJA} lies beside it: a base model has none")
    known = {key: _token(about[key]) for key in SPECIAL if about.get(key) is not None} | (special or {})
    _check(path, templates, name, known, date)
    return ChatTemplate(templates, known, name, date, variables or {})


def _check(path: str, templates: dict[str, str], name: str | None, special: dict[str, str], date: str | None) -> None:
    if name not in (None, *templates):
        raise ValueError(f"{path} has no template {name!r}{nearest(str(name), templates)} ({', '.join(templates)})")
    if name is None and "default" not in templates:
        raise ValueError(f"{path} has templates {', '.join(templates)} and no default; say which: chat: {{name: ...}}")
    for key in special:
        if key not in SPECIAL:
            raise ValueError(f"no special token is called {key!r}{nearest(key, SPECIAL)} ({', '.join(SPECIAL)})")
    if date is not None:
        try:
            datetime.datetime.fromisoformat(date)
        except ValueError:
            raise ValueError(f"date is {date!r}; expected one such as 2025-01-31") from None
    for each, source in templates.items():
        try:
            compiled(source, date, False)
        except TemplateError as error:
            raise ValueError(f"{path}, template {each!r}: {error}") from None


def _templates(about: dict[str, Any], path: str) -> dict[str, str]:
    given = about.get("chat_template")
    if given is None or isinstance(given, str):
        return {} if given is None else {"default": given}
    try:
        return dict(given) if isinstance(given, dict) else {one["name"]: one["template"] for one in given}
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"{path}: chat_template is neither a text nor a list of name and template") from None


def _beside(folder: Path) -> dict[str, str]:
    found = {file.stem: _text(file) for file in sorted((folder / NAMED).glob("*.jinja"))}
    return found | ({"default": _text(folder / JINJA)} if (folder / JINJA).is_file() else {})


def _token(given: Any) -> str:
    """A token as a config has it: a text, or an object with its content."""
    return given["content"] if isinstance(given, dict) else str(given)


def _object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(file))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is JSON, but no object: expected the keys of a {CONFIG}")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8: byte {error.start}") from None
