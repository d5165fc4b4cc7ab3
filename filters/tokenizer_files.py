"""Tokenizer files of three kinds behind one face: texts in, token ids out, in batches, on one thread.

    tokenizer = open_tokenizer("tokenizer.json")           # what it is, is found from the bytes
    tokenizer.encode(["Hi there", "Hi"])   ->   Tokens(ids=[17, 250, 17], ends=[2, 3])

    tokenizer.json    Hugging Face's library `tokenizers`; truncation and padding set in the file are switched off
    *.tiktoken        lines "BASE64 RANK", library `tiktoken`; the file holds no split pattern and no special tokens: those of
                      OpenAI's files are known by the file's sha256, for others `pattern` and `special` say them
    *.model           library `sentencepiece`

A text is text: "<|endoftext|>" inside a document is spelled out in ordinary tokens, in all three. No beginning or end mark
is added here. Nothing is downloaded, ever. sentencepiece normalises: its tokens do not always give the same text back.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

BATCH_CHARS = 1 << 20
"""Texts handed to a library at once: its answer takes about 100 bytes a token."""

END = "<|endoftext|>"
_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+")

PATTERNS = {
    "r50k_base": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k_base": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k_base": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""The split patterns of OpenAI's encodings, as openai/tiktoken 0.14 names them (tiktoken_ext/openai_public.py)."""

KNOWN = {  # sha256 of the published file -> its pattern and special tokens (the same source)
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": ("r50k_base", {END: 50256}),
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": ("r50k_base", {END: 50256}),
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": ("cl100k_base", {END: 100257}),
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": ("o200k_base", {END: 199999}),
}


