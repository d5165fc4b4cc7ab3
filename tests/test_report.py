"""report.html: every number of the manifest for the eyes, nothing of a document's text as markup, nothing fetched."""

from __future__ import annotations

import json
import shutil

import pytest
from corpus import gristmill, manifest, sums
from lxml import html

from pipeline.engines.local import LocalEngine
from pipeline.errors import InputError
from pipeline.job import prepare
from pipeline.output.report import EXAMPLES, LEDGER_FILES, examples, report
from pipeline.progress import Silent
from pipeline.run import run

EVIL = "<script>alert('1')</script><img src=x onerror=alert(2)> & \"so on\""


def shown(output):
    """The page, parsed; it was well-formed to begin with."""
    text = (output / "report.html").read_text()
    tree = html.document_fromstring(text)
    # nothing that runs or that a browser would fetch
    assert not tree.xpath("//script | //link | //img | //iframe | //@src | //@href") and "url(" not in text
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    return tree


def rows(tree, title):
    """The cells of the tables below a heading."""
    tables = tree.xpath(f"//h2[.='{title}']/following-sibling::table[preceding-sibling::h2[1]='{title}']")
    return [[cell.text_content().strip() for cell in row] for table in tables for row in table.xpath(".//tr")]


def test_the_demo(demo):
    told, tree = manifest(demo), shown(demo)
    (tiles,) = tree.find_class("tiles")
    assert [tile.text for tile in tiles.xpath(".//b")] == [f"{told['account'][name]:,}" for name in ("read", "kept", "rejected", "quarantined")]  # fmt: skip
    funnel = tree.xpath("//h2[.='What went, and why']/following-sibling::table[1]//tr[td]")
    found = {(row[0].text, row.xpath("string(.//summary)")): int(row[2].text.replace(",", "")) for row in funnel}
    assert found == {(step, why): n for step, reasons in told["rejected"].items() for why, n in reasons.items()}
    for row in funnel:
        assert len(row.xpath(".//blockquote")) == min(int(row[2].text.replace(",", "")), EXAMPLES)
    assert [row[:2] for row in rows(tree, "Splits")[1:]] == [[name, str(n)] for name, n in told["splits"].items()]
    assert {row[0]: int(row[2]) for row in rows(tree, "Sources")[1:]} == {
        name: source["removed"] for name, source in told["dedup"]["sources"].items()
    }
    (example,) = examples(str(demo), told)[("07.keep.c4", "curly_bracket.max")][:1]
    assert example["id"] in tree.text_content()


def test_written_again_it_is_the_same(demo, tmp_path):
    shutil.copytree(demo, tmp_path / "out")
    before = sums(tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    done = gristmill("report", str(tmp_path / "out"))
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / "out" / "report.html")
    assert sums(tmp_path / "out") == before
    none = gristmill("report", str(tmp_path))
    assert none.returncode == 2 and "no finished corpus" in none.stderr and "Traceback" not in none.stderr
    with pytest.raises(InputError):
        report(str(tmp_path))


RECIPE = """
input: {{paths: {folder}/in}}
labels: {{values: ['a|b', '{label}']}}
{mix}
steps:
  - keep: {{word_count: {{max: 3}}}}
  - dedup: {{exact: {{}}}}
output: {{path: {folder}/out, format: jsonl, rejected_text: true, split: {{train: 0.5, test: 0.5}}}}
run: {{engine: local, max_quarantined: 1, max_source_loss: 1}}
"""


def test_what_documents_say_is_text(tmp_path, monkeypatch):
    """Ids, texts, labels, sources, errors with markup in them; a label with the mark between cells of a table."""
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    (tmp_path / "in").mkdir()
    label = "<b>x</b>"
    for shard in range(LEDGER_FILES + 2):
        lines = []
        for n in range(40):
            text = f"{EVIL} " * (n % 2) + f"word{shard}.{n} here"
            record = {"id": f"{EVIL}{shard}.{n}", "text": text, "source": EVIL, "label": ["a|b", label][n % 3 == 0]}
            lines.append(json.dumps(record))
        (tmp_path / "in" / f"{shard}.jsonl").write_text("\n".join([*lines, f'{{"text": {EVIL}', ""]))
    mix = "mix: {by: label, epochs: {'a|b': 2}, unit: documents}"
    (tmp_path / "r.yaml").write_text(RECIPE.format(folder=tmp_path, label=label, mix=mix))
    job, settings = prepare(str(tmp_path / "r.yaml"))
    run(job, settings.run, LocalEngine(), Silent())
    told, tree = manifest(tmp_path / "out"), shown(tmp_path / "out")
    assert told["account"]["quarantined"] == LEDGER_FILES + 2
    assert tree.text_content().count(EVIL) > 2 * EXAMPLES
    assert rows(tree, "Sources")[1][0] == EVIL
    assert len([row for row in rows(tree, "What could not be read") if row[0].endswith(".jsonl")]) == LEDGER_FILES + 2
    assert {"Mixture", "Labels", "Recipe and versions"} <= set(tree.xpath("//h2/text()"))
    assert label in [row[0] for row in rows(tree, "Labels")]
