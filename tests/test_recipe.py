"""A wrong recipe is refused before any work, with file, line, key, what was expected and the nearest known name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import GristmillError, RecipeError
from pipeline.job import prepare
from pipeline.plan import bundles
from pipeline.recipes.recipe import count, read, size_in_bytes
from pipeline.recipes.source import parse
from pipeline.recipes.steps import parse_steps

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases" / "recipe_errors.jsonl").open(encoding="utf-8")]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with one input file, X.jsonl."""
    (tmp_path / "X.jsonl").write_text('{"text": "some words"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=[case["comment"] for case in CASES])
def test_letters(folder, case):
    (folder / "r.yaml").write_text(case["recipe"].replace("X", "X.jsonl"))
    with pytest.raises(GristmillError) as error:
        prepare("r.yaml")
    for part in case["letter"]:
        assert part in str(error.value), str(error.value)
    assert not (folder / "o").exists()


def test_all_that_is_wrong_is_told_at_once(folder):
    (folder / "r.yaml").write_text(
        "input: {paths: X.jsonl, txt: body}\noutput: {path: o, formt: x}\nrun: {workers: 0}\n"
    )
    with pytest.raises(RecipeError) as error:
        prepare("r.yaml")
    assert str(error.value).count("r.yaml:") == 3


def test_missing_recipe_names_the_nearest(folder):
    (folder / "web.yaml").write_text("")
    with pytest.raises(RecipeError, match=r"did you mean 'web\.yaml'"):
        prepare("wbe.yaml")


@pytest.mark.parametrize(
    ("assignment", "letter"),
    [
        ("output.formt=parquet", "--set output.formt: unknown key 'output.formt', did you mean 'format'?"),
        ("output.format", "expected key=value"),
        ("steps.7.keep=c4", "nothing called '7'"),
        ("run.workers=many", "--set run.workers: 'run.workers' is 'many'"),
    ],
)
def test_overrides_are_checked_as_the_page_is(folder, assignment, letter):
    (folder / "r.yaml").write_text("input: {paths: X.jsonl}\nsteps: [{keep: c4}]\noutput: {path: o}\n")
    with pytest.raises(RecipeError) as error:
        prepare("r.yaml", [assignment])
    assert letter in str(error.value)


def test_override_replaces_a_value(folder):
    (folder / "r.yaml").write_text(
        "input: {paths: X.jsonl}\nsteps: [{keep: {word_count: {min: 5}}}]\noutput: {path: o}\n"
    )
    job, recipe = prepare("r.yaml", ["output.format=parquet", "steps.0.keep.word_count.min=7"])
    assert recipe.output.format == "parquet"
    assert job.refine["steps"][0]["options"]["rules"] == [["word_count", 7, None]]


def test_lines_of_nested_keys():
    page = parse("a:\n  - b: 1\n    c:\n      d: 2\n", "p.yaml")
    assert page.where(("a", 0, "c", "d")) == "p.yaml:4"
    assert page.where(("a", 0, "c", "nothing")) == "p.yaml:3"


def test_rule_set_bounds_can_be_changed():
    recipe, source = read(
        "input: x\nsteps:\n - keep: {gopher_quality: {word_count: {min: 30}}}\noutput: {path: o}\n", "r.yaml"
    )
    rules = {r[0]: r[1:] for r in parse_steps(_with_builtin(recipe.steps), source).rows[0].options["rules"]}
    assert rules["word_count"] == [30, None]
    assert rules["stop_word_count"] == [2, None]


@pytest.mark.parametrize(
    ("written", "criteria", "signals"),
    [
        ("", ["longest"], []),
        ("keep: oldest", ["oldest"], []),
        ("keep: {worst: word_count}", [{"worst": "word_count"}], ["word_count"]),
        (
            "keep: [{source: [a, b]}, {best: upper_ratio}, newest, {best: word_count}]",
            [{"source": ["a", "b"]}, {"best": "upper_ratio"}, "newest", {"best": "word_count"}],
            ["upper_ratio", "word_count"],
        ),
    ],
)
@pytest.mark.parametrize("kind", ["exact", "minhash"])
def test_keep_policy_becomes_a_list_of_criteria(folder, written, criteria, signals, kind):
    (folder / "r.yaml").write_text(
        f"input: {{paths: X.jsonl}}\nsteps:\n  - dedup: {{{kind}: {{{written}}}}}\noutput: {{path: o}}\n"
    )
    job, _ = prepare("r.yaml")
    assert job.near["keep"] == criteria
    assert job.refine["criteria"] == signals


def test_without_dedup_there_is_no_policy(folder):
    (folder / "r.yaml").write_text("input: {paths: X.jsonl}\noutput: {path: o}\n")
    assert prepare("r.yaml")[0].near["keep"] is None


def test_an_error_names_the_line_of_the_hundredth_step(folder):
    rules = "".join(f" - keep: {{word_count: {{min: {n}}}}}\n" for n in range(1, 101))
    page = f"input: {{paths: X.jsonl}}\nsteps:\n{rules} - keep: {{word_count: {{min: 7}}}}\noutput: {{path: o}}\n"
    (folder / "r.yaml").write_text(page)
    with pytest.raises(RecipeError, match=r"r\.yaml:103: '101\.keep\.word_count' does the same as '07\."):
        prepare("r.yaml")


def _with_builtin(steps):
    import filters

    filters.load_builtin()
    return steps


@pytest.mark.parametrize("name", ["web", "demo"])
def test_shipped_recipes_are_sound(name, tmp_path, monkeypatch):
    root = Path(__file__).resolve().parent.parent
    monkeypatch.chdir(root)
    job, _ = prepare(
        str(root / "configs" / f"{name}.yaml"), ['input.paths="configs/demo/*.gz"', f'output.path="{tmp_path}/o"']
    )
    assert len(job.refine["steps"]) == 11
    assert [len(bundle) for bundle in bundles(job.shards)] == [2]


def test_bundles_depend_on_the_input_alone(folder):
    for number in range(5):
        (folder / f"{number}.jsonl").write_text("x" * 3_000_000)
    (folder / "r.yaml").write_text("input: {paths: '[0-9].jsonl'}\noutput: {path: o}\n")
    job, _ = prepare("r.yaml")
    assert [[shard["name"] for shard in bundle] for bundle in bundles(job.shards)] == [
        ["0.jsonl", "1.jsonl"],
        ["2.jsonl", "3.jsonl"],
        ["4.jsonl"],
    ]


def test_user_module_brings_its_signals_and_edits(folder, monkeypatch):
    import filters

    filters.load_builtin()
    for table in (filters.SIGNALS, filters.EDITS):  # what the module registers ends with this test
        for name in ("letter_q_ratio", "shout"):
            monkeypatch.setitem(table, name, None)
            monkeypatch.delitem(table, name)
    (folder / "mine.py").write_text(
        "import numpy as np\nimport pyarrow as pa\nfrom filters import Texts, edit, ratio, signal\n\n"
        "@signal(family='mine', source='this test')\n"
        "def letter_q_ratio(texts: Texts) -> np.ndarray:\n    'Letters q / characters.'\n"
        "    return ratio([t.count('q') for t in texts.strings], texts.chars)\n\n"
        "@edit(source='this test')\n"
        "def shout(texts: Texts, *, mark: str = '!') -> pa.Array:\n    'Upper case and a mark.'\n"
        "    return pa.array([t.upper() + mark for t in texts.strings], pa.large_string())\n"
    )
    (folder / "q.jsonl").write_text('{"id": "a", "text": "qqq and more"}\n{"id": "b", "text": "none here"}\n')
    (folder / "r.yaml").write_text(
        "input: {paths: q.jsonl}\nuses: mine.py\nsteps:\n  - keep: {letter_q_ratio: {min: 0.1}}\n  - edit: {shout: {mark: '?'}}\noutput: {path: o}\n"
    )
    from corpus import kept, rejected

    from pipeline.engines.local import LocalEngine
    from pipeline.progress import Silent
    from pipeline.run import run

    job, recipe = prepare("r.yaml")
    run(job, recipe.run, LocalEngine(), Silent())
    assert [row["text"] for row in kept(folder / "o")] == ["QQQ AND MORE?"]
    assert [(row["id"], row["reason"], row["value"]) for row in rejected(folder / "o")] == [
        ("b", "letter_q_ratio.min", 0.0)
    ]


SIZES = {
    "1.001K": 1001,
    "2.5B": 2_500_000_000,
    "0.29M": 290_000,
    " 7 ": 7,
    "1.2.3K": None,
    "K": None,
    "1KB": None,
    "": None,
}


@pytest.mark.parametrize("text", SIZES, ids=repr)
def test_counts_and_sizes_are_rounded(text):
    if SIZES[text] is None:
        with pytest.raises(ValueError, match="expected a count such as 500M"):
            count(text)
    else:
        assert count(text) == SIZES[text]
    if text.endswith("M"):
        assert size_in_bytes(f"{text}B") == SIZES[text]
