"""Any filter or formatter of datatrove as a step: slow (one Python object a document), for what has no signal or edit here.

    - datatrove: {filter: GopherQualityFilter, min_doc_words: 20}
    - datatrove: {formatter: SymbolLinesFormatter, replace_char: " "}
    - datatrove: {filter: my_module.MyFilter}

In: a document becomes a datatrove `Document` with text, id and metadata (the fields of the column `metadata`, and url, source,
date and lang, the last also as "language", where they are set). Out: a filter's own reason ("gopher_short_doc"), or the name of
its class in snake case where it gives none; text that a filter or formatter changed is the new text. Not taken over: what a
filter writes into metadata. Not possible: what draws random numbers or counts from document to document (the output
would depend on how the documents are dealt into batches), and filters that want a Python function.
"""

import importlib
import inspect
import json
import re
from typing import Any

import pyarrow as pa

from filters.registry import nearest
from filters.step import Step, all_kept, reasons, set_column

HIDDEN_OPTIONS = {"self", "exclusion_writer"}  # rejects go to the ledger
META_COLUMNS = ("url", "source", "date", "lang")


def datatrove_step(*, filter: str | None = None, formatter: str | None = None, **options: Any) -> Step:
    """A step that runs one datatrove filter or formatter, by class name or dotted path, built once.

    Errors: ValueError for an unknown class, a wrong or missing option, or a package that the class needs and that is
    not installed.
    """
    if (filter is None) == (formatter is None):
        raise ValueError("datatrove: give one of `filter` and `formatter`, e.g. {filter: GopherQualityFilter}")
    kind, name = ("filter", filter) if filter is not None else ("formatter", formatter)
    assert name is not None
    worker = _build(kind, name, options)
    if kind == "formatter":
        return _formatter_step(worker)
    return _filter_step(worker, _snake(type(worker).__name__))


def _filter_step(worker: Any, default_reason: str) -> Step:
    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        documents = _documents(table)
        before = [document.text for document in documents]
        out: dict[int, str] = {}
        for row, result in enumerate(_call(worker.filter_batch, documents)):
            keep, reason = result if isinstance(result, tuple) else (result, None)
            if not keep:
                out[row] = str(reason or default_reason)
        after = [document.text for document in documents]
        table = _with_text(table, before, after)
        return table, reasons(len(table), list(out), list(out.values())) if out else all_kept(len(table))

    return step


def _formatter_step(worker: Any) -> Step:
    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        before = [text or "" for text in table["text"].to_pylist()]
        after = []
        for text in before:
            _restart_counters(worker)
            after.append(_call(worker.format, text))
        return _with_text(table, before, after), all_kept(len(table))

    return step


def _documents(table: pa.Table) -> list[Any]:
    from datatrove.data import Document

    columns = [name for name in ("id", "text", "metadata", *META_COLUMNS) if name in table.column_names]
    documents = []
    for row in table.select(columns).to_pylist():
        metadata = json.loads(row["metadata"]) if row.get("metadata") else {}
        metadata |= {name: row[name] for name in META_COLUMNS if row.get(name) is not None}
        if row.get("lang"):
            metadata["language"] = row["lang"]
        documents.append(Document(text=row["text"] or "", id=row.get("id") or "", metadata=metadata))
    return documents


def _with_text(table: pa.Table, before: list[str], after: list[str]) -> pa.Table:
    """The table as it came unless a text changed; nulls whose text did not change stay null."""
    if before == after:
        return table
    given = table["text"].to_pylist()
    texts = [old if was == new else new for old, was, new in zip(given, before, after)]
    return set_column(table, "text", pa.array(texts, pa.large_string()))


def _build(kind: str, name: str, options: dict[str, Any]) -> Any:
    found = _find_class(kind, name)
    parameters = {
        each.name: each
        for each in inspect.signature(found).parameters.values()
        if each.name not in HIDDEN_OPTIONS and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    }
    for option in options:
        if option not in parameters:
            takes = ", ".join(parameters) or "no options"
            raise ValueError(
                f"datatrove: {name} has no option {option!r}{nearest(option, parameters)}; it takes: {takes}"
            )
    missing = [each.name for each in parameters.values() if each.default is each.empty and each.name not in options]
    if missing:
        raise ValueError(f"datatrove: {name} needs the option {missing[0]!r}; it takes: {', '.join(parameters)}")
    _refuse_chance(found.__name__, options)
    try:
        worker = _call(found, **options)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"datatrove: {name} does not accept {options}: {error}") from error
    if "language" in parameters:
        _check_tokenizer(options.get("language", parameters["language"].default))
    return worker


def _find_class(kind: str, name: str) -> type:
    """The class `name` of datatrove's filters or formatters, or of a dotted path."""
    from loguru import logger

    logger.disable("datatrove")  # it reports each start, lazily loaded model and statistic on stderr
    base = importlib.import_module(f"datatrove.pipeline.{kind}s.base{'_filter' if kind == 'filter' else ''}")
    parent = base.BaseFilter if kind == "filter" else base.BaseFormatter
    if "." in name:
        module_name, _, class_name = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module_name), class_name, None)
        except ImportError as error:
            raise ValueError(f"datatrove: the module of {name!r} cannot be imported: {error}") from error
    else:
        module = importlib.import_module(f"datatrove.pipeline.{kind}s")
        class_name, found = name, getattr(module, name, None)
        if found is None:
            known = [each for each, value in vars(module).items() if inspect.isclass(value)]
            raise ValueError(
                f"datatrove: there is no {kind} {name!r}{nearest(name, known)}; known: {', '.join(sorted(known))}"
            )
    if not (inspect.isclass(found) and issubclass(found, parent)):
        raise ValueError(
            f"datatrove: {name!r} is not a {kind}: a subclass of {parent.__module__}.{parent.__name__} is needed"
        )
    return found


def _refuse_chance(name: str, options: dict[str, Any]) -> None:
    if name == "SamplerFilter" or (name == "C4BadWordsFilter" and options.get("keep_fraction")):
        raise ValueError(
            f"datatrove: {name} draws random numbers in the order in which documents come, so the output would depend on "
            f"how they are dealt to workers. Leave out {'keep_fraction' if options.get('keep_fraction') else 'this step'}"
        )


def _restart_counters(worker: Any) -> None:
    """PIIFormatter deals its replacements out in turn over all documents; start anew at each document instead."""
    for part in vars(worker).values():
        if hasattr(part, "_replace_i"):
            part._replace_i = 0


def _check_tokenizer(language: str) -> None:
    """Load the word tokeniser now: at the first document a missing package would look like a bad document."""
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    _call(lambda: load_word_tokenizer(language).word_tokenize("probe"))


def _call(function: Any, *args: Any, **options: Any) -> Any:
    try:
        return function(*args, **options)
    except ImportError as error:
        found = re.search(r"pip install ([\w\- .\[\]=<>]+)", str(error))
        package = found.group(1) if found else (error.name or "datatrove[processing]")
        raise ValueError(f"datatrove: a package is missing ({error}). Install it: pip install {package}") from error


def _snake(name: str) -> str:
    """GopherQualityFilter -> gopher_quality_filter, C4BadWordsFilter -> c4_bad_words_filter."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
