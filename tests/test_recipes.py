"""The ready recipes of configs/: each runs as it stands on small real data, the same bytes in batches of 7 and on Ray."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zstandard
from corpus import CHECKOUT, DEMO, as_it_stands, kept, manifest, rejected, sums
from ray_processes import await_end, ray_processes
from wats import segments

from pipeline.commands.check import check


class Ready(NamedTuple):
    """A recipe, how many documents its data has, and reasons that must stand in its ledger."""

    read: int
    kept: int
    """At least so many are kept."""
    reasons: set[str]


RECIPES = {
    "pretrain_web": Ready(
        435, 40, {"language", "alpha_word_ratio.min", "curly_bracket.max", "duplicate_char_ratio.max"}
    ),
    "pretrain_zh": Ready(435, 30, {"language", "han_ratio.min", "duplicate_line_ratio.max", "exact_duplicate"}),
    "sft_chat": Ready(253, 100, {"word_count.min", "exact_duplicate", "near_duplicate"}),
    "sft_zh": Ready(189, 50, {"language", "role_errors.max", "refusal_count.max", "near_duplicate"}),
    "classification": Ready(1000, 900, {"near_duplicate"}),
}


def mill(name: str, out: Path, *extra: str) -> dict[str, Any]:
    """The manifest of a run of configs/NAME.yaml (or another recipe)."""
    return as_it_stands(name, out, *extra).manifest


@pytest.fixture(scope="module")
def made(ready: Callable[[str], Path]) -> dict[str, Path]:
    """The output folder of each recipe, run by the local engine with nothing changed."""
    return {name: ready(name) for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_it_runs_as_it_stands(made: dict[str, Path], name: str) -> None:
    out, ready = made[name], RECIPES[name]
    told = manifest(out)
    account = told["account"]
    assert account["read"] == ready.read == account["kept"] + account["rejected"] and not account["quarantined"]
    assert account["kept"] >= ready.kept and account["rejected"] > 0
    assert ready.reasons <= {reason for step in told["rejected"].values() for reason in step}
    assert all(told["splits"].values()), f"a side is empty: {told['splits']}"
    assert [wrong for finding in check(str(out)) for wrong in finding.wrong] == []


def test_the_page_has_their_numbers(made: dict[str, Path]) -> None:
    page = (CHECKOUT / "docs" / "recipes.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if ".yaml` | `" in line]
    accounts = {f"`{name}.yaml`": manifest(out)["account"] for name, out in made.items()}
    assert {row[0]: (row[2], row[3]) for row in rows} == {
        name: (str(account["read"]), str(account["kept"])) for name, account in accounts.items()
    }


@pytest.mark.parametrize("name", RECIPES)
def test_batches_of_seven_change_no_byte(made: dict[str, Path], tmp_path: Path, name: str) -> None:
    mill(name, tmp_path / "out", "run.batch_size=7")
    assert sums(tmp_path / "out") == sums(made[name])


@pytest.mark.ray
def test_ray_writes_the_same_bytes(made: dict[str, Path], tmp_path: Path) -> None:
    """All recipes on one Ray, in a process of its own; it ends with it. One more joins WAT files to text."""
    before = ray_processes()
    joined = tmp_path / "joined.yaml"
    joined.write_text(JOINED.format(folder=segments(tmp_path)))
    outputs = {**made, "joined": tmp_path / "here"}
    assert mill(str(joined), outputs["joined"])["wat"] == {"found": 30, "missing": 0}
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", ON_RAY, str(tmp_path), *RECIPES, str(joined)]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {name: sums(tmp_path / name) for name in outputs} == {name: sums(out) for name, out in outputs.items()}
    assert await_end(before) == set()


JOINED = """
input: {{paths: "{folder}/wet", wat: {{refuse: [noai]}}}}
steps:
  - keep: {{word_count: {{min: 3}}}}
output: {{path: out}}
"""

ON_RAY = """
import sys
from pathlib import Path
from pipeline.engines.ray import RayEngine
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.run import run
engine = None
for name in sys.argv[2:]:
    place = Path("configs", name).with_suffix(".yaml")
    job, settings = prepare(str(place), [f'output.path="{sys.argv[1]}/{place.stem}"', "run.workers=2"])
    engine = engine or RayEngine(settings.run)
    run(job, settings.run, engine, Silent())
