"""The numbers of four English rule families: Gopher repetition, Gopher quality, C4, FineWeb.

gristmill measures every signal of the four rule sets on every document; datatrove's filters stop at the first rule
that a document fails, so they have less to do. The answers are the four decisions for each document.
"""

from __future__ import annotations

from typing import Any

from registry import OURS, Sample, Work, runner

CASE = "four rule families"
RULE_SETS = ("gopher_repetition", "gopher_quality", "c4", "fineweb")
# on Chinese with C4's word rule off: its words stand between white space, nearly all lines would go
MIN_WORDS = {"en": 3, "zh": 1}


@runner(CASE, OURS, {"en": None, "zh": None})
def ours(sample: Sample) -> Work:
    import filters
    from filters.lines import c4_lines
    from filters.rules import keep_rules, load_rule_set
    from filters.step import set_column
    from filters.texts import Views
    from pipeline.recipes.keep import RULE_SETS as folder

    filters.load_builtin()
    steps = {name: keep_rules(load_rule_set(folder / f"{name}.yaml").rules, record=True) for name in RULE_SETS}
    tables = sample.tables()
    words = MIN_WORDS[sample.kind]

    def judged(table: Any) -> list[Any]:
        """The reasons of each set: three look at the same text, C4 at what its lines leave, as in a pipeline."""
        views = Views(table, more=True)
        why = {name: steps[name](table, views)[1] for name in RULE_SETS if name != "c4"}
        edited = c4_lines(filters.Texts(table["text"]), terminal_punctuation=False, min_words=words)
        why["c4"] = steps["c4"](set_column(table, "text", edited))[1]
        return [why[name] for name in RULE_SETS]

    def work() -> Any:
        found = [judged(table) for table in tables]
        return lambda: [
            list(row) for table in found for row in zip(*(reasons.is_null().to_pylist() for reasons in table))
        ]

    return work


@runner(CASE, "datatrove", {"en": 0.4, "zh": 0.3}, package="datatrove")
def datatrove(sample: Sample) -> Work:
    from datatrove.data import Document
    from datatrove.pipeline import filters

    language = sample.kind
    chosen = [
        filters.GopherRepetitionFilter(language=language),
        filters.GopherQualityFilter(language=language),
        filters.C4QualityFilter(
            filter_no_terminal_punct=False, min_words_per_line=MIN_WORDS[language], language=language
        ),
        filters.FineWebQualityFilter(language=language),
    ]
    texts = sample.texts

    def work() -> Any:
        kept = [[each.filter(Document(text=text, id="")) is True for each in chosen] for text in texts]
        return lambda: kept

    return work
