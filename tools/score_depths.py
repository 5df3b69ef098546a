"""A number at every tenth of a text that is read in volumes, each asked for by itself.

    python -m tools.score_depths OUT.json LENGTH NUMBER BOOK...

The text is that of `evaluate facts BOOK... --length LENGTH` with that number, without its own fact.
It is read once, and for each tenth only the volume that the fact is planted in again: volumes do
not see each other. What makes room there is the end of the volume.
"""

import json
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from rich.progress import track

from app.cli_evaluate_runs import open_books
from app.library import Library
from app.settings import Settings
from comet_core.checkpoint import LoadedModel
from comet_core.evaluation.facts import Document, Plan, Text, plant_facts
from comet_core.evaluation.score import exact_match
from comet_core.generation import Sampling, answer
from comet_core.memory import MemoryState, select, stack, without_temporary
from comet_core.model import CometModel
from comet_core.prompt import PromptFormat
from comet_core.reader import empty_state, read
from comet_core.training.facts import make_facts
from comet_core.training.samples import ends_sentence

SAMPLING = Sampling(max_tokens=24)


def main(out: Path, length: int, number: int, paths: list[Path]) -> None:
    """Read, ask, write `out`, and print what was right."""
    with Library.open(settings=Settings()) as library:
        loaded = library.model
        if not volume_size(loaded.model):
            raise SystemExit("This model does not read in volumes.")
        document = text_of(loaded, open_books(paths, loaded), length, number)
        rows = list(ask_depths(loaded, document))
    result = {
        "length": length,
        "document": number,
        "texts": document.texts,
        "fingerprint": loaded.spec.fingerprint,
        "sizes": loaded.spec.config.to_dict(),
        "dtype": loaded.spec.dtype,
        "trials": rows,
    }
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{sum(row['right'] for row in rows)} of {len(rows)} right")


def text_of(loaded: LoadedModel, books: list[Text], length: int, number: int) -> Document:
    """The text without its fact. Nothing behind the fact's volume moves: as much of what follows
    the volume stands at its end as well.
    """
    *_, document = plant_facts(loaded.prompt, books, Plan([length], ["number"], 1, number + 1, 1))
    (planted,) = document.facts
    size = volume_size(loaded.model)
    end = (planted.begin // size + 1) * size
    room = len(loaded.prompt.text(" " + planted.fact.statement))
    tokens = document.tokens
    return replace(
        document,
        tokens=tokens[: planted.begin] + tokens[planted.begin + room : end + room] + tokens[end:],
        facts=(),
    )


def ask_depths(loaded: LoadedModel, document: Document) -> Iterator[dict[str, Any]]:
    """A number planted at every tenth of a text, and what is told of it."""
    model, prompt, config = loaded.model, loaded.prompt, loaded.model.config
    tokens, size = document.tokens, volume_size(model)
    chunks = config.chunks_of(len(tokens))
    earlier = sum(map(config.begins_volume, range(chunks))) * size
    if earlier < 0.95 * len(tokens):
        raise SystemExit("The earlier volumes do not hold enough of the text; give a longer one.")
    states = track(read(model, empty_state(model), tokens), "Reading", chunks + 1)
    (state,) = deque(states, maxlen=1)
    rng = Random(f"depths/1/{document.number}")
    for depth in track(range(10), "Asking"):
        (fact,) = make_facts(rng, ["number"], 1)
        statement = prompt.text(" " + fact.statement)
        spot = next(
            spot
            for spot in ends_of_sentences(rng, prompt, tokens, depth)
            if spot < earlier and spot % size + len(statement) <= size
        )
        planted = plant(tokens, spot, statement, size)
        start = reread(model, state, planted, spot // size)
        told = "".join(answer(model, prompt, start, fact.question, sampling=SAMPLING))
        yield {
            "depth": depth,
            "volume": spot // size,
            "statement": fact.statement,
            "question": fact.question,
            "expected": fact.answer,
            "answer": told,
            "right": exact_match(told, [fact.answer]),
        }


def ends_of_sentences(
    rng: Random, prompt: PromptFormat, tokens: list[int], depth: int
) -> Iterator[int]:
    """Places at which a sentence ends, before spots that are drawn in that tenth of a text."""
    while True:
        spot = int((depth + rng.random()) / 10 * len(tokens))
        while spot and not ends_sentence(prompt, tokens, spot):
            spot -= 1
        yield spot


def plant(tokens: list[int], spot: int, statement: list[int], size: int) -> list[int]:
    """The text with a statement in it, as long as before: its volume loses what does not fit."""
    end = (spot // size + 1) * size
    return tokens[:spot] + statement + tokens[spot : end - len(statement)] + tokens[end:]


def reread(model: CometModel, state: MemoryState, tokens: list[int], volume: int) -> MemoryState:
    """The state of a text, of another that differs in one of its earlier volumes."""
    size, behind = volume_size(model), model.config.tail_tokens
    part = tokens[volume * size : (volume + 1) * size + behind]  # what is behind is not read
    (alone,) = deque(read(model, empty_state(model), part), maxlen=1)
    earlier = select(state.volumes, slice(volume))
    later = select(state.volumes, slice(volume + 1, None))
    return replace(state, volumes=stack([earlier, without_temporary(alone.memory), later]))


def volume_size(model: CometModel) -> int:
    """Tokens of a volume."""
    return model.config.volume_chunks * model.config.chunk_size


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [*map(Path, sys.argv[4:])])
