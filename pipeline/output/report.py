"""report.html: what became of the documents, for the eyes; of manifest.json and a look into the ledger.

One file, without scripts and without anything that a browser would have to fetch. The tables are those of the data set card; what
is more are bars, three examples of each reason, the sources, what could not be read. Like all of a corpus it is a function of
input, recipe and version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

import pyarrow.parquet as pq

from pipeline.cutting.decontaminated import table_lines
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.mixtures.labels import labels_table
from pipeline.mixtures.mixture import mix_table
from pipeline.output.told import told_words
from pipeline.splits.report import split_words, strata_table

NAME = "report.html"
EXAMPLES = 3
"""Of each reason."""
LEDGER_FILES = 8
"""Files of the ledger that are looked through for examples: a run of a thousand shards has a thousand."""
ROWS = 20
"""Of a list that grows with the input: sources, shards, records."""
TEXT = 300
"""Characters of a text or a detail that are shown."""

Reasons = dict[tuple[str, str], list[dict[str, Any]]]


def report(output: str) -> str:
    """Writes the report of a finished corpus again; returns its path. Errors: InputError."""
    path = storage.join(output, "manifest.json")
    if not storage.exists(path):
        raise InputError(f"{output} holds no finished corpus: there is no manifest.json. 'gristmill run' makes one.")
    return write_report(output, json.loads(storage.read_bytes(path)))


def write_report(output: str, manifest: dict[str, Any]) -> str:
    """Writes it from a manifest in hand; the files that it names are there."""
    path = storage.join(output, NAME)
    storage.write_bytes(path, page(manifest, examples(output, manifest), quarantined(output, manifest)).encode())
    return path


# -- what is looked up -----------------------------------------------------------------------------


def examples(output: str, manifest: dict[str, Any]) -> Reasons:
    """Up to three rejected rows of each (step, reason), the first of the ledger."""
    found: Reasons = {}
    missing = {
        (step, reason): min(count, EXAMPLES)
        for step, reasons in manifest["rejected"].items()
        for reason, count in reasons.items()
    }
    for path in _files(manifest, "rejected/")[:LEDGER_FILES]:
        if not missing:
            break
        with storage.local_copy(storage.join(output, path)) as local, pq.ParquetFile(local) as ledger:
            for batch in ledger.iter_batches(batch_size=1024):
                for row, key in enumerate(zip(batch["step"].to_pylist(), batch["reason"].to_pylist())):
                    if key in missing:
                        found.setdefault(key, []).extend(batch.slice(row, 1).to_pylist())
                        if len(found[key]) == missing[key]:
                            del missing[key]
    return found


def quarantined(output: str, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The first records that could not be read."""
    return [row for row, _ in zip(_quarantine_rows(output, manifest), range(ROWS))]


