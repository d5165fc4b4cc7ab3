"""docs/formats.md, the recipe and the readers know the same formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from pipeline.readers import FILES, FORMATS, STREAMS, reader
from pipeline.recipes.recipe import Format

PAGE = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()


def test_every_format_has_a_row_a_reader_and_a_key() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(FORMATS) - {"sql"}
    assert set(get_args(Format)) == set(FORMATS) - {"sql"} == STREAMS.keys() | FILES.keys()
    assert all(callable(reader(name)) for name in (*STREAMS.values(), *FILES.values(), "sql.read"))


def test_every_ending_is_named() -> None:
    assert [ending for endings in FORMATS.values() for ending in endings if ending not in PAGE] == [
        ".warc.wet",  # ".wet" says it
        ".tbz2",
        ".txz",
    ]
