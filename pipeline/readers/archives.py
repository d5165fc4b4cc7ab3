"""Tar and zip archives: members of known formats are read as files of their own; samples of WebDataset are joined.

    shard-000000.tar:  a.txt  b.jsonl.gz  c.html  d.png     -> a's text, b's records, c's page; d.png is skipped
    WebDataset:        0001.txt  0001.json  0001.jpg        -> one record: the fields of the JSON, the text of the .txt

Members that stand together and share a name up to the first dot, one of them `.json` and one of them text, are a sample.
A tar is read front to back: one that is cut gives the members before the cut, and behind a damaged header reading goes
on at the next good one. A zip is read by its directory; a member that is broken, encrypted or too long is one quarantined
entry. Members of other kinds (pictures, sound) and archives inside archives are skipped and counted. Not covered: 7z, rar,
multi-volume archives, sparse files.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple, cast

import orjson

from pipeline.errors import InputError
from pipeline.readers import STREAMS, files, format_of, reader
from pipeline.readers.fields import metadata
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.streams import TailError, chunks

BLOCK = 512
HEADER_LIMIT = 1 << 20  # bytes of a header that carries a long name; real ones have some hundred
PAX = re.compile(rb"^\d+ (path|size)=(.*)$", re.MULTILINE)
SAMPLE_TEXT = ("text", "markdown", "html")
PIECE = 1 << 20  # bytes of a member that are asked for at once
SAMPLE_LIMIT = 64 << 20  # bytes of one member that is held for a sample
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


class Member(NamedTuple):
    """A file in an archive. offset: of its first byte in the plain archive, None in a zip."""

    name: str
    size: int
    offset: int | None
    open: Callable[[], BinaryIO]


def read_tar(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """The documents of a tar archive's members, in its order."""
    source = _Plain(chunks(stream))
    try:
        yield from _members(_tar_members(source, rows), rows)
    except _Cut as error:
        if source.tail:
            rows.lost_tail(source.tail)
        else:
            rows.quarantine(f"EOFError: {error}; fetch the file again", b" ", source.offset, tail=True)


def read_zip(path: str, rows: Rows) -> Iterator[Batch]:
    """The documents of a zip archive's members, in the order of its directory. `InputError` if it has none."""
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN_ZIP as error:
        raise InputError(
            f"{rows.path}: not a readable zip archive: {error}. Its directory is missing or damaged: "
            "fetch the file again, or mend it: zip -FF."
        ) from error
    with archive:
        yield from _members(_zip_members(archive, rows), rows)


# ---- members to documents


def _members(members: Iterator[Member], rows: Rows) -> Iterator[Batch]:
    """Each member by its format; those of a sample together."""
    held: list[tuple[str, bytes]] = []  # (name, bytes) of what may become a sample
    archive, cut = rows.file, None
    try:
        for member in members:
            yield from _member(member, held, archive, rows)
    except _Cut as error:
        cut = error
    yield from _sample(held, archive, rows)
    if cut:
        raise cut


def _member(member: Member, held: list[tuple[str, bytes]], archive: str, rows: Rows) -> Iterator[Batch]:
    kind = format_of(member.name)
    if held and (sample_key(held[0][0]) != sample_key(member.name) or len(held) == 2):
        yield from _sample(held, archive, rows)
        held.clear()
    if kind is None or kind not in STREAMS or kind in ("tar", "wat"):
        rows.skip(f"member {_ending(member.name)}")
    elif (kind in SAMPLE_TEXT or member.name.endswith(".json")) and member.size <= SAMPLE_LIMIT:
        data = yield from _whole(member, rows)
        held += [(member.name, data)] if data is not None else []
    else:
        yield from _one(member.name, kind, member.open, archive, rows)


def _whole(member: Member, rows: Rows) -> Generator[Batch, None, bytes | None]:
    try:
        with member.open() as file:
            # in pieces: all at once, a zip asks for as many bytes as its directory says that the packed ones are
            return b"".join(iter(lambda: file.read(PIECE), b""))
    except _Cut:
        raise
    except BROKEN_ZIP as error:
        rows.quarantine(f"BrokenMember: {member.name}: {describe(error)}", member.name.encode("utf-8", "replace"))
        yield from rows.ready()
        return None


