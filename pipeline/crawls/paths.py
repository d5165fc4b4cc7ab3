"""Common Crawl's crawls by name.

    cc://CC-MAIN-2026-30?files=100&kind=warc    the first 100 WARC files of a crawl
    cc://CC-MAIN-2026-30?files=100&skip=100     the next 100

The files are named by the crawl's own list, `crawl-data/CRAWL/warc.paths.gz`, below the base URL: `input: {base_url: ...}`,
or GRISTMILL_CRAWL_URL in the environment, or the public one. A mirror, a local folder or a bucket will do.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl

from filters.registry import nearest
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.storage import FileInfo

PUBLIC = "https://data.commoncrawl.org"
KINDS = ("warc", "wet", "wat")
KEYS = ("files", "skip", "kind")
ASKED_AT_ONCE = 16  # sizes of files are asked for by so many threads: a request is 50 ms of waiting
EXPECTED = "Expected cc://CC-MAIN-YYYY-WW?files=N&kind=warc."


def is_crawl(path: str) -> bool:
    return path.startswith("cc://")


def expand(path: str, base_url: str | None = None) -> list[FileInfo]:
    """The files that `path` names, in the order of the crawl's list. Errors: InputError."""
    crawl, kind, skip, count = parse(path)
    base = base_url or os.environ.get("GRISTMILL_CRAWL_URL") or PUBLIC
    index = storage.join(base, "crawl-data", crawl, f"{kind}.paths.gz")
    try:
        names = gzip.decompress(storage.read_bytes(index)).decode().split()
    except InputError as error:
        raise InputError(f"{path}: the crawl has no list of files there: {error}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {index} is no gzip list of paths: {error}") from None
    chosen = names[skip : skip + count] if count else names[skip:]
    if not chosen:
        raise InputError(f"{path}: the crawl has {len(names)} files of kind {kind}; skip={skip} leaves none.")
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return list(pool.map(storage.stat, (storage.join(base, name) for name in chosen)))


def parse(path: str) -> tuple[str, str, int, int | None]:
    """(crawl, kind, files to skip, files to take or None for all)."""
    crawl, _, query = path.removeprefix("cc://").partition("?")
    if not re.fullmatch(r"CC-[A-Z]+-[0-9][0-9-]*", crawl):
        raise InputError(f"{path}: '{crawl}' is no crawl's name. {EXPECTED}")
    given = dict(parse_qsl(query, keep_blank_values=True))
    for key in given:
        if key not in KEYS:
            raise InputError(f"{path}: unknown key '{key}'{nearest(key, KEYS)}. {EXPECTED}")
    kind = given.get("kind", "warc")
    if kind not in KINDS:
        raise InputError(f"{path}: kind is '{kind}'{nearest(kind, KINDS)} (known: {', '.join(KINDS)})")
    for key in ("files", "skip"):
        if not given.get(key, "1").isdigit() or (key == "files" and given.get(key) == "0"):
            raise InputError(f"{path}: {key} is '{given[key]}', expected a whole number. {EXPECTED}")
    return crawl, kind, int(given.get("skip", 0)), int(given["files"]) if "files" in given else None
