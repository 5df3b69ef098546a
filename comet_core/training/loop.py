"""The training loop: draw a step, learn from it, note how it went, move on when a stage is over.

What a step is depends on the recipe and the step's number alone, so a run that was stopped goes on
as if it had not been, and the ceiling of a run learns from its very samples.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from peft.helpers import disable_input_dtype_casting
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import ParameterList
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from comet_core.checkpoint import WEIGHTS_FILE, Weights, save_weights
from comet_core.errors import CannotWrite, CometError
from comet_core.model import CometModel
from comet_core.prompt import NOT_IN_DOCUMENT, PromptFormat
from comet_core.training.checkpoint import OtherRun, load_run, save_run, trainable
from comet_core.training.data import TokenizedDocument
from comet_core.training.draw import Step, StepDrawer
from comet_core.training.objective import Objective, answer_loss, window_loss
from comet_core.training.recipe import BadRecipe, Recipe, Stage, check_rows
from comet_core.training.report import StepReport, tallies

CHECKPOINT_SECONDS = 300
METRICS_FILE = "metrics.jsonl"
LORA_FILE = "lora.safetensors"


class Diverged(CometError):
    """A step's gradients are infinite or not a number."""


class StepTooLarge(CometError):
    """A step does not fit in the device's memory."""


class Trainer:
    """One run of a recipe in a directory of its own; an existing run there goes on.

    ceiling_of: the metrics of a memory's run. This run then trains what that memory is to be
    compared with: the backbone alone, the whole text in its window, on the same samples in the same
    number of steps. Raises BadRecipe where a stage is longer than the backbone's rows or wants
    questions that the data does not have, DataNotFound, CannotWrite, or OtherRun.
    """

    def __init__(
        self,
        model: CometModel,
        prompt: PromptFormat,
        documents: Sequence[TokenizedDocument],
        recipe: Recipe,
        directory: Path,
        ceiling_of: Path | None = None,
    ) -> None:
        self.model, self.recipe, self.directory = model, recipe, directory
        self.course = None if ceiling_of is None else _course(ceiling_of, recipe)
        check_rows(recipe, model.backbone.max_rows, ceiling=self.course is not None)
        if self.course is not None:
            for name, parameter in model.named_parameters():
                if not name.startswith("language_model."):
                    parameter.requires_grad_(False)
        self.steps = StepDrawer(prompt, documents, recipe, model.backbone.max_rows)
        self.refusal = prompt.answer(NOT_IN_DOCUMENT)
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98), weight_decay=0.0)
        self.learned = ParameterList(trainable(model).values())
        self.mean = AveragedModel(self.learned, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay))
        self.step = self.stage_step = 0
        self.stage_number = self.course[0] if self.course else 0
        self.judged: deque[bool] = deque(maxlen=self.stage.judged)
        with _writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._resume()
        with _writing(directory):
            self._forget_later_steps()

    @property
    def checkpoint(self) -> Path:
        return self.directory / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        """What the run has learned; of a ceiling, which has no memory, under a name of its own."""
        return self.directory / (WEIGHTS_FILE if self.course is None else LORA_FILE)

    @property
    def metrics(self) -> Path:
        return self.directory / METRICS_FILE

    @property
    def stage(self) -> Stage:
        return self.recipe.stages[self.stage_number]

    @property
    def finished(self) -> bool:
        """Whether the last stage is over."""
        return self.stage_number == len(self.recipe.stages)

    @property
    def steps_left(self) -> int | None:
        """Steps to the end of the run at most; None where that is for mastery alone to say."""
        if self.course is not None:
            return len(self.course) - self.step
        left = -self.stage_step
        for stage in self.recipe.stages[self.stage_number :]:
            if stage.max_steps is None:
                return None
            left += stage.max_steps
        return max(0, left)

    def run(
        self, max_minutes: float | None = None, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[StepReport]:
        """Train until the last stage is over, the time is up or `stop`, asked after every step,
        says so; a report a step, a checkpoint every five minutes and at the end. Raises Diverged,
        StepTooLarge or CannotWrite.
        """
        started = saved = time.monotonic()
        while not self.finished:
            try:
                report = self._train_step()
            except torch.OutOfMemoryError as error:
                stage = self.steps.stage(self.stage, self.step)
                raise StepTooLarge(
                    f"Step {self.step} does not fit in the device's memory; lower the step_tokens "
                    f"of the stage '{stage.name}' and give the same command, which goes on."
                ) from error
            with _writing(self.directory), self.metrics.open("a", encoding="utf-8") as metrics:
                metrics.write(json.dumps(asdict(report)) + "\n")
            self._advance()
            yield report
            now = time.monotonic()
            if now - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = now
            if stop() or (max_minutes is not None and now - started > max_minutes * 60):
                break
        self.save()

    def save(self) -> None:
        """Write the checkpoint, and the weights' mean in the form that is answered with."""
        progress = {
            "step": self.step,
            "done": [stage.name for stage in self.recipe.stages[: self.stage_number]],
            "stage_step": self.stage_step,
            "judged": [] if self.finished else list(self.judged),
        }
        local = Path(self.recipe.backbone)
        weights = Weights(
            dict(
                zip(trainable(self.model), map(torch.detach, self.mean.parameters()), strict=True)
            ),
            self.recipe.sizes,
            self.recipe.lora_rank,
            str(local.resolve()) if local.is_dir() else self.recipe.backbone,
        )
        with _writing(self.directory):
            save_run(self.checkpoint, self.model, self.optimizer, self.mean, progress)
            save_weights(self.weights, weights)

    def _resume(self) -> None:
        progress = load_run(self.checkpoint, self.model, self.optimizer, self.mean)
        self.step, self.stage_step = progress["step"], progress["stage_step"]
        done = progress["done"]
        self.stage_number = len(done)
        if [stage.name for stage in self.recipe.stages[: self.stage_number]] != done:
            raise OtherRun(
                f"The run in {self.directory} has done other stages than the recipe begins with "
                f"({', '.join(done)}); give the recipe it began with, or another --run."
            )
        if self.course is not None:
            self.stage_number = self._next_stage()  # the run it follows may have gone on
        if not self.finished:
            self.judged = deque(progress["judged"], maxlen=self.stage.judged)

    def _forget_later_steps(self) -> None:
        """Steps after the checkpoint are done anew, and would stand in the metrics twice."""
        if self.metrics.exists():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            partial = self.metrics.with_suffix(".partial")
            partial.write_text("".join(lines[: self.step]), encoding="utf-8")
            partial.replace(self.metrics)

    def _groups(self) -> list[dict]:
        backbone: list[torch.nn.Parameter] = []
        memory: list[torch.nn.Parameter] = []
        for name, parameter in trainable(self.model).items():
            (backbone if name.startswith("language_model.") else memory).append(parameter)
        return [
            {"params": backbone, "base_lr": self.recipe.learning_rate},
            {"params": memory, "base_lr": self.recipe.memory_learning_rate},
        ]

    def _train_step(self) -> StepReport:
        started = time.monotonic()
        step = self.steps.draw(self.stage, self.step)
        self.model.train()
        for group in self.optimizer.param_groups:
            warmth = min(1.0, (self.step + 1) / self.recipe.warmup_steps)
            group["lr"] = group["base_lr"] * self.stage.rate * warmth
        mixed = self.model.dtype == torch.bfloat16  # adapters and memory are trained in float32
        with (
            torch.autocast(self.model.device.type, torch.bfloat16, enabled=mixed),
            disable_input_dtype_casting(self.model.language_model, active=mixed),
        ):
            result = self._objective(step)
        result.loss.backward()
        norm = clip_grad_norm_(self.learned.parameters(), self.recipe.clip_norm)
        if not norm.isfinite():
            raise Diverged(
                f"The gradients of step {self.step} are not finite, and it was not taken; go on "
                "from the last checkpoint with lower learning rates."
            )
        self.optimizer.step()
        self.mean.update_parameters(self.learned)
        self.optimizer.zero_grad()
        asked = [a for sample in step.samples for a in sample.asked]
        told = torch.tensor([a.recited for a in asked], device=result.losses.device)
        right = result.right[~told].tolist()
        if step.task == "facts" and step.stage is self.stage:
            self.judged.extend(right)
        ages, unanswerable = tallies([a for a in asked if not a.recited], right)
        return StepReport(
            step=self.step,
            stage_number=self.stage_number,
            stage=self.stage.name,
            task=step.task if step.stage is self.stage else "mixed",
            loss=_mean(result.losses[~told]),
            recited=_mean(result.losses[told]),
            right=sum(right) / len(right) if right else None,
            score=sum(self.judged) / max(1, len(self.judged)),
            ages=ages,
            unanswerable=unanswerable,
            chunk_size=max(step.reading.chunks, default=0),
            chunks=len(step.reading.chunks),
            temporary_rows=step.reading.temporary_rows,
            tokens=sum(len(sample.tokens) for sample in step.samples)
            + sum(len(a.question) + len(a.answer) for a in asked),
            seconds=round(time.monotonic() - started, 3),
        )

    def _objective(self, step: Step) -> Objective:
        if self.course is not None:
            return window_loss(self.model, step.samples)
        return answer_loss(
            self.model,
            step.samples,
            step.reading,
            self.refusal,
            checkpointed=self.recipe.checkpoint_chunks,
            frozen_tail=step.stage.frozen_tail,
            gradient_chunks=step.stage.gradient_chunks,
            together=step.together,
            global_alone=step.stage.global_alone,
        )

    def _advance(self) -> None:
        """Count the step, and go to the next stage when this one is over."""
        self.step += 1
        self.stage_step += 1
        number = self._next_stage()
        if number != self.stage_number:
            self.stage_number = number
            self.stage_step = 0
            if not self.finished:
                self.judged = deque(maxlen=self.stage.judged)

    def _next_stage(self) -> int:
        """The stage of the next step: the same one until it is mastered or used up."""
        if self.course is not None:
            over = self.step >= len(self.course)
            return len(self.recipe.stages) if over else self.course[self.step]
        stage = self.stage
        mastered = (
            len(self.judged) == stage.judged and sum(self.judged) >= stage.promote_at * stage.judged
        )
        used_up = stage.max_steps is not None and self.stage_step >= stage.max_steps
        return self.stage_number + (mastered or used_up)


def _mean(losses: Tensor) -> float | None:
    return round(losses.mean().item(), 4) if len(losses) else None


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Raises CannotWrite where what is done inside cannot be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CannotWrite(
            f"The run cannot be written to {directory}: {error}; make room there, or give another "
            "--run."
        ) from error


def _course(metrics: Path, recipe: Recipe) -> list[int]:
    """The number of the stage at every step of another run; raises BadRecipe."""
    names = [stage.name for stage in recipe.stages]
    try:
        steps = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        course = [names.index(step["stage"]) for step in steps]
        if [step["step"] for step in steps] != list(range(len(steps))):
            raise ValueError("its steps are not there from the first on")
    except (OSError, ValueError) as error:
        raise BadRecipe(f"{metrics} is not of a run of this recipe: {error}.") from error
    if not course:
        raise BadRecipe(f"{metrics} has no steps yet; train the memory first.")
    return course
