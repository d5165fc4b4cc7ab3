"""Files over http: broken connections, servers without ranges, crawls by name. All on a loopback server."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import account, load, quarantined, rows

from pipeline.crawls import paths as crawl_paths
from pipeline.errors import InputError, StorageError
from pipeline.files import http as http_files
from pipeline.files import inputs, storage
from pipeline.files.http import HttpFile
from pipeline.recipes.recipe import read as read_recipe

PLAIN = b"".join(orjson.dumps({"text": f"Text {i} " * (i % 50), "id": f"d{i}"}) + b"\n" for i in range(3000))


class Server:
    """Files by path, and how badly they are served."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_after = 0  # bytes of a body after which the connection is cut; 0: never
        self.cuts = 0  # connections that are still to be cut
        self.ranges = True
        self.tags = True
        self.errors: list[int] = []  # statuses to answer with first
        self.seen: list[str | None] = []  # the Range header of each request
        self.url = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_files, "WAITS", (0.0, 0.01, 0.01, 0.01))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serve(self, state)

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{http.server_port}"
    yield state
    http.shutdown()
    http.server_close()


def serve(handler: BaseHTTPRequestHandler, state: Server) -> None:
    asked = handler.headers.get("Range")
    state.seen.append(asked)
    if state.errors:
        handler.send_error(state.errors.pop(0))
        return
    data = state.files.get(handler.path.split("?")[0])
    if data is None:
        handler.send_error(404)
        return
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(data) - start))
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    if state.tags:
        handler.send_header("ETag", f'"{hash(data)}"')
    handler.end_headers()
    body = data[start:]
    if state.cuts:
        state.cuts -= 1
        body = body[: state.cut_after]
    with contextlib.suppress(OSError):
        handler.wfile.write(body)
    handler.close_connection = True


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_cut_connection_is_taken_up_again(ranges: bool, name: str, server: Server, tmp_path: Path) -> None:
    data = gzip.compress(PLAIN) if name.endswith("gz") else PLAIN
    server.files["/" + name], server.ranges, server.cut_after = data, ranges, len(data) // (7 if ranges else 2)
    (tmp_path / name).write_bytes(data)
    server.cuts = 6 if ranges else 1
    batches = load(f"{server.url}/{name}")
    account(batches)
    assert not quarantined(batches) and rows(batches) == rows(load(tmp_path / name))
    assert server.cuts == 0 and any(asked for asked in server.seen)


def test_a_server_that_stays_away_is_a_letter(server: Server) -> None:
    server.files["/a.jsonl"], server.cut_after, server.cuts = PLAIN, 0, 10**9
    with pytest.raises(
        StorageError, match=r"could not read it from byte 0 on, after 5 tries: the connection ended at byte 0 of"
    ):
        load(f"{server.url}/a.jsonl")
    with pytest.raises(StorageError, match=r"after 5 tries: .*refused"):
        HttpFile("http://127.0.0.1:9/a.jsonl")


def test_answers_that_pass_and_that_do_not(server: Server) -> None:
    server.files["/a.jsonl"] = PLAIN
    server.errors = [503, 429, 500]
    assert len(rows(load(f"{server.url}/a.jsonl"))) == 3000
    with pytest.raises(InputError, match=r"there is no such file \(HTTP 404\)"):
        load(f"{server.url}/none.jsonl")
    assert len(server.seen) == 5  # a 404 is not asked again
    server.errors = [403]
    with pytest.raises(InputError, match=r"not allowed \(HTTP 403\)"):
        storage.stat(f"{server.url}/a.jsonl")


@pytest.mark.parametrize("tags", [True, False])
def test_a_file_that_changes_is_never_mixed(tags: bool, server: Server) -> None:
    server.files["/a"], server.tags = b"x" * 400_000, tags
    server.cut_after, server.cuts = 200_000, 1
    with HttpFile(f"{server.url}/a") as file:
        assert file.read(1000) == b"x" * 1000
        server.files["/a"] = b"y" * 500_000
        with pytest.raises(StorageError, match="changed while it was read"):
            while file.read(50_000):
                pass


def test_seek_and_parquet(server: Server) -> None:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [f"t{i}" for i in range(1000)]}), out)
    server.files["/a.parquet"] = out.getvalue().to_pybytes()
    assert len(rows(load(f"{server.url}/a.parquet"))) == 1000
    with HttpFile(f"{server.url}/a.parquet") as file:
        assert pq.ParquetFile(file).metadata.num_rows == 1000
        file.seek(-4, 2)
        assert file.read() == b"PAR1" and file.tell() == file.size


# ---- crawls by name


def crawl(server: Server, kind: str = "warc") -> list[str]:
    names = [f"crawl-data/CC-MAIN-2026-30/segments/{i}/{kind}/f{i}.jsonl" for i in range(9)]
    for name in names:
        server.files["/" + name] = PLAIN[:500]
    server.files[f"/crawl-data/CC-MAIN-2026-30/{kind}.paths.gz"] = gzip.compress("\n".join(names).encode())
    return names


def test_a_crawl_by_name(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    names = crawl(server)
    found = crawl_paths.expand("cc://CC-MAIN-2026-30?files=3&skip=2", server.url)
    assert [info.path for info in found] == [f"{server.url}/{name}" for name in names[2:5]]
    assert found[0].size == 500 and found[0].version
    monkeypatch.setenv("GRISTMILL_CRAWL_URL", server.url)
    assert len(crawl_paths.expand("cc://CC-MAIN-2026-30")) == 9
    text = f'{{"input": {{"paths": "cc://CC-MAIN-2026-30?files=2", "base_url": "{server.url}"}}, "output": {{"path": "o"}}}}'
    shards = inputs.shards(*read_recipe(text, "r.yaml"))
    assert [shard["path"] for shard in shards] == [f"{server.url}/{name}" for name in names[:2]]


@pytest.mark.parametrize(
    "path, letter",
    [
        ("cc://2026-30", "'2026-30' is no crawl's name"),
        ("cc://CC-MAIN-2026-30?fils=3", "unknown key 'fils', did you mean 'files'"),
        ("cc://CC-MAIN-2026-30?kind=wrc", "kind is 'wrc', did you mean 'warc'"),
        ("cc://CC-MAIN-2026-30?files=some", "files is 'some', expected a whole number"),
        ("cc://CC-MAIN-2026-30?files=0", "expected a whole number"),
        ("cc://CC-MAIN-2026-31", "the crawl has no list of files there"),
        ("cc://CC-MAIN-2026-30?skip=100", "skip=100 leaves none"),
        ("cc://CC-MAIN-2026-30?kind=wet", "is no gzip list"),
    ],
)
def test_letters_about_crawls(path: str, letter: str, server: Server) -> None:
    crawl(server)
    server.files["/crawl-data/CC-MAIN-2026-30/wet.paths.gz"] = b"no gzip"
    with pytest.raises(InputError, match=letter):
        crawl_paths.expand(path, server.url)
