"""Documents that hold passages of a benchmark. The passages are 400 characters of every 20th text of the input itself.

An n-gram of 13 tokens in common is enough for both; the tokenisers differ. datatrove's index is made by its own function
in memory (its indexer wants lighteval for the tasks of that library).
"""

from __future__ import annotations

from registry import OURS, Sample, Work, runner

CASE = "passages of a benchmark (13-grams)"
NGRAM = 13


def passages(texts: list[str]) -> list[str]:
    return [text[len(text) // 2 :][:400] for text in texts[::20]]


@runner(CASE, OURS, {"en": None, "zh": None})
def ours(sample: Sample) -> Work:
    from dedup.contamination import build_index, find

    tables = sample.tables()
    index = build_index(passages(sample.texts), NGRAM, 8)

    def work() -> object:
        found = [find(table["text"], index, 1) for table in tables]

        def answers() -> list[bool]:
            flags = [False] * sum(map(len, tables))
            first = 0
            for table, each in zip(tables, found, strict=True):
                for row in each.rows.tolist():
                    flags[first + row] = True
                first += len(table)
            return flags

        return answers

    return work


@runner(CASE, "datatrove", {"en": 1}, package="datatrove")
def datatrove(sample: Sample) -> Work:
    from datatrove.data import Document
    from datatrove.pipeline.decont import n_grams

    config = n_grams.NGramsDecontConfig(n_grams=NGRAM, find_query_ngrams=True)
    judge = n_grams.NGramsDecontFilter(str(sample.scratch), config)
    indexer = object.__new__(n_grams.NGramsDecontIndexer)
    indexer.config, indexer.hash_func, indexer.tokenizer = config, judge.hash_func, judge.tokenizer
    texts = sample.texts
    judge._index_hashes = dict.fromkeys((h for text in passages(texts) for h in indexer.compute_hashes(text)), "bench")

    def work() -> object:
        found = [judge.filter(Document(text=text, id="")) is not True for text in texts]
        return lambda: found

    return work
