"""The commands on documents: ingest, ask, chat, list, show, forget, verify."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import console
from app.cli_context import Context
from app.interrupts import kept_interrupts
from app.library import Library
from app.tables import Document
from ingest.batch import Outcome, Result, find_files

if TYPE_CHECKING:
    from ingest.pipeline import Progress

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Name = Annotated[
    str, typer.Argument(metavar="DOCUMENT", help="Title, file name or beginning of the id.")
]


def add_to(app: typer.Typer) -> None:
    """Make the functions below commands of `app`."""
    for command in (ingest, ask, chat, show, forget, verify):
        app.command()(command)
    app.command("list")(list_documents)


def ingest(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, folders or patterns.")
    ],
    password: Annotated[str | None, typer.Option(help="Opens an encrypted PDF.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read documents; goes on where an earlier reading stopped, skips what is known."""
    found = find_files(paths)
    outcomes: list[Outcome[Document]] = []
    with _library(context) as library:
        try:
            with console.ReadingDisplay(found.files) as display, kept_interrupts() as check:

                def show(path: Path, read: Progress) -> None:
                    check()
                    display.update(path, read)

                for outcome in library.ingest_many(found, on_progress=show, password=password):
                    outcomes.append(outcome)
                    _report(outcome, context.obj.debug)
        except KeyboardInterrupt:
            console.note("Stopped; what was read is kept. The same command goes on from there.")
            raise typer.Exit(130) from None
    _summarize(outcomes, found.passed_over)
    if as_json:
        _print_json([console.outcome_json(outcome) for outcome in outcomes])
    if any(outcome.result is Result.FAILED for outcome in outcomes):
        raise typer.Exit(1)


def ask(
    context: typer.Context,
    document: Name,
    question: Annotated[str, typer.Argument(help="What you want to know.")],
) -> None:
    """Answer a question about a document from its memory; the answer streams to stdout."""
    with _library(context) as library:
        with console.waiting("Loading the memory"):
            pieces = library.ask(document, question)
        _stream(pieces)


def chat(
    context: typer.Context,
    document: Name,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Go on with the last conversation.")
    ] = False,
) -> None:
    """Talk about a document; what is said is kept. An empty line or Ctrl-D ends it."""
    with _library(context) as library:
        found = library.find(document)
        earlier = library.conversations(found) if go_on else []
        conversation = (
            library.conversation(earlier[0].id) if earlier else library.start_conversation(found)
        )
        for message in conversation.messages:
            console.note(f"{'> ' if message.role == 'user' else ''}{message.text}")
        while question := console.typed(">"):
            with console.waiting("Loading the memory"):
                pieces = library.say(conversation, question)
            _stream(pieces)


def list_documents(context: typer.Context, as_json: AsJson = False) -> None:
    """List the documents that have been read."""
    with _library(context) as library:
        documents = library.documents()
    if as_json:
        _print_json([console.document_json(document) for document in documents])
    elif documents:
        console.out.print(console.document_table(documents))
    else:
        console.note('Nothing has been read yet; "comet-reader ingest FILE" reads a file.')


def show(context: typer.Context, document: Name, as_json: AsJson = False) -> None:
    """Show what is kept of a document."""
    with _library(context) as library:
        found = library.find(document)
        fields = console.document_json(found)
        fields["conversations"] = len(library.conversations(found))
    if as_json:
        _print_json(fields)
    else:
        console.out.print(console.field_table(fields))


def forget(
    context: typer.Context,
    document: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a document, its memory and its conversations."""
    with _library(context) as library:
        found = library.find(document)
        title = console.one_line(found.title)
        question = f"Forget {title} and all conversations about it? [y/N]"
        if not yes and console.typed(question).lower() not in ("y", "yes"):
            console.note("Nothing was forgotten.")
            raise typer.Exit(1)
        library.forget(found)
    console.note(f"{title} is forgotten.")


def verify(context: typer.Context) -> None:
    """Check that every stored memory is what was stored, those of all users included."""
    intact = damaged = 0
    with _library(context) as library:
        for owner in ("", *library.users.names()):
            for checked in library.as_owner(owner).verify():
                if checked.damage is None:
                    intact += 1
                else:
                    damaged += 1
                    console.error(checked.damage)
    console.note(f"{intact} intact, {damaged} damaged.")
    if damaged:
        raise typer.Exit(1)


def _library(context: typer.Context) -> Library:
    given: Context = context.obj
    return Library.open(settings=given.settings)


def _report(outcome: Outcome[Document], debug: bool) -> None:
    if outcome.document is not None:
        known = outcome.result is Result.KNOWN
        console.note(console.outcome_line(outcome.document, known))
    elif outcome.problem is not None:
        if debug:
            traceback.print_exception(outcome.error)
        console.error(outcome.problem)


def _summarize(outcomes: list[Outcome[Document]], passed_over: int) -> None:
    """For more than one file, how many became what."""
    if passed_over:
        console.note(f"Files of other formats passed over: {passed_over}.")
    if len(outcomes) > 1:
        results = [outcome.result for outcome in outcomes]
        console.note(", ".join(f"{results.count(result)} {result}" for result in Result) + ".")


def _stream(pieces: Iterable[str]) -> None:
    for piece in pieces:
        sys.stdout.write(console.printable(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))