def sample_key(name: str) -> str:
    """WebDataset's key: the path up to the first dot of the last name."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _ending(name: str) -> str:
    last = name.rpartition("/")[2]
    return ("." + last.rpartition(".")[2].lower())[:20] if "." in last else "without ending"


def _sample(held: list[tuple[str, bytes]], archive: str, rows: Rows) -> Iterator[Batch]:
    """What was held back: one record if it is JSON and text, else one member after another."""
    texts = [(name, data) for name, data in held if not name.endswith(".json")]
    fields = [data for name, data in held if name.endswith(".json")]
    if len(texts) == 1 and len(fields) == 1:
        try:
            record = orjson.loads(fields[0])
        except orjson.JSONDecodeError:
            record = None
        if isinstance(record, dict):
            _joined(texts[0], record, rows)
            yield from rows.ready()
            return
    for name, data in held:
        yield from _one(name, format_of(name) or "", lambda data=data: io.BytesIO(data), archive, rows)  # type: ignore[misc]


def _joined(text: tuple[str, bytes], record: dict[str, Any], rows: Rows) -> None:
    """A sample's record: the fields of its JSON, its text, and its key where it has no id."""
    name, data = text
    if format_of(name) == "html":
        rows.append(html=data, content_type="text/html", id=sample_key(name), metadata=metadata(record))
        return
    content = files.decode(data)
    if content is None:
        rows.quarantine("UnicodeDecodeError: neither UTF-8 nor any encoding that could be detected", data)
        return
    made = {} if rows.columns.id is None or record.get(rows.columns.id) else {rows.columns.id: sample_key(name)}
    rows.add({**record, **made, rows.columns.text: content}, None, data[:1024])


def _one(name: str, kind: str, open_: Callable[[], BinaryIO], archive: str, rows: Rows) -> Iterator[Batch]:
    """One member by the reader of its format. What breaks in it costs itself only."""
    rows.file = name.encode("utf-8", "replace").decode()
    try:
        yield from reader(STREAMS[kind])(open_(), rows)
    except _Cut:
        raise
    except (*BROKEN_ZIP, InputError) as error:
        rows.quarantine(f"BrokenMember: {name}: {describe(error)}", name.encode("utf-8", "replace"))
    finally:
        rows.file = archive


# ---- zip


def _zip_members(archive: zipfile.ZipFile, rows: Rows) -> Iterator[Member]:
    for info in archive.infolist():
        if info.filename.endswith("/"):  # not is_dir(), which needs a name
            continue
        if info.flag_bits & 1:
            rows.quarantine(f"EncryptedMember: {info.filename}", info.filename.encode("utf-8", "replace"))
            continue
        yield Member(info.filename, info.file_size, None, partial(_opened, archive, info))


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(info))


# ---- tar


class _Plain:
    """The archive's plain bytes, with a count of those that were taken."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self._buffer = b""
        self.offset = 0
        self.tail: TailError | None = None

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except TailError as tail:
            self.tail = tail
            raise _Cut("the archive is damaged") from None

    def take(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end of the file."""
        parts, count = [self._buffer], len(self._buffer)
        while count < size and (data := self._next()):
            parts.append(data)
            count += len(data)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        self.offset += min(size, count)
        return whole[:size]

    def some(self, most: int) -> bytes:
        """Up to `most` bytes; none only at the end of the file."""
        if not self._buffer:
            self._buffer = self._next()
        return self.take(min(most, len(self._buffer)))


class _Body(io.RawIOBase):
    """The bytes of one member. EOFError if the file ends inside it."""

    def __init__(self, source: _Plain, size: int):
        super().__init__()
        self._source = source
        self.left = size

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            parts = []
            while part := self.read(1 << 20):
                parts.append(part)
            return b"".join(parts)
        data = self._source.some(min(size, self.left)) if self.left and size else b""
        self.left -= len(data)
        if not data and self.left and size:
            raise _Cut("the archive ends inside a member")
        return data


class _Cut(EOFError):
    """The end of the archive where there should be more."""


def _tar_members(source: _Plain, rows: Rows) -> Iterator[Member]:
    """The regular files, one after another; each must be used before the next is asked for."""
    fields: dict[str, str] = {}  # what a header before the member's own says of it
    ended = lost = False
    while block := source.take(BLOCK):
        if len(block) < BLOCK:
            raise _Cut("the archive ends inside a header")
        if not any(block):
            ended = True  # two of them end an archive; another may follow (cat a.tar b.tar)
            continue
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            if not lost:
                letter = f"BrokenTar: {describe(error)}; read on at the next good header"
                rows.quarantine(letter, block, source.offset - BLOCK)
            ended = lost = True
            continue
        ended = lost = False
        size = int(fields.get("size", "")) if fields.get("size", "").isdigit() else info.size
        if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            fields |= _header_fields(info, source.take(min(_padded(size), HEADER_LIMIT)))
            continue
        if info.isreg() and info.type != tarfile.GNUTYPE_SPARSE:
            body = _Body(source, size)
            name = fields.get("path", info.name)
            yield Member(name, size, source.offset, lambda body=body: body)  # type: ignore[misc]
            size = body.left + (_padded(size) - size)
        else:
            size = 0 if info.type in (tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE) else _padded(size)
        fields = {}
        while size and (passed := source.some(min(size, 1 << 20))):
            size -= len(passed)
        if size:
            raise _Cut("the archive ends inside a member")
    if source.offset and not ended:
        raise _Cut("the archive has no end mark")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _header_fields(info: tarfile.TarInfo, data: bytes) -> dict[str, str]:
    """Path and size from a header that stands before a member's own: GNU's long names, POSIX's `LENGTH KEY=VALUE`."""
    data = data[: info.size]
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    found = PAX.findall(data)
    return {key.decode(): value.decode("utf-8", "surrogateescape") for key, value in found}
