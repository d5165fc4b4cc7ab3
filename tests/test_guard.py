"""A template that eats a source stops the run before anything is published."""

import json
import random

from corpus import gristmill, manifest

RECIPE = """
input: {{paths: {path}}}
steps:
  - dedup: {{minhash: {{threshold: 0.8}}}}
output: {{path: {out}, format: jsonl}}
run: {{engine: local}}
"""
FRAME = " ".join(f"menu{i}" for i in range(200))


def template_corpus(folder):
    chance = random.Random(1)
    rows = [{"id": f"shop-{i}", "source": "shop", "text": f"Welcome to the shop {FRAME} item {i}"} for i in range(40)]
    rows += [
        {"id": f"news-{i}", "source": "news", "text": " ".join(chance.choices([f"w{n}" for n in range(900)], k=80))}
        for i in range(40)
    ]
    path, out = folder / "in.jsonl", folder / "out"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "r.yaml").write_text(RECIPE.format(path=path, out=out))
    return str(folder / "r.yaml"), out


def test_guard(tmp_path):
    recipe, out = template_corpus(tmp_path)
    told = gristmill("run", recipe)
    assert told.returncode == 1
    assert "source 'shop' would lose 39 of its 40 documents (98%)" in told.stderr
    assert "39 removed, similarity 0.9" in told.stderr and '"Welcome to the shop menu0' in told.stderr
    assert "'news'" not in told.stderr and "--accept-loss" in told.stderr
    assert not (out / "manifest.json").exists() and not (out / "train").exists()
    told = gristmill("run", recipe, "--accept-loss")
    assert told.returncode == 0, told.stderr
    assert manifest(out)["dedup"]["sources"]["shop"] == {"documents": 40, "removed": 39}
    assert manifest(out)["account"]["kept"] == 41


def test_a_higher_limit_is_no_loss(tmp_path):
    recipe, _ = template_corpus(tmp_path)
    assert gristmill("run", recipe, "--set", "run.max_source_loss=0.99").returncode == 0
