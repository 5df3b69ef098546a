"""The training loop: draw a batch, learn from it, note how it went, move on when a stage is
mastered.

Every step draws from a generator seeded by the recipe's seed and the step's number, so a run that
was stopped goes on as if it had not been.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from peft.helpers import disable_input_dtype_casting
from torch.nn.utils import clip_grad_norm_

from comet_core.checkpoint import WEIGHTS_FILE, Weights, save_weights
from comet_core.model import CometModel
from comet_core.prompt import PromptFormat
from comet_core.training.checkpoint import load_run, save_run, trainable
from comet_core.training.data import TokenizedDocument
from comet_core.training.objective import answer_loss
from comet_core.training.recipe import Recipe, Stage
from comet_core.training.samples import FactSampler, QuestionSampler, Reading, Sample

CHECKPOINT_SECONDS = 300


@dataclass(frozen=True)
class StepReport:
    """One step as it is shown and as it is written to metrics.jsonl.

    score: share of the last judged fact answers entirely right; tokens: text, questions and
    answers.
    """

    step: int
    stage: str
    task: str
    loss: float
    right: float
    score: float
    ages: dict[int, list[int]]
    chunk_size: int
    chunks: int
    temporary_rows: int
    tokens: int
    seconds: float


class Trainer:
    """One run of a recipe in a directory of its own; an existing run there goes on."""

    def __init__(
        self,
        model: CometModel,
        prompt: PromptFormat,
        documents: Sequence[TokenizedDocument],
        recipe: Recipe,
        directory: Path,
        backbone: str,
    ) -> None:
        self.model, self.recipe, self.directory = model, recipe, directory
        self.backbone = backbone
        self.facts = FactSampler(prompt, documents)
        self.questions = QuestionSampler(prompt, documents)
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98), weight_decay=0.0)
        self.step = self.stage_number = self.stage_step = 0
        self.judged: deque[bool] = deque(maxlen=self.stage.judged)
        directory.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._resume()
        self._forget_later_steps()

    @property
    def checkpoint(self) -> Path:
        return self.directory / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        return self.directory / "metrics.jsonl"

    @property
    def stage(self) -> Stage:
        return self.recipe.stages[self.stage_number]

    @property
    def finished(self) -> bool:
        """Whether the last stage is over."""
        return self.stage_number == len(self.recipe.stages)

    def run(self, max_minutes: float | None = None) -> Iterator[StepReport]:
        """Train until the last stage is over or the time is up; a report a step, a checkpoint every
        five minutes and at the end."""
        started = saved = time.monotonic()
        with self.metrics.open("a", encoding="utf-8") as metrics:
            while not self.finished:
                report = self._train_step()
                metrics.write(json.dumps(asdict(report)) + "\n")
                metrics.flush()
                yield report
                self._advance()
                now = time.monotonic()
                if now - saved > CHECKPOINT_SECONDS:
                    self.save()
                    saved = now
                if max_minutes is not None and now - started > max_minutes * 60:
                    break
        self.save()

    def save(self) -> None:
        """Write the checkpoint."""
        save_run(
            self.checkpoint,
            self.model,
            self.optimizer,
            {
                "step": self.step,
                "stage": self.stage_number,
                "stage_step": self.stage_step,
                "judged": [] if self.finished else list(self.judged),
            },
        )

    def export(self) -> Path:
        """Write the weights as a CoMeT checkpoint that can be read and answered with."""
        path = self.directory / WEIGHTS_FILE
        weights = Weights(
            {name: p.data for name, p in trainable(self.model).items()},
            self.recipe.sizes,
            self.recipe.lora_rank,
            self.backbone,
        )
        save_weights(path, weights)
        return path

    def _resume(self) -> None:
        progress = load_run(self.checkpoint, self.model, self.optimizer)
        self.step, self.stage_number = progress["step"], progress["stage"]
        self.stage_step = progress["stage_step"]
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
        rng = Random(f"{self.recipe.seed}/{self.step}")
        task, reading, samples = self._draw(rng)
        self.model.train()
        for group in self.optimizer.param_groups:
            warmth = min(1.0, (self.step + 1) / self.recipe.warmup_steps)
            group["lr"] = group["base_lr"] * self.stage.rate * warmth
        mixed = self.model.dtype == torch.bfloat16  # adapters and memory are trained in float32
        with (
            torch.autocast(self.model.device.type, torch.bfloat16, enabled=mixed),
            disable_input_dtype_casting(self.model.language_model, active=mixed),
        ):
            result = answer_loss(
                self.model, samples, reading, checkpointed=self.recipe.checkpoint_chunks
            )
        result.loss.backward()
        clip_grad_norm_(trainable(self.model).values(), self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        right = result.right.tolist()
        if task == "facts":
            self.judged.extend(right)
        return StepReport(
            step=self.step,
            stage=self.stage.name,
            task=task,
            loss=round(result.loss.item(), 4),
            right=sum(right) / len(right),
            score=sum(self.judged) / max(1, len(self.judged)),
            ages=_by_age(samples, right),
            chunk_size=max(reading.chunks),
            chunks=len(reading.chunks),
            temporary_rows=reading.temporary_rows,
            tokens=sum(
                len(s.tokens) + sum(len(a.question) + len(a.answer) for a in s.asked)
                for s in samples
            ),
            seconds=round(time.monotonic() - started, 3),
        )

    def _draw(self, rng: Random) -> tuple[str, Reading, list[Sample]]:
        stage = self.stage
        reading = stage.reading(rng, self.model.config.stride)
        count = max(1, stage.step_tokens // reading.length)
        if rng.random() < stage.qa_share:
            drawn = (
                self.questions.sample(rng, reading, stage.questions) for _ in range(20 * count)
            )
            samples = [sample for sample in drawn if sample][:count]
            if samples:
                return "questions", reading, samples
        return (
            "facts",
            reading,
            [
                self.facts.sample(
                    rng, reading, stage.kinds, rng.randint(*stage.facts), stage.questions
                )
                for _ in range(count)
            ],
        )

    def _advance(self) -> None:
        """Count the step, and go to the next stage when this one is mastered or used up."""
        self.step += 1
        self.stage_step += 1
        stage = self.stage
        mastered = (
            len(self.judged) == stage.judged and sum(self.judged) >= stage.promote_at * stage.judged
        )
        if mastered or (stage.max_steps is not None and self.stage_step >= stage.max_steps):
            self.stage_number += 1
            self.stage_step = 0
            if not self.finished:
                self.judged = deque(maxlen=self.stage.judged)


def _by_age(samples: Sequence[Sample], right: Sequence[bool]) -> dict[int, list[int]]:
    """[right, asked] for every age in chunks."""
    ages: dict[int, list[int]] = {}
    asked = [a for sample in samples for a in sample.asked]
    for question, ok in zip(asked, right, strict=True):
        tally = ages.setdefault(question.age, [0, 0])
        tally[0] += ok
        tally[1] += 1
    return ages
