"""Fuzzing: small files of every format, mutated, through readers and row steps; nothing may raise, hang or get lost.

    python tests/fuzz.py --cases 100000 --seed 1            make fuzz: the whole target
    python tests/fuzz.py --seed 1 --only 48213 --save DIR   one case again, as a file

Case n of a seed is always the same bytes: a seed file (`seeds`), changed by some of `MUTATIONS`, packed or not. A child
does the cases and leaves the number of the one at hand in a file; one that takes longer than LIMIT seconds or kills the
child is a finding, and a new child goes on behind it. What was found lies in tests/fuzz_cases/, and the suite reads it.
"""

from __future__ import annotations

import argparse
import bz2
import faulthandler
import gzip
import io
import itertools
import json
import lzma
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import zstandard

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
sys.path.insert(0, str(CHECKOUT))

LIMIT = 20.0
"""Seconds for one case. The slowest honest one takes some 0.2; a busy machine may be ten times slower."""
MEMORY = 6 << 30
"""Bytes of address space that cases may add to what the child starts with."""
SMALL = 6000
"""Bytes of a seed: a mutation should hit something, and 100,000 cases should take minutes."""

STEPS = [
    {"extract": {"engine": "resiliparse"}},
    {"edit": {"repair_unicode": {}, "normalize_whitespace": {}, "citation_marks": {}, "boilerplate_lines": {}}},
    {"keep": {"language": {"min_score": 0.1, "second": True, "script": True}}},
    {"keep": {"gopher_repetition": None, "gopher_quality": {"word_count": {"min": 5}}}, "where": {"lang": "en"}},
    {"edit": {"c4_lines": {"terminal_punctuation": False}}, "where": {"lang": "en"}},
    {"keep": {"c4": {}, "fineweb": None}, "where": {"lang": "en"}},
    {"keep": "chinese_web", "where": {"lang": "zh"}},
    {"edit": {"scrub_pii": {}}},
]


# ---- seeds


@cache
def seeds() -> dict[str, list[bytes]]:
    """Format -> small whole files of it, not compressed. The same on every machine."""
    from wats import wat

    pages = _pages()
    records = [json.dumps(record, ensure_ascii=False).encode() for record in _records()]
    dirty = HERE / "data" / "dirty"
    warcs = [file.read_bytes() for file in sorted((dirty / "warc").glob("*.warc"))]
    found: dict[str, list[bytes]] = {
        "warc": [_plain(data)[: 3 * SMALL] for data in warcs] + [_warc(pages[i : i + 3]) for i in range(0, 9, 3)],
        "wet": [_wet([record["text"] for record in _records()[i : i + 3]]) for i in (0, 3)],
        "wat": [b"".join(wat([i, i + 1], x_robots_tag="noai")) for i in (0, 2)],
        "arc": [(dirty / "warc" / "example.arc").read_bytes()],
        "jsonl": [*(b"\n".join(records[i : i + 5]) + b"\n" for i in (0, 5, 10)), *_talks()],
        "json": [
            b"[" + b",\n".join(records[:4]) + b"]",
            b'{"version": 1, "data": [\n' + b",\n".join(records[4:8]) + b"]}",
        ],
        "html": pages,
        "csv": [b"id,text,n\n" + b"".join(b'%d,"line ""%d"", one\nmore",5\n' % (i, i * i) for i in range(30))],
        "tsv": [b"id\ttext\n" + b"".join(b"%d\tsome text of record %d\n" % (i, i) for i in range(30))],
        "text": [record["text"].encode() for record in _records()[:4]],
        "markdown": [b"---\ntitle: Mill\ntags: [a, b]\n---\n# Mill\n\nIt grinds.\n", b"+++\nx = 1\n+++\ntext here\n"],
        "mediawiki": [_wiki()],
        "tar": [_tar(pages, records)],
        "zip": [_zip(pages, records)],
        "epub": [_epub()],
    }
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([json.loads(record) for record in records[:6]])
    for name, write in (
        ("parquet", lambda sink: pq.write_table(table, sink, compression="snappy", row_group_size=3)),
        ("arrow", lambda sink: feather.write_feather(table, sink, compression="uncompressed", chunksize=2)),
    ):
        sink = io.BytesIO()
        write(sink)
        found[name] = [sink.getvalue()]
    return found


