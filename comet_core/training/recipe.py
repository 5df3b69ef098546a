"""A training recipe: a TOML file that says all that a run depends on besides the data.

Stages follow one another by mastery: a stage ends when enough of its answers are right, not when
some time is up. Knows nothing of the model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pydantic import TypeAdapter, ValidationError

from comet_core import default_model
from comet_core.config import CometConfig
from comet_core.errors import CometError
from comet_core.training.facts import MAKERS
from comet_core.training.samples import CHUNKS_PARTS, CUE, Part, Reading

QUESTION_ROWS = 256  # left behind a text for a question and its answer


class BadRecipe(CometError):
    """A recipe file is missing or says something that cannot be."""


@dataclass(frozen=True)
class Stage:
    """One step of the curriculum. Pairs are smallest and largest value, drawn uniformly."""

    name: str
    chunk_sizes: list[int]
    chunks: tuple[int, int]
    temporary_share: tuple[float, float] = (1.0, 1.0)
    """Share of the text read that the FIFO can hold, though never less than one chunk; the rest is
    left to global memory."""
    kinds: list[str] = field(default_factory=lambda: list(MAKERS))
    facts: tuple[int, int] = (1, 1)
    """Facts a text has; of none one is asked for, and what is right is to refuse."""
    distractors: tuple[int, int] = (0, 0)
    """Sentences with numbers nobody asks for, anywhere in a text that is asked for facts."""
    questions: int = 1
    """Questions asked of a text at most, all of one reading; 0: only passages are."""
    qa_share: float = 0.0
    """Share of steps whose questions are people's questions about real documents."""
    passages: int = 0
    """Passages of a text asked for besides, at most, by their first tokens, from where the answers
    stand."""
    unanswerable: float = 0.0
    """Share of questions that the text does not answer; what is right is then to say so."""
    asked_of: Part = "text"
    """Where the answers stand: anywhere, or only in what chunks have read, or in the older half of
    that or the newest chunk of it, or in the tail, which none has taken up yet."""
    tail: tuple[int, int] | None = None
    """Tokens of the tail, as many texts with 500 to 1,000 as with 1,000 to 2,000; None: less than
    half a chunk, or often none (always, of what was read, where the model holds a tail: it is asked
    apart), and for questions about the tail a quarter of a chunk to a chunk."""
    frozen_tail: bool = False
    """Read the tail without gradients, in a third of the time: what learns then is the memory and
    how both are asked, of however long a tail."""
    gradient_chunks: int | None = None
    """Gradients only through so many last chunks (truncated backpropagation through time), for
    texts of many; None: through all."""
    together: float = 0.0
    """Share of steps whose texts are asked of all at once, of one memory with the FIFOs of all: the
    row that tells is one of many, and the global memory, the last text's, seldom helps."""
    global_alone: bool = False
    """Ask with empty FIFOs, so that only what was written into the global memory is told, the
    newest chunk's facts as well."""
    mixed_with: dict[str, float] = field(default_factory=dict)
    """Names of earlier stages that stay in the mix, so that they are not forgotten, and the share
    of steps drawn as each one's; their answers are not judged."""
    step_tokens: int = 1024
    """Text tokens read a step; as many documents as fit, at least one."""
    promote_at: float = 0.9
    """Share of the last `judged` fact answers that must be entirely right to go on."""
    judged: int = 200
    max_steps: int | None = None
    rate: float = 1.0
    """Factor on the recipe's learning rates."""

    def __post_init__(self) -> None:
        if unknown := set(self.kinds) - MAKERS.keys():
            raise ValueError(f"kinds are {', '.join(MAKERS)}, got {', '.join(sorted(unknown))}")
        shares = {name: getattr(self, name) for name in ("qa_share", "unanswerable", "together")}
        for name, share in (shares | {"mixed_with": sum(self.mixed_with.values())}).items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, got {share}")
        if self.qa_share == 1 and self.max_steps is None:
            raise ValueError("only answers about facts are judged: a qa_share of 1 needs max_steps")
        sizes = {f"chunk_sizes[{n}]": size for n, size in enumerate(self.chunk_sizes)}
        if self.questions == 0 and self.max_steps is None:
            raise ValueError("only answers about facts are judged: questions = 0 needs max_steps")
        if self.questions == 0 and min(self.chunk_sizes, default=0) < 4 * CUE:
            raise ValueError(f"passages alone need chunks of at least {4 * CUE} tokens")
        counts = {name: getattr(self, name) for name in ("step_tokens", "judged")}
        for name, count in (sizes | counts | {"facts": self.facts[1]}).items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if not self.chunk_sizes:
            raise ValueError("a stage needs at least one of chunk_sizes")
        for name in ("questions", "passages"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.questions + self.passages == 0:
            raise ValueError("a stage asks something: questions or passages")
        if self.chunks[0] < 0:
            raise ValueError(f"a text has no chunk or some, got {self.chunks[0]}")
        if self.temporary_share[0] < 0:
            raise ValueError(f"temporary_share is a share, got {self.temporary_share[0]}")
        if self.gradient_chunks is not None and self.gradient_chunks < 0:
            raise ValueError(f"gradient_chunks must not be negative, got {self.gradient_chunks}")
        if self.together and self.global_alone:
            raise ValueError("together, FIFOs are asked of: not of global memory alone")
        if self.together and self.temporary_share != (1.0, 1.0):
            raise ValueError("together, a FIFO holds all that was read: temporary_share is [1, 1]")
        if self.tail is not None and self.tail[0] < 1:
            raise ValueError(f"a tail has at least one token, got {self.tail[0]}")
        nothing_left = self.asked_of == "text" and self.tail is None
        if self.chunks[0] < 1 and (self.asked_of in CHUNKS_PARTS or nothing_left):
            raise ValueError("of no chunks only a tail is left: ask of it, with asked_of = 'tail'")
        for name in ("facts", "distractors"):
            if (fewest := getattr(self, name)[0]) < 0:
                raise ValueError(f"{name} must not be negative, got {fewest}")
        tail = self.tail or (0, 0)
        for pair in (self.chunks, self.facts, self.distractors, self.temporary_share, tail):
            if pair[0] > pair[1]:
                raise ValueError(f"a pair is smallest and largest, got {pair[0]}, {pair[1]}")

    def reading(self, rng: Random, sizes: CometConfig, max_rows: int) -> Reading:
        """How one batch is read; half of the readings have chunks of random length.

        max_rows: what the backbone can attend over; the FIFO never takes more than is left of it.
        """
        size = rng.choice(self.chunk_sizes)
        count = rng.randint(*self.chunks)
        uneven = rng.random() < 0.5
        chunks = [rng.randint(size // 2, size) if uneven else size for _ in range(count)]
        share = rng.uniform(*self.temporary_share)
        return Reading(
            chunks=chunks,
            tail=self._tail(rng, size, sizes),
            temporary_rows=self._temporary_rows(size, sum(chunks), share, sizes, max_rows),
        )

    def corners(self, sizes: CometConfig, max_rows: int) -> Iterator[Reading]:
        """The readings at the ends of everything that `reading` draws."""
        for size in set(self.chunk_sizes):
            for length in {max(1, size // 2), size}:
                for count in range(self.chunks[0], self.chunks[1] + 1):
                    rows = self._temporary_rows(
                        size, length * count, self.temporary_share[1], sizes, max_rows
                    )
                    shortest, longest = self._tails(size, sizes)
                    some = min(1, longest)  # of any length it may be asked apart
                    for tail in {shortest, shortest or some, longest}:
                        yield Reading([length] * count, tail, rows)

    def texts(self, reading: Reading) -> int:
        """How many texts a step reads so."""
        return max(1, self.step_tokens // max(1, reading.length))

    def _temporary_rows(
        self, size: int, read: int, share: float, sizes: CometConfig, max_rows: int
    ) -> int:
        """Of a FIFO that can hold a share of the `read` tokens, and a chunk of `size` at least."""
        wanted = max(-(-size // sizes.stride), round(share * read / sizes.stride))
        return min(wanted, free_rows(self, size, sizes, max_rows))

    def _tail(self, rng: Random, size: int, sizes: CometConfig) -> int:
        shortest, longest = self._tails(size, sizes)
        if self.tail is not None:
            return round(shortest * (longest / shortest) ** rng.random())
        if self.asked_of == "tail":
            return rng.randint(shortest, longest)
        return rng.choice([0, 0, rng.randint(shortest, longest)])

    def _tails(self, size: int, sizes: CometConfig) -> tuple[int, int]:
        """The shortest and the longest tail behind chunks of `size`."""
        if self.tail is not None:
            return self.tail
        if sizes.tail_tokens and self.asked_of in CHUNKS_PARTS:
            return 0, 0
        return (size // 4, size - 1) if self.asked_of == "tail" else (0, max(0, size // 2 - 1))

    @property
    def longest_chunk(self) -> int:
        """Text tokens of the longest chunk, which may be a tail with a question behind it."""
        tail = 0 if self.tail is None else self.tail[1] + QUESTION_ROWS
        return max(*self.chunk_sizes, tail)

    @property
    def longest(self) -> int:
        """Text tokens of the longest reading it can draw."""
        size = max(self.chunk_sizes)
        tail = size if self.asked_of == "tail" else size // 2
        return self.chunks[1] * size + (tail if self.tail is None else self.tail[1])


def free_rows(stage: Stage, size: int, sizes: CometConfig, max_rows: int) -> int:
    """Rows left for the FIFO beside a chunk of `size` text tokens, or a longer tail of the stage
    with a question; negative: it does not fit.
    """
    read = size + -(-size // sizes.stride) + sizes.global_rows
    answered = 0 if stage.tail is None else stage.tail[1] + QUESTION_ROWS
    answered += answered // sizes.answering_stride
    if sizes.tail_tokens and answered <= max_rows:  # the tail is asked apart
        answered = QUESTION_ROWS
    return max_rows - sizes.global_rows - max(read, answered)


@dataclass(frozen=True)
class Recipe:
    """A whole recipe."""

    sizes: CometConfig
    """Of the model that is answered with; stages may train on other chunk sizes and FIFO limits."""
    stages: list[Stage]
    questions: list[str]
    """JSONL files, below the data directory, whose questions are asked; their documents are also
    the text facts stand in."""
    backbone: str = default_model.NAME
    """A directory or hub id of a language model."""
    lora_rank: int = 16
    learning_rate: float = 7e-4
    memory_learning_rate: float = 2e-3
    """For the memory networks and the embeddings of compression and readout rows."""
    warmup_steps: int = 40
    clip_norm: float = 1.0
    ema_decay: float = 0.0
    """Of the exponential moving average of the weights, which is what a run is answered with: the
    share it keeps of itself a step. 0: the weights of the last step."""
    checkpoint_chunks: bool = False
    """Compute every chunk twice, and keep only the memory between chunks meanwhile."""
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("a recipe needs at least one stage")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is at least 0 and below 1, got {self.ema_decay}")
        if self.warmup_steps < 1:
            raise ValueError(f"warmup_steps must be at least 1, got {self.warmup_steps}")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError("two stages have the same name")
        for number, stage in enumerate(self.stages):
            for unknown in stage.mixed_with.keys() - set(names[:number]):
                raise ValueError(f"no stage before '{stage.name}' is named '{unknown}'")

    def named(self, name: str) -> Stage:
        """The stage of that name, which there is."""
        return next(stage for stage in self.stages if stage.name == name)


def check_rows(recipe: Recipe, max_rows: int, ceiling: bool = False) -> None:
    """Raises BadRecipe where a stage is longer than the `max_rows` a backbone can attend over; of a
    ceiling its whole texts have to fit.
    """
    for stage in recipe.stages:
        free = free_rows(stage, max(stage.chunk_sizes), recipe.sizes, max_rows)
        if free < 0:
            raise BadRecipe(
                f"The stage '{stage.name}' has chunks or tails that do not fit in the backbone's "
                f"{max_rows} rows; choose smaller ones."
            )
        if stage.together and stage.step_tokens // recipe.sizes.stride > free:
            raise BadRecipe(
                f"The texts of a step of the stage '{stage.name}' do not fit together in the "
                f"backbone's {max_rows} rows; lower its step_tokens."
            )
        if ceiling and stage.longest + QUESTION_ROWS > max_rows:
            raise BadRecipe(
                f"The stage '{stage.name}' has texts that do not fit in the backbone's window of "
                f"{max_rows} tokens, so it has no ceiling; choose fewer or smaller chunks."
            )


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe; raises BadRecipe naming the first thing that is wrong."""
    try:
        with path.open("rb") as file:
            return TypeAdapter(Recipe).validate_python(tomllib.load(file), extra="forbid")
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadRecipe(f"The recipe {path} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRecipe(f"The recipe {path} is wrong at {where}: {first['msg']}.") from error
