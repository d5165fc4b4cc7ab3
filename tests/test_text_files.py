"""Text by lines and paragraphs, Markdown with front matter, EPUB."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from reading import account, load, quarantined, rows, skipped

from pipeline.readers import Columns, Options, files

LINE, PARAGRAPH = Options(unit="line"), Options(unit="paragraph")


def texts(path: Path, **options: object) -> list[str]:
    batches = load(path, **options)
    account(batches)
    return [row["text"] for row in rows(batches)]


TEXT = "one\r\n\r\ntwo, 中文\n  \nthree\nfour\n\n\n five \nlast"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_and_paragraphs(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(TEXT.encode(encoding))
    assert texts(path) == [TEXT]
    assert texts(path, options=LINE) == ["one", "two, 中文", "three", "four", " five ", "last"]
    assert texts(path, options=PARAGRAPH) == ["one", "two, 中文", "three\nfour", " five \nlast"]
    assert json.loads(rows(load(path, options=LINE))[0]["metadata"]) == {"file": "x.txt"}
    assert texts(path, options=LINE, batch_rows=2) == texts(path, options=LINE)
    path.write_bytes(b"\n \n")
    assert texts(path, options=LINE) == texts(path, options=PARAGRAPH) == []


def test_bad_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"good\nlatin \xe9\n\nnext\n" + b"x" * 5000 + b"\nend\n")
    monkeypatch.setattr(files, "LINE_LIMIT", 2000)
    batches = load(path, options=LINE)
    account(batches)
    assert [row["text"] for row in rows(batches)] == ["good", "next", "end"]
    first, second = quarantined(batches)
    assert first["error"].startswith("UnicodeDecodeError") and (first["record"], first["offset"]) == (1, 5)
    assert second["error"] == "TooLong: 5000 bytes, the limit is 2000" and second["offset"] == 19
    batches = load(path, options=PARAGRAPH)
    account(batches)
    assert rows(batches) == [] and [entry["offset"] for entry in quarantined(batches)] == [0, 14]


@pytest.mark.parametrize("unit", ["line", "paragraph"])
def test_cut_text(unit: str, tmp_path: Path) -> None:
    path = tmp_path / "x.txt.gz"
    plain = "".join(f"line {i * i}\n\n" for i in range(20000))
    path.write_bytes(gzip.compress(plain.encode())[:-5000])
    batches = load(path, options=Options(unit=unit))
    account(batches)
    found = [row["text"] for row in rows(batches)]
    assert len(found) > 1000 and found == [f"line {i * i}" for i in range(len(found))]
    (entry,) = quarantined(batches)
    assert entry["tail"] is True


# ---- Markdown


def test_front_matter(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("---\ntitle: A page\ndate: 2026-01-02\ntags: [a, b]\nid: p1\n---\n\n# Words\n\n---\nmore\n")
    (row,) = rows(load(path))
    assert row["text"] == "# Words\n\n---\nmore\n"
    assert (row["id"], row["date"]) == ("p1", "2026-01-02")
    assert json.loads(row["metadata"]) == {"file": "page.md", "tags": ["a", "b"], "title": "A page"}
    path.write_text('+++\r\ntitle = "T"\r\n[menu]\r\nx = 1\r\n+++\r\nbody')
    (row,) = rows(load(path))
    assert row["text"] == "body" and json.loads(row["metadata"]) == {"file": "page.md", "menu": {"x": 1}, "title": "T"}


@pytest.mark.parametrize(
    "text",
    [
        "# no front matter\n---\na: 1\n---\n",
        "---\nnever closed: 1\n# Words\n",
        "---\n- a list\n---\nWords\n",
        "---\n{: bad [yaml\n---\nWords\n",
        "---\na: &a [x, x]\nb: *a\n---\nWords\n",  # references could stand for gigabytes
        "+++\nno toml\n+++\nWords\n",
        "---\n\n---\n",
        "",
    ],
)
def test_what_is_no_front_matter_is_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text(text)
    assert texts(tmp_path / "x.md") == [text]


def test_front_matter_never_replaces_the_text(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("---\ntext: not this\nfile: nor this\n---\nbody")
    (row,) = rows(load(tmp_path / "x.md"))
    assert row["text"] == "body"
    assert json.loads(row["metadata"]) == {"file": "x.md", "front_matter": {"file": "nor this", "text": "not this"}}
    (row,) = rows(load(tmp_path / "x.md", columns=Columns(text="body")))
    assert row["text"] == "body"


def test_other_encodings_and_damage(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_bytes("# Grüße\n".encode("utf-16"))
    assert texts(tmp_path / "x.md") == ["# Grüße\n"]
    (tmp_path / "x.md.gz").write_bytes(gzip.compress(bytes(range(256)) * 400)[:-100])
    batches = load(tmp_path / "x.md.gz")
    account(batches)
    assert rows(batches) == [] and quarantined(batches)[0]["tail"]


# ---- EPUB

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>A Book</dc:title><dc:creator>One</dc:creator><dc:creator>Two</dc:creator>
<dc:language>en</dc:language><dc:date>1900</dc:date></metadata>
<manifest><item id="b" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="text/one.xhtml" media-type="application/xhtml+xml"/><item id="p" href="p.png" media-type="image/png"/>
<item id="c" href="cover.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="c"/><itemref idref="a"/><itemref idref="p"/><itemref idref="b"/></spine></package>"""


