"""The commands `comet-reader evaluate ...`: measure a model, write JSON, show a table.

Everything that is measured is in `comet_core.evaluation`; here are files and options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import cli_evaluate_runs as runs
from app import console
from app.cli_context import Context
from app.cli_evaluate_display import (
    Display,
    facts_tables,
    gates_tables,
    questions_tables,
    scrolls_tables,
    show,
)
from app.cli_evaluate_plots import HeatMap, draw
from app.cli_evaluate_results import Results

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.evaluation import facts as planted
    from comet_core.evaluation import gates as gated
    from comet_core.evaluation.readers import Reader


class Kind(StrEnum):
    """The kinds of facts that `comet_core.training.facts` makes."""

    NUMBER = "number"
    QUANTITY = "quantity"
    NAME = "name"
    DATE = "date"
    PLACE = "place"
    THING = "thing"


class ReaderName(StrEnum):
    """The readers of `comet_core.evaluation.contestants`, or all that there is a model for."""

    MEMORY = "memory"
    NOTHING = "nothing"
    GUESS = "guess"
    LAST = "last"
    WINDOW = "window"
    CEILING = "ceiling"
    ALL = "all"


LENGTHS, KINDS = [1000, 2000, 4000, 8000], [Kind.NUMBER]
READERS = [ReaderName.MEMORY, ReaderName.NOTHING]
NO_BOOKS: list[Path] = []


app = typer.Typer(help="Measure what a memory holds.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Where the results go, as JSON.")]
Seed = Annotated[int, typer.Option(help="Everything drawn follows from it.")]
Readers = Annotated[
    list[ReaderName], typer.Option(help="Who is asked; may be repeated.", show_default=True)
]
Ceiling = Annotated[
    Path | None, typer.Option(help="Adapters of the fine-tuned backbone; adds that reader.")
]
Batch = Annotated[int, typer.Option(min=1, help="Documents read side by side.")]
Plot = Annotated[bool, typer.Option(help="Draw a heat map, as PNG, beside the results.")]
Books = Annotated[list[Path], typer.Argument(help="Books the model was not trained on.")]
Data = Annotated[list[Path], typer.Argument(help="JSONL files of documents and questions.")]
Lengths = Annotated[list[int], typer.Option(min=1, help="Tokens of a text; may be repeated.")]
Kinds = Annotated[list[Kind], typer.Option(help="Kinds of facts; may be repeated.")]
Facts = Annotated[int, typer.Option(min=1, max=32, help="Facts in a text, all asked for.")]
Trials = Annotated[int, typer.Option(min=1, help="Texts of every length.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Read at most so much of a document.")]
Documents = Annotated[int, typer.Option(min=1, help="Documents of a file at most.")]
Questions = Annotated[int, typer.Option(min=1, help="Questions a document at most.")]
Unanswerable = Annotated[
    int, typer.Option(min=0, help="Questions a document that it does not answer, at most.")
]
Before = Annotated[
    list[Path], typer.Option(help="A book that is read before every document; may be repeated.")
]
AnswerTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]


@app.command()
def facts(
    context: typer.Context,
    texts: Books,
    out: Out,
    length: Lengths = LENGTHS,
    kind: Kinds = KINDS,
    facts: Facts = 1,
    trials: Trials = 40,
    reader: Readers = READERS,
    ceiling: Ceiling = None,
    batch: Batch = 8,
    plot: Plot = False,
    seed: Seed = 1,
) -> None:
    """Plant facts in books and ask for them at the end, by length, depth and kind."""
    from comet_core.evaluation.facts import Plan, summarize

    _check_plot(plot)
    loaded = _load(context)
    books = runs.open_books(texts, loaded)
    plan = Plan(length, kind, facts, trials, seed)
    readers = _readers(context, loaded, reader, ceiling)
    results = Results(out, "facts", loaded, readers, runs.facts_setting(plan, books, batch))
    if results.before:
        console.note(f"Goes on from {results.partial}: {len(results.before)} trials are there.")
    found = runs.run_facts(readers, loaded, books, plan, batch, results.save, before=results.before)
    summaries = summarize(found)
    results.save(summaries, found, finished=True)
    show(facts_tables(summaries))
    if plot:
        _draw(out, _facts_maps(summaries))


@app.command()
def qa(
    context: typer.Context,
    data: Data,
    out: Out,
    before: Before = NO_BOOKS,
    max_tokens: MaxTokens = 4000,
    documents: Documents = 20,
    questions: Questions = 20,
    unanswerable: Unanswerable = 5,
    answer_tokens: AnswerTokens = 32,
    reader: Readers = READERS,
    ceiling: Ceiling = None,
    batch: Batch = 8,
    seed: Seed = 1,
) -> None:
    """Ask people's questions about real documents, some of which these do not answer."""
    loaded = _load(context)
    books = runs.open_books(before, loaded)
    plan = runs.questions_plan(loaded, questions, unanswerable, max_tokens, seed, books)
    papers = runs.choose_papers(data, loaded, plan, documents)
    readers = _readers(context, loaded, reader, ceiling)
    runs.warn_if_all_tail([paper.chunks for of_file in papers.values() for paper in of_file])
    setting = runs.questions_setting(plan, papers, batch, answer_tokens, books)
    results = Results(out, "qa", loaded, readers, setting)
    found = runs.run_questions(readers, papers, batch, answer_tokens, results.save)
    summaries = runs.by_file(found)
    results.save(summaries, runs.with_file(found), finished=True)
    show(questions_tables(summaries))


