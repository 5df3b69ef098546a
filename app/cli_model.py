"""The commands `comet-reader model ...`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from app import console
from app.cli_context import Context

app = typer.Typer(help="The model that reads and answers.", no_args_is_help=True)


@app.callback()
def model() -> None:
    """Keeps `info` a command of its own, whatever else is added."""


@app.command()
def info(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the model that is in use: its sizes, where it runs, and its fingerprint."""
    from app.library import Library

    given: Context = context.obj
    with Library.open(settings=given.settings) as library, console.waiting("Loading the model"):
        spec = library.model.spec
    fields: dict[str, Any] = {
        "name": spec.name,
        "fingerprint": spec.fingerprint,
        "parameters": spec.parameters,
        "device": spec.device,
        "dtype": spec.dtype,
        "reason": spec.reason,
        **spec.config.to_dict(),
    }
    if as_json:
        typer.echo(json.dumps(fields, indent=2))
    else:
        console.out.print(console.field_table(fields))
