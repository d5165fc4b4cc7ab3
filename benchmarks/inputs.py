"""The files that all measurements read: the same bytes for gristmill and its peers.

    python benchmarks/inputs.py out/bench en:0.6 en pages:40

In:  `../shared/data` beside the checkout if it is there, else the demo's data in configs/demo, repeated up to DEMO_MB.
     What is asked for beyond all there is (en:15) is made of the same documents with their lines moved round.
Out: OUT/en.0.6.jsonl.zst (`id`, `text`, `source`, `url`; the first 0.6 MB of text of OUT/en.all.jsonl.zst),
     OUT/pages.40.warc.gz (the first 40 pages), and on stdout {"en:0.6": {"path", "docs", "bytes"}, ...}.

Documents stand in the order of a hash of their id, so that a small file is a fair sample of a large one.
Repeated text flatters what has caches and makes near-duplicates: figures of the demo's data are for a first look.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "configs" / "demo"
DEVELOPERS = ROOT.parent / "shared" / "data"
DEMO_ONLY = "GRISTMILL_BENCH_DEMO"  # in the environment (run.py --demo): leave the developers' data aside
PAGES = DEMO / "pages.warc.gz"
LANGUAGES = {"en": ("en",), "zh": ("zh", "zh-cn")}
DEMO_MB = 4.0
LARGEST_MB = 12.0
WARM = "warm"
WARM_UP = {"en": 0.1, "zh": 0.1, "pages": 5}  # MB of text, pages


def real() -> bool:
    return DEVELOPERS.is_dir() and not os.environ.get(DEMO_ONLY)


def where() -> str:
    """What the texts are, for the table."""
    if real():
        return "the developers' data (manual pages, documentation, glossaries)"
    return f"the demo's data (configs/demo), repeated up to {DEMO_MB:g} MB"


def make(folder: Path, name: str) -> dict[str, Any]:
    """The file `NAME:SIZE` (en, en:0.6, zh:warm, pages:40): {"path", "docs", "bytes"}."""
    kind, _, size = name.partition(":")
    limit = WARM_UP[kind] if size == WARM else float(size or 0)
    path = folder / f"{kind}.{size or 'all'}.{'warc.gz' if kind == 'pages' else 'jsonl.zst'}"
    about = path.with_name(path.name + ".json")
    if not about.exists():
        found = _pages(path, int(limit)) if kind == "pages" else _texts(path, kind, limit)
        about.write_text(json.dumps({"path": str(path), **found}))
    return json.loads(about.read_text())


def _texts(path: Path, kind: str, limit: float) -> dict[str, int]:
    import zstandard

    docs = size = 0
    most = (limit or LARGEST_MB) * 1e6
    with open(path, "wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as stream:
        for record in _records(LANGUAGES[kind], limit):
            length = len(record["text"].encode())
            if docs and size + length > most:
                break
            stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            docs, size = docs + 1, size + length
    return {"docs": docs, "bytes": size}


def _records(languages: tuple[str, ...], limit: float) -> Iterator[dict[str, str]]:
    """Records of the languages in the order of a hash of their id; the demo's again and again up to DEMO_MB, and all
    of them again up to `limit` MB, each time with other text: a document's lines move round by a third."""
    files = sorted((DEVELOPERS / "text").glob("multilingual_*.jsonl.gz")) if real() else sorted(DEMO.glob("docs_*"))
    fields = ("id", "text", "source", "url")
    found = [
        {field: record.get(field) or "" for field in fields}
        for file in files
        for record in map(json.loads, _lines(file))
        if record["lang"] in languages
    ]
    found.sort(key=lambda record: hashlib.blake2b(record["id"].encode()).digest())
    yield from found
    again, size = 1, sum(len(record["text"].encode()) for record in found)
    wanted = max(limit, 0 if real() else DEMO_MB) * 1e6
    while found and again * size < wanted:
        for record in found:
            yield {**record, "id": f"{record['id']}#{again}", "text": _turned(record["text"], again)}
        again += 1


def _turned(text: str, by: int) -> str:
    """The text with its lines moved round; one line has its words moved."""
    lines = text.split("\n")
    if len(lines) == 1:
        lines, between = text.split(" "), " "
    else:
        between = "\n"
    at = by * max(len(lines) // 3, 1) % len(lines)
    return between.join(lines[at:] + lines[:at])


def _lines(file: Path) -> list[str]:
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes()).decode().splitlines()
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes()).decode().split("\n")[:-1]


def _pages(path: Path, limit: int) -> dict[str, int]:
    """The first pages of the demo's WARC, member by member as they are."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    docs = size = 0
    end = None
    with open(PAGES, "rb") as file:
        for record in ArchiveIterator(file):
            if limit and docs == limit:
                end = record.stream_pos
                break
            if record.record_type == WarcRecordType.response:
                docs, size = docs + 1, size + len(record.reader.read())
    path.write_bytes(PAGES.read_bytes()[:end])
    return {"docs": docs, "bytes": size}


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    print(json.dumps({name: make(target, name) for name in sys.argv[2:]}))