@app.command()
def ablation(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Books, for facts; JSONL files, for qa.")],
    out: Out,
    length: Lengths = LENGTHS,
    kind: Kinds = KINDS,
    facts: Facts = 1,
    trials: Trials = 40,
    max_tokens: MaxTokens = 4000,
    documents: Documents = 20,
    questions: Questions = 20,
    answer_tokens: AnswerTokens = 32,
    batch: Batch = 8,
    plot: Plot = False,
    seed: Seed = 1,
) -> None:
    """Facts and questions again, without a part of the memory or with its gate fixed."""
    from comet_core.evaluation.ablation import ABLATIONS, AblatedReader
    from comet_core.evaluation.facts import Plan, summarize
    from comet_core.evaluation.readers import MemoryReader

    _check_plot(plot)
    loaded = _load(context)
    books = runs.open_books([path for path in files if path.suffix != ".jsonl"], loaded)
    plan = Plan(length, kind, facts, trials, seed)
    asking = runs.questions_plan(loaded, questions, 0, max_tokens, seed)
    papers = runs.choose_papers(
        [p for p in files if p.suffix == ".jsonl"], loaded, asking, documents
    )
    chunks = [paper.chunks for of_file in papers.values() for paper in of_file]
    if books:
        chunks += [loaded.model.config.chunks_of(tokens) for tokens in length]
    runs.warn_if_all_tail(chunks)
    readers: list[Reader] = [MemoryReader(loaded), *(AblatedReader(loaded, a) for a in ABLATIONS)]
    setting: dict[str, Any] = {}
    if books:
        setting["facts"] = runs.facts_setting(plan, books, batch)
    if papers:
        setting["qa"] = runs.questions_setting(asking, papers, batch, answer_tokens)
    results = Results(out, "ablation", loaded, readers, setting)
    summaries: dict[str, Any] = {}
    trials_of: dict[str, Any] = {}

    def saving(suite: str) -> Callable[[Any, Any], None]:
        return lambda summary, found: results.save(
            {**summaries, suite: summary}, {**trials_of, suite: found}
        )

    if books:
        planted = runs.run_facts(readers, loaded, books, plan, batch, saving("facts"))
        summaries["facts"], trials_of["facts"] = summarize(planted), planted
    if papers:
        asked = runs.run_questions(readers, papers, batch, answer_tokens, saving("qa"))
        summaries["qa"], trials_of["qa"] = runs.by_file(asked), runs.with_file(asked)
    results.save(summaries, trials_of, finished=True)
    if books:
        show(facts_tables(summaries["facts"]))
    if papers:
        show(questions_tables(summaries["qa"]))
    if plot and books:
        _draw(out, _facts_maps(summaries["facts"]))


@app.command()
def gates(
    context: typer.Context,
    texts: Books,
    out: Out,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Read at most so much of a text.")
    ] = None,
    plot: Plot = False,
) -> None:
    """What the gates of global memory do over long texts, by layer and chunk."""
    from comet_core.evaluation.gates import gate_statistics
    from comet_core.evaluation.readers import MemoryReader

    _check_plot(plot)
    loaded = _load(context)
    books = runs.open_books(texts, loaded)
    setting = {"texts": runs.text_setting(books), "max_tokens": max_tokens, "seed": None}
    results = Results(out, "gates", loaded, [MemoryReader(loaded)], setting)
    found: dict[str, gated.GateStatistics] = {}
    for path, book in zip(texts, books, strict=True):
        tokens = book.tokens[:max_tokens]
        chunks = len(tokens) // loaded.model.config.chunk_size
        with Display(f"Reading {path.name}", chunks) as display:
            name = f"{path}" if path.name in found else path.name
            found[name] = gate_statistics(loaded.model, tokens, display.step)
        results.save(*runs.gates_result(found))
    results.save(*runs.gates_result(found), finished=True)
    show(gates_tables(found))
    for name, statistics in found.items():
        for warning in statistics.warnings:
            console.note(f"Warning: {name}: {warning}")
    if plot:
        _draw(out, _gates_maps(found))