def html(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>t</title></head>'
        f"<body>{body}</body></html>"
    )


MEMBERS = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": CONTAINER,
    "OEBPS/content.opf": PACKAGE,
    "OEBPS/cover.xhtml": html('<img src="p.png"/>'),
    "OEBPS/text/one.xhtml": html("<h1>I</h1><p>First 中文 words.</p><p>More &amp; more.</p>"),
    "OEBPS/text/two b.xhtml": html("<h1>II</h1><p>Last words.</p>"),
}


def epub(path: Path, **changed: str | None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, text in {**MEMBERS, **{k.replace("__", "/"): v for k, v in changed.items()}}.items():
            if text is not None:
                out.writestr(name, text)
    return path


def test_a_book(tmp_path: Path) -> None:
    (row,) = rows(load(epub(tmp_path / "x.epub"), columns=Columns(lang="language")))
    assert row["text"].split() == ["I", "First", "中文", "words.", "More", "&", "more.", "II", "Last", "words."]
    assert (row["lang"], row["date"]) == ("en", "1900")
    assert json.loads(row["metadata"]) == {"creator": ["One", "Two"], "file": "x.epub", "title": "A Book"}


def test_chapters(tmp_path: Path) -> None:
    batches = load(epub(tmp_path / "x.epub"), options=Options(unit="chapter"))
    account(batches)
    found = rows(batches)
    assert [row["text"].split()[0] for row in found] == ["I", "II"]
    assert [json.loads(row["metadata"])["chapter"] for row in found] == [1, 2]
    assert skipped(batches) == {"page without text": 1}


def test_a_broken_page_costs_itself(tmp_path: Path) -> None:
    path = epub(tmp_path / "x.epub", **{"OEBPS/text/one.xhtml": None})
    batches = load(path)
    account(batches)
    assert rows(batches)[0]["text"].split() == ["II", "Last", "words."]
    assert "OEBPS/text/one.xhtml" in quarantined(batches)[0]["error"]


LOCK = '<encryption xmlns:e="x"><e:EncryptedData><e:EncryptionMethod Algorithm="%s"/></e:EncryptedData></encryption>'


@pytest.mark.parametrize(
    "changed, error",
    [
        ({"META-INF/container.xml": None}, "META-INF/container.xml"),
        ({"META-INF/container.xml": "<container/>"}, "names no package file"),
        ({"OEBPS/content.opf": "<package"}, "ParseError"),
        ({"OEBPS/content.opf": '<!DOCTYPE p [<!ENTITY a "b">]><p>&a;</p>'}, "declares entities"),
        ({"META-INF/encryption.xml": LOCK % "http://www.w3.org/2001/04/xmlenc#aes128-cbc"}, "DRM"),
    ],
)
def test_books_that_cannot_be_read(changed: dict[str, str | None], error: str, tmp_path: Path) -> None:
    batches = load(epub(tmp_path / "x.epub", **changed))
    account(batches)
    (entry,) = quarantined(batches)
    assert rows(batches) == [] and error in entry["error"]


def test_obscured_fonts_are_no_lock(tmp_path: Path) -> None:
    path = epub(tmp_path / "x.epub", **{"META-INF/encryption.xml": LOCK % "http://www.idpf.org/2008/embedding"})
    assert len(rows(load(path))) == 1


def test_a_cut_or_damaged_book(tmp_path: Path) -> None:
    data = epub(tmp_path / "x.epub").read_bytes()
    (tmp_path / "x.epub").write_bytes(data[: len(data) // 2])
    (entry,) = quarantined(load(tmp_path / "x.epub"))
    assert "BadZipFile" in entry["error"]
    at = data.index(b"OEBPS/text/one.xhtml") + 40
    (tmp_path / "x.epub").write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    batches = load(tmp_path / "x.epub")
    account(batches)
    assert len(rows(batches)) == 1 and "BrokenPage" in quarantined(batches)[0]["error"]
