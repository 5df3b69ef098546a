"""What must hold for every model and every text, on tiny random models."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comet_core_tiny import VOCABULARY, VOLUMES, make_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import comet_core.gates
from comet_core.generation import REMEMBERED, SURE, Fork, Sampling, Written, generate
from comet_core.memory import (
    LayerState,
    MemoryState,
    newest_window,
    select,
    window_starts,
    windows,
)
from comet_core.model import CometModel
from comet_core.prefixes import Prefix, open_chunk, open_state
from comet_core.reader import empty_state, read, read_batch, read_chunk

MODEL = make_model()
HOLDING = make_model(tail_tokens=17)  # keeps more than a chunk unread
SHARING = make_model(tail_tokens=17)
SHARING.tail_model = make_model(tail_tokens=17, seed=1)
CERTAIN = make_model(tail_tokens=17)
CERTAIN.language_model.lm_head.weight.mul_(20)  # of one token it is nearly certain
WINDOWED = make_model(
    tail_tokens=17, chunk_size=24, temporary_rows=40, window_rows=8, tail_window=6
)
IN_VOLUMES = make_model(**VOLUMES)
Models = st.sampled_from([MODEL, HOLDING, WINDOWED, IN_VOLUMES])
Text = st.lists(st.integers(0, VOCABULARY - 1), max_size=80)


def last(states) -> MemoryState:
    *_, state = states
    return state


def assert_same(one: MemoryState, other: MemoryState, tolerance: float = 0.0) -> None:
    assert (one.tail, one.tokens_read, one.chunks_read) == (
        other.tail,
        other.tokens_read,
        other.chunks_read,
    )
    layers = zip(one.memory + one.volumes, other.memory + other.volumes, strict=True)
    for a, b in layers:
        for x, y in ((a.global_state, b.global_state), (a.temporary, b.temporary)):
            torch.testing.assert_close(x, y, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(one.gates.values, other.gates.values, atol=tolerance, rtol=tolerance)
    assert (one.gates.span, one.gates.chunks) == (other.gates.span, other.gates.chunks)


@pytest.fixture(autouse=True, scope="module")
def _few_columns() -> Iterator[None]:
    """Histories of gates that are full after two chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comet_core.gates, "COLUMNS", 2)
        yield


@settings(deadline=None)
@given(model=Models, text=Text, cuts=st.lists(st.integers(0, 80), max_size=5))
def test_one_go_equals_any_split(model: CometModel, text: list[int], cuts: list[int]) -> None:
    whole = last(read(model, empty_state(model), text))
    state = empty_state(model)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for begin, stop in itertools.pairwise(edges):
        state = last(read(model, state, text[begin:stop]))
    assert_same(state, whole)
    assert whole.tokens_read == len(text)
    assert whole.chunks_read == whole.gates.chunks == model.config.chunks_of(len(text))
    assert list(whole.tail) == text[whole.chunks_read * model.config.chunk_size :]
    waiting = len(whole.tail) - model.config.tail_tokens
    assert waiting < model.config.chunk_size and (waiting >= 0 or whole.chunks_read == 0)


@settings(deadline=None, max_examples=30)
@given(text=Text)
def test_a_held_tail_changes_when_a_chunk_is_read_and_not_how(text: list[int]) -> None:
    held = last(read(HOLDING, empty_state(HOLDING), text))
    plain = last(read(MODEL, empty_state(MODEL), text[: len(text) - len(held.tail)]))
    assert_same(replace(held, tail=(), tokens_read=plain.tokens_read), plain)


@settings(deadline=None, max_examples=50)
@given(model=Models, texts=st.lists(Text, min_size=2, max_size=5))
def test_reading_does_not_depend_on_the_batch(model: CometModel, texts: list[list[int]]) -> None:
    together = read_batch(model, [empty_state(model) for _ in texts], texts)
    for text, state in zip(texts, together, strict=True):
        assert_same(state, last(read(model, empty_state(model), text)), tolerance=1e-5)


def tokens(written: Iterator[Written]) -> list[int]:
    return [one.token for one in written]


