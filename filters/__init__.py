"""What can be measured and mended in one document: signals, edits, rules and row steps.

A user's own module needs no more than this:

    from filters import Texts, edit, ratio, signal

Importing this package is cheap: fastText, ftfy, datatrove and resiliparse are imported where they are used.
"""

import importlib

from filters.registry import EDITS, SIGNALS, Edit, Signal, edit, signal
from filters.texts import Texts, ratio

__all__ = ["EDITS", "SIGNALS", "Edit", "Signal", "Texts", "edit", "load_builtin", "ratio", "signal"]

# the modules that register signals and edits when they are imported
BUILTIN = (
    "filters.signals.plain",
    "filters.signals.gopher",
    "filters.signals.repetition",
    "filters.signals.c4",
    "filters.signals.fineweb",
    "filters.signals.chinese",
    "filters.signals.stop_words",
    "filters.signals.flagged",
    "filters.signals.robots",
    "filters.paragraphs",
    "filters.lines",
    "filters.refinedweb",
    "filters.unicode",
    "filters.pii",
    "filters.whitespace",
    "filters.citations",
    "filters.boilerplate",
    "filters.chinese",
    "filters.tokens",
    "filters.chat.phrases",
    "filters.chat.signals",
    "filters.chat.length",
)


def load_builtin() -> None:
    """Fill SIGNALS and EDITS with everything that comes with gristmill; a second call does nothing."""
    for module in BUILTIN:
        importlib.import_module(module)
