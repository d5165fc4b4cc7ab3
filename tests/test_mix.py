"""Mixtures: what is written of each bucket, before and after, and whom the draw hits."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter

import numpy as np
import pytest
from corpus import DEMO, gristmill, kept, manifest, many_tasks, rejected, same_splits, sums, written

from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.commands.outlook import outlook, outlook_text
from pipeline.commands.preview import preview
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError, RunError
from pipeline.job import prepare
from pipeline.mixtures.mixture import mix_lines
from pipeline.progress import Silent, funnel
from pipeline.run import run

RECIPE = """
input: {{paths: {path}, lang: lang}}
steps:
  - keep: {{word_count: {{min: 1}}}}
  - dedup: {{minhash: {{threshold: 0.8}}}}
tokens: {{tokenizer: configs/tokenizers/demo.json}}
mix: {mix}
output: {{path: {out}, format: {format}, shard_size: 60KB, split: {split}, shuffle: {shuffle}}}
run: {{engine: local, max_source_loss: 1, batch_size: {batch}}}
"""


def corpus(path, count=800):
    """Random documents of 5 to 120 words: two thirds English, a quarter German, the rest Finnish; three sources."""
    chance = random.Random(7)
    rows = []
    for number in range(count):
        lang = chance.choices(["en", "de", "fi"], [8, 3, 1])[0]
        words = [f"w{chance.randrange(9999)}" for _ in range(chance.randrange(5, 120))]
        rows.append({"id": f"d{number}", "source": f"s{number % 3}", "lang": lang, "text": " ".join(words)})
    written(path, rows)
    return rows


def job_of(
    folder, mix, format="jsonl", split="{train: 0.9, test: 0.1}", batch=1000, name="out", more=(), shuffle="true"
):
    page = folder / f"{name}.yaml"
    page.write_text(
        RECIPE.format(
            path=folder / "in",
            out=folder / name,
            mix=mix,
            format=format,
            split=split,
            batch=batch,
            shuffle=shuffle,
        )
    )
    return prepare(str(page), list(more))


def made(folder, mix, **more):
    """A run; a second one of the same name is the first."""
    out = folder / more.get("name", "out")
    if not out.exists():
        job, settings = job_of(folder, mix, **more)
        run(job, settings.run, LocalEngine(), Silent())
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("mix")
    corpus(found / "in")
    return found


def tokens_of(rows):
    """Tokens by language, counted again from the texts."""
    from filters.tokenizer_files import open_tokenizer

    counts = open_tokenizer("configs/tokenizers/demo.json", None, None).count([row["text"] for row in rows])
    found: Counter[str] = Counter()
    for row, n in zip(rows, counts.tolist()):
        found[row["lang"]] += n
    return found


def in_split(out, split):
    return [json.loads(line) for part in sorted((out / split).iterdir()) for line in part.open()]


MIXES = {
    "epochs": "{by: lang, epochs: {en: 0.4, de: 2.5, fi: 7}}",
    "weights": "{by: lang, weights: {en: 0.5, de: 0.3, fi: 0.2}, total: 150K}",
    "budget": "{by: lang, budget: {en: 50K, de: 60K}, rest: 3}",
    "temperature": "{by: lang, temperature: 3.3}",
    "total": "{total: 77777}",
}
WANTED = {
    "epochs": lambda held: {"en": 0.4 * held["en"], "de": 2.5 * held["de"], "fi": 7 * held["fi"]},
    "weights": lambda held: {"en": 75_000, "de": 45_000, "fi": 30_000},
    "budget": lambda held: {"en": 50_000, "de": 60_000, "fi": 3 * held["fi"]},
    "temperature": lambda held: {
        lang: sum(held.values()) * n ** (1 / 3.3) / sum(m ** (1 / 3.3) for m in held.values())
        for lang, n in held.items()
    },
    "total": None,
}


@pytest.mark.parametrize("how", MIXES)
def test_written_is_what_was_planned(folder, how):
    """Counted from the written files, not from what the run says."""
    out = made(folder, MIXES[how], name=how)
    plain = made(folder, "{by: lang, epochs: {en: 1}}", name="plain")
    train, test = in_split(out, "train"), in_split(out, "test")
    held, written = tokens_of(in_split(plain, "train")), tokens_of(train)
    wanted = WANTED[how](held) if WANTED[how] else {"all": 77_777}
    for lang, amount in wanted.items():
        found = sum(written.values()) if lang == "all" else written[lang]
        assert found == pytest.approx(amount, rel=0.001, abs=400), lang  # a document has up to 800 tokens; half of one
    told = manifest(out)["mix"]
    assert sum(b["written"] for b in told["buckets"].values()) == sum(written.values())
    assert sum(b["rows"] for b in told["buckets"].values()) == len(train)
    # held-out documents are no part of it, and nothing of them is written twice
    assert sorted(row["id"] for row in test) == sorted(row["id"] for row in in_split(plain, "test"))
    assert {row["epoch"] for row in test} == {0}
    assert all(finding.ok for finding in check(str(out))), [f.wrong for f in check(str(out))]
    account = manifest(out)["account"]
    assert account["read"] == account["kept"] + account["rejected"] + account["quarantined"] == 800
    assert account["kept"] == len({row["id"] for row in train + test})


def test_within_a_thousandth_where_documents_are_small(tmp_path):
    chance = random.Random(1)
    rows = [
        {
            "id": str(i),
            "lang": "en" if i % 4 else "fi",
            "text": " ".join(f"w{chance.randrange(9999)}" for _ in range(9)),
        }
        for i in range(6_000)
    ]
    written(tmp_path / "in", rows)
    out = made(tmp_path, "{by: lang, weights: {en: 0.6, fi: 0.4}}", split="{train: 1.0}")
    found, buckets = tokens_of(in_split(out, "train")), manifest(out)["mix"]["buckets"]
    for lang, share in (("en", 0.6), ("fi", 0.4)):
        assert abs(found[lang] / buckets[lang]["planned"] - 1) < 0.001
        assert abs(found[lang] / sum(found.values()) - share) < 0.001


def test_epochs_of_a_document(folder):
    """2.5: everything twice, half of it once more; copies are numbered, and spread over the files."""
    rows = in_split(made(folder, MIXES["epochs"], name="epochs"), "train")
    times = Counter(row["id"] for row in rows)
    lang = {row["id"]: row["lang"] for row in rows}
    assert {times[name] for name in times if lang[name] == "de"} == {2, 3}
    assert {times[name] for name in times if lang[name] == "fi"} == {7}
    assert {times[name] for name in times if lang[name] == "en"} == {1}
    for name, count in times.items():
        assert sorted(row["epoch"] for row in rows if row["id"] == name) == list(range(count))
    places: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        places.setdefault(row["id"], []).append(at)
    gaps = np.array([b - a for found in places.values() for a, b in itertools.pairwise(found)])
    expected = len(rows) / (np.mean([len(found) for found in places.values() if len(found) > 1]) + 1)
    assert 0.7 < gaps.mean() / expected < 1.4 and (gaps == 1).mean() < 0.02  # as a shuffle would have it


@pytest.mark.parametrize("stage", ["mix-1-0", "mix-1-3", "mix-1-4", "deal"])
def test_a_run_stopped_among_the_rounds_goes_on_to_the_same_bytes(folder, stage):
    made(folder, MIXES["epochs"], name="epochs")
    job, settings = job_of(folder, MIXES["epochs"], name=f"stopped-{stage}")

    class Stops(LocalEngine):
        def map(self, specs):
            for result in super().map(specs):
                yield result
                if result["stage"] == stage:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, settings.run, Stops(), Silent())
    run(job, settings.run, LocalEngine(), Silent())
    assert sums(folder / f"stopped-{stage}") == sums(folder / "epochs")


def test_without_shuffle_first_copies_are_in_the_order_of_the_input(folder):
    out = made(folder, "{by: lang, epochs: {en: 0.5, de: 2}}", name="plainly", shuffle="false")
    order = [int(row["id"][1:]) for row in in_split(out, "train") if row["epoch"] == 0]
    assert order == sorted(order) and len(order) > 300
    assert all(finding.ok for finding in check(str(out)))


def test_left_out_documents_are_in_the_ledger(folder):
    out = made(folder, MIXES["epochs"], name="epochs")
    gone = [row for row in rejected(out) if row["step"] == "mix"]
    assert gone and {row["reason"] for row in gone} == {"left_out"} and {row["detail"] for row in gone} == {"en"}
    assert manifest(out)["rejected"]["mix"] == {"left_out": len(gone)}
    assert manifest(out)["mix"]["buckets"]["en"]["left_out"] == len(gone)
    assert not {row["id"] for row in gone} & {row["id"] for row in kept(out)}


def test_a_life_is_told_once_with_all_places(folder):
    out = made(folder, MIXES["epochs"], name="epochs")
    name = next(row["id"] for row in in_split(out, "train") if row["lang"] == "fi")
    told = explain(str(out), name)
    assert told.count("read     record") == told.count("kept     in") == 1
    places = told.split("kept     in ")[1].split(", 7 times: ")
    assert len(places) == 2 and all(place.startswith("train/part-") for place in places[1].split(", "))
    assert places[1].count("train/part-") == 6


def test_a_larger_mixture_holds_the_smaller(folder):
    small = {row["id"] for row in in_split(made(folder, "{by: lang, epochs: {en: 0.2}}", name="small"), "train")}
    large = {row["id"] for row in in_split(made(folder, "{by: lang, epochs: {en: 0.3}}", name="large"), "train")}
    assert small < large


@pytest.mark.parametrize("change", ["batches", "tasks", "bins"])
def test_same_bytes(folder, monkeypatch, change):
    mix = "{by: [source, lang], weights: {s0/en: 1, s1/de: 2.2}, rest: 0.3, total: 200K}"
    made(folder, mix, name="one")
    if change == "tasks":
        many_tasks(monkeypatch)
    if change == "bins":
        monkeypatch.setattr("pipeline.mixtures.allot.BINS", 2)
        monkeypatch.setattr("pipeline.mixtures.mixing.BINS", 2)
    made(folder, mix, name=f"two-{change}", batch=13 if change == "batches" else 1000)
    if change == "tasks":
        assert len(list((folder / f"two-{change}" / "rejected").iterdir())) == 5
        told = manifest(folder / f"two-{change}")["mix"]
        assert same_splits(folder / "one", folder / f"two-{change}") and told == manifest(folder / "one")["mix"]
    else:
        assert sums(folder / "one") == sums(folder / f"two-{change}")


@pytest.mark.parametrize("format", ["parquet", "jsonl.zst"])
def test_by_a_signal_and_by_clusters(tmp_path, format):
    chance = random.Random(3)
    rows = []
    for family in range(40):
        words = [f"w{family}i{i}" for i in range(20 + family)]
        for copy in range(1 + family % 5):
            rows.append({"id": f"{family}-{copy}", "text": " ".join([*words, f"x{copy}"])})
    chance.shuffle(rows)
    written(tmp_path / "in", rows)
    out = made(
        tmp_path,
        "{by: signal.word_count, epochs: {30: 2, 50: 4}, rest: 0}",
        split="{train: 1.0}",
        format=format,
        name="words",
    )
    for row_id, times in Counter(row["id"] for row in kept(out)).items():
        words = 21 + int(row_id.split("-")[0])
        assert times == (2 if words < 50 else 4) and words >= 30
    out = made(
        tmp_path, "{by: cluster_size, epochs: {2: 2, 4: 3}}", split="{train: 1.0}", format=format, name="clusters"
    )
    for row in kept(out):
        assert row["cluster_size"] == 1 + int(row["id"].split("-")[0]) % 5
    times = Counter(row["id"] for row in kept(out))
    assert all(n == (1, 2, 2, 3, 3)[int(name.split("-")[0]) % 5] for name, n in times.items())


def test_plan_before_and_after(folder):
    mix = "{by: lang, weights: {en: 0.5, de: 0.5}, total: 100K}"
    job, settings = job_of(folder, mix, name="plan")
    before = outlook(job)
    assert before["mix"]["counts"] is None and "weights en 0.5, de 0.5, rest 0; 100,000 tokens in all" in outlook_text(
        before
    )
    _, sample = preview(job, 500)
    run(job, settings.run, LocalEngine(), Silent())
    told = manifest(folder / "plan")
    for lang in ("en", "de"):
        found, guess = told["mix"]["buckets"][lang], sample["mix"]["buckets"][lang]
        assert guess["planned"] == found["planned"] == 50_000
        assert guess["epochs"] == pytest.approx(found["epochs"], rel=0.25)
    assert "fi" not in told["mix"]["buckets"] and told["mix"]["buckets"]["rest"]["rows"] == 0
    assert outlook(job)["mix"]["counts"] == told["mix"]
    line = next(line for line in mix_lines(told["mix"]) if line.strip().startswith("de"))
    assert "50,000" in line and line in funnel(told) and "| de |" in (folder / "plan" / "README.md").read_text()


def test_a_number_of_documents_does_not_take_the_sample(folder):
    """Of 400 documents of the sample `test: 600 documents` would take all, and the mixture would be one of nothing."""
    for split in ("{train: rest, test: 600 documents}", "{train: rest, test: 600 documents, by: id, stratify: null}"):
        job, _ = job_of(folder, "{by: lang, epochs: {de: 2}}", split=split, name="numbers")
        report, sample = preview(job, 400)
        assert sample["splits"] == {"train": 400, "test": 0} and sample["mix"]["buckets"]["de"]["documents"] > 100
        assert "test: a number of documents is of the whole" in report


def test_plan_of_a_sample_on_the_command_line(folder):
    job_of(folder, "{by: lang, temperature: 5}", name="sampled")
    done = gristmill("plan", str(folder / "sampled.yaml"), "--sample", "300", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["mix"]
    assert found["of_sample"] == 300 and set(found["counts"]["buckets"]) == {"en", "de", "fi"}


def test_check_finds_a_copy_too_few_and_one_in_the_wrong_split(folder):
    out = made(folder, "{by: lang, epochs: {de: 3}}", name="checked")
    for split, change in (("train", 2), ("test", 0)):
        part = next(path for path in sorted((out / split).iterdir()) if '"de"' in path.read_text())
        whole = part.read_text()
        lines = whole.splitlines()
        at = next(i for i, line in enumerate(lines) if '"lang":"de"' in line and f'"epoch":{change}' in line)
        lines[at] = lines[at].replace(f'"epoch":{change}', f'"epoch":{change + 1}')
        part.write_text("\n".join(lines) + "\n")
        from pipeline.commands.check import _Corpus
        from pipeline.commands.check_copies import copies

        wrong = copies(manifest(out), _Corpus(str(out), manifest(out)).parts)[1]
        assert len(wrong) == 1 and json.loads(lines[at])["id"] in wrong[0]
        part.write_text(whole)


def test_token_formats_count_what_they_write(tmp_path):
    out = tmp_path / "out"
    page = tmp_path / "r.yaml"
    page.write_text(
        f"input: {{paths: [{DEMO}/docs_0.jsonl.gz]}}\nsteps:\n  - keep: {{token_count: {{min: 9}}}}\n  - edit: citation_marks\n  - dedup: exact\n"
        "tokens: {tokenizer: configs/tokenizers/demo.json, eos: <|endoftext|>}\nmix: {total: 100K}\n"
        f"output: {{path: {out}, format: parquet-tokens}}\nrun: {{engine: local, max_source_loss: 1}}\n"
    )
    job, settings = prepare(str(page))
    run(job, settings.run, LocalEngine(), Silent())
    told = manifest(out)
    assert told["tokens"]["splits"]["train"]["tokens"] == told["mix"]["buckets"]["rest"]["written"]
    assert told["mix"]["buckets"]["rest"]["planned"] == 100_000
    assert all(finding.ok for finding in check(str(out)))


def test_a_value_called_rest_is_no_bucket(tmp_path):
    """Where all values are buckets it would be one with the documents that have none; where some are named it is not named."""
    rows = [{"id": f"{i}", "lang": ("rest", "en", None)[i % 3], "text": f"text number {i}"} for i in range(30)]
    written(tmp_path / "in", rows)
    with pytest.raises(RunError, match="mix: lang has the value 'rest'"):
        made(tmp_path, "{by: lang, temperature: 2}", split="{train: 1.0}")
    out = made(tmp_path, "{by: lang, epochs: {en: 2}, rest: 3}", split="{train: 1.0}", name="named")
    assert {name: found["rows"] for name, found in manifest(out)["mix"]["buckets"].items()} == {"en": 20, "rest": 60}


# -- letters ---------------------------------------------------------------------------------------

LETTERS = [
    ("{by: lang}", "r.yaml:7: a mixture has one of epochs, weights, budget, temperature, or a total alone"),
    ("{by: lang, weights: {en: 1}, epochs: {en: 1}}", "here stand epochs, weights"),
    ("{by: langs, weights: {en: 1}}", "no 'langs' to be told apart by, did you mean 'lang'?"),
    ("{weights: {en: 1}}", "say what the buckets are"),
    ("{by: lang, epochs: {en: 200}}", "'mix.epochs.en' is 200; expected less than or equal to 100"),
    ("{by: lang, budget: {en: 2X}}", "expected a count such as 500M"),
    ("{by: lang, wights: {en: 1}}", "did you mean 'weights'?"),
    ("{by: signal.word_cuont, epochs: {3: 1}}", "did you mean 'word_count'?"),
    ("{by: signal.word_count, epochs: {few: 1}}", "named by their lower edge, a number; got 'few'"),
    ("{by: [lang, cluster_size], epochs: {few: 1}}", "if they are text"),
    ("{by: cluster_size, temperature: 3}", "temperature is for names"),
    ("{by: lang, weights: {en: 0}}", "nothing would be written"),
    ("{by: lang, budget: {en: 5}, total: 7}", "leave out total"),
    ("{by: lang, epochs: {en: 2, rest: 3}}", "give it as mix: {rest: 3}, beside epochs"),
    ("{by: lang, epochs: {en: 2}, split: tran}", "there is no split 'tran', did you mean 'train'?"),
]


@pytest.mark.parametrize(("mix", "letter"), LETTERS)
def test_letters(folder, mix, letter):
    with pytest.raises(RecipeError) as error:
        job_of(folder, mix, name="r")
    assert letter in str(error.value), str(error.value)


def test_folds_need_a_named_split(folder):
    with pytest.raises(RecipeError, match="which of the folds are trained on is known later"):
        job_of(folder, "{by: lang, epochs: {en: 2}}", split="{folds: 3}", name="r")
    job, _ = job_of(folder, "{by: lang, epochs: {en: 2}, split: fold_1}", split="{folds: 3}", name="r")
    assert job.publish["mix"]["split"] == 1


def test_tokens_need_a_tokenizer_and_upsample_is_a_mixture(folder):
    page = folder / "r.yaml"
    text = RECIPE.format(
        path=folder / "in",
        out=folder / "r",
        mix="{total: 5}",
        format="jsonl",
        split="{train: 1}",
        batch=9,
        shuffle="true",
    )
    page.write_text(text.replace("tokens: {tokenizer: configs/tokenizers/demo.json}", ""))
    with pytest.raises(RecipeError, match="no tokenizer is named"):
        prepare(str(page))
    page.write_text(text.replace("threshold: 0.8", "threshold: 0.8, upsample: {2: 2}"))
    with pytest.raises(RecipeError, match="both say how often"):
        prepare(str(page))