def _plain(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def _records() -> list[dict[str, Any]]:
    lines = gzip.decompress((CHECKOUT / "configs" / "demo" / "docs_0.jsonl.gz").read_bytes()).splitlines()
    found = []
    for line in lines[:: max(1, len(lines) // 15)]:
        record = json.loads(line)
        record["text"] = record["text"][: SMALL // 6]
        found.append(record)
    return [*found[:15], *({"id": f"n{i}", "text": t, "v": [i, None, {"k": 1.5}]} for i, t in enumerate(_TEXTS))]


_TEXTS = [
    "The mill grinds the grain. " * 12,
    "磨坊主慢慢地磨着麦子，面粉从石头之间流出来。村里的人都来这里。" * 8,
    "Mail a@example.org, call +1 202 555 0143 or 13800138000; card 4111 1111 1111 1111, 11010519491231002X, 10.0.0.1",
    "schÃ¶n ﬁn\u0301 İ \ufeff\u200b\u202e naïve\r\n\x85\x0b café \U0001f468\u200d\U0001f469\u200d\U0001f467 \ud7a3",
]


def _talks() -> list[bytes]:
    """Conversations: with calls and tools as text, and of several layouts."""
    folder = CHECKOUT / "configs" / "chat"
    called = json.loads((folder / "sharegpt_glaive.json").read_text(encoding="utf-8"))
    several = [
        {"instruction": "Translate.", "input": "chat", "output": "cat", "history": [["a", "b"]], "stars": 5},
        {"prompt": "a", "chosen": [{"role": "assistant", "content": "b"}], "rejected": "c"},
        {"messages": [{"role": "user", "content": "a", "weight": 1}, {"role": "assistant", "content": "b"}]},
        {"conversation": '{"messages":[{"role":"user","content":"a"}],"label":true}', "text": "a"},
    ]
    called.sort(key=lambda record: len(json.dumps(record)))
    files = (called[:5], several)
    return [b"".join(json.dumps(record).encode() + b"\n" for record in file) for file in files]


def _pages() -> list[bytes]:
    from pipeline.readers import Columns, read

    file = str(CHECKOUT / "configs" / "demo" / "pages.warc.gz")
    batches = read(file, format="warc", columns=Columns(), default_source="s")
    real = [page for batch in batches for page in batch.table["html"].to_pylist() if page]
    shorter = [page[: SMALL // 2] + page[-SMALL // 2 :] for page in real[:: max(1, len(real) // 8)]]
    return [
        *shorter[:8],
        b"<!doctype html><html><head><meta charset=gbk><title>t</title></head><body><ul><li>\xc4\xe3\xba\xc3<li>two</ul>"
        b"<table><tr><td>a<td>b</table><pre>code\n  indent</pre><code>auth</code> \xba\xcd <code>x</code></body></html>",
        b"<html><body><main><h1>Mills</h1><p>They &amp; grind &#x4e00; &nbsp; &bogus; <b><i>slow</b></i></p></main></body>",
    ]


def warc_record(kind: str, headers: str, body: bytes) -> bytes:
    """One WARC record. `headers`: whole lines, besides type and length."""
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body + b"\r\n\r\n"


def _warc(pages: list[bytes]) -> bytes:
    out = [warc_record("warcinfo", "WARC-Record-ID: <urn:uuid:0>\r\n", b"software: x\r\n")]
    for number, page in enumerate(pages):
        packed = {0: page, 1: gzip.compress(page, mtime=0), 2: b"%x\r\n" % len(page) + page + b"\r\n0\r\n\r\n"}[
            number % 3
        ]
        coding = {0: b"", 1: b"Content-Encoding: gzip\r\n", 2: b"Transfer-Encoding: chunked\r\n"}[number % 3]
        http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n" + coding + b"\r\n" + packed
        headers = f"WARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: http://e.org/{number}\r\n"
        headers += "WARC-Date: 2026-01-02T03:04:05Z\r\nContent-Type: application/http; msgtype=response\r\n"
        out.append(warc_record("response", headers, http))
    return b"".join(out)


def _wet(texts: list[str]) -> bytes:
    return b"".join(
        warc_record("conversion", f"WARC-Record-ID: <urn:uuid:{i}>\r\n", t.encode()) for i, t in enumerate(texts)
    )


def _wiki() -> bytes:
    page = (
        "<page><title>Grist {n}</title><ns>0</ns><id>{n}</id><revision><id>9</id><timestamp>2026-01-02T03:04:05Z</timestamp>"
        "<model>wikitext</model><text>'''Grist''' is [[grain|corn]] {{{{cite|a={{{{b}}}}}}}} &lt;ref&gt;x&lt;/ref&gt; "
        "{{| class=x\n|-\n| cell\n|}} [http://e.org link] [[File:a.jpg|thumb|a [[b]]]]\n== Head ==\n* one</text></revision></page>"
    )
    head = '<mediawiki xml:lang="en"><siteinfo><base>https://en.wikipedia.org/wiki/Main</base></siteinfo>\n'
    return (head + "\n".join(page.format(n=n) for n in range(4)) + "\n</mediawiki>").encode()


def _members(pages: list[bytes], records: list[bytes]) -> list[tuple[str, bytes]]:
    return [
        ("a.txt", b"some text\n" * 20),
        ("b.jsonl.gz", gzip.compress(b"\n".join(records[:2]), mtime=0)),
        ("c.html", pages[-1]),
        ("d.png", b"\x89PNG" + bytes(40)),
        ("0001.json", b'{"n": 1}'),
        ("0001.txt", b"a sample of two members"),
    ]


def _tar(pages: list[bytes], records: list[bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, data in _members(pages, records):
            info = tarfile.TarInfo(("long/" * 30 if name == "a.txt" else "") + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def _zip(pages: list[bytes], records: list[bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _members(pages, records):
            archive.writestr(zipfile.ZipInfo(name), data)
    return sink.getvalue()


def _epub() -> bytes:
    parts = {
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/p.opf"/></rootfiles></container>',
        "OPS/p.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata><title>T</title></metadata><manifest>'
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>',
        "OPS/a.xhtml": "<html><body><p>A chapter of some words.</p></body></html>",
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return sink.getvalue()


# ---- mutations

TOKENS = [
    b"\0", b"\xff", b"\r\n\r\n", b"\n", b"\r", b'"', b"'", b"{", b"}", b"[", b"]", b"\\", b"\\ud800", b"\xef\xbb\xbf",
    b"WARC/1.0\r\nWARC-Type: response\r\n", b"Content-Length: 0\r\n", b"Content-Length: 99999999999\r\n", b"Content-Length: -1\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/9.9 \xff\r\n", b"\x1f\x8b\x08\0\0\0\0\0\0\3", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0",
    b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<script>", b"</script>", b"<plaintext>", b"<svg><math><mtext>", b"<template>",
    b"<table><tr><td>", b"</table>", b"<ul><li>", b"<select><option>", b"<b><i><a href=x>", b"</b></p></div>", b"<frameset>",
    b"<body", b"<meta charset=utf-16>", b"<meta charset=shift_jis>", b"&#xD800;", b"&#0;", b"&#1114112;", b"&CounterClockwiseContourIntegral",
    b"NaN", b"1e999", b"123456789012345678901234567890", b"null", b'"text": ', b'"id": 5, ', b"{{", b"}}", b"[[", b"]]", b"{|", b"|}", b"<ref>",
    "\u202e\u200b\u0301".encode(), "\ufdd0".encode(), "\u2028".encode(), "𠀀磨".encode(), b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80",
]  # fmt: skip
Mutation = Callable[[random.Random, bytearray], None]


def _flip(chance: random.Random, data: bytearray) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _byte(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] = chance.choice(
        (0, 10, 13, 34, 60, 62, 92, 123, 127, 128, 255, chance.randrange(256))
    )


def _cut(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 2, 7, 64, 512))]


def _end(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) :]


def _repeat(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 3, 20, 300))]
    data[start:start] = piece * chance.choice((1, 2, 10, 60))


def _move(chance: random.Random, data: bytearray) -> None:
    start, to = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 8, 100, 1000))]
    data[to:to] = piece


def _token(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(TOKENS) * chance.choice((1, 1, 1, 2, 9, 200))


def _noise(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.choice((1, 4, 30, 400)))


def _number(chance: random.Random, data: bytearray) -> None:
    """Another number where one stands: lengths, sizes, references."""
    places = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        at = chance.choice(places)
        data[at : at + 1] = chance.choice((b"0", b"9", b"-1", b"00", b"4294967296", b"x", b"1e9"))


def _zeros(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    size = min(chance.choice((1, 4, 16, 512)), len(data) - start)
    data[start : start + size] = bytes(size)


def _stretch(chance: random.Random, data: bytearray) -> None:
    """One short thing very often: what takes time by the square of it shows."""
    if chance.random() < 0.02:
        at = chance.randrange(len(data) + 1)
        token = chance.choice(
            (*TOKENS, b" ", b"\t", b"a", b"1", b"<div>", b"<a b=", b" a=1", b"<li>", "\u00a0".encode())
        )
        data[at:at] = token * (200_000 // len(token))


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _byte,
    _cut,
    _end,
    _repeat,
    _move,
    _token,
    _token,
    _noise,
    _number,
    _zeros,
    _stretch,
)
PACKS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda data: gzip.compress(data, 1, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
}
WEIGHTS = {"warc": 6, "jsonl": 5, "html": 6, "json": 2}
"""How often a format's turn comes; others once."""


def case(seed: int, number: int) -> tuple[str, bytes]:
    """(format, bytes) of one case."""
    chance = random.Random(f"{seed}/{number}")
    kinds = list(seeds())
    kind = chance.choices(kinds, [WEIGHTS.get(name, 1) for name in kinds])[0]
    data = bytearray(chance.choice(seeds()[kind]))
    if chance.random() < 0.1:
        other = chance.choice(seeds()[chance.choice(kinds)])
        at = chance.randrange(len(data))
        data[at:] = other[chance.randrange(len(other)) :]
    pack = chance.choice(("", "", "gz", "gz", "zst", "bz2", "xz")) if kind in _streams() else ""
    _mutate(chance, data, chance.choice((0, 1, 1, 2, 4, 10)) if pack else chance.choice((1, 1, 2, 4, 10)))
    packed = bytearray(_members_packed(chance, bytes(data), pack))
    if pack:
        _mutate(chance, packed, chance.choice((0, 0, 1, 1, 3)))
    return kind, bytes(packed)


def _streams() -> set[str]:
    from pipeline.readers import STREAMS

    return set(STREAMS)


def _mutate(chance: random.Random, data: bytearray, times: int) -> None:
    for _ in range(times):
        if data:
            chance.choice(MUTATIONS)(chance, data)
        if len(data) > 50 * SMALL:
            del data[50 * SMALL :]


def _members_packed(chance: random.Random, data: bytes, pack: str) -> bytes:
    """One compressed member, or one for each of some pieces."""
    if not pack or chance.random() < 0.5 or not data:
        return PACKS[pack](data)
    edges = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(chance.randrange(1, 6)))})
    return b"".join(PACKS[pack](data[a:b]) for a, b in itertools.pairwise(edges))


# ---- what must hold

TALKS = (b'"conversations":', b'"instruction":', b'"messages":', b'"chosen":')
"""What tells a file of conversations, which is read in a layout."""


@cache
def steps() -> Any:
    """The chain that documents go through."""
    import filters
    from pipeline import refine
    from pipeline.build import build
    from pipeline.recipe import read
    from pipeline.steps import parse_steps

    text = json.dumps({"input": {"paths": "x"}, "steps": STEPS, "output": {"path": "o"}})
    recipe, source = read(text, "fuzz")
    filters.load_builtin()
    rows = parse_steps(recipe.steps, source).rows
    middle = [refine.Named(row.name, build(row, False), row.kind == "edit", row.kind == "rules") for row in rows]
    return [
        refine.Named("00.read", refine._http_status, False),
        *middle,
        refine.Named("99.empty", refine._not_empty, False),
    ]


def check(kind: str, data: bytes, folder: Path) -> Counter[str]:
    """Reads a file and takes its documents through the chain. AssertionError or what was raised if a promise is broken.

    Returns how many were kept, rejected, quarantined, skipped. InputError (a letter about the whole file) is allowed.
    """
    from reading import account, load, quarantined, rows, skipped

    from pipeline.chat.tables_out import fitting
    from pipeline.errors import InputError
    from pipeline.readers import Options
    from pipeline.refine import KEPT_STEP, apply

    path = folder / f"case.{kind}"
    path.write_bytes(data)
    options = Options(layout="auto") if any(mark in data for mark in TALKS) else Options()
    try:
        batches = load(path, format=kind, options=options)
    except InputError as error:
        assert str(error)
        return Counter(refused=1)
    account(batches, gaps=True)
    total = Counter(quarantined=len(quarantined(batches)), skipped=sum(skipped(batches).values()))
    total["read"] = sum(len(batch.table) for batch in batches) + total["quarantined"]
    for batch in batches:
        for name, outcome in apply(steps(), batch.table):
            if name == KEPT_STEP:
                total["kept"] += len(outcome)
                assert not any("\ud800" <= c <= "\udfff" for text in outcome["text"].to_pylist() for c in text)
                if options.layout:
                    fitting({"name": "sharegpt", "turns": "sharegpt"})(outcome)
            elif not name.startswith("edited:"):
                total["rejected"] += len(outcome[0])
                why = [entry for entry in outcome[1].to_pylist() if entry["reason"].startswith("error.")]
                assert not why, f"{name} raised {why[0]}"
    assert total["read"] == total["kept"] + total["rejected"] + total["quarantined"], total
    if len(data) % 4 == 0:  # rows do not hang on the size of batches
        alone = rows(load(path, format=kind, options=options, batch_rows=1))
        assert alone == rows(batches)
    return total


# ---- the target


def serve(seed: int, first: int, cases: int, folder: Path, out: Path, stride: int) -> None:
    """Does cases in this process; notes each before it begins. Findings go to `out` as JSON lines."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    check("jsonl", b'{"text": "warm"}', folder)
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    total: Counter[str] = Counter()
    at = folder / "at"
    for number in range(first, cases, stride):
        at.write_text(str(number))
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        try:
            kind, data = case(seed, number)
            total.update(check(kind, data, folder))
        except Exception as error:
            found = {"case": number, "kind": kind, "error": f"{type(error).__name__}: {error}"[:500]}
            with out.open("a") as file:
                file.write(json.dumps(found | {"trace": traceback.format_exc(limit=-6)}) + "\n")
        faulthandler.cancel_dump_traceback_later()
        total["cases"] += 1
    with out.open("a") as file:
        file.write(json.dumps({"done": dict(total)}) + "\n")


def main() -> int:
    """The whole target, or one case of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--save", type=Path, help="with --only: write its file there")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--child", nargs=3, metavar=("FIRST", "FOLDER", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        first, folder, out = given.child
        serve(given.seed, int(first), given.cases, Path(folder), Path(out), given.workers)
        return 0
    if given.only is not None:
        return _one(given.seed, given.only, given.save)
    started = time.time()
    found = list(_all(given))
    total = sum((Counter(line["done"]) for line in found if "done" in line), Counter())
    bad = [line for line in found if "done" not in line]
    for line in bad:
        print(json.dumps(line))
    print(
        f"{len(bad)} findings in {given.cases:,} cases of seed {given.seed}, {time.time() - started:.0f} s: {dict(total)}"
    )
    return 1 if bad else 0


def _one(seed: int, number: int, save: Path | None) -> int:
    kind, data = case(seed, number)
    if save:
        save.mkdir(parents=True, exist_ok=True)
        (save / f"{seed}-{number}.{kind}").write_bytes(data)
    with tempfile.TemporaryDirectory() as folder:
        print(kind, len(data), dict(check(kind, data, Path(folder))))
    return 0


def _all(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Findings of the children, and of their deaths."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as root:
        running = {worker: _child(given, worker, Path(root) / str(worker)) for worker in range(given.workers)}
        while running:
            for worker, child in list(running.items()):
                folder = Path(root) / str(worker)
                if child.poll() is None:
                    time.sleep(0.2)
                    continue
                del running[worker]
                if child.returncode:
                    number = int((folder / "at").read_text())
                    trace = (folder / "err").read_text()[-2000:]
                    yield {
                        "case": number,
                        "kind": case(given.seed, number)[0],
                        "error": f"exit {child.returncode}",
                        "trace": trace,
                    }
                    running[worker] = _child(given, number + given.workers, folder)
                for line in (folder / "out").read_text().splitlines() if (folder / "out").exists() else []:
                    yield json.loads(line)
                (folder / "out").unlink(missing_ok=True)


def _child(given: argparse.Namespace, first: int, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--seed", str(given.seed), "--cases", str(given.cases)]
    command += ["--workers", str(given.workers), "--child", str(first), str(folder), str(folder / "out")]
    with (folder / "err").open("w") as err:
        return subprocess.Popen(command, stderr=err)


if __name__ == "__main__":
    sys.exit(main())
