"""The memory without a part of it, and what its gates do."""

from functools import partial

import pytest
import torch
from comet_core_evaluation import Silent, make_loaded
from comet_core_tiny import VOLUMES, make_model

from comet_core.evaluation.ablation import ABLATIONS, AblatedReader, Ablation
from comet_core.evaluation.gates import TooFewChunks, describe, gate_statistics
from comet_core.evaluation.readers import Exam, MemoryReader
from comet_core.memory import Memory
from comet_core.model import CometModel

BY_NAME = {ablation.name: ablation for ablation in ABLATIONS}


def read(model: CometModel, chunks: int) -> list[Memory]:
    """The memory after each of some chunks of random text."""
    size = model.config.chunk_size
    ids = torch.randint(0, 97, (1, chunks * size), generator=torch.Generator().manual_seed(0))
    memories = [model.empty_memory()]
    with torch.inference_mode():
        for chunk in ids.split(size, dim=1):
            memories.append(model.read_chunk(memories[-1], chunk).memory)
    return memories[1:]


def equal(a: Memory, b: Memory) -> bool:
    return all(
        torch.equal(x.global_state, y.global_state) and torch.equal(x.temporary, y.temporary)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda a: a.name)
def test_an_ablation_changes_reading_and_leaves_no_trace(ablation: Ablation) -> None:
    model = make_model()
    before = read(model, 3)
    with ablation.on(model):
        during = read(model, 3)
    assert not equal(during[-1], before[-1])
    assert equal(read(model, 3)[-1], before[-1])
    with pytest.raises(RuntimeError), ablation.on(model):
        raise RuntimeError
    assert equal(read(model, 3)[-1], before[-1])
    assert not any("update" in vars(module) for module in model.modules())


@pytest.mark.parametrize(
    ("name", "rows"), [("no global", (0, 5)), ("no temporary", (3, 0)), ("no memory", (0, 0))]
)
def test_a_memory_that_is_left_out_has_no_rows(name: str, rows: tuple[int, int]) -> None:
    model = make_model()
    with BY_NAME[name].on(model):
        for memory in read(model, 3)[1:]:
            for layer in memory:
                assert (layer.global_state.shape[1], layer.temporary.shape[1]) == rows


def test_without_memory_a_chunk_is_read_as_if_it_were_the_first() -> None:
    model = make_model()
    size = model.config.chunk_size
    ids = torch.randint(0, 97, (1, size), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), BY_NAME["no memory"].on(model):
        after = model.prefix(read(model, 3)[-1])
        hidden = model.answer_hidden(after, ids)
        first = model.answer_hidden(model.prefix(model.empty_memory()), ids)
    assert torch.equal(hidden, first)


def test_a_gate_fixed_at_one_keeps_the_first_chunk_for_ever() -> None:
    model = make_model()
    with BY_NAME["gate 1"].on(model):
        first, *others = read(model, 4)
    for memory in others:
        for layer, layer_then in zip(memory, first, strict=True):
            torch.testing.assert_close(layer.global_state, layer_then.global_state)


def test_a_gate_fixed_at_a_half_is_that_of_a_gate_without_weights() -> None:
    model = make_model()
    with BY_NAME["gate 0.5"].on(model):
        fixed = read(model, 4)[-1]
    for networks in model.memories:
        torch.nn.init.zeros_(networks.global_memory.gate.weight)
    assert equal(read(model, 4)[-1], fixed)


def test_a_gate_fixed_at_nought_keeps_nothing() -> None:
    """What the state was makes no difference, where the update alone is looked at."""
    memory = make_model().memories[0].global_memory
    ablation = BY_NAME["gate 0"].update_global
    assert isinstance(ablation, partial)
    readout = torch.randn(1, 3, 32)
    states = [ablation(memory, torch.randn(1, 3, 32), readout)[0] for _ in range(2)]
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], memory.norm(readout))


