"""The command `comet-reader train`: run a recipe, show how it goes, write the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import console
from app.cli_context import Context
from app.training_display import TrainingDisplay


def train(
    context: typer.Context,
    recipe: Annotated[Path, typer.Option(help="The recipe, a TOML file.")],
    data: Annotated[Path, typer.Option(help="The directory its data files are in.")],
    run: Annotated[Path, typer.Option(help="The run's directory; a run there goes on.")],
    backbone: Annotated[
        str | None, typer.Option(help="A directory or hub id; the default model if left out.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="CoMeT weights to start from, for a new run.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop cleanly after so many minutes.")
    ] = None,
) -> None:
    """Train a memory for a backbone; stopped at any time, the same command goes on."""
    from comet_core.training.run import open_run

    given: Context = context.obj
    settings = given.settings
    with console.waiting("Loading the model and the data"):
        trainer = open_run(
            recipe=recipe,
            data=data,
            directory=run,
            backbone=backbone,
            start=start,
            cache=settings.model_cache,
            device=settings.device,
            dtype=settings.dtype,
        )
    with TrainingDisplay(max_minutes) as display:
        for report in trainer.run(max_minutes):
            display.update(report)
    weights = trainer.export()
    state = "finished" if trainer.finished else "stopped; the same command goes on"
    console.note(f"Step {trainer.step}, {state}. Weights: {weights}")
