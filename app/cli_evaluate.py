"""The commands `comet-reader evaluate ...`: measure a model, write JSON, show a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.progress import track
from rich.table import Table

from app import console
from app.cli_context import Context
from comet_core.errors import CometError

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.evaluation.score import Share

Trial = TypeVar("Trial")


class Kind(StrEnum):
    """The kinds of facts that `comet_core.training.facts` makes."""

    NUMBER = "number"
    QUANTITY = "quantity"
    NAME = "name"
    DATE = "date"
    PLACE = "place"
    THING = "thing"


LENGTHS, KINDS = [1000, 2000, 4000, 8000], [Kind.NUMBER]


class NothingAsked(CometError):
    """A data file has no question that could be asked."""


app = typer.Typer(help="Measure what a memory holds.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Where the results go, as JSON.")]
Seed = Annotated[int, typer.Option(help="Everything drawn follows from it.")]


@app.command()
def facts(
    context: typer.Context,
    texts: Annotated[list[Path], typer.Argument(help="Books to plant facts in.")],
    out: Out,
    length: Annotated[list[int], typer.Option(help="Tokens of a text; may be repeated.")] = LENGTHS,
    kind: Annotated[list[Kind], typer.Option(help="Kinds of facts; may be repeated.")] = KINDS,
    facts: Annotated[int, typer.Option(min=1, help="Facts in a text, all asked for.")] = 1,
    trials: Annotated[int, typer.Option(min=1, help="Texts of every length.")] = 40,
    seed: Seed = 1,
) -> None:
    """Plant facts in books and ask for them at the end, by length and depth."""
    from comet_core.evaluation.facts import plant_facts, summarize

    loaded = _load(context)
    tokens = [_tokens(path, loaded) for path in texts]
    found = _shown(
        plant_facts(loaded, tokens, length, kind, facts, trials, seed),
        "Reading and asking",
        len(length) * trials * facts,
    )
    setting = {
        "texts": [path.name for path in texts],
        "lengths": length, "kinds": kind, "facts": facts, "trials": trials, "seed": seed,
    }  # fmt: skip
    summary = summarize(found)
    _write(out, "facts", loaded, setting, summary, found)
    table = Table("tokens", *(f"{d * 10}%" for d in range(10)), "all", "95 % interval", box=None)
    for tokens_read, by_depth in summary.by_length_and_depth.items():
        whole = summary.by_length[tokens_read]
        cells = ["" if share is None else f"{share.share:.0%}" for share in by_depth]
        table.add_row(f"{tokens_read:,}", *cells, f"{whole.share:.1%}", _interval(whole))
    console.out.print("Facts exactly right, by length of the text and depth of the fact")
    console.out.print(table)
    for name, whole in summary.by_kind.items():
        console.out.print(f"{name}: {whole.right} of {whole.asked}, {_interval(whole)}")


@app.command()
def qa(
    context: typer.Context,
    data: Annotated[list[Path], typer.Argument(help="JSONL files of documents and questions.")],
    out: Out,
    max_tokens: Annotated[int, typer.Option(help="Read at most so much of a document.")] = 4000,
    documents: Annotated[int, typer.Option(help="Documents of a file at most.")] = 20,
    questions: Annotated[int, typer.Option(help="Questions a document at most.")] = 20,
    seed: Seed = 1,
) -> None:
    """Ask people's questions about real documents; beside it, what can be guessed unread."""
    from itertools import islice

    from comet_core.evaluation.questions import ask_questions, summarize
    from comet_core.training.data import load_documents

    loaded = _load(context)
    setting = {
        "max_tokens": max_tokens, "documents": documents, "questions": questions, "seed": seed,
    }  # fmt: skip
    summaries, found = {}, []
    for path in data:
        chosen = list(islice(load_documents([path]), documents))
        name = f"{path.parent.name}/{path.stem}"
        asked = _shown(ask_questions(loaded, chosen, questions, max_tokens, seed), name, None)
        if not asked:
            raise NothingAsked(f"{path} has no question that its first {max_tokens} tokens answer.")
        summaries[name] = summarize(asked)
        found += asked
    _write(out, "qa", loaded, setting, summaries, found)
    table = Table("data", "questions", "F1", "exact", "95 % interval", "F1 unread", box=None)
    for name, s in summaries.items():
        table.add_row(
            name, f"{s.questions}", f"{s.f1:.3f}", f"{s.exact.share:.1%}", _interval(s.exact),
            f"{s.floor_f1:.3f}",
        )  # fmt: skip
    console.out.print(table)


def _load(context: typer.Context) -> LoadedModel:
    from app.library import Library

    given: Context = context.obj
    with Library.open(settings=given.settings) as library, console.waiting("Loading the model"):
        return library.model


def _tokens(path: Path, loaded: LoadedModel) -> list[int]:
    """A whole book as token ids, read as `ingest` reads it."""
    from ingest.clean import clean_pages
    from ingest.readers import open_document

    with open_document(path) as book:
        return list(loaded.prompt.document(page.text for page in clean_pages(book.pages())))


def _shown(trials: Iterable[Trial], title: str, count: int | None) -> list[Trial]:
    """The trials, with progress on stderr."""
    return list(track(trials, title, total=count, console=console.err, transient=True))


def _interval(share: Share) -> str:
    return f"{share.low:.1%} to {share.high:.1%}"


def _write(
    out: Path,
    suite: str,
    loaded: LoadedModel,
    setting: dict[str, Any],
    summary: Any,
    trials: Sequence[Any],
) -> None:
    """One JSON file: what was measured, of which model, how, the result, and every trial."""
    spec = loaded.spec
    result = {
        "suite": suite,
        "model": spec.name,
        "fingerprint": spec.fingerprint,
        "sizes": spec.config.to_dict(),
        "dtype": spec.dtype,
        "setting": setting,
        "summary": summary,
        "trials": trials,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, default=asdict, indent=1) + "\n", encoding="utf-8")