def test_an_ablated_reader_answers_otherwise_and_only_while_it_is_asked() -> None:
    loaded = make_loaded()
    exam = Exam(loaded.prompt.text("It rained all day. We slept. " * 20), ("Did it rain?", "Why?"))
    whole = MemoryReader(loaded).answer([exam], 12, Silent())
    said = {
        ablation.name: AblatedReader(loaded, ablation).answer([exam], 12, Silent())
        for ablation in ABLATIONS
    }
    assert all(answers != whole for answers in said.values())
    last_chunk = Exam(exam.tokens[-50 - len(exam.tokens) % 50 :], exam.questions)
    ablated = AblatedReader(loaded, BY_NAME["no memory"])
    assert ablated.answer([last_chunk], 12, Silent()) == said["no memory"]
    assert MemoryReader(loaded).answer([exam], 12, Silent()) == whole


def test_gates_are_described_by_layer_and_chunk() -> None:
    gates = torch.zeros(2, 6, 5)  # layers, chunks, rows
    begins = [True, False, False, True, False, False]
    gates[1, ~torch.tensor(begins)] = torch.linspace(0, 1, 20).view(4, 5)
    found = describe(gates, begins, tokens=72)
    assert (found.tokens, found.chunks) == (72, 6)
    assert found.layers[0].mean == 0 and found.layers[0].deviation == 0
    assert found.layers[1].mean == 0.5
    deviation = torch.linspace(0, 1, 20).std(correction=0).item()
    assert found.layers[1].deviation == pytest.approx(deviation, abs=1e-4)
    assert found.layers[1].quantiles[0] == 0 and found.layers[1].quantiles[4] == 1
    assert found.layers[1].quantiles[1:4] == pytest.approx([1 / 19, 10 / 19, 18 / 19], abs=1e-3)
    assert found.layers[1].histogram == [1] * 20
    assert (found.layers[1].below, found.layers[1].above) == (0.05, 0.05)
    assert found.by_chunk[0] == [0.0, round(2 / 19, 4)] and len(found.by_chunk) == 5
    assert found.by_chunk[2] == [0.0, 0.0]  # a volume begins


@pytest.mark.parametrize(
    ("value", "said"), [(0.001, "keeps nothing"), (0.999, "keeps everything"), (0.5, None)]
)
def test_a_gate_that_is_the_same_for_everything_is_warned_of(value: float, said) -> None:
    begins = [True, False, False, False]
    all_layers = describe(torch.full((3, 4, 5), value), begins, 48)
    assert all_layers.all.collapsed == said
    assert len(all_layers.warnings) == (1 if said else 0)
    one_layer = torch.full((3, 4, 5), 0.4)
    one_layer[2] = value
    warnings = describe(one_layer, begins, 48).warnings
    assert warnings == ([f"The gates of layer 2 have collapsed: it {said}."] if said else [])


@pytest.mark.parametrize(("sizes", "begins"), [({}, [0]), (VOLUMES, [0, 1, 2])])
def test_gates_over_a_text_are_those_of_its_chunks(sizes, begins) -> None:
    model = make_model(**sizes)
    size = model.config.chunk_size
    tokens = torch.randint(0, 97, (4 * size + 5,), generator=torch.Generator().manual_seed(0))
    steps: list[None] = []
    found = gate_statistics(model, tokens.tolist(), lambda: steps.append(None))
    assert found.chunks == 4 == len(steps) and found.tokens == 4 * size
    expected = []
    with torch.inference_mode():
        for number, chunk in enumerate(tokens[: 4 * size].view(1, -1).split(size, dim=1)):
            if number in begins:
                memory = model.empty_memory()
            result = model.read_chunk(memory, chunk)
            memory = result.memory
            expected.append(result.gates[:, 0].mean(-1))
    torch.testing.assert_close(
        torch.tensor(found.by_chunk), torch.stack(expected[1:]), rtol=0, atol=1e-4
    )
    for networks in model.memories:
        torch.nn.init.zeros_(networks.global_memory.gate.weight)
    even = gate_statistics(model, tokens.tolist())
    assert even.all.mean == 0.5 and even.all.deviation == 0 and even.warnings == []
    with pytest.raises(TooFewChunks, match=f"has 1 chunks of {size}"):
        gate_statistics(model, tokens[: 2 * size - 1].tolist())