@settings(deadline=None, max_examples=30)
@given(
    model=Models, text=Text, ahead=Text, asked=st.lists(st.integers(0, 96), min_size=1, max_size=40)
)
def test_an_answer_leaves_the_state_untouched(model, text, ahead, asked) -> None:
    state = last(read(model, empty_state(model), text))
    before = [(layer.global_state.clone(), layer.temporary.clone()) for layer in state.memory]
    sampling = Sampling(max_tokens=20, temperature=1.0, seed=7)
    first = tokens(generate(model, state, [asked], end=0, sampling=sampling))
    for layer, (s, t) in zip(state.memory, before, strict=True):
        assert torch.equal(layer.global_state, s) and torch.equal(layer.temporary, t)
    assert tokens(generate(model, state, [asked], end=0, sampling=sampling)) == first
    assert_same(
        last(read(model, state, ahead)), last(read(model, empty_state(model), text + ahead))
    )


@settings(max_examples=40)
@given(model=Models, text=Text, asked=st.lists(st.integers(1, 96), min_size=1, max_size=30))
def test_an_outgrown_chunk_is_read_into_the_fork_as_text_is(model, text, asked) -> None:
    """Every token of a long answer is the one that follows from chunks read plainly."""
    size, kept = model.config.chunk_size, model.config.tail_tokens
    state = last(read(model, empty_state(model), text))
    answer = tokens(generate(model, state, [asked], end=-1, sampling=Sampling(max_tokens=30)))
    longest = model.config.answering_size
    assert longest == kept + size + size // 4

    def folded(memory, chunk):
        """All is read but the last tokens that the model holds back."""
        while len(chunk) > kept:
            now = min(size, len(chunk) - kept)
            memory, chunk = read_chunk(model, memory, [chunk[:now]]), chunk[now:]
        return memory, chunk

    memory, chunk = state.memory, list(state.tail)
    if chunk and len(chunk) + len(asked) + size // 8 > longest:  # with room for an answer
        memory, chunk = folded(memory, chunk)
    if kept and chunk:  # a held tail is asked by itself, in its newest window
        memory, chunk = model.empty_memory(), chunk[-model.config.tail_window :]
    while len(asked) > size:
        memory, chunk = folded(memory, chunk + asked[:size])
        asked = asked[size:]
    held = len(chunk)
    chunk += asked
    for token in answer:
        seen = newest_window(memory, model.config.window_rows)
        cache = open_chunk(model, seen, chunk[:held]).cache()
        with torch.inference_mode():
            hidden = model.answer_hidden(cache, torch.tensor([chunk[held:]]), held)
            logits = model.backbone.logits(hidden[0, -1])
        # token by token sums in another order: a tie may fall either way
        assert logits[token] > logits.max() - 1e-3
        if len(chunk) == longest:
            memory, chunk = folded(memory, chunk)
            held = len(chunk)
        chunk.append(token)


@settings(deadline=None, max_examples=60)
@given(
    model=st.sampled_from([HOLDING, SHARING, WINDOWED, CERTAIN]),
    text=st.lists(st.integers(0, VOCABULARY - 1), min_size=41, max_size=120),
    asked=st.lists(st.integers(1, 96), min_size=1, max_size=3),  # which fits behind any tail
    rank=st.integers(0, 9) | st.none(),
)
def test_unless_the_tail_is_sure_a_memory_answers_that_refuses_less_and_hardly(
    model, text, asked, rank
) -> None:
    state = last(read(model, empty_state(model), text))
    assert state.chunks_read and state.tail
    tail, memory = MemoryState(model.empty_memory(), state.tail), MemoryState(state.memory)

    def chances(start: MemoryState) -> torch.Tensor:
        with torch.inference_mode():
            return Fork(open_state(model, start)).read(asked).softmax(-1).amin(0)

    likely = torch.minimum(chances(tail), chances(memory)).argsort(descending=True)
    refusal = [] if rank is None else [int(likely[rank])]

    def told(start: MemoryState) -> list[Written]:
        sampling = Sampling(max_tokens=4)
        return list(generate(model, start, [asked], -1, sampling, refusal=refusal))

    def refused(start: MemoryState) -> float:
        return float(chances(start)[refusal[0]])

    doubtful = bool(refusal) and refused(tail) > SURE
    if not doubtful or refused(memory) >= min(refused(tail), REMEMBERED):
        assert told(state) == told(tail)
        assert not any(one.remembered for one in told(state))
    else:
        assert told(state) == told(memory)
        assert all(one.remembered for one in told(state))


