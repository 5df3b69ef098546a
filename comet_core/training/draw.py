"""What one training step reads and asks, drawn for a stage of a recipe.

Every step draws from a generator seeded by the recipe's seed and the step's number, so that it is
the same however often it is begun. Knows nothing of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Literal

from comet_core.prompt import PromptFormat
from comet_core.training.data import DataNotFound, TokenizedDocument
from comet_core.training.recipe import BadRecipe, Recipe, Stage
from comet_core.training.samples import (
    FactSampler,
    QuestionSampler,
    Reading,
    Sample,
    passages,
    without_earlier_tails,
)


@dataclass(frozen=True)
class Step:
    """What a step reads and asks.

    stage: what it is drawn as, which may be an earlier one. together: its texts are asked of all at
    once.
    """

    stage: Stage
    task: Literal["facts", "questions"]
    reading: Reading
    samples: list[Sample]
    together: bool


class StepDrawer:
    """Draws the steps of a recipe.

    max_rows: what the backbone can attend over. Raises BadRecipe where a stage wants questions that
    the data does not have, and DataNotFound where it has no text.
    """

    def __init__(
        self,
        prompt: PromptFormat,
        documents: Sequence[TokenizedDocument],
        recipe: Recipe,
        max_rows: int,
    ) -> None:
        self.recipe, self.max_rows = recipe, max_rows
        self.facts = FactSampler(prompt, documents)
        self.questions = QuestionSampler(prompt, documents)
        if not any(self.facts.texts):
            raise DataNotFound("There is no text in the recipe's data files.")
        for stage in recipe.stages:
            if stage.qa_share and not self.questions.documents:
                raise BadRecipe(
                    f"The stage '{stage.name}' asks people's questions (qa_share), and the data "
                    "has none; set it to 0, or name data files with questions."
                )

    def draw(self, current: Stage, number: int) -> Step:
        """Step `number`, which falls in the stage `current`."""
        rng = self._rng(number)
        stage = self._mixed(rng, current)
        reading = stage.reading(rng, self.recipe.sizes, self.max_rows)
        asked = self._questions(rng, stage, reading) if rng.random() < stage.qa_share else []
        samples = [
            replace(
                s, asked=s.asked + passages(rng, s.tokens, reading, stage.passages, stage.asked_of)
            )
            for s in asked or self._facts(rng, stage, reading)
        ]
        together = rng.random() < stage.together
        return Step(
            stage=stage,
            task="questions" if asked else "facts",
            reading=reading,
            samples=without_earlier_tails(samples) if together else samples,
            together=together,
        )

    def stage(self, current: Stage, number: int) -> Stage:
        """The stage that `draw` draws such a step as."""
        return self._mixed(self._rng(number), current)

    def _rng(self, number: int) -> Random:
        return Random(f"{self.recipe.seed}/{number}")

    def _mixed(self, rng: Random, current: Stage) -> Stage:
        """The current stage, or an earlier one that it keeps up."""
        earlier = current.mixed_with
        if not earlier:
            return current
        left = 1 - sum(earlier.values())
        name = rng.choices([current.name, *earlier], [left, *earlier.values()])[0]
        return self.recipe.named(name)

    def _questions(self, rng: Random, stage: Stage, reading: Reading) -> list[Sample]:
        """Texts with people's questions; none where none was found."""
        count = stage.texts(reading)
        drawn = (
            self.questions.sample(rng, reading, stage.questions, stage.unanswerable, stage.asked_of)
            for _ in range(20 * count)
        )
        return list(islice(filter(None, drawn), count))

    def _facts(self, rng: Random, stage: Stage, reading: Reading) -> list[Sample]:
        # a stage without distractors draws no number of them: its steps are those of older runs
        return [
            self.facts.sample(
                rng,
                reading,
                stage.kinds,
                rng.randint(*stage.facts),
                stage.questions,
                stage.unanswerable,
                stage.asked_of,
                rng.randint(*stage.distractors) if stage.distractors[1] else 0,
            )
            for _ in range(stage.texts(reading))
        ]