@dataclass(frozen=True)
class Tokens:
    """Texts as tokens: text i is ids[ends[i - 1]:ends[i]]; uint32 of shape (tokens,) and int64 of shape (texts,)."""

    ids: np.ndarray
    ends: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Tokens of each text, int64."""
        return np.diff(self.ends, prepend=0)


class Library(Protocol):
    """What one library does for a batch."""

    vocab: int  # ids are below it

    def ids(self, texts: list[str]) -> list[Any]: ...
    def counts(self, texts: list[str]) -> list[int]: ...
    def id_of(self, token: str) -> int | None: ...
    def specials(self) -> list[str]: ...
    def text_of(self, ids: list[int]) -> str: ...


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer file that is open. `kind`: huggingface, tiktoken or sentencepiece; `version`: its library's."""

    path: str
    sha256: str
    kind: str
    version: str
    library: Library

    @property
    def vocab(self) -> int:
        """One more than the largest id."""
        return self.library.vocab

    def encode(self, texts: list[str]) -> Tokens:
        """The texts' own tokens. Errors: ValueError if the library gives up on a text."""
        arrays: list[np.ndarray] = []
        for batch in batches(texts):
            with calm():
                arrays += [np.asarray(ids, np.uint32) for ids in self.library.ids(batch)]
        sizes = np.fromiter((len(ids) for ids in arrays), np.int64, len(arrays))
        return Tokens(np.concatenate(arrays) if arrays else np.empty(0, np.uint32), np.cumsum(sizes))

    def count(self, texts: list[str]) -> np.ndarray:
        """Tokens of each text, int64. Errors: as `encode`."""
        found: list[int] = []
        for batch in batches(texts):
            with calm():
                found += self.library.counts(batch)
        return np.array(found, np.int64)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some tokens, special ones spelled out."""
        return self.library.text_of(ids.tolist())

    def id_of(self, token: str) -> int | None:
        """The id of one token by its name, None if it has none."""
        return self.library.id_of(token)

    def specials(self) -> list[str]:
        """Names of the special tokens, for error messages."""
        return self.library.specials()


def open_tokenizer(path: str, pattern: str | None = None, special: dict[str, int] | None = None) -> Tokenizer:
    """The tokenizer in a local file. `pattern` and `special` are for .tiktoken files only.

    Errors: FileNotFoundError, and ValueError for a file that is none, a missing library, or options that do not fit it.
    """
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    kind = _kind(data)
    if kind != "tiktoken" and (pattern or special):
        raise ValueError(
            f"{path} is a {kind} file, which holds its own pattern and special tokens; leave these keys out"
        )
    if kind == "huggingface":
        return Tokenizer(path, sha256, kind, _version("tokenizers", path), _HuggingFace(path, data))
    if kind == "sentencepiece":
        return Tokenizer(path, sha256, kind, _version("sentencepiece", path), _SentencePiece(path, data))
    known_pattern, known_special = KNOWN.get(sha256, (None, {}))
    pattern = pattern or known_pattern
    if pattern is None:
        raise ValueError(
            f"{path} holds tiktoken's ranks, and such a file does not say how texts are split. Give tokens: {{pattern: NAME}} "
            f"({', '.join(PATTERNS)}) or the regular expression itself, and tokens: {{special: {{NAME: ID}}}}"
        )
    version = _version("tiktoken", path)
    return Tokenizer(
        path, sha256, kind, version, _Tiktoken(path, data, PATTERNS.get(pattern, pattern), special or known_special)
    )


def _read(path: str) -> bytes:
    file = Path(path)
    if file.is_dir():
        inside = next((name for name in ("tokenizer.json", "tokenizer.model") if (file / name).is_file()), None)
        hint = (
            f"name the file in it: {file / inside}"
            if inside
            else "it holds no tokenizer.json; name the tokenizer's file"
        )
        raise ValueError(f"{path} is a folder; {hint}")
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no tokenizer at {path}. Nothing is downloaded: put a tokenizer.json, .tiktoken or sentencepiece .model file "
            "there, or make one with 'gristmill train-tokenizer'"
        )
    return file.read_bytes()


def _kind(data: bytes) -> str:
    if data[:256].lstrip().startswith(b"{"):
        return "huggingface"
    return "tiktoken" if _LINE.fullmatch(data.split(b"\n", 1)[0].rstrip(b"\r")) else "sentencepiece"


def _version(library: str, path: str) -> str:
    try:
        return f"{library} {importlib.metadata.version(library)}"
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"{path} needs the library {library}, which is not installed: pip install {library}") from None


def batches(texts: list[str]) -> Iterator[list[str]]:
    """Neighbouring texts, at most BATCH_CHARS characters together where one alone is not longer."""
    start = size = 0
    for at, text in enumerate(texts):
        if size and size + len(text) > BATCH_CHARS:
            yield texts[start:at]
            start, size = at, 0
        size += len(text)
    if start < len(texts):
        yield texts[start:]


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """A panic in a Rust library is no `Exception` of Python; as one it costs only the text that it happened in."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the tokenizer gave up on a text: {error}") from None


# -- the libraries ---------------------------------------------------------------------------------