@settings(deadline=None, max_examples=40)
@given(
    model=st.sampled_from([HOLDING, CERTAIN]),
    text=st.lists(st.integers(0, VOCABULARY - 1), min_size=29, max_size=80),
    asked=st.lists(st.integers(1, 96), min_size=1, max_size=3),
    place=st.integers(0, 1),
)
def test_a_refusal_is_told_only_if_it_is_likelier_than_all_answers(
    model, text, asked, place
) -> None:
    state = last(read(model, empty_state(model), text))
    part = replace(open_state(model, state), beside=None)
    fork, sampling = Fork(part), Sampling(max_tokens=2)
    with torch.inference_mode():
        (logits,) = fork.read(asked)
        chances = logits.softmax(-1)
        refusal = int(logits.argsort(descending=True)[place])  # the likeliest token, or the next
        assume(abs(chances[refusal] - 0.5) > 1e-3)
        told = list(generate(model, part, [asked], -1, sampling, refusal=[refusal]))
        following = fork.step(told[0].token)
    likeliest, second = chances.argsort(descending=True)[:2].tolist()
    expected = second if refusal == likeliest and chances[refusal] < 0.5 else likeliest
    assert told[0].token == expected
    assert told[0].chance == pytest.approx(float(chances[expected]), rel=1e-5)
    assert told[1].token == following.argmax()  # a refusal's token may stand further on


@settings(deadline=None, max_examples=60)
@given(held=st.integers(0, 60), size=st.integers(0, 12), globals_held=st.integers(0, 3))
def test_every_row_of_the_fifo_is_in_a_window(held, size, globals_held) -> None:
    rows = torch.arange(held, dtype=torch.float32)[None, :, None]
    memory = (LayerState(torch.full((1, globals_held, 1), -1.0), rows),)
    (layer,) = windows(memory, size)
    kept = [window[:, 0].int().tolist() for window in layer.temporary]
    assert all(window == list(range(window[0], window[-1] + 1)) for window in kept if window)
    assert all(len(window) == min(size or held, held) for window in kept)
    assert kept[0][:1] == [0][:held] and kept[-1][-1:] == [held - 1][:held]
    (newest,) = newest_window(memory, size)
    assert newest.temporary[0, :, 0].int().tolist() == kept[-1]
    for one, other in itertools.pairwise(kept):
        assert one[0] < other[0] <= one[-1] + 1 - size // 8
    assert layer.global_state.shape == (len(kept), globals_held, 1)
    assert (layer.global_state == -1).all()


def windows_of(state: MemoryState) -> list[Prefix]:
    """What `WINDOWED` asks of a state without a memory, or without a tail, a window each."""
    if state.tail:
        size = WINDOWED.config.tail_window
        starts = window_starts(len(state.tail), size)
        texts = [state.tail[start : start + size] for start in starts]
        return [open_chunk(WINDOWED, state.memory, text) for text in texts]
    parts = windows(state.memory, WINDOWED.config.window_rows)
    each = [slice(i, i + 1) for i in range(len(parts[0].temporary))]
    return [open_chunk(WINDOWED, select(parts, part), ()) for part in each]


