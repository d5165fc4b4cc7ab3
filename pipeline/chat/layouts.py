"""The layouts: what each is called, by which fields a record of it is known, which fields it takes.

A record is of the first layout in this table all of whose `marks` it has. What a record has beyond the fields of its layout
goes to `metadata`. Adding a layout that is one of these under other names needs no code: a recipe maps its fields,

    input: {paths: x.jsonl, layout: {prompt: query, completion: response}}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from filters.registry import nearest

PROMPTS = ("prompt", "messages", "conversations", "instruction")
"""Fields that can hold what a preference pair or a KTO record answers; the first that a record has counts."""


@dataclass(frozen=True)
class Layout:
    """marks: alternatives; a record that has all fields of one is of this layout. fields: all that it takes."""

    name: str
    marks: tuple[tuple[str, ...], ...]
    fields: tuple[str, ...]

    def marked(self, names: Iterable[str]) -> bool:
        """Does a record with these fields look like one of this layout?"""
        found = set(names)
        return any(found.issuperset(each) for each in self.marks)


_ALPACA = ("instruction", "input", "system", "history")
_ANY = (*PROMPTS, "input", "system", "history", "tools")

LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("conversation", (("conversation",),), ("conversation", "text")),
        Layout("preference", (("chosen", "rejected"),), (*_ANY, "chosen", "rejected")),
        Layout(
            "kto",
            (
                ("label", "prompt", "completion"),
                ("label", "messages"),
                ("label", "conversations"),
                ("label", "instruction", "output"),
            ),
            (*_ANY, "completion", "output", "label"),
        ),
        Layout("messages", (("messages",),), ("messages", "tools", "system")),
        Layout("sharegpt", (("conversations",),), ("conversations", "tools", "system")),
        Layout("self_instruct", (("instruction", "instances"),), ("instruction", "instances")),
        Layout("alpaca", (("instruction", "output"),), (*_ALPACA, "output")),
        Layout("prompt_completion", (("prompt", "completion"),), ("prompt", "completion", "system", "tools")),
        Layout("question_answer", (("question", "answer"),), ("question", "answer")),
    )
}
MAPPABLE = tuple(dict.fromkeys(field for layout in LAYOUTS.values() for field in layout.fields))
"""The fields that a mapping in a recipe can name."""


def detect(names: Iterable[str]) -> Layout | None:
    """The layout of a record that has these fields, None if it is of none."""
    found = set(names)
    return next((layout for layout in LAYOUTS.values() if layout.marked(found)), None)


def known() -> str:
    """The layouts with their marks, for letters to the user."""
    return "; ".join(f"{layout.name}: {' or '.join('+'.join(m) for m in layout.marks)}" for layout in LAYOUTS.values())


def check_layout(value: str | dict[str, str] | None) -> str | dict[str, str] | None:
    """`input.layout` of a recipe, as it is. Errors: ValueError, a letter."""
    if isinstance(value, str) and value != "auto" and value not in LAYOUTS:
        names = ["auto", *LAYOUTS]
        raise ValueError(f"no layout is called '{value}'{nearest(value, names)} (known: {', '.join(names)})")
    if isinstance(value, dict):
        for field in value:
            if field not in MAPPABLE:
                raise ValueError(
                    f"no layout has a field '{field}'{nearest(field, MAPPABLE)} (fields: {', '.join(MAPPABLE)})"
                )
        if detect(value) is None:
            raise ValueError(
                f"the fields {', '.join(value) or '(none)'} together are no layout. Each has these at least: {known()}"
            )
    return value
