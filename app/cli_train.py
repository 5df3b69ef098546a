"""The command `comet-reader train`: run a recipe, show how it goes, write the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from app import console
from app.cli_context import Context
from app.interrupts import awaited_interrupts
from app.training_display import TrainingDisplay
from app.training_plot import plot_metrics

if TYPE_CHECKING:
    from comet_core.training.recipe import Recipe


def train(
    context: typer.Context,
    recipe: Annotated[Path, typer.Option(help="The recipe, a TOML file.")],
    data: Annotated[Path, typer.Option(help="The directory its data files are in.")],
    run: Annotated[Path, typer.Option(help="The run's directory; a run there goes on.")],
    backbone: Annotated[
        str | None, typer.Option(help="A directory or hub id, where not the recipe's.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="CoMeT weights to start from, for a new run: a file, or a run's directory."
        ),
    ] = None,
    ceiling_of: Annotated[
        Path | None,
        typer.Option(
            help="A run's directory: train what its memory is compared with, the backbone with the "
            "whole text in its window, on the same samples.",
        ),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop cleanly after so many minutes.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what memory and arithmetic it takes.")
    ] = False,
) -> None:
    """Train a memory for a backbone; stopped at any time, the same command goes on. Ctrl-C stops it
    after the step it is at.
    """
    from comet_core.training.recipe import load_recipe
    from comet_core.training.run import open_run

    given: Context = context.obj
    settings = given.settings
    plan = load_recipe(recipe)
    if backbone is not None:
        plan = replace(plan, backbone=backbone)
    if dry_run and ceiling_of is not None:
        raise typer.BadParameter("Memory and arithmetic are not estimated for a ceiling.")
    if dry_run:
        console.out.print(_needs(plan, settings.model_cache))
        return
    with console.waiting("Loading the model and the data"):
        trainer = open_run(
            recipe=plan,
            data=data,
            directory=run,
            start=start,
            ceiling_of=ceiling_of,
            cache=settings.model_cache,
            device=settings.device,
            dtype=settings.dtype,
        )
    with (
        TrainingDisplay(len(plan.stages), max_minutes) as display,
        awaited_interrupts("Stopping after this step; Ctrl-C again stops at once.") as asked,
    ):
        for report in trainer.run(max_minutes, stop=asked):
            display.update(report, trainer.steps_left)
        interrupted = asked() and not trainer.finished
    state = "finished" if trainer.finished else "stopped; the same command goes on"
    console.note(f"Step {trainer.step}, {state}. Weights: {trainer.weights}")
    if image := plot_metrics(trainer.metrics):
        console.note(f"How it went: {image}")
    if interrupted:
        raise typer.Exit(130)


def _needs(plan: Recipe, cache: Path) -> Table:
    """What every stage takes, in a table."""
    from comet_core.training.run import estimate_run

    table = Table(
        "stage", "text tokens", "weights", "trained", "states", "activations", "GB in all",
        "TFLOP per 1,000 tokens", box=None, title="Estimated for bf16 and fused attention (a GPU)",
        title_justify="left",
    )  # fmt: skip
    for stage, needs, arithmetic in estimate_run(plan, cache):
        held = (needs.weights, needs.trained, needs.states, needs.activations + needs.gradients)
        table.add_row(
            Text(console.one_line(stage.name)),
            f"{stage.longest:,}",
            *(f"{nbytes / 1e9:.2f}" for nbytes in held),
            f"{needs.total / 1e9:.1f}",
            f"{arithmetic / 1e9:,.1f}",
        )
    return table