class _HuggingFace:
    def __init__(self, path: str, data: bytes) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread a task: the engine owns parallelism
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(data.decode("utf-8"))
        except Exception as error:
            raise ValueError(
                f"{path} is JSON, but no tokenizer.json: {error}. Expected what `tokenizers` saves (keys model, pre_tokenizer, ...)"
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self.vocab = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def ids(self, texts: list[str]) -> list[Any]:
        return [found.ids for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def counts(self, texts: list[str]) -> list[int]:
        return [len(found) for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def id_of(self, token: str) -> int | None:
        return self._tokenizer.token_to_id(token)

    def specials(self) -> list[str]:
        return [token.content for token in self._tokenizer.get_added_tokens_decoder().values() if token.special]

    def text_of(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)


class _Tiktoken:
    def __init__(self, path: str, data: bytes, pattern: str, special: dict[str, int]) -> None:
        import tiktoken

        ranks = _ranks(path, data)
        for name, number in special.items():
            if number < len(ranks):
                raise ValueError(
                    f"{path}: the special token {name!r} has id {number}, which the file gives to another token"
                )
        try:
            self._encoding = tiktoken.Encoding(
                Path(path).stem, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special
            )
        except Exception as error:
            raise ValueError(
                f"{path}: tiktoken does not take these ranks with the pattern {pattern!r}: {error}"
            ) from None
        self._special = special
        self.vocab = max([len(ranks), *(number + 1 for number in special.values())])

    def ids(self, texts: list[str]) -> list[Any]:
        return [self._encoding.encode_to_numpy(text, disallowed_special=()) for text in texts]

    def counts(self, texts: list[str]) -> list[int]:
        return [len(found) for found in self.ids(texts)]

    def id_of(self, token: str) -> int | None:
        return self._special.get(token)

    def specials(self) -> list[str]:
        return list(self._special)

    def text_of(self, ids: list[int]) -> str:
        return self._encoding.decode(ids)


def _ranks(path: str, data: bytes) -> dict[bytes, int]:
    """Token -> rank of a .tiktoken file. Errors: ValueError with the line."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        line = line.rstrip(b"\r")
        if not line:
            continue
        if not _LINE.fullmatch(line):
            raise ValueError(
                f"{path}, line {number}: expected a token in base64, a space and its rank, got {line[:40]!r}"
            )
        token, rank = line.split()
        try:
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except binascii.Error as error:
            raise ValueError(f"{path}, line {number}: {token[:40]!r} is no base64: {error}") from None
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise ValueError(
            f"{path}: the ranks of its {len(ranks)} tokens are not 0 to {len(ranks) - 1}; the file is cut or damaged"
        )
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise ValueError(f"{path}: no token for the byte {missing[0]:#04x}; a text with it could not be encoded")
    return ranks


class _SentencePiece:
    def __init__(self, path: str, data: bytes) -> None:
        import sentencepiece

        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(data)
            self.vocab = int(self._processor.vocab_size())
        except Exception as error:
            raise ValueError(_no_tokenizer(path, data, error)) from None
        if not data or not self.vocab:
            raise ValueError(_no_tokenizer(path, data, "it has no pieces"))

    def ids(self, texts: list[str]) -> list[Any]:
        return self._processor.encode(texts, out_type=int, num_threads=1)

    def counts(self, texts: list[str]) -> list[int]:
        return [len(found) for found in self.ids(texts)]

    def id_of(self, token: str) -> int | None:
        number = int(self._processor.piece_to_id(token))
        return number if self._processor.id_to_piece(number) == token else None

    def specials(self) -> list[str]:
        processor = self._processor
        return [
            processor.id_to_piece(n) for n in range(self.vocab) if processor.is_control(n) or processor.is_unknown(n)
        ]

    def text_of(self, ids: list[int]) -> str:
        return self._processor.decode(ids)


def _no_tokenizer(path: str, data: bytes, error: object) -> str:
    return (
        f"{path} is no tokenizer file ({len(data)} bytes, beginning {data[:12]!r}): neither a tokenizer.json, nor lines of a .tiktoken "
        f"file, nor a sentencepiece model ({error})"
    )


# -- the same file, opened once --------------------------------------------------------------------


def describe(tokenizer: Tokenizer, pattern: str | None, special: dict[str, int] | None) -> dict[str, Any]:
    """What tells one tokenizer from another, as JSON: it travels to workers and into fingerprints."""
    return {
        "path": tokenizer.path, "sha256": tokenizer.sha256, "kind": tokenizer.kind, "library": tokenizer.version,
        "vocab": tokenizer.vocab, "pattern": pattern, "special": special,
    }  # fmt: skip


def opened(described: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a description, opened once in a process. Errors: ValueError if the file is another one now."""
    special = tuple((described["special"] or {}).items())
    return _opened(described["path"], described["sha256"], described["pattern"], special)


@functools.lru_cache(maxsize=4)
def _opened(path: str, sha256: str, pattern: str | None, special: tuple[tuple[str, int], ...]) -> Tokenizer:
    tokenizer = open_tokenizer(path, pattern, dict(special) or None)
    if tokenizer.sha256 != sha256:
        raise ValueError(
            f"the tokenizer {path} is not the one that the run began with (sha256 {tokenizer.sha256[:12]}..., then {sha256[:12]}...). "
            "Put the first one back, or start over with --fresh"
        )
    return tokenizer
