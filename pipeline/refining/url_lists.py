"""Block lists of domains and URLs: files in, sorted hashes out, loaded once a process.

    lists/adult/domains.gz   sex.example.com            the domain and all below it
    lists/adult/urls         example.com/~user/pics     what begins with this address
    hosts.txt                0.0.0.0 ads.example.com    a hosts file

One domain or address a line, as the UT1 lists of the University of Toulouse have them (files `domains` and `urls` in a folder a
category), or a hosts file, compressed or not. An entry takes some 12 bytes. Which URL an entry meets is in `kernels.addresses`. A
public suffix (co.uk, github.io) in a list meets only the host of that very name: nobody means all sites below it. The
suffixes are the snapshot of the Public Suffix List that tldextract carries; nothing is fetched.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dedup.urls import canonical_url
from kernels.addresses import directory_of
from kernels.hashes import hash_words
from kernels.memory import PAD
from kernels.url_lists import Lines, read_lines
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.patterns import expand
from pipeline.readers.streams import TailError, as_utf8, chunks

CHUNK = 1 << 20
LONGEST_LINE = 16 << 20
FOLDER_NAMES = re.compile(r"(.*\.)?(domains|urls|hosts)(\.txt)?|.+\.(txt|list)", re.IGNORECASE)
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
_FRONT = re.compile(r"(https?://|\*\.)?\.?", re.IGNORECASE)


class Entries(NamedTuple):
    """hashes: uint64, rising; begins, numbers: as `kernels.addresses.find_listed` takes them."""

    hashes: np.ndarray
    begins: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True)
class Lists:
    """All files as one table. files: {"path", "name", "list", "sha256", "entries", "suffixes", "skipped", "example"} each;
    the sha256 is of the text, not of its compression."""

    entries: Entries
    files: list[dict[str, Any]]


def list_files(paths: list[str]) -> list[tuple[str, str]]:
    """(path, name as given) of each file that `paths` (files, folders, globs) name, sorted. Errors: InputError."""
    found = expand(paths, lambda path: bool(FOLDER_NAMES.fullmatch(_bare(path))))
    return [(info.path if "://" in info.path else os.path.abspath(info.path), info.path) for info in found]


def _bare(path: str) -> str:
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return name


def list_name(path: str) -> str:
    """'adult' of lists/adult/domains.gz and of lists/adult.txt."""
    stem = _bare(path).removesuffix(".txt")
    folder = path.replace("\\", "/").rstrip("/").split("/")[-2:-1]
    return folder[0] if stem in ("domains", "urls") and folder and folder[0] else stem


@functools.lru_cache(maxsize=2)
def load(asked: tuple[tuple[str, str, str | None], ...]) -> Lists:
    """The entries of files (path, name, sha256 or None), each for a list of its own, in this order.

    Errors: InputError for a file that cannot be read, holds no entry, or has another sha256.
    """
    hashes, numbers, files = [], [], []
    for number, (path, name, sha256) in enumerate(asked):
        found, exact, about = _read_file(path, name)
        if sha256 is not None and about["sha256"] != sha256:
            raise InputError(f"{name}: this list changed while the run went on. Start again with --fresh.")
        hashes.append(found)
        numbers.append((2 * number + exact).astype(np.uint16))
        files.append({"path": path, "name": name, "list": list_name(name), **about})
    return Lists(merged(hashes, numbers), files)


def merged(hashes: list[np.ndarray], numbers: list[np.ndarray]) -> Entries:
    """One table of several, in order: of equal entries the first counts."""
    together = np.concatenate([np.zeros(0, np.uint64), *hashes])
    order = np.argsort(together, kind="stable")
    together = together[order]
    first = np.ones(len(together), bool)
    first[1:] = together[1:] != together[:-1]
    together = together[first]
    return Entries(together, directory_of(together), np.concatenate([np.zeros(0, np.uint16), *numbers])[order][first])


def _read_file(path: str, name: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """(hashes uint64 rising, bool: it is a public suffix, what is told of the file)."""
    hashes, exact = [np.zeros(0, np.uint64)], [np.zeros(0, bool)]
    lines = skipped = 0
    example = None
    digest = hashlib.sha256()
    for data, size in _whole_lines(path, name):
        digest.update(data[:size].data)
        found = read_lines(data, size)
        odd, wrong = _odd_entries(data, found)
        if (skipped := skipped + len(found.wrong) + wrong) and example is None and len(found.wrong):
            line, place = found.wrong[0].tolist()
            text = bytes(data[place : min(place + 80, size)]).splitlines()[0].decode("utf-8", "replace").strip()
            example = f"line {lines + line + 1}: {text[:60]}"
        lines += found.lines
        hashes.append(np.concatenate([found.hashes, odd.hashes]))
        exact.append(is_suffix(hashes[-1], np.concatenate([found.parents, odd.parents])))
    values, first = np.unique(np.concatenate(hashes), return_index=True)
    if not len(values):
        told = f" (the first, {example}, is no domain or URL)" if example else ""
        raise InputError(
            f"{name}: none of its {lines:,} lines is an entry{told}. Expected a domain or URL a line, or a hosts file."
        )
    suffixes = np.concatenate(exact)[first]
    about = {
        "sha256": digest.hexdigest(),
        "entries": len(values),
        "suffixes": int(suffixes.sum()),
        "skipped": skipped,
        "example": example,
    }
    return values, suffixes, about


def _whole_lines(path: str, name: str) -> Iterator[tuple[np.ndarray, int]]:
    """The text in pieces of whole lines: (writable bytes with `PAD` behind, how many are text)."""
    held = bytearray()
    try:
        with storage.open_read(path) as stream:
            for piece in as_utf8(chunks(stream)):
                held += piece
                if len(held) < CHUNK:
                    continue
                cut = held.rfind(b"\n") + 1
                if cut:
                    yield _array(held[:cut])
                    del held[:cut]
                elif len(held) > LONGEST_LINE:
                    raise InputError(f"{name}: a line of more than {LONGEST_LINE >> 20} MiB: this is no list.")
    except TailError as error:
        raise InputError(f"{name}: the file is cut or damaged: {error}. Fetch it again.") from None
    if held:
        yield _array(held)


def _array(text: bytearray) -> tuple[np.ndarray, int]:
    return np.frombuffer(text + bytes(PAD), np.uint8), len(text)


def _odd_entries(data: np.ndarray, found: Lines) -> tuple[Lines, int]:
    """Entries with a query, an escape, a port or letters beyond ASCII, and how many of them are no addresses."""
    wrong = 0
    forms: list[str] = []
    for start, end in found.odd.tolist():
        form = entry_form(bytes(data[start:end]).decode("utf-8", "replace"))
        forms += [form] if form else []
        wrong += form is None
    return found._replace(hashes=form_hashes(forms), parents=_parents(forms)), wrong


def entry_form(entry: str) -> str | None:
    """The canonical form of an entry; None if it names no domain."""
    form = canonical_url("http://" + _FRONT.sub("", entry.strip(), count=1))
    host = re.split("[/?#]", form or "", maxsplit=1)[0].rpartition("@")[2]
    return form if re.fullmatch(r"[\w-][\w.-]*\.[\w-]+(:\d+)?", host) and "://" not in (form or "") else None


def form_hashes(forms: list[str]) -> np.ndarray:
    """uint64 of canonical forms, as the kernels hash them."""
    return hash_words([form.encode("utf-8", "replace") for form in forms]) if forms else np.zeros(0, np.uint64)


def _parents(forms: list[str]) -> np.ndarray:
    above = ["" if re.search("[/?#:@]", form) else form.partition(".")[2] for form in forms]
    return np.where([bool(parent) for parent in above], form_hashes(above), np.uint64(0)).astype(np.uint64)


# -- public suffixes -------------------------------------------------------------------------------


class Suffixes(NamedTuple):
    """The Public Suffix List: hashes (uint64, rising) of its rules, of the names under which each name is a suffix ("*.ck")
    and of the exceptions from these ("!www.ck"); version, and the sha256 of the file."""

    rules: np.ndarray
    wild: np.ndarray
    exceptions: np.ndarray
    version: str


@functools.cache
def suffixes() -> Suffixes:
    """The snapshot that the installed tldextract carries. Errors: InputError if there is none."""
    spec = importlib.util.find_spec("tldextract")
    file = Path(spec.origin or "").parent / ".tld_set_snapshot" if spec else None
    if file is None or not file.is_file():
        raise InputError("Lists of domains need the Public Suffix List that tldextract carries: pip install tldextract")
    raw = file.read_bytes()
    text = raw.decode()
    lines = [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("//")]
    version = re.search(r"VERSION: (\S+)", text)
    kinds: dict[str, list[bytes]] = {"": [], "*.": [], "!": []}
    for rule in lines:
        mark = next((mark for mark in ("*.", "!") if rule.startswith(mark)), "")
        name = rule.removeprefix(mark)
        kinds[mark].append(name.encode() if name.isascii() else name.encode("idna"))
    rules, wild, exceptions = (np.sort(hash_words(names)) for names in kinds.values())
    return Suffixes(
        rules, wild, exceptions, f"{version[1] if version else 'unknown'}+{hashlib.sha256(raw).hexdigest()[:8]}"
    )


def is_suffix(hashes: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Which domains (uint64, with the domain above each) are public suffixes, bool."""
    known = suffixes()
    return _in(known.rules, hashes) | (_in(known.wild, parents) & ~_in(known.exceptions, hashes))


def _in(listed: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(listed, hashes), len(listed) - 1)
    return listed[at] == hashes