def _quarantine_rows(output: str, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in _files(manifest, "quarantine/"):
        with storage.local_copy(storage.join(output, path)) as local, open(local, "rb") as lines:
            yield from map(json.loads, lines)


def _files(manifest: dict[str, Any], folder: str) -> list[str]:
    return [entry["path"] for entry in manifest["files"] if entry["path"].startswith(folder)]


# -- the page --------------------------------------------------------------------------------------

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1d2327; --paper: #fff; --line: #d8dde2; --soft: #5a6670;
  --good: #2f7d4f; --gone: #b65c1e; --bad: #a3262e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8eb; --paper: #15191c; --line: #333b42; --soft: #9aa7b1;
    --good: #58b37f; --gone: #dd8a4d; --bad: #e3727a;
  }
}
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
}
h1 { font-size: 1.6rem }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; width: 100% }
th, td {
  text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere;
}
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
td.step { white-space: nowrap }
.tiles { display: flex; flex-wrap: wrap; gap: 2rem }
.tiles b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums }
.soft, .tiles span { color: var(--soft) }
.bar { display: flex; height: .8rem; margin: 1rem 0; background: var(--line) }
td .bar { margin: .35rem 0; min-width: 8rem }
.kept { background: var(--good) }
.gone { background: var(--gone) }
.lost { background: var(--bad) }
summary { cursor: pointer }
blockquote { margin: .3rem 0 .6rem; padding-left: .8rem; border-left: 3px solid var(--line) }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
"""


def page(manifest: dict[str, Any], shown: Reasons, unread: list[dict[str, Any]]) -> str:
    """The whole page."""
    sections = [
        _head(manifest),
        _section("What went, and why", _funnel(manifest, shown)),
        _section("Splits", _splits(manifest)),
        _section("Sources", _sources(manifest)),
        _section("Duplicates", _duplicates(manifest)),
        _section("Mixture", _markdown(mix_table(manifest.get("mix")))),
        _section("Labels", _markdown(labels_table(manifest.get("labels")))),
        _section("Benchmarks looked for", _markdown(table_lines(manifest.get("decontamination", {})))),
        _section("Changed and noted", _notes(manifest)),
        _section("What could not be read", _unread(manifest, unread)),
        _section("Recipe and versions", _recipe(manifest)),
    ]
    top = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">'
    return f"{top}\n<title>A corpus by gristmill</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{''.join(sections)}</body>\n</html>\n"


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>\n{body}\n" if body else ""


def _head(manifest: dict[str, Any]) -> str:
    account, size = manifest["account"], manifest["bytes"]
    tiles = [
        (f"{account['read']:,}", f"documents read, {size['read'] / 1e6:,.1f} MB"),
        (f"{account['kept']:,}", f"kept, {size['kept'] / 1e6:,.1f} MB of text"),
        (f"{account['rejected']:,}", "rejected, each with its reason"),
        (f"{account['quarantined']:,}", "could not be read"),
    ]
    if "tokens" in manifest:
        total = sum(found["tokens"] for found in manifest["tokens"]["splits"].values())
        tiles.insert(2, (f"{total:,}", "tokens written"))
    shown = "".join(f"<div><b>{number}</b><span>{words}</span></div>" for number, words in tiles)
    shares = [("kept", account["kept"]), ("gone", account["rejected"]), ("lost", account["quarantined"])]
    return f'<h1>Corpus</h1>\n<div class="tiles">{shown}</div>\n{_bar(shares, account["read"])}\n'


def _bar(shares: list[tuple[str, int]], whole: int) -> str:
    parts = "".join(f'<i class="{kind}" style="width:{100 * n / max(whole, 1):.2f}%"></i>' for kind, n in shares)
    return f'<div class="bar" role="presentation">{parts}</div>'


def _funnel(manifest: dict[str, Any], shown: Reasons) -> str:
    """A row for each reason, in the order of the steps; its examples fold out."""
    read, left = manifest["account"]["read"], manifest["account"]["read"] - manifest["account"]["quarantined"]
    rows = []
    for step, reasons in manifest["rejected"].items():
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            left -= count
            told = "".join(_example(row) for row in shown.get((step, reason), []))
            name = f"<details><summary>{escape(reason)}</summary>{told}</details>" if told else escape(reason)
            numbers = f'<td class="n">{count:,}</td><td class="n">{count / max(read, 1):.1%}</td>'
            bar = _bar([("kept", left), ("gone", count)], read)
            rows.append(f"<tr><td class=step>{escape(step)}</td><td>{name}</td>{numbers}<td>{bar}</td></tr>")
    if not rows:
        return "<p>Nothing was rejected.</p>"
    head = '<tr><th>step</th><th>reason</th><th class="n">documents</th><th class="n">of all</th><th>gone here, and what is left</th></tr>'
    return f"<table>\n{head}\n{chr(10).join(rows)}\n</table>"


def _example(row: dict[str, Any]) -> str:
    told = [f"<b>{escape(_short(row['id'] or ''))}</b>", escape(f"{row['shard']}, record {row['record']}")]
    if row["value"] is not None:
        limit = "" if row["threshold"] is None else f", asked for {row['threshold']:g}"
        told.append(f"{row['value']:g}{limit}")
    if row["duplicate_of"] is not None:
        alike = "" if row["similarity"] is None else f", similarity {row['similarity']:.3f}"
        told.append(f"duplicate of {escape(_short(row['duplicate_of']))}{alike}")
    told += [escape(_short(row[name])) for name in ("url", "detail", "text") if row.get(name)]
    return f"<blockquote>{'<br>'.join(told)}</blockquote>"


def _short(text: str) -> str:
    return text if len(text) <= TEXT else text[:TEXT] + "..."


def _splits(manifest: dict[str, Any]) -> str:
    whole = sum(manifest["splits"].values())
    tokens = manifest.get("tokens", {}).get("splits", {})
    head = ["split", "documents", "of all", *(["tokens"] if tokens else []), "files"]
    rows = []
    for name, count in manifest["splits"].items():
        numbers = [f"{count:,}", f"{count / max(whole, 1):.2%}"]
        numbers += [f"{tokens[name]['tokens']:,}"] if tokens else []
        rows.append([name, *numbers, f"{len(_files(manifest, name + '/')):,}"])
    words = "".join(f"<p>{escape(line)}</p>" for line in split_words(manifest))
    return _table([head, *rows]) + words + _markdown(strata_table(manifest))


def _sources(manifest: dict[str, Any]) -> str:
    """The largest sources: what they had when dedup began, and what it took."""
    sources = manifest["dedup"]["sources"]
    largest = sorted(sources.items(), key=lambda item: (-item[1]["documents"], item[0]))
    rows = [
        [
            name,
            f"{found['documents']:,}",
            f"{found['removed']:,}",
            f"{found['removed'] / max(found['documents'], 1):.1%}",
        ]
        for name, found in largest[:ROWS]
    ]
    if not rows:
        return ""
    more = f"<p>... and {len(sources) - ROWS:,} more in manifest.json</p>" if len(sources) > ROWS else ""
    return _table([["source", "documents after the rules", "duplicates among them", "share"], *rows]) + more


def _duplicates(manifest: dict[str, Any]) -> str:
    found = manifest["dedup"]
    if not found["pairs_compared"] and not found["clusters"]:
        return ""
    rows = []
    if found["threshold"] is not None:  # else equal texts and keys alone
        rows = [
            ["pairs compared by their true similarity", f"{found['pairs_compared']:,}"],
            [f"of these at or above {found['threshold']:g} ({found['similarity']})", f"{found['pairs_proven']:,}"],
            ["pairs in very large groups, left uncompared", f"{found['pairs_left_uncompared']:,}"],
        ]
    rows += [
        ["documents that have a duplicate", f"{found['documents_in_pairs']:,}"],
        ["clusters", f"{found['clusters']:,}"],
        ["documents in the largest", ", ".join(f"{size:,}" for size in found["largest_clusters"]) or "0"],
    ]
    return _table([["what", "how many"], *rows])


def _notes(manifest: dict[str, Any]) -> str:
    lines = [f"{step} changed {count:,} documents" for step, count in manifest["edited"].items()]
    lines += [f"{count:,} {what} were skipped" for what, count in manifest["skipped"].items()]
    return _list([*lines, *told_words(manifest)])


def _unread(manifest: dict[str, Any], records: list[dict[str, Any]]) -> str:
    shards = manifest["shards"]
    lines = [f"{shard}: {error}" for shard, error in shards["quarantined"].items()]
    lines += [f"{shard}, read up to the damage: {error}" for shard, error in shards["damaged"].items()]
    body = _list(lines[:ROWS]) + (f"<p>... and {len(lines) - ROWS:,} more files</p>" if len(lines) > ROWS else "")
    if not records:
        return body
    rows = [[row["shard"], str(row.get("record", row.get("offset", ""))), _short(row["error"])] for row in records]
    count = manifest["account"]["quarantined"]
    more = f"<p>... of {count:,} in all, in quarantine/</p>" if count > len(records) else ""
    return body + _table([["file", "record", "error"], *rows]) + more


def _recipe(manifest: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    recipe = json.dumps(manifest["recipe"], ensure_ascii=False, indent=1)
    return f'<p class="soft">{escape(versions)}</p>\n<pre>{escape(recipe)}</pre>'


# -- parts of pages --------------------------------------------------------------------------------


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _table(rows: list[list[str]]) -> str:
    """The first row is the head; columns of numbers stand right."""
    head, *body = rows
    numbers = [bool(body) and all(row[at][:1].isdigit() or not row[at] for row in body) for at in range(len(head))]

    def line(row: list[str], cell: str) -> str:
        return "".join(f"<{cell}{' class=n' * right}>{escape(text)}</{cell}>" for text, right in zip(row, numbers))

    lines = [f"<tr>{line(head, 'th')}</tr>", *(f"<tr>{line(row, 'td')}</tr>" for row in body)]
    return f"<table>\n{chr(10).join(lines)}\n</table>"


def _markdown(lines: list[str]) -> str:
    """What the card says in Markdown: its tables, and the paragraphs between."""
    parts: list[str] = []
    rows: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            if not line.startswith("|---"):
                rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows:
            width = len(rows[0])
            parts.append(_table([(row + [""] * width)[:width] for row in rows]))
            rows = []
        if line.strip():
            parts.append(f"<p>{escape(line)}</p>")
    return "\n".join(parts)
