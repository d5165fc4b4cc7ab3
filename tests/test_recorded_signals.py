"""A recorded signal is measured for every kept row, however the batches fall."""

import json

import pytest
from corpus import kept

from pipeline.engines.local import LocalEngine
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.run import run

RECIPE = """
input: {{paths: {path}, lang: lang}}
steps:
  - keep: {{word_count: {{min: 1}}}}
    where: {{lang: en}}
output: {{path: {out}, format: jsonl, signals: [word_count]}}
run: {{engine: local, batch_size: {size}}}
"""


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_rows_that_no_rule_looked_at(tmp_path, size):
    langs = ["en", "de", "de", "en", "de"]
    rows = [{"id": str(i), "lang": lang, "text": "word " * (i + 1)} for i, lang in enumerate(langs)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path / "r.yaml"
    page.write_text(RECIPE.format(path=tmp_path / "in.jsonl", out=tmp_path / "out", size=size))
    job, settings = prepare(str(page))
    run(job, settings.run, LocalEngine(), Silent())
    assert {row["id"]: row["signals"]["word_count"] for row in kept(tmp_path / "out")} == {
        str(i): i + 1.0 for i in range(5)
    }
