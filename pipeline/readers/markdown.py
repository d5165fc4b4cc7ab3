"""Markdown files: one file is one document; its text stays as it is, its front matter becomes fields.

    ---
    title: A page                 ->  text="# Words\\n..."  metadata='{"file":"page.md","title":"A page"}'
    date: 2026-01-02                  date="2026-01-02"
    ---
    # Words

Front matter is YAML between lines of `---` or TOML between lines of `+++` (Hugo, Jekyll, Docusaurus). What cannot be
parsed as such is text: nothing is lost. Encodings as for plain text (`files`). Not covered: MDX imports, one document a
heading.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, BinaryIO

import yaml

from pipeline.readers import files
from pipeline.readers.rows import Batch, Rows

FRONT_LIMIT = 1 << 16  # characters; real front matter has a few hundred
FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)^\1[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


def read(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """The file's document, or one quarantined entry."""
    data = files.whole(stream, rows)
    if data is not None:
        text = files.decode(data)
        if text is None:
            rows.quarantine("UnicodeDecodeError: neither UTF-8 nor any encoding that could be detected", data, 0)
        else:
            front, body = split(text)
            own = {rows.columns.text, rows.columns.html, "file"} - {None}
            fields = front if not own & front.keys() else {"front_matter": front}
            rows.add({**fields, "file": rows.file, rows.columns.text: body}, 0, data)
    yield from rows.ready()


def split(text: str) -> tuple[dict[str, Any], str]:
    """(front matter, the rest). Without front matter, or with one that is none: ({}, text)."""
    found = FRONT.match(text[:FRONT_LIMIT])
    if not found:
        return {}, text
    try:
        front = tomllib.loads(found[2].replace("\r\n", "\n")) if found[1] == "+++" else yaml.load(found[2], _Plain)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, text
    if not isinstance(front, dict):
        return {}, text
    return {str(key): value for key, value in front.items()}, text[found.end() :].lstrip("\r\n")


class _Plain(yaml.SafeLoader):
    """YAML without references: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references are not followed")
        return super().compose_node(parent, index)
