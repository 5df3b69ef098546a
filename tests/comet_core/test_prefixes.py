"""Shared prefixes: the same bits as without, computed once, within their bound."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from comet_core_tiny import CONTROL, VOCABULARY, make_model, make_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

import comet_core.prefixes
from comet_core.generation import Fork, Sampling, answer, asked_blocks, generate
from comet_core.memory import MemoryState
from comet_core.prefixes import Prefix, PrefixCache, must_fold, open_state
from comet_core.prompt import PromptFormat
from comet_core.reader import empty_state, read

MODEL = make_model()
HOLDING = make_model(tail_tokens=17)
WINDOWED = make_model(tail_tokens=17, temporary_rows=9, window_rows=4, tail_window=5)
WINDOWED.tail_model = make_model(tail_tokens=17, tail_window=5, seed=1)
PROMPT = PromptFormat(make_tokenizer(CONTROL))
TALKER = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=40, temporary_rows=12)
PLENTY = 1 << 30


def state_of(text: list[int], model=MODEL) -> MemoryState:
    *_, state = read(model, empty_state(model), text)
    return state


@settings(deadline=None, max_examples=40)
@given(
    model=st.sampled_from([MODEL, HOLDING, WINDOWED]),
    text=st.lists(st.integers(0, VOCABULARY - 1), max_size=60),
    asked=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=30),
)
def test_a_shared_prefix_gives_the_bits_of_one_of_its_own(model, text, asked) -> None:
    state, cache = state_of(text, model), PrefixCache(PLENTY)
    prefix = cache.start(model, "document", state, len(asked))
    alone, first, second = (
        list(generate(model, start, [asked], -1, Sampling(max_tokens=3)))
        for start in (state, prefix, prefix)
    )
    assert alone == first == second


@settings(deadline=None, max_examples=40)
@given(
    text=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=11),
    asked=st.integers(1, 11),
)
def test_an_opened_tail_is_the_chunk_read_in_one_go(text: list[int], asked: int) -> None:
    whole = text + [5] * asked
    with torch.inference_mode():
        prefix = open_state(MODEL, MemoryState(MODEL.empty_memory(), tuple(text), len(text)))
        rest = torch.tensor([whole[len(text) :]])
        found = MODEL.answer_hidden(prefix.cache(), rest, start=len(text))
        cache = MODEL.prefix(MODEL.empty_memory())
        expected = MODEL.answer_hidden(cache, torch.tensor([whole]))[:, len(text) :]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_many_ask_at_once_and_each_gets_the_answer_of_asking_alone(monkeypatch) -> None:
    computed: list[bool] = []

    def counted(model, state, fold, turn) -> Prefix:
        computed.append(fold)
        return open_state(model, state, fold, turn)

    documents = [state_of(PROMPT.text(text * 9), TALKER) for text in ("By the sea. ", "In Rome! ")]
    questions = ["Why?", "Who, then, was it?", "Where? " * 9]  # the last fits behind no tail
    pairs = [(d, q) for q in questions for d in range(len(documents))] * 3
    sampling = Sampling(max_tokens=45)  # beyond the end of a chunk

    def alone(pair: tuple[int, str]) -> str:
        return "".join(answer(TALKER, PROMPT, documents[pair[0]], pair[1], (), sampling))

    expected = [alone(pair) for pair in pairs]
    monkeypatch.setattr(comet_core.prefixes, "open_state", counted)
    cache, together = PrefixCache(PLENTY), Barrier(len(pairs))

    def shared(pair: tuple[int, str]) -> str:
        together.wait()
        document, question = pair
        asked = len(asked_blocks(PROMPT, question)[0])
        state = cache.state(document, lambda: documents[document])
        start = cache.start(TALKER, document, state, asked)
        return "".join(answer(TALKER, PROMPT, start, question, (), sampling))

    with ThreadPoolExecutor(len(pairs)) as pool:
        assert list(pool.map(shared, pairs)) == expected
    folds = {
        (d, must_fold(TALKER, len(documents[d].tail), len(asked_blocks(PROMPT, q)[0])))
        for d, q in pairs
    }
    assert len(computed) == len(folds)  # for every document once with its tail, and once folded


def test_the_bound_holds_and_what_was_used_last_stays() -> None:
    states = [state_of([n] * 30) for n in range(4)]
    one = PrefixCache(PLENTY)
    one.start(MODEL, 0, one.state(0, lambda: states[0]), 1)
    cache = PrefixCache(2 * one.nbytes)
    loaded: list[int] = []

    def start(n: int) -> None:
        def load() -> MemoryState:
            loaded.append(n)
            return states[n]

        cache.start(MODEL, n, cache.state(n, load), 1)
        assert 0 < cache.nbytes <= cache.limit

    for n in (0, 1, 0, 2, 0, 1):
        start(n)
    assert loaded == [0, 1, 2, 1]  # 0 was used in between and stayed


def test_what_a_state_and_its_prefix_share_is_counted_once() -> None:
    state, cache = state_of([5] * 30), PrefixCache(PLENTY)
    cache.state("document", lambda: state)
    alone = cache.nbytes
    assert alone >= state.nbytes
    prefix = cache.start(MODEL, "document", state, 1)
    own = sum(key.nbytes + value.nbytes for key, value in prefix.layers)
    assert cache.nbytes == alone + own


def test_what_is_larger_than_the_bound_is_used_but_not_kept() -> None:
    state, cache = state_of([3] * 30), PrefixCache(1)
    prefix = cache.start(MODEL, "large", cache.state("large", lambda: state), 1)
    with torch.inference_mode():
        alone = Fork(open_state(MODEL, state))
        assert torch.equal(Fork(prefix).read([7]), alone.read([7]))
    assert cache.nbytes == 0


def test_who_asks_after_a_failure_tries_again() -> None:
    cache = PrefixCache(PLENTY)

    def fail() -> MemoryState:
        raise OSError("no database")

    for _ in range(2):
        with pytest.raises(OSError, match="no database"):
            cache.state("document", fail)
    assert cache.state("document", lambda: state_of([1] * 30)).memory


def test_what_is_dropped_is_kept_no_longer() -> None:
    cache = PrefixCache(PLENTY)
    for n in (0, 1):
        cache.start(MODEL, n, cache.state(n, lambda n=n: state_of([n] * 30)), 1)
    both = cache.nbytes
    cache.drop(0)
    assert 0 < cache.nbytes < both
    cache.drop(1)
    cache.drop("nothing")
    assert cache.nbytes == 0
