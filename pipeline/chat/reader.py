"""Which layout a file has, and its records as documents.

One `LayoutReader` stands beside the reader of a file (see `pipeline.readers.rows`). With `layout: auto` the first record that
is of any layout decides for the whole file, or part of a file; records that do not fit are quarantined with what was expected.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline.chat.canonical import Misfit, dumps, plain_text
from pipeline.chat.layouts import LAYOUTS, Layout, detect, known
from pipeline.chat.reading import Note, conversations
from pipeline.errors import InputError


class Read(NamedTuple):
    """One conversation of a record: its text, its canonical JSON, and the layout's note."""

    text: str
    conversation: str
    note: Note


class LayoutReader:
    """`given`: "auto", the name of a layout, or a mapping of a layout's fields to the columns that hold them."""

    def __init__(self, given: str | dict[str, str]):
        self._mapping = given if isinstance(given, dict) else {}
        self._auto = given == "auto"
        self.layout: Layout | None = None
        if self._mapping:
            self.layout = detect(self._mapping)
        elif not self._auto:
            self.layout = LAYOUTS[str(given)]

    @property
    def main(self) -> str:
        """A field that a record has and an envelope around records has not."""
        if self.layout is None:
            return "instruction"
        first = self.layout.marks[0][0]
        return self._mapping.get(first, first)

    def is_record(self, names: Iterable[str]) -> bool:
        """Have these names a layout's fields, so that what has them is a record and no envelope?"""
        if self._mapping:
            return all(column in names for column in self._mapping.values())
        return self.layout.marked(names) if self.layout else detect(names) is not None

    def check(self, names: Iterable[str], path: str) -> None:
        """`InputError` if a table with these columns cannot hold records of the layout."""
        names = list(names)
        if self.is_record(names):
            return
        wanted = f"the columns of {self.layout.name}" if self.layout else "the columns of any layout"
        raise InputError(
            f"{path}: it has not {wanted}{self._columns()}; it has {', '.join(names[:20])}. "
            f"Layouts: {known()}. Or name the columns: input: {{layout: {{prompt: COLUMN, completion: COLUMN}}}}."
        )

    def read(self, record: dict[str, Any]) -> tuple[list[Read], set[str]]:
        """The conversations of a record, and the columns that are in them. Errors: Misfit, a letter that names layout and
        field."""
        columns = self._mapping
        if columns:
            record = {field: record[column] for field, column in columns.items() if column in record}
        present = [name for name, value in record.items() if value is not None]
        if self.layout is None:
            self.layout = detect(present)
        layout = self.layout
        if layout is None:
            raise Misfit(
                f"NoLayout: the fields {', '.join(sorted(map(str, record))[:20]) or '(none)'} are of no layout; {known()}"
            )
        try:
            found, taken = conversations(layout, record)
            read = [Read(plain_text(each), dumps(each), note) for each, note in found]
        except Misfit as misfit:
            raise Misfit(f"Not{_camel(layout.name)}: {misfit}{self._columns()}{self._hint(layout, present)}") from None
        except (
            TypeError,
            ValueError,
            RecursionError,
        ) as error:  # bytes among the arguments of a call, 1000 lists in one another
            raise Misfit(f"Not{_camel(layout.name)}: the conversation cannot be written as JSON: {error}") from None
        return read, {columns.get(field, field) for field in taken}

    def _columns(self) -> str:
        if not self._mapping:
            return ""
        return f" (columns: {', '.join(f'{field} = {column}' for field, column in self._mapping.items())})"

    def _hint(self, layout: Layout, present: list[str]) -> str:
        other = detect(present)
        if other is None or other is layout:
            return ""
        how = "The first records of the file were" if self._auto else "The recipe says"
        return f". {how} {layout.name}; this one has the fields of {other.name}."


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
