"""Answers: streaming, stopping, sampling. The laws of the state are in test_laws."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
import torch
from comet_core_tiny import CONTROL, make_model, make_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from comet_core.generation import (
    Answer,
    Fork,
    Sampling,
    Turn,
    Written,
    _until,
    answer,
    asked_blocks,
    generate,
)
from comet_core.memory import MemoryState
from comet_core.prefixes import open_state
from comet_core.prompt import NOT_IN_DOCUMENT, PromptFormat
from comet_core.reader import empty_state, read

PROMPT = PromptFormat(make_tokenizer(CONTROL))
MODEL = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=40, temporary_rows=12)


@pytest.fixture(scope="module")
def state() -> MemoryState:
    *_, state = read(MODEL, empty_state(MODEL), PROMPT.text("It was a dark and stormy night. " * 9))
    return state


def ask(state: MemoryState, question: str = "Why?", history=(), **sampling) -> str:
    return "".join(answer(MODEL, PROMPT, state, question, history, Sampling(**sampling)))


def test_greedy_answers_are_the_same_every_time(state) -> None:
    assert ask(state, max_tokens=60) == ask(state, max_tokens=60) != ""


def test_an_answer_depends_on_document_question_and_history(state) -> None:
    plain = ask(state, max_tokens=30)
    assert ask(empty_state(MODEL), max_tokens=30) != plain
    assert ask(state, "Who then?", max_tokens=30) != plain
    assert ask(state, history=[Turn("Who?", "Emma.")], max_tokens=30) != plain


def test_a_seed_fixes_what_is_sampled(state) -> None:
    one, again, other = (ask(state, max_tokens=40, temperature=1.5, seed=s) for s in (1, 1, 2))
    assert one == again != other


def test_a_tiny_nucleus_is_greedy(state) -> None:
    assert ask(state, max_tokens=30, temperature=1.0, top_p=1e-9) == ask(state, max_tokens=30)


def test_an_answer_stops_when_its_reader_does(state) -> None:
    pieces = answer(MODEL, PROMPT, state, "Why?", sampling=Sampling(max_tokens=10**9))
    assert len(list(islice(pieces, 3))) == 3
    pieces.close()


def test_stop_text_ends_an_answer(state) -> None:
    whole = ask(state, max_tokens=60)
    stop = whole[len(whole) // 2 :][:3]
    assert ask(state, max_tokens=60, stop=(stop,)) == whole[: whole.index(stop)]


@given(
    pieces=st.lists(st.text("ab", max_size=4)),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_stop_text_is_found_across_pieces(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    for end in range(len(whole) + 1):  # as if it came a character at a time
        if done := [stop for stop in stops if whole[:end].endswith(stop)]:
            whole = whole[: end - max(map(len, done))]
            break
    assert "".join(_until(stops, iter(pieces))) == whole


@pytest.mark.parametrize(
    ("field", "value"), [("max_tokens", 0), ("temperature", -1.0), ("top_p", 0.0), ("top_p", 1.1)]
)
def test_sampling_says_what_cannot_be(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{field} .* got {value}"):
        Sampling(**{field: value})


# What is told beside the text


def test_an_answer_says_whether_it_is_remembered(state) -> None:
    holding = make_model(
        vocabulary=len(PROMPT.tokenizer), chunk_size=40, temporary_rows=12, tail_tokens=50
    )
    *_, held = read(holding, empty_state(holding), PROMPT.text("It was a dark night. " * 9))
    for model, start, remembered in (
        (MODEL, state, None),  # memory and tail stand in one chunk
        (MODEL, MemoryState(state.memory), True),
        (holding, held, False),
        (holding, MemoryState(held.memory), True),
        (holding, empty_state(holding), False),
    ):
        written = answer(model, PROMPT, start, "Why?", (), Sampling(max_tokens=5))
        assert written.remembered is None
        list(written)
        assert written.remembered is remembered


@given(
    stops=st.lists(st.text("ab é", min_size=1, max_size=3), max_size=2),
    longest=st.integers(1, 40),
    seed=st.integers(0, 3),
)
def test_chances_are_of_the_tokens_written_and_join_to_the_text(state, stops, longest, seed):
    sampling = Sampling(max_tokens=longest, temperature=1.5, seed=seed, stop=tuple(stops))
    writing = answer(MODEL, PROMPT, state, "Why?", (), sampling)
    text = "".join(writing)
    whole = "".join(piece for piece, _ in writing.chances)
    assert len(writing.chances) == writing.output_tokens
    assert all(0 < chance <= 1 for _, chance in writing.chances)
    assert whole.startswith(text)
    assert whole == text or any(whole.startswith(text + stop) for stop in stops)


@pytest.mark.parametrize("text", ["Emma", " Emma and I ", " \n\u00e9t\u00e9", "  "])
def test_the_space_before_an_answer_is_not_told(state, text: str) -> None:
    writing = answer(MODEL, PROMPT, state, "Why?")
    written = [Written(token, 1.0, True) for token in PROMPT.text(text)]
    pieces = list(writing._text(PROMPT, iter(written), len(written)))
    assert "".join(pieces) == text.lstrip()
    assert len(writing.chances) == len(written)
    assert "".join(piece for piece, _ in writing.chances) == text.lstrip()


def test_chances_are_those_of_temperature_one(state) -> None:
    sampling = Sampling(max_tokens=5, temperature=2, seed=1)
    asked, written = (
        asked_blocks(PROMPT, "Why?"),
        answer(MODEL, PROMPT, state, "Why?", (), sampling),
    )
    list(written)
    fork = Fork(open_state(MODEL, state))
    refusal = PROMPT.answer(NOT_IN_DOCUMENT)[:-1]
    with torch.inference_mode():
        (logits,) = fork.read(asked[0])
        again = generate(MODEL, state, asked, PROMPT.end, sampling, refusal=refusal)
        tokens = [one.token for one in again]
        for token, (_, chance) in zip(tokens, written.chances, strict=True):
            assert chance == pytest.approx(logits.double().softmax(0)[token].item(), rel=1e-5)
            logits = fork.step(token)


def test_all_is_computed_in_turns_of_a_chunk_at_most(state) -> None:
    history = [Turn("Who? " * 30, "Emma. " * 40), Turn("Where?", "At Hartfield.")]
    asked = asked_blocks(PROMPT, "Why? " * 30, history)
    computed: list[int] = []
    inside = False

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal inside
        assert not inside
        inside = True
        computed.append(0)
        yield
        inside = False

    def count(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        assert inside
        computed[-1] += inputs[0].shape[1]

    layer = MODEL.language_model.model.layers[0].register_forward_pre_hook(count)
    pieces = Answer(MODEL, PROMPT, state, asked, Sampling(max_tokens=60), turn)
    assert "".join(pieces)
    layer.remove()
    size = MODEL.config.chunk_size
    live_rows = size + size // MODEL.config.stride + MODEL.config.global_rows
    assert sum(computed) > 10 * size
    assert max(computed) <= live_rows