engine.close()
"""


@pytest.mark.parametrize("name", ["pretrain_web", "pretrain_zh"])
def test_the_line_with_block_lists_works_without_its_comment_sign(tmp_path: Path, name: str) -> None:
    page = (CHECKOUT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert page.count("  # - keep:  {url: {blocklists: [lists/adult, lists/malware]}}") == 1
    page = page.replace("  # - keep:  {url: ", "  - keep:  {url: ").replace("lists/", f"{tmp_path}/lists/")
    (tmp_path / "r.yaml").write_text(page, encoding="utf-8")
    for list_, domain in (("adult", "sqlite3-doc.example.org"), ("malware", "apache2-doc.example.org")):
        (tmp_path / "lists" / list_).mkdir(parents=True)
        (tmp_path / "lists" / list_ / "domains").write_text(domain + "\n")
    told = mill(str(tmp_path / "r.yaml"), tmp_path / "out", f'input.paths="{DEMO}/pages.warc.gz"')
    assert told["rejected"]["02.keep.url"] == {
        "blocklist.adult": 30,
        "blocklist.malware": 45,
    }  # pages of configs/demo/README.md


TRADITIONAL = set("這個們來會時與對說國學開關發現點應該")


def demo_texts() -> dict[str, str]:
    """id -> text of the demo's documents as they came."""
    plain = gzip.decompress((DEMO / "docs_0.jsonl.gz").read_bytes())
    plain += zstandard.ZstdDecompressor().stream_reader((DEMO / "docs_1.jsonl.zst").read_bytes()).read()
    return {row["id"]: row["text"] for row in map(json.loads, plain.splitlines())}


def kept_texts(out: Path) -> dict[str, str]:
    return {row["id"]: row["text"] for row in kept(out)}


@pytest.mark.parametrize(("name", "hello"), [("pretrain_web", "Please write to {}."), ("pretrain_zh", "请写信给 {}。")])
def test_texts_that_differ_in_an_address_alone_are_copies(
    made: dict[str, Path], tmp_path: Path, name: str, hello: str
) -> None:
    """Personal data stands before dedup. Of a text and the same with a sentence more the longer one stays."""
    one, two = sorted(kept_texts(made[name]).values(), key=lambda text: (len(text), text))[-2:]
    line = hello.format("ann@example.com")
    texts = {"ann": f"{line}\n{one}", "bob": f"{hello.format('bob@example.org')}\n{one}", "short": two}
    texts["long"] = f"{line}\n{two}"
    lines = [json.dumps({"id": doc, "text": text}) + "\n" for doc, text in texts.items()]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    mill(name, tmp_path / "out", f'input.paths="{tmp_path}/in.jsonl"', "run.max_source_loss=1")
    gone = {row["id"]: (row["reason"], row["duplicate_of"]) for row in rejected(tmp_path / "out")}
    assert gone.pop("short") == ("near_duplicate", "long")
    assert gone in ({"ann": ("exact_duplicate", "bob")}, {"bob": ("exact_duplicate", "ann")})


def test_pretrain_zh_writes_one_kind_of_chinese(made: dict[str, Path]) -> None:
    """Documents in traditional characters stay, in simplified ones."""
    given, texts = demo_texts(), kept_texts(made["pretrain_zh"])
    assert sum(bool(TRADITIONAL & set(given.get(doc, ""))) for doc in texts) == 5
    assert not [doc for doc, text in texts.items() if TRADITIONAL & set(text)]


def test_pretrain_zh_on_what_the_demo_does_not_have(made: dict[str, Path], tmp_path: Path) -> None:
    """Full-width letters, an advert line, an identity card and a mobile number, planted in one real document."""
    doc, text = max(kept_texts(made["pretrain_zh"]).items(), key=lambda pair: (len(pair[1]), pair[0]))
    planted = "ＧＰＳ 的说明请找王先生，身份证 11010519491231002X，电话 13800138000。\n扫描二维码关注公众号\n"
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": doc, "text": planted + text}) + "\n")
    mill("pretrain_zh", tmp_path / "out", f'input.paths="{tmp_path}/in.jsonl"')
    told = "GPS 的说明请找王先生，身份证 <CN_ID>，电话 <PHONE>。\n"
    assert kept_texts(tmp_path / "out") == {doc: told + text}
