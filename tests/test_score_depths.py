"""Planting a number in a text that has been read: the same as reading it anew."""

from dataclasses import replace

import pytest
import torch
from comet_core_evaluation import make_loaded
from comet_core_tiny import make_model

from comet_core.evaluation.facts import Text
from comet_core.memory import tensors_of
from comet_core.reader import empty_state, read
from tools.score_depths import ask_depths, plant, reread, text_of, volume_size

MODEL = make_model(
    vocabulary=len(make_loaded().prompt.tokenizer), tail_tokens=20, chunk_size=50,
    temporary_rows=12, volume_chunks=8, volumes=40,
)  # fmt: skip
LOADED = replace(make_loaded(), model=MODEL)
BOOK = Text(("rain.txt",), LOADED.prompt.text("It rained all day. We slept a lot. " * 300))


def test_a_volume_read_again_is_that_of_the_whole_text_read_again() -> None:
    document = text_of(LOADED, [BOOK], 9000, 0)
    assert len(document.tokens) == 9000 and "number" not in LOADED.prompt.decode(document.tokens)
    *_, state = read(MODEL, empty_state(MODEL), document.tokens)
    statement = LOADED.prompt.text(" The number is 12345.")
    spot = 5 * volume_size(MODEL) + 70
    planted = plant(document.tokens, spot, statement, volume_size(MODEL))
    assert len(planted) == 9000 and planted[spot : spot + len(statement)] == statement
    *_, whole = read(MODEL, empty_state(MODEL), planted)
    again = reread(MODEL, state, planted, 5)
    assert again.kept_volumes == whole.kept_volumes == 22
    assert not torch.equal(again.volumes[0].global_state, state.volumes[0].global_state)
    for one, other in zip(
        tensors_of(again.memory + again.volumes),
        tensors_of(whole.memory + whole.volumes),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_number_is_asked_for_at_every_tenth() -> None:
    document = text_of(LOADED, [BOOK], 9000, 0)
    rows = list(ask_depths(LOADED, document))
    assert [row["depth"] for row in rows] == list(range(10))
    assert rows == list(ask_depths(LOADED, document))
    size = volume_size(MODEL)
    for row in rows:  # in that tenth, or a sentence before it
        assert 900 * row["depth"] - size - 40 < size * row["volume"] < 900 * (row["depth"] + 1)
    assert all(row["expected"] in row["statement"] for row in rows)


def test_a_text_that_volumes_do_not_hold_is_refused_before_it_is_read() -> None:
    document = text_of(LOADED, [BOOK], 2000, 0)
    with pytest.raises(SystemExit, match="give a longer one"):
        next(ask_depths(LOADED, document))
