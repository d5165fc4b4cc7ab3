"""Clusters as marks and as weights."""

import json
import random
from collections import Counter

import pytest
from corpus import kept, manifest, rejected

from pipeline.commands.check import check
from pipeline.engines.local import LocalEngine
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.run import run

RECIPE = """
input: {{paths: {path}}}
steps:
  - dedup: {{exact: {{}}}}
  - dedup: {{minhash: {{threshold: 0.8{more}}}}}
output: {{path: {out}, format: {format}, shard_size: 20KB, split: {{train: 0.8, test: 0.2}}}}
run: {{engine: local, max_source_loss: 1}}
"""


def made(folder, more, format="jsonl"):
    """60 families of 1 to 12 near-copies."""
    chance = random.Random(2)
    rows = []
    for family in range(60):
        words = [f"w{family}-{i}" for i in range(60)]
        for copy in range(1 + family % 12):
            changed = list(words)
            changed[chance.randrange(60)] = f"x{copy}"
            rows.append({"id": f"{family}-{copy}", "source": "s", "text": " ".join(changed if copy else words)})
    path, out, page = folder / "in.jsonl", folder / "out", folder / "r.yaml"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page.write_text(RECIPE.format(path=path, out=out, more=more, format=format))
    job, settings = prepare(str(page))
    run(job, settings.run, LocalEngine(), Silent())
    return rows, out


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_marks(tmp_path, format):
    rows, out = made(tmp_path, ", keep: none-removed", format)
    found = kept(out)
    assert len(found) == len(rows) and not rejected(out)
    families: dict[str, set] = {}
    for row in found:
        family = row["id"].split("-")[0]
        families.setdefault(family, set()).add(row["cluster"])
        assert row["cluster_size"] == 1 + int(family) % 12
        assert (row["cluster"] is None) == (row["cluster_size"] == 1)
    assert all(len(names) == 1 for names in families.values())
    assert len({name for names in families.values() for name in names}) == 56  # 55 clusters, and null
    assert all(finding.ok for finding in check(str(out)))


def test_upsampling(tmp_path):
    _, out = made(tmp_path, ", upsample: {2: 2, 7: 3}")
    told, found = manifest(out), kept(out)
    times = Counter(row["id"] for row in found)
    sizes = {row["id"]: row["cluster_size"] for row in found}
    test = {json.loads(line)["id"] for part in (out / "test").iterdir() for line in part.open()}
    assert test and len(times) == told["account"]["kept"] == 60
    for name, size in sizes.items():
        assert times[name] == (1 if name in test or size < 2 else 2 if size < 7 else 3)
    assert sorted(row["epoch"] for row in found if times[row["id"]] == 3)[-1] == 2
    assert told["copies"] == len(found) - 60 and sum(told["splits"].values()) == len(found)
    assert all(finding.ok for finding in check(str(out)))
    order = [row["id"] for row in found]
    apart = [order.index(name, order.index(name) + 1) - order.index(name) for name in times if times[name] > 1]
    assert max(apart) > 5  # copies are spread, not written one after another