@app.command()
def scrolls(
    context: typer.Context,
    data: Annotated[
        list[Path], typer.Argument(help="JSONL files of SCROLLS tasks, named as or in a task.")
    ],
    out: Out,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Questions of a task at most; all if not given.")
    ] = None,
    reader: Readers = READERS,
    ceiling: Ceiling = None,
    batch: Batch = 8,
) -> None:
    """The tasks of SCROLLS from local files, with its metrics and its averaging."""
    from comet_core.evaluation.score import require
    from comet_core.evaluation.scrolls import Trial, ask_papers, load_papers, summarize, task_of

    require("rouge_score")
    chosen = [(task := task_of(path), load_papers(path, task, trials)) for path in data]
    loaded = _load(context)
    readers = _readers(context, loaded, reader, ceiling, brief=False)
    setting = {
        "data": [f"{path.parent.name}/{path.name}" for path in data],
        "tasks": [task.name for task, _ in chosen],
        "trials": trials,
        "batch": batch,
        "seed": None,  # nothing is drawn
    }
    results = Results(out, "scrolls", loaded, readers, setting)
    found: list[Trial] = []
    read_before = 0
    for task, papers in chosen:
        total = sum(len(paper.ids) for paper in papers) * len(readers)
        with Display(task.name, total) as display:
            for group in runs.batches(enumerate(papers, start=read_before), batch):
                read = [(number, p, loaded.prompt.text(p.text)) for number, p in group]
                found += ask_papers(readers, task, read, display)
                results.save(summarize(found, limited=trials is not None), found)
        read_before += len(papers)
    if not found:
        raise runs.NothingAsked("There is no question in these files.")
    summaries = summarize(found, limited=trials is not None)
    results.save(summaries, found, finished=True)
    show(scrolls_tables(summaries))


def _load(context: typer.Context) -> LoadedModel:
    from app.library import Library

    given: Context = context.obj
    with Library.open(settings=given.settings) as library, console.waiting("Loading the model"):
        return library.model


def _readers(
    context: typer.Context,
    loaded: LoadedModel,
    names: Sequence[ReaderName],
    ceiling: Path | None,
    brief: bool = True,
) -> list[Reader]:
    """The readers asked for; the fine-tuned one wherever its adapters are given."""
    from comet_core.evaluation.contestants import make_readers

    wanted = set(names)
    if ReaderName.ALL in wanted:
        wanted = set(ReaderName) - {ReaderName.ALL, ReaderName.CEILING}
    if ceiling is not None:
        wanted.add(ReaderName.CEILING)
    given: Context = context.obj
    with console.waiting("Loading the readers"):
        return make_readers(wanted, loaded, given.settings.model_cache, ceiling, brief)


def _check_plot(plot: bool) -> None:
    """Raises ExtraMissing before anything long begins."""
    from comet_core.evaluation.score import require

    if plot:
        require("matplotlib")


def _facts_maps(summaries: dict[str, planted.Summary]) -> list[HeatMap]:
    return [
        HeatMap(
            title=f"{name}: share of facts exactly right",
            rows=[f"{length:,}" for length in summary.by_length_and_depth],
            columns=[f"{depth * 10}%" for depth in range(10)],
            values=[
                [cell.mean if cell else None for cell in row]
                for row in summary.by_length_and_depth.values()
            ],
            row_name="tokens",
            column_name="depth of the fact",
        )
        for name, summary in summaries.items()
    ]


def _gates_maps(found: dict[str, gated.GateStatistics]) -> list[HeatMap]:
    return [
        HeatMap(
            title=f"Mean gate over {name} (1: keeps the old, 0: takes the new)",
            rows=[f"{layer}" for layer in range(len(s.layers))],
            columns=[f"{chunk}" for chunk in range(1, s.chunks)],
            values=list(zip(*s.by_chunk, strict=True)),
            row_name="layer",
            column_name="chunk",
        )
        for name, s in found.items()
    ]


def _draw(out: Path, maps: Sequence[HeatMap]) -> None:
    path = out.with_suffix(".png")
    draw(path, maps)
    console.note(f"Drawn: {path}")
