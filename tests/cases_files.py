"""Reading tests/cases/*.jsonl: one case a line; a text is a string or a list of [piece, times]."""

import json
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent / "cases"


def cases(name: str, text: bool = True) -> list[dict[str, Any]]:
    """The cases of tests/cases/NAME.jsonl, texts put together if they have one."""
    with open(CASES / f"{name}.jsonl", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    for case in found if text else ():
        if isinstance(case["text"], list):
            case["text"] = "".join(piece * times for piece, times in case["text"])
    return found
