"""The command `gristmill`. Each command is a few lines: parse, call the room that does it, print, exit code.

Exit codes: 0 done, 1 the run failed, 2 wrong usage or recipe, 3 finished, but more input is quarantined than the
recipe allows.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

DONE, FAILED, WRONG, QUARANTINED, STOPPED = 0, 1, 2, 3, 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "One recipe turns shards of raw text into a clean, deduplicated, leak-free, split corpus.\n\n"
        "First time?  gristmill preview configs/web.yaml --input 'my/*.warc.gz'   shows what a recipe would do to a sample;\n"
        "gristmill run configs/web.yaml --input 'my/*.warc.gz' --output out/web   does it. The same command again resumes."
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeArg = Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file such as configs/web.yaml.")]
OutArg = Annotated[str, typer.Argument(metavar="OUT", help="The output folder of a finished run.")]
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Overrides a key of the recipe, e.g. --set output.format=parquet or --set steps.2.keep.language.min_score=0.5. Repeatable.",
    ),
]
InputOption = Annotated[
    list[str],
    typer.Option("--input", metavar="PATH", help="Input files, folders or globs instead of the recipe's. Repeatable."),
]
OutputOption = Annotated[str, typer.Option("--output", metavar="PATH", help="Output folder instead of the recipe's.")]
AcceptLossOption = Annotated[
    bool, typer.Option("--accept-loss", help="Go on although a source loses most of its documents to dedup.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts instead of text.")]


@app.command()
def run(
    recipe: RecipeArg,
    input: InputOption = [],  # noqa: B006 (typer reads the default)
    output: OutputOption = "",
    engine: Annotated[
        str, typer.Option(help="ray (default: on this machine, or at --address) or local (one plain process).")
    ] = "",
    address: Annotated[str, typer.Option(help="A running Ray cluster, e.g. ray://head:10001 or auto.")] = "",
    workers: Annotated[int, typer.Option(help="Tasks at once (default: every core).", min=0)] = 0,
    set_: SetOption = [],  # noqa: B006 (typer reads the default)
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start over: remove what an earlier run of gristmill left in the output folder."),
    ] = False,
    accept_loss: AcceptLossOption = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
) -> None:
    """Make the corpus, or go on making it: the same command again resumes where it stopped."""
    from pipeline.engines import start
    from pipeline.job import prepare
    from pipeline.output.card import BINARY
    from pipeline.output.finish import too_many_quarantined
    from pipeline.progress import end_words, funnel, next_words, reporter
    from pipeline.run import run as drive

    extra = [("run.engine", engine), ("run.address", address), ("run.workers", workers)]
    extra += [("run.max_source_loss", 1)] if accept_loss else []
    job, settings = prepare(recipe, _assignments(input, output, set_, extra))
    shown = settings.output.path
    with _interruptible(shown):
        teller = reporter(quiet or json_)
        try:
            mill = _Lazy(lambda: start(settings.run), teller.note)
            outcome = drive(job, settings.run, mill, teller, fresh)
        finally:
            teller.close()
            mill.close()
    manifest = outcome.manifest
    code = QUARANTINED if too_many_quarantined(manifest, settings.run.max_quarantined) else DONE
    if json_:
        _print_json(
            {
                **manifest,
                "output": shown,
                "seconds": round(outcome.seconds, 3),
                "stage_seconds": {k: round(v, 3) for k, v in outcome.stage_seconds.items()},
                "already_done": outcome.already,
                "exit_code": code,
            }
        )
    else:
        if outcome.already:
            typer.echo(f"{shown} is finished already; nothing was done. (--fresh starts over.)\n")
        typer.echo(
            funnel(manifest) + "\n\n" + end_words(manifest, shown, outcome.seconds, outcome.already, mill.compiling)
        )
        typer.echo(next_words(shown, next(iter(manifest["splits"])), settings.output.format not in BINARY))
    if code == QUARANTINED:
        typer.echo(
            f"More input is quarantined than run.max_quarantined ({settings.run.max_quarantined:g}) allows: exit code 3. "
            f"Once it is mended: gristmill retry {shown} --quarantined",
            err=True,
        )
    raise typer.Exit(code)


@app.command()
def preview(
    recipe: RecipeArg,
    n: Annotated[int, typer.Option("-n", help="Documents in the sample.", min=1)] = 1000,
    input: InputOption = [],  # noqa: B006 (typer reads the default)
    set_: SetOption = [],  # noqa: B006 (typer reads the default)
    json_: JsonOption = False,
) -> None:
    """Dry run on a sample: what each step drops, three examples for each reason, an estimate for the whole."""
    from pipeline.commands.preview import preview as look
    from pipeline.commands.warmup import ensure_warm
    from pipeline.job import prepare

    job, _ = prepare(recipe, _assignments(input, "", set_, []))
    ensure_warm(lambda text: typer.echo(text, err=True))
    text, manifest = look(job, n)
    if json_:
        _print_json(manifest)
    else:
        typer.echo(text)


@app.command()
def plan(
    recipe: RecipeArg,
    input: InputOption = [],  # noqa: B006 (typer reads the default)
    output: OutputOption = "",
    set_: SetOption = [],  # noqa: B006 (typer reads the default)
    sample: Annotated[
        int, typer.Option(help="Read so many documents and tell what a mixture (mix:) is expected to come to.", min=0)
    ] = 0,
    json_: JsonOption = False,
) -> None:
    """The steps and stages of a run, its tasks and bytes, and what is done already. Reads nothing but listings."""
    from pipeline.commands.outlook import outlook, outlook_text
    from pipeline.job import prepare

    job, _ = prepare(recipe, _assignments(input, output, set_, []))
    found = outlook(job)
    if sample and found["mix"] and not found["mix"]["counts"]:
        from pipeline.commands.preview import preview as look

        found["mix"] |= {"counts": look(job, sample)[1]["mix"], "of_sample": sample}
    if json_:
        _print_json(found)
    else:
        typer.echo(outlook_text(found))


@app.command()
def explain(out: OutArg, doc_id: Annotated[str, typer.Argument(metavar="DOC_ID", help="The document's id.")]) -> None:
    """The life of one document: each step, each value against its threshold, what it duplicates, where it ended."""
    from pipeline.commands.explain import explain as tell

    typer.echo(tell(out, doc_id))


@app.command()
def report(out: OutArg) -> None:
    """Write report.html of a finished corpus again: the funnel with examples, splits, sources, what could not be read."""
    from pipeline.output.report import report as write

    typer.echo(write(out))


@app.command()
def check(out: OutArg, json_: JsonOption = False) -> None:
    """Prove a finished corpus by reading all of it again: sums, hashes, the account, no leak between splits."""
    from pipeline.commands.check import check as prove

    findings = prove(out)
    if json_:
        _print_json([{"what": f.what, "ok": f.ok, "wrong": f.wrong} for f in findings])
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}")
            for line in finding.wrong[:10]:
                typer.echo(f"        {line}")
            if len(finding.wrong) > 10:
                typer.echo(f"        ... and {len(finding.wrong) - 10} more")
    raise typer.Exit(DONE if all(f.ok for f in findings) else FAILED)


@app.command()
def retry(
    out: OutArg,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Read again what is quarantined, and what a step failed on.")
    ] = False,
    engine: Annotated[str, typer.Option(help="ray or local (default, as of all settings: as the run had it).")] = "",
    address: Annotated[str, typer.Option(help="A running Ray cluster, as for run.")] = "",
    workers: Annotated[int, typer.Option(help="Tasks at once, as for run.", min=0)] = 0,
    set_: SetOption = [],  # noqa: B006 (typer reads the default)
    accept_loss: AcceptLossOption = False,
    quiet: QuietOption = False,
    json_: JsonOption = False,
) -> None:
    """Read quarantined input again after it was mended, and complete the corpus: the bytes of a fresh run."""
    from pipeline.commands.retry import retry as again
    from pipeline.commands.retry import run_settings
    from pipeline.engines import start
    from pipeline.errors import InputError
    from pipeline.progress import funnel, reporter

    if not quarantined:
        raise InputError("retry what? The one thing that can be tried again is --quarantined.")
    extra = [("run.engine", engine), ("run.address", address), ("run.workers", workers)]
    extra += [("run.max_source_loss", 1)] if accept_loss else []
    settings = run_settings(out, _assignments([], "", set_, extra))
    with _interruptible(out):
        teller = reporter(quiet or json_)
        try:
            mill = _Lazy(lambda: start(settings), teller.note)
            told = again(out, settings, mill, teller)
        finally:
            teller.close()
            mill.close()
    if json_:
        _print_json({**told.manifest, "retried": told.lines, "tasks_kept": told.tasks_kept, "exit_code": told.code})
    elif told.lines:
        typer.echo("\n".join([*told.lines, "", funnel(told.manifest)]))
    else:
        typer.echo(f"Nothing in {out} is quarantined, and no step failed on a document; nothing was done.")
    raise typer.Exit(QUARANTINED if told.code else DONE)


@app.command()
def index(
    recipe: RecipeArg,
    input: InputOption = [],  # noqa: B006 (typer reads the default)
    output: OutputOption = "",
    engine: Annotated[str, typer.Option(help="ray or local, as for run.")] = "",
    set_: SetOption = [],  # noqa: B006 (typer reads the default)
) -> None:
    """Make an index of any corpus, so that new documents can be compared with it (minhash: {against: [OUTPUT]}).

    The input is taken as it is, without the recipe's other steps; only its minhash step counts.
    """
    from pipeline.engines import start
    from pipeline.job import prepare
    from pipeline.matching.older import index_job
    from pipeline.progress import reporter
    from pipeline.run import make_index

    job, settings = prepare(recipe, _assignments(input, output, set_, [("run.engine", engine)]))
    shown = settings.output.path
    with _interruptible(shown):
        teller = reporter(False)
        try:
            mill = _Lazy(lambda: start(settings.run), teller.note)
            counts = make_index(index_job(job), settings.run, mill, teller)
        finally:
            teller.close()
            mill.close()
    unread = f"; {counts['quarantined']:,} records could not be read" if counts["quarantined"] else ""
    typer.echo(f"{shown} holds the index of {counts['rows']:,} documents{unread}.")
    typer.echo(f"Use it with  dedup: {{minhash: {{against: [{shown}]}}}}")


@app.command()
def warmup() -> None:
    """Compile the kernels for this machine now, e.g. while building an image; else the first run does it."""
    from pipeline.commands.warmup import ensure_warm

    ensure_warm(typer.echo)
    typer.echo("The kernels are ready.")


@app.command(name="train-classifier")
def train_classifier(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled JSON Lines (.gz, .zst as well).")],
    out: Annotated[
        str, typer.Argument(metavar="MODEL", help="The model to write: .bin, or .ftz for a small, quantised one.")
    ],
    text: Annotated[str, typer.Option(help="The field with the text.")] = "text",
    label: Annotated[str, typer.Option(help="The field with the label.")] = "label",
    held_out: Annotated[float, typer.Option(help="Share of texts the model is judged on.", min=0.0, max=0.9)] = 0.1,
    seed: Annotated[int, typer.Option(help="Which texts are held out.")] = 0,
    epoch: Annotated[int, typer.Option(min=1)] = 5,
    lr: Annotated[float, typer.Option(min=0.0)] = 0.5,
    word_ngrams: Annotated[int, typer.Option(min=1)] = 2,
    dim: Annotated[int, typer.Option(min=1)] = 100,
    json_: JsonOption = False,
) -> None:
    """Train a fastText classifier for `keep: {fasttext: {model: MODEL, label: ..., min: ...}}`, and say how good it is."""
    from filters.train import train
    from pipeline.errors import InputError
    from pipeline.progress import scores

    try:
        found = train(
            data, text, label, out, held_out=held_out, seed=seed, epoch=epoch, lr=lr, wordNgrams=word_ngrams, dim=dim
        )
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from error
    if json_:
        _print_json(found)
    else:
        typer.echo(scores(found))


@app.command(name="train-tokenizer")
def train_tokenizer(
    paths: Annotated[
        list[str], typer.Argument(metavar="OUT_OR_FILES", help="The folder of a finished run, or files with texts.")
    ],
    output: Annotated[str, typer.Option(help="The tokenizer to write.")] = "tokenizer.json",
    model: Annotated[str, typer.Option(help="bpe or unigram.")] = "bpe",
    vocab: Annotated[int, typer.Option(help="Tokens, special ones included.")] = 8000,
    sample: Annotated[
        str, typer.Option(help="Text to learn from, e.g. 200MB: documents by a hash of their id.")
    ] = "200MB",
    special: Annotated[list[str], typer.Option(help="A special token. Repeatable.")] = ["<|endoftext|>"],  # noqa: B006
    split: Annotated[str, typer.Option(help="The split of a run to learn from (default: the first).")] = "",
    seed: Annotated[int, typer.Option(help="Which documents are sampled.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Train a byte-level tokenizer for `tokens: {tokenizer: PATH}` on a corpus: every text comes back as it was."""
    from pipeline.commands.train_tokenizer import train_tokenizer as train
    from pipeline.errors import InputError
    from pipeline.recipes.recipe import size_in_bytes

    try:
        size = int(size_in_bytes(sample))
    except ValueError as error:
        raise InputError(f"--sample {sample}: {error}") from None
    found = train(paths, output, model=model, vocab=vocab, sample=size, special=special, split=split, seed=seed)
    if json_:
        _print_json(found)
    else:
        typer.echo(f"{found['sampled']:,} of {found['documents']:,} documents, {found['bytes'] / 1e6:,.1f} MB of text")
        typer.echo(f"{output}: {found['vocab']:,} tokens, {found['bytes_per_token']:.2f} bytes a token in the sample")


