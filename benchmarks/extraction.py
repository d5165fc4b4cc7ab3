"""How right and how fast the engines of `extract` are, on pages whose main content is known.

    python benchmarks/extraction.py --gold ../shared/data/web_gold/readability.jsonl.gz [--news FOLDER] [--wcxb FOLDER] [--part score]

--gold: JSON Lines with id, html and gold_text. --news: a checkout of scrapinghub/article-extraction-benchmark (181 news pages).
--wcxb: a checkout of Murrough-Foley/web-content-extraction-benchmark (2,008 pages of seven kinds, CC-BY-4.0).

The measure: words (runs of letters, digits and underscores, in lower case; a Han, kana or Hangul character is one) of the extracted and
of the gold text, as multisets; precision and recall of the words, F1 of the two for each page, and of all three the mean over the pages.
Speed: pages in a second of CPU (process_time), the fastest of --rounds, from the decoded page to the text.

Parts: a page of --gold and --news is in the tuning part if the first byte of the SHA-256 of its id is even, else in the scoring part;
--wcxb comes in two parts, dev (tuning) and test (scoring). One choice followed from a figure of a scoring part: docs/extraction.md.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
WORD = re.compile(f"[{CJK}]|[^\\W{CJK}]+")


class Page(NamedTuple):
    id: str
    kind: str
    html: str
    gold: str


class Score(NamedTuple):
    precision: float
    recall: float
    f1: float


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.lower()))


def score(text: str, gold: str) -> Score:
    """Of words as multisets. Both empty: 1; one empty: 0."""
    mine, true = words(text), words(gold)
    if not mine or not true:
        return Score(*(3 * [float(not mine and not true)]))
    both = sum((mine & true).values())
    precision, recall = both / sum(mine.values()), both / sum(true.values())
    return Score(precision, recall, 2 * precision * recall / (precision + recall) if both else 0.0)


def part_of(identity: str) -> str:
    return "score" if hashlib.sha256(identity.encode()).digest()[0] % 2 else "tune"


def gold_pages(path: Path, part: str) -> Iterator[Page]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if part_of(record["id"]) == part:
                yield Page(record["id"], "gold", record["html"], record["gold_text"])


def news_pages(folder: Path, part: str) -> Iterator[Page]:
    for identity, truth in json.loads((folder / "ground-truth.json").read_text("utf-8")).items():
        if part_of(identity) == part:
            page = gzip.decompress((folder / "html" / f"{identity}.html.gz").read_bytes())
            yield Page(identity, "news", page.decode("utf-8", "replace"), truth["articleBody"])


def wcxb_pages(folder: Path, part: str) -> Iterator[Page]:
    side = folder / ("test" if part == "score" else "dev")
    for file in sorted((side / "ground-truth").glob("*.json")):
        truth = json.loads(file.read_text("utf-8"))
        page = gzip.decompress((side / "html" / f"{file.stem}.html.gz").read_bytes())
        kind = truth["_internal"]["page_type"]["primary"]
        yield Page(file.stem, kind, page.decode("utf-8", "replace"), truth["ground_truth"].get("main_content") or "")


def engines() -> dict[str, Callable[[str], str]]:
    """Name -> page to text. An engine whose package is missing is left out."""
    from filters.extract import tidy
    from filters.extract_engines import engine

    found = {"all text": engine("resiliparse", main_content=False)}
    for name in ("resiliparse", "gristmill", "trafilatura"):
        try:
            found[name] = engine(name)
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
    return {name: (lambda page, to_text=to_text: tidy(to_text(page))) for name, to_text in found.items()}


def measure(to_text: Callable[[str], str], pages: list[Page], rounds: int) -> tuple[Score, float]:
    """Means of the scores, and pages a second of CPU."""
    to_text(pages[0].html)  # imports and compiles
    best, texts = float("inf"), []
    for _ in range(rounds):
        began = time.process_time()
        texts = [to_text(page.html) for page in pages]
        best = min(best, time.process_time() - began)
    scores = [score(text, page.gold) for text, page in zip(texts, pages)]
    return Score(*(statistics.fmean(column) for column in zip(*scores))), len(pages) / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("gold", "news", "wcxb"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--part", choices=("tune", "score"), default="score")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--by-kind", action="store_true")
    parser.add_argument("--engine", action="append")
    given = parser.parse_args()
    sets = {"gold": gold_pages, "news": news_pages, "wcxb": wcxb_pages}
    print("| pages | engine | precision | recall | F1 | pages/s of CPU |\n|---|---|--:|--:|--:|--:|")
    for name, read in sets.items():
        if getattr(given, name) is None:
            continue
        pages = list(read(getattr(given, name), given.part))
        kinds = sorted({page.kind for page in pages}) if given.by_kind else [""]
        for kind in kinds:
            some = [page for page in pages if kind in ("", page.kind)]
            for title, to_text in engines().items():
                if given.engine and title not in given.engine:
                    continue
                found, speed = measure(to_text, some, given.rounds)
                label = f"{name} {given.part} {kind} ({len(some)})".replace("  ", " ")
                print(
                    f"| {label} | {title} | {found.precision:.3f} | {found.recall:.3f} | {found.f1:.3f} | {speed:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
