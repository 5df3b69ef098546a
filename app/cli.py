"""The command line `comet-reader`: what is asked for on stdout, everything else on stderr.

What is done with documents goes through `app.library.Library`; training, evaluating and importing a
model, which concern no document, go to `comet_core`. A failure is one line `Error: ...` and exit
code 1; an interrupt is exit code 130.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from app import cli_documents, cli_evaluate, cli_mcp, cli_model, cli_train, cli_user, console
from app.cli_context import Context
from app.settings import Settings
from comet_core.errors import CometError

app = typer.Typer(
    name="comet-reader",
    help="Reads long documents once, remembers them, and answers questions about them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli_documents.add_to(app)
app.add_typer(cli_model.app, name="model")
app.command()(cli_train.train)
app.add_typer(cli_evaluate.app, name="evaluate")
app.command()(cli_mcp.mcp)
app.add_typer(cli_user.app, name="user")

DEBUG = "--debug"


def _help(field: str) -> str:
    return f"{Settings.model_fields[field].description} (COMET_{field.upper()})"


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help=_help("home"))] = None,
    database_url: Annotated[str | None, typer.Option(help=_help("database_url"))] = None,
    model: Annotated[str | None, typer.Option(help=_help("model"))] = None,
    device: Annotated[str | None, typer.Option(help=_help("device"))] = None,
    dtype: Annotated[str | None, typer.Option(help=_help("dtype"))] = None,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks and the log.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(message)s")
    given = {
        "home": home,
        "database_url": database_url,
        "model": model,
        "device": device,
        "dtype": dtype,
    }
    given = {name: value for name, value in given.items() if value is not None}
    context.obj = Context(Settings().model_copy(update=given), debug)


def main() -> None:
    """The entry point: runs a command and turns every failure into one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a letter shows another
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # loading a model is silent
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:  # wrong usage; no message where the help was shown
        if message := error.format_message():
            console.note(f"Error: {message}")
        sys.exit(error.exit_code)
    except (Abort, KeyboardInterrupt):
        sys.exit(130)
    except CometError as error:
        _fail(error)
    except Exception as error:
        _fail(RuntimeError(f"{type(error).__name__}: {error} (a defect; {DEBUG} shows where)"))


def _fail(error: Exception) -> None:
    if DEBUG in sys.argv:
        traceback.print_exc()
    console.error(error)
    sys.exit(1)
