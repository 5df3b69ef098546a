"""The commands on users: add, list, remove, password."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app import console
from app.cli_context import Context
from app.library import Library

app = typer.Typer(
    help="Who may log in to the web chat; each has documents of their own.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin, a line.")
]


@app.command()
def add(context: typer.Context, name: Name, password_stdin: FromStdin = False) -> None:
    """Add a user; asks for a password twice."""
    with _library(context) as library:
        library.users.add(name, _password(password_stdin))
    console.note(f"{name} may log in.")


@app.command("list")
def list_users(context: typer.Context) -> None:
    """List the users, one a line."""
    with _library(context) as library:
        names = library.users.names()
    for name in names:
        typer.echo(name)
    if not names:
        console.note('There are no users yet; "comet-reader user add NAME" adds one.')


@app.command()
def remove(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a user with all documents and conversations."""
    with _library(context) as library:
        question = f"Remove {name} with all documents and conversations? [y/N]"
        if not yes and console.typed(question).lower() not in ("y", "yes"):
            console.note("Nothing was removed.")
            raise typer.Exit(1)
        library.remove_user(name)
    console.note(f"{name} is removed.")


@app.command()
def password(context: typer.Context, name: Name, password_stdin: FromStdin = False) -> None:
    """Give a user another password; asks for it twice."""
    with _library(context) as library:
        library.users.set_password(name, _password(password_stdin))
    console.note(f"The password of {name} is another one now.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)


def _library(context: typer.Context) -> Library:
    given: Context = context.obj
    return Library.open(settings=given.settings)
