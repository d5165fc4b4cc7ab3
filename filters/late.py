"""Patterns that are compiled when they are first used: those of steps that a recipe does not have would take 25 ms of each start."""

from __future__ import annotations

import re
from typing import Any, cast


class _Late:
    """Stands for a pattern until one of its methods is asked for, then hands on all of them."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._asked = pattern, flags

    def __getattr__(self, name: str) -> Any:
        compiled = re.compile(*self._asked)
        found = getattr(compiled, name)
        setattr(self, name, found)  # not looked for again
        return found


def late(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`; an error in the pattern comes with its first use."""
    return cast("re.Pattern[str]", _Late(pattern, flags))
