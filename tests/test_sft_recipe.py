"""configs/sft_chat.yaml: seven small real sets in five layouts make one corpus; docs/chat.md prints what it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from corpus import CHECKOUT

from pipeline.commands.check import check
from pipeline.progress import funnel

ODD, EVEN = {"human", "observation"}, {"gpt", "function_call"}
"""What LLaMA-Factory's converter takes in odd and in even places."""


@pytest.fixture(scope="module")
def made(ready: Callable[[str], Path]) -> tuple[Path, dict[str, Any]]:
    out = ready("sft_chat")
    return out, json.loads((out / "manifest.json").read_text())


def test_the_funnel_of_the_page(made: tuple[Path, dict[str, Any]]) -> None:
    text = (CHECKOUT / "docs" / "chat.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- sft -->\n```\n(.*?)\n```", text, re.DOTALL)
    told = funnel(made[1])
    assert found and found[1] == told, "put the new funnel into docs/chat.md:\n" + told


def test_the_corpus_is_sound(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    import datasets

    out, manifest = made
    assert [finding.wrong for finding in check(str(out)) if not finding.ok] == []
    found = datasets.load_dataset(str(out), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in found.items()} == manifest["splits"]
    rejected = [row for path in (out / "rejected").glob("*") for row in pq.read_table(path).to_pylist()]
    assert {row["detail"] for row in rejected if row["step"] == "02.keep.word_count"} == {"turn 2 (assistant)"}


def test_llama_factory_can_train_on_it(made: tuple[Path, dict[str, Any]]) -> None:
    """By the rules of its ShareGPT converter: roles in turn, an even number of them, tools as text."""
    out, _ = made
    info = json.loads((out / "dataset_info.json").read_text())["corpus"]
    rows = [json.loads(line) for path in (out / info["file_name"]).iterdir() for line in path.open(encoding="utf-8")]
    columns = info["columns"]
    called = 0
    for row in rows:
        roles = [turn["from"] for turn in row[columns["messages"]]]
        assert len(roles) % 2 == 0 and set(roles[::2]) <= ODD and set(roles[1::2]) <= EVEN
        tools = json.loads(row[columns["tools"]] or "[]")
        for turn in row[columns["messages"]]:
            if turn["from"] == "function_call":
                called += 1
                assert json.loads(turn["value"])["name"] in {tool["name"] for tool in tools}
    assert called > 5
