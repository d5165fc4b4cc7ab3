"""The seeds of the fuzz target: small whole files of every format, the same on every machine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHECKOUT = HERE.parent

SMALL = 6000
"""Bytes of a seed: a mutation should hit something, and 100,000 cases should take minutes."""


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
        b'<html lang=en><head><title>t</title><meta name=robots content="noarchive, max-snippet:5"><link rel=canonical href="/a?b>c">'
        b'<meta property="article:published_time" content="2026-01-02T03:04:05+08:00"><script type="application/ld+json">{"@graph": [{'
        b'"headline": "A \\ud83c\\udf89 mill", "datePublished": "2 Jan 2026 03:04:05", "author": [{"name": "A"}]}]}</script></head><body>'
        b'<article><p>It <!-- <b>was</b> > --> grinds <a title="a > b" href="/c" rel="license">slowly</a>.<br> <br>Twice.</p>'
        b"<ol><li>a<pre>b\n c</pre><ul><li><code>d</code></ul></ol><table><tr><th>e<td>f<br>g</table><blockquote>h</blockquote>"
        b'<math display="block"><mi>x</mi><annotation encoding="application/x-tex">x^2</annotation></math><script type="math/tex">y</script>',
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
