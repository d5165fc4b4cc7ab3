"""Which characters of a rendered conversation are the assistant's, to be trained on.

    reply_spans(template, chat)   ->   ("<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n", [(52, 68)])

Where the template has `{% generation %}` blocks, they say it. Otherwise each reply is what it adds: the conversation up
to the reply (with the header that asks for one) and the conversation with the reply are both rendered, and must be the
beginning of the whole; the mark that ends the turn is the reply's, the header is not. Templates that look ahead (a
system message in the last user turn, thoughts left out of earlier replies) break that: there the whole is rendered
again with other words in the reply's place, and the reply is what changes, with the text that ends the turn.
"""

from __future__ import annotations

from typing import Any

from filters.chat.template import ChatTemplate, TemplateError, messages_of

OTHER = "\ufdd2reply\ufdd2"
"""Words that stand in for a reply: noncharacters of Unicode, so no text has them."""

Span = tuple[int, int]


def reply_spans(template: ChatTemplate, conversation: dict[str, Any], last: bool = False) -> tuple[str, list[Span]]:
    """The rendered text and its replies' (start, end) in characters, rising. `last`: only the last reply.

    Errors: TemplateError where the template does not take the conversation, or a reply cannot be told apart.
    """
    found = template.generated(conversation)
    if found is None:
        text = template.render(conversation)
        messages = messages_of(conversation)
        spoken = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        chats = {**conversation, "chosen": None}
        spans = [
            _added(template, chats, messages, number, text) or _changed(template, chats, messages, number, text)
            for number in (spoken[-1:] if last else spoken)
        ]
        found = text, spans
    text, spans = found
    return text, spans[-1:] if last else spans


def _added(template: ChatTemplate, chat: dict[str, Any], messages: list[Any], number: int, text: str) -> Span | None:
    """What message `number` adds to the text; None where its renderings are no beginnings of it."""
    before = _beginning(template, chat, messages[:number], True)
    if before is None or not text.startswith(before):
        return None
    if number + 1 == len(messages):
        return len(before), len(text)
    upto = _beginning(template, chat, messages[: number + 1], False)
    if upto is None or not text.startswith(upto) or len(upto) < len(before):
        return None
    return len(before), len(upto)


def _changed(template: ChatTemplate, chat: dict[str, Any], messages: list[Any], number: int, text: str) -> Span:
    """What changes in the text with the words of message `number`, and what ends its turn."""
    stand_in = {"role": "assistant", "content": OTHER}
    changed = _beginning(template, chat, [*messages[:number], stand_in, *messages[number + 1 :]], False)
    if changed is None or OTHER not in changed or OTHER in text:
        raise TemplateError(
            f"which text of the chat template is message {number + 1} cannot be told; "
            "put {% generation %} and {% endgeneration %} around what the assistant says in the template"
        )
    start = _shared(text, changed)
    tail = _shared(text[start:][::-1], changed[start:][::-1])
    end = len(text) - tail
    before = _beginning(template, chat, messages[:number], True)
    if before is not None and len(before) <= start and text.startswith(before):
        start = len(before)
    closed = _beginning(template, chat, [*messages[:number], stand_in], False) or OTHER
    closing = closed[closed.rindex(OTHER) + len(OTHER) :] if OTHER in closed else ""
    return start, end + len(closing) if text.startswith(closing, end) else end


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _beginning(template: ChatTemplate, chat: dict[str, Any], messages: list[Any], prompt: bool) -> str | None:
    """Some messages rendered; None where the template does not take them."""
    try:
        return template.render({**chat, "messages": messages}, prompt)
    except TemplateError:
        return None
