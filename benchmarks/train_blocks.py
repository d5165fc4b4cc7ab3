"""Trains the model of the engine `gristmill`: `python benchmarks/train_blocks.py --wcxb FOLDER --news FOLDER --gold FILE OUT.npz`.

Needs lightgbm beside gristmill; the three inputs are those of benchmarks/extraction.py, of which only the tuning parts are read. A block is
content if more than half of its words stand in runs of three words that the gold text has too. It weighs as much as its share of the gold
text, since that is what it adds to or takes from the page's score; news pages count six times, there are few of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from extraction import WORD, Page, gold_pages, news_pages, wcxb_pages

from filters.block_text import inline

SETTINGS = {
    "objective": "binary", "learning_rate": 0.06, "num_leaves": 20, "min_data_in_leaf": 60, "feature_fraction": 0.5, "bagging_fraction": 0.8,
    "bagging_freq": 1, "lambda_l2": 5, "max_bin": 63, "num_threads": 1, "seed": 1, "verbose": -1,
}  # fmt: skip
TREES = 240
SCALE = 1_000_000  # leaves are whole millionths of a log-odds
LARGEST = 110  # blocks of a page that are looked at: the larger half, and a sample that stands for the others
RUN = 3  # words
NEWS_WEIGHT = 6


def block_words(markup: str) -> list[str]:
    return WORD.findall(inline(markup, pre=False, markdown=False, links=False).lower())


def runs(words: list[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}


def covered(words: list[str], known: dict[int, set[tuple[str, ...]]]) -> float:
    """Share of the words that stand in runs of the gold text."""
    size = min(RUN, len(words))
    if not size:
        return 0.0
    marks = np.zeros(len(words), bool)
    for at in range(len(words) - size + 1):
        if tuple(words[at : at + size]) in known[size]:
            marks[at : at + size] = True
    return float(marks.mean())


def examples(page: Page, draw: np.random.RandomState) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Features, labels and weights of a page's blocks; None for a page without gold text or blocks."""
    from resiliparse.parse.html import HTMLTree

    from filters import blocks

    gold, body = WORD.findall(page.gold.lower()), HTMLTree.parse(page.html).body
    if not gold or body is None:
        return None
    found = blocks.scan(body.html)
    rows = blocks.measure(found)
    texts = [block_words(block.markup) for block in blocks.placed(found, blocks.every(found))]
    known = {size: runs(gold, size) for size in range(1, RUN + 1)}
    labels = np.array([covered(text, known) > 0.5 for text in texts], np.int64)
    weights = np.minimum(np.array([len(text) for text in texts]) / max(len(gold), 30), 1) + 0.002
    if page.kind == "news":
        weights *= NEWS_WEIGHT
    if len(rows) > LARGEST:
        large = np.argsort(-weights, kind="stable")[: LARGEST // 2]
        rest = np.setdiff1d(np.arange(len(rows)), large)
        some = draw.choice(rest, LARGEST - len(large), replace=False)
        weights[some] *= len(rest) / len(some)
        keep = np.concatenate([large, some])
        rows, labels, weights = rows[keep], labels[keep], weights[keep]
    return (rows, labels, weights) if len(rows) else None


def arrays(model: dict[str, Any], columns: int) -> dict[str, Any]:
    """The trees as `filters.blocks.Model` holds them."""
    out: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "children", "leaves", "node_starts", "leaf_starts")
    }
    for tree in model["tree_info"]:
        first, first_leaf = len(out["feature"]), len(out["leaves"])
        out["node_starts"].append(first)
        out["leaf_starts"].append(first_leaf)
        _walk(tree["tree_structure"], out, first, first_leaf)
    limits = np.array(out["threshold"])
    low = limits.astype(np.float32)
    kinds = {
        "feature": np.int16,
        "children": np.int16,
        "leaves": np.int32,
        "node_starts": np.int32,
        "leaf_starts": np.int32,
    }
    return {
        **{name: np.array(out[name], kind) for name, kind in kinds.items()},
        "threshold": np.where(low > limits, np.nextafter(low, np.float32(-np.inf)), low),
        "columns": columns,
        "scale": SCALE,
    }


def _walk(node: dict[str, Any], out: dict[str, list[Any]], first: int, first_leaf: int) -> int:
    if "split_index" not in node:
        out["leaves"].append(round(node["leaf_value"] * SCALE))
        return ~(len(out["leaves"]) - 1 - first_leaf)
    place = len(out["feature"])
    out["feature"].append(node["split_feature"])
    out["threshold"].append(node["threshold"])
    out["children"] += [0, 0]
    for side, child in enumerate(("left_child", "right_child")):
        out["children"][2 * place + side] = _walk(node[child], out, first, first_leaf)
    return place - first


def main() -> None:
    import lightgbm

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("gold", "news", "wcxb"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    draw = np.random.RandomState(1)
    pages = [*wcxb_pages(given.wcxb, "tune"), *gold_pages(given.gold, "tune"), *news_pages(given.news, "tune")]
    found = [each for each in (examples(page, draw) for page in pages) if each is not None]
    rows, labels, weights = (np.concatenate(column) for column in zip(*found))
    data = lightgbm.Dataset(rows, labels, weight=weights * 10)
    model = lightgbm.train(SETTINGS, data, TREES)
    np.savez_compressed(given.out, **arrays(model.dump_model(), rows.shape[1]))
    print(f"{len(found)} pages, {len(rows)} blocks, {TREES} trees -> {given.out}")


if __name__ == "__main__":
    main()