@settings(deadline=None, max_examples=60)
@given(
    of_tail=st.booleans(),
    text=st.lists(st.integers(0, VOCABULARY - 1), min_size=41, max_size=160),
    asked=st.lists(st.lists(st.integers(1, 96), min_size=1, max_size=3), min_size=1, max_size=4),
    refusal=st.lists(st.integers(1, 96), min_size=1, max_size=2),
)
def test_the_window_that_is_least_likely_to_refuse_answers(of_tail, text, asked, refusal) -> None:
    if of_tail:
        state = MemoryState(WINDOWED.empty_memory(), tuple(text[: 7 + len(text) % 30]))
    else:
        state = MemoryState(last(read(WINDOWED, empty_state(WINDOWED), text)).memory)
    alone, longest = windows_of(state), WINDOWED.config.chunk_size // 8
    sampling = Sampling(max_tokens=4)

    def told(start: MemoryState | Prefix) -> list[Written]:
        return list(generate(WINDOWED, start, asked, -1, sampling, refusal=refusal))

    def refused(part: Prefix) -> float:
        with torch.inference_mode():
            logits = Fork(part).read(list(itertools.chain.from_iterable(asked))[-longest:])
            return float(logits[0].log_softmax(-1)[refusal[0]])

    chances = sorted((refused(part), i) for i, part in enumerate(alone))
    # a batch may round its chances in another order
    assume(len(chances) == 1 or chances[1][0] - chances[0][0] >= 1e-4)
    expected = told(alone[chances[0][1]])
    answered = told(state)
    assert tokens(answered) == tokens(expected)
    for one, other in zip(answered, expected, strict=True):
        assert one.remembered is not of_tail
        assert one.chance == pytest.approx(other.chance, abs=1e-4)


RESUME = """
import sys, torch
sys.path[:0] = sys.argv[3:]
from safetensors.torch import load_file, save_file
from comet_core.memory import LayerState, MemoryState
from comet_core.reader import read
from comet_core_tiny import make_model
model, stored = make_model(), load_file(sys.argv[1])
memory = tuple(LayerState(stored[f"s{i}"], stored[f"t{i}"]) for i in range(3))
tail = tuple(stored["tail"].tolist())
state = MemoryState(memory, tail, 50, 4)
*_, state = read(model, state, stored["rest"].tolist())
out = {f"s{i}": l.global_state for i, l in enumerate(state.memory)}
out |= {f"t{i}": l.temporary for i, l in enumerate(state.memory)}
save_file(out, sys.argv[2])
"""


def test_resuming_in_a_new_process_gives_the_same_bits(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    text = torch.randint(VOCABULARY, (131,)).tolist()
    state = last(read(MODEL, empty_state(MODEL), text[:50]))
    stored = {f"s{i}": layer.global_state for i, layer in enumerate(state.memory)}
    stored |= {f"t{i}": layer.temporary.contiguous() for i, layer in enumerate(state.memory)}
    stored |= {"tail": torch.tensor(state.tail), "rest": torch.tensor(text[50:])}
    save_file(stored, tmp_path / "in")
    here = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", RESUME, tmp_path / "in", tmp_path / "out", here, here / "tests"],
        check=True,
    )
    found = load_file(tmp_path / "out")
    whole = last(read(MODEL, empty_state(MODEL), text))
    for i, layer in enumerate(whole.memory):
        assert torch.equal(found[f"s{i}"], layer.global_state)
        assert torch.equal(found[f"t{i}"], layer.temporary)


PEAK = """
import random, re, sys
sys.path[:0] = sys.argv[2:]
import torch
torch.set_num_threads(1)
from comet_core.reader import empty_state, read
from comet_core_tiny import make_model
model = make_model(chunk_size=320, stride=8, temporary_rows=20)
open("/proc/self/clear_refs", "w").write("5")  # what importing took at its peak does not count
tokens = (random.randrange(97) for _ in range(int(sys.argv[1])))
for state in read(model, empty_state(model), tokens):
    pass
status = open("/proc/self/status").read()  # ru_maxrss would be the parent's peak, if higher
print(state.tokens_read, state.nbytes, re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""


@pytest.fixture(scope="module")
def peaks() -> dict[int, tuple[int, int]]:
    """Bytes of state and peak resident KiB of a process that reads so many tokens."""
    here = Path(__file__).parents[2]
    found = {}
    for count in (10_000, 1_000_000):
        out = subprocess.run(
            [sys.executable, "-c", PEAK, str(count), here, here / "tests"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        tokens, state, peak = map(int, out.split())
        assert tokens == count
        found[count] = (state, peak)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/status")
def test_memory_is_flat_from_ten_thousand_to_a_million_tokens(peaks) -> None:
    (small_state, small_peak), (large_state, large_peak) = peaks[10_000], peaks[1_000_000]
    assert small_state == large_state
    # A hundred times the text, and the allocator's noise. The tokens alone would be 8 MB in a list.
    assert large_peak - small_peak < 4 * 1024
