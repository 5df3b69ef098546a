"""The commands `comet-reader model ...`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app import console
from app.cli_context import Context

app = typer.Typer(help="The model that reads and answers.", no_args_is_help=True)


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


@app.command(name="import")
def import_checkpoint(
    directory: Annotated[Path, typer.Argument(help="A published CoMeT checkpoint.")],
    target: Annotated[
        Path | None, typer.Option(help="Where to; beside it, with '-comet' to its name, if absent.")
    ] = None,
) -> None:
    """Convert a published CoMeT checkpoint to a directory that --model takes."""
    from comet_core.published import import_published

    source = directory.resolve()
    target = target or source.with_name(f"{source.name}-comet")
    with console.waiting("Converting"):
        import_published(source, target)
    console.note(f'Converted; use it with: comet-reader --model "{target}" ...')
