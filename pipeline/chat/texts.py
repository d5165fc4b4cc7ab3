"""JSON that stands inside a text field: its value, and its spelling where that is not the usual one.

'{"name": "f", "arguments": {"a": 1}}'   value {...}, spelling None: json.dumps(value, ensure_ascii=False) gives it back
'{"name":"f","arguments":{"a":1}}'       spelling "compact"
'{"a": 1.50}'                            spelling is the text itself
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.chat.canonical import Misfit

SPELLINGS: dict[str, dict[str, Any]] = {
    "compact": {"ensure_ascii": False, "separators": (",", ":")},
    "ascii": {},
    "ascii compact": {"separators": (",", ":")},
    "indent 2": {"ensure_ascii": False, "indent": 2},
    "indent 4": {"ensure_ascii": False, "indent": 4},
}


def written(value: Any) -> str:
    """The value as JSON in the usual spelling."""
    return json.dumps(value, ensure_ascii=False)


def parsed(text: str, place: str) -> tuple[Any, str | None]:
    """(value, spelling). Errors: Misfit if the text is no JSON."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
        usual = written(value)
        usual.encode()  # "\\ud800" is half a character, which no column can hold
    except (ValueError, RecursionError) as error:
        raise Misfit(f"field {place!r} is a text that should be JSON: {error}") from None
    if usual == text:
        return value, None
    for name, options in SPELLINGS.items():
        if json.dumps(value, **options) == text:
            return value, name
    return value, text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def spelled(value: Any, spelling: str | None) -> str:
    """The value as JSON in one of the known spellings, the usual one where `spelling` is None or a text of its own."""
    return json.dumps(value, **SPELLINGS[spelling]) if spelling in SPELLINGS else written(value)