@app.command()
def signals(json_: JsonOption = False) -> None:
    """Every signal, edit and rule set there is, one line each."""
    from pipeline.commands.catalogue import catalogue, catalogue_text

    found = catalogue()
    if json_:
        _print_json(found)
    else:
        typer.echo(catalogue_text(found))


# -- helpers ---------------------------------------------------------------------------------------


class _Lazy:
    """An engine that starts when it gets its first task, with the kernels compiled before its workers would each begin to: a
    finished run needs neither. `compiling`: the seconds that took."""

    name = "lazy"

    def __init__(self, start: Any, say: Any) -> None:
        self._start, self._say = start, say
        self._engine: Any = None
        self.compiling = 0.0

    def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        if not specs:
            return
        if self._engine is None:
            from pipeline.commands.warmup import ensure_warm

            self.compiling = ensure_warm(self._say)
            self._engine = self._start()
        yield from self._engine.map(specs)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()


def _assignments(inputs: list[str], output: str, given: list[str], extra: list[tuple[str, Any]]) -> list[str]:
    """Options as `--set` assignments, the more special last."""
    result = list(given)
    if inputs:
        result.append(f"input.paths={json.dumps(inputs)}")
    if output:
        result.append(f"output.path={json.dumps(output)}")
    return result + [f"{key}={json.dumps(value)}" for key, value in extra if value]


@contextlib.contextmanager
def _interruptible(output: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a run with a sentence, not with a stack."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nStopped. What is done is kept in {output}/.work; the same command goes on from there.", err=True)
        raise typer.Exit(STOPPED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def main() -> None:
    """Entry point: errors meant for the user are printed as they are, without a stack."""
    from pipeline.errors import GristmillError, InputError, RecipeError

    # imports make a million objects that stay: looking for cycles among them again and again, and once more at the
    # interpreter's end, took 0.35 s of each run
    gc.set_threshold(100_000, 20, 50)
    # tasks run one to a core; without this numpy starts a thread for each core, 45 ms of CPU with two
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    atexit.register(gc.freeze)
    try:
        app()
    except (RecipeError, InputError) as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG)
    except GristmillError as error:
        print(error, file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
