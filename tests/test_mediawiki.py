"""MediaWiki dumps: pages to rows, and wikitext to words."""

from __future__ import annotations

import bz2
import json
import time
import tracemalloc
from pathlib import Path

import pytest
from reading import account, load, quarantined, rows, skipped

from pipeline.errors import InputError
from pipeline.readers import Columns, mediawiki, read
from pipeline.readers.wikitext import plain

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
  <siteinfo><sitename>W</sitename><base>https://de.example.org/wiki/Hauptseite</base><namespaces>
      <namespace key="-2" case="first-letter">Medium</namespace><namespace key="0" case="first-letter" />
      <namespace key="6" case="first-letter">Datei</namespace><namespace key="14" case="first-letter">Kategorie</namespace>
  </namespaces></siteinfo>
"""


def page(title: str, text: str, ns: int = 0, extra: str = "", model: str = "wikitext", number: int = 1) -> str:
    return (
        f"  <page>\n    <title>{title}</title>\n    <ns>{ns}</ns>\n    <id>{number}</id>\n{extra}"
        f"    <revision><id>{number}0</id><timestamp>2026-01-02T03:04:05Z</timestamp><model>{model}</model>"
        f'<text bytes="9" xml:space="preserve">{text}</text></revision>\n  </page>\n'
    )


PAGES = [
    page(
        "Mühle &amp; Korn",
        "'''Eine''' [[Mühle|M&amp;hle]].\n\n[[Datei:a.png|mini|Ein [[Bild]]]]\n[[Kategorie:X]]",
        number=1,
    ),
    page("Old name", "#WEITERLEITUNG [[Mühle]]", extra='    <redirect title="Mühle" />\n', number=2),
    page("Diskussion:Mühle", "talk", ns=1, number=3),
    page("Data", "{}", model="json", number=4),
    page("Zwei", "alt", number=5).replace("</revision>", "</revision><revision><id>51</id><text>neu</text></revision>"),
    page("Fort", "", number=6).replace('<text bytes="9" xml:space="preserve"></text>', '<text deleted="deleted" />'),
    page("Drei", "drei", number=7),
]


def dump(path: Path, pages: list[str]) -> Path:
    data = (HEAD + "".join(pages) + "</mediawiki>\n").encode()
    path.write_bytes(bz2.compress(data) if path.suffix == ".bz2" else data)
    return path


@pytest.mark.parametrize("name", ["dewiki-pages-articles.xml", "dewiki-20260101-pages-articles1.xml-p1p7.bz2"])
def test_a_dump(name: str, tmp_path: Path) -> None:
    batches = load(dump(tmp_path / name, PAGES))
    account(batches)
    first, second, third = rows(batches)
    assert (first["id"], first["text"], first["date"]) == ("1", "Eine M&hle.", "2026-01-02T03:04:05Z")
    assert first["url"] == "https://de.example.org/wiki/M%C3%BChle_%26_Korn"
    assert json.loads(first["metadata"]) == {"revision": "10", "title": "Mühle & Korn"}
    assert (second["text"], third["text"]) == ("neu", "drei")
    assert skipped(batches) == {
        "wiki redirect": 1,
        "wiki page of another namespace": 1,
        "wiki page of model json": 1,
        "wiki text deleted": 1,
    }
    assert rows(load(tmp_path / name, batch_rows=1)) == rows(batches)


def test_pieces_of_any_size() -> None:
    whole = (HEAD + "".join(PAGES)).encode()
    expected = [found.data for found in mediawiki._pages(whole, iter([]))]
    assert len(expected) == len(PAGES)
    for size in (1, 5, 6, 7, 100):
        pieces = iter([whole[at : at + size] for at in range(0, len(whole), size)])
        found = list(mediawiki._pages(next(pieces), pieces))
        assert [each.data for each in found] == expected
        assert all(whole[each.offset :].startswith(each.data) for each in found)


def test_a_broken_page_costs_itself(tmp_path: Path) -> None:
    pages = [PAGES[0], PAGES[6].replace("<ns>", "<ns"), PAGES[6].replace("drei", "a &nosuch; b"), PAGES[6]]
    path = dump(tmp_path / "xwiki.xml", pages)
    batches = load(path)
    account(batches)
    assert [row["id"] for row in rows(batches)] == ["1", "7"]
    assert [entry["record"] for entry in quarantined(batches)] == [1, 2]
    for entry in quarantined(batches):
        assert entry["error"].startswith("BrokenPage") and path.read_bytes()[entry["offset"] :].startswith(b"<page>")


def test_cut_dumps(tmp_path: Path) -> None:
    path = dump(tmp_path / "xwiki.xml", PAGES)
    path.write_bytes(path.read_bytes()[:-60])
    batches = load(path)
    account(batches)
    assert [row["id"] for row in rows(batches)] == ["1", "5"] and quarantined(batches)[0]["tail"]
    many = [page(f"T{i}", "words " * 300 + str(i * i), number=i) for i in range(3000)]
    path = dump(tmp_path / "xwiki.xml.bz2", many)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    batches = load(path)
    account(batches)
    assert len(rows(batches)) > 100 and quarantined(batches)[0]["tail"] and len(quarantined(batches)) == 1


def test_a_page_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.readers.jsonl.LINE_LIMIT", 2_000_000)
    path = dump(tmp_path / "xwiki.xml", [PAGES[0], page("Big", "x" * 5_000_000), PAGES[6]])
    batches = load(path)
    account(batches)
    assert [row["id"] for row in rows(batches)] == ["1", "7"]
    (entry,) = quarantined(batches)
    assert "PageTooLong: 5000" in entry["error"] and entry["offset"] == path.read_bytes().index(
        b"<page>\n    <title>Big"
    )


def test_other_xml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<rss><item>text</item></rss>")
    with pytest.raises(InputError, match="no MediaWiki dump"):
        load(tmp_path / "x.xml", format="mediawiki")


def test_memory_is_flat(tmp_path: Path) -> None:
    path = dump(tmp_path / "xwiki.xml", [page(f"T{i}", "words " * 2000, number=i) for i in range(1500)])
    tracemalloc.start()
    batches = read(str(path), format="mediawiki", columns=Columns(), default_source="s", batch_rows=100)
    assert sum(len(batch.table) for batch in batches) == 1500
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 18_000_000 and peak < 9_000_000, f"{peak >> 20} MB"


CASES = [
    ("'''''Both''''' and ''one''", "Both and one"),
    ("a [[b]] [[c|d]] [[e (f)|]]s [[:Category:g]]", "a b d s Category:g"),
    ("x {{cite|{{inner|a}}|b=[[c]]}} y", "x  y"),
    ("before\n{| class=wikitable\n|-\n| cell {{t}}\n{|\n| inner\n|}\n|}\nafter", "before\n\nafter"),
    ('a<ref name="x">gone</ref> b<ref name="x" /> c', "a b c"),
    ("[[File:a.jpg|thumb|A [[link|word]] in [http://x.org a caption]]] text", "text"),
    ("[http://x.org words] and [http://x.org] and http://y.org", "words and  and http://y.org"),
    ("== Heading ==\ntext\n=== Sub===", "Heading\ntext\nSub"),
    ("* one\n** two\n# three\n: four\n; five", "- one\n- two\n- three\nfour\nfive"),
    ("a <!-- {{ --> b", "a  b"),
    ("<nowiki>[[not a link]] {{nor this}}</nowiki> <code>x</code>", "[[not a link]] {{nor this}} x"),
    ("a&nbsp;b &lt;c&gt; &amp;amp; x<br/>y", "a b <c> &amp; x\ny"),
    ("{{never closed\ntext stays", "never closed\ntext stays"),
    ("closed }} twice ]] text", "closed  twice  text"),
    ("<math>x^2</math> <gallery>\nFile:a.png|b\n</gallery>end", "end"),
    ("__NOTOC__ text [[fr:Texte]] [[de:Text]]", "text"),
    ("1 &lt; 2 and 3 > 2, a < b", "1 < 2 and 3 > 2, a < b"),
    ("中文'''维基'''[[百科|百科全书]]。", "中文维基百科全书。"),
    ("a\n\n\n\n\nb   \n----\nc", "a\n\nb\n\nc"),
]


@pytest.mark.parametrize("wikitext, words", CASES)
def test_wikitext(wikitext: str, words: str) -> None:
    assert plain(wikitext) == words


@pytest.mark.parametrize(
    "mark", ["{{", "[[", "{|\n", "}}", "{{a|[[", "<ref>", "<!--", "[[a]]", "'''", "<nowiki>", "=", "[//", "{{x}}"]
)
def test_wikitext_takes_linear_time(mark: str) -> None:
    started = time.process_time()
    plain(mark * (400_000 // len(mark)))
    assert time.process_time() - started < 3
