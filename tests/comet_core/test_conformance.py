"""The published model, to 1e-4: its own checkpoint and what its own code computes with it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from comet_core.checkpoint import WEIGHTS_FILE, build_model, load_weights
from comet_core.device import Placement
from comet_core.errors import DamagedModel, ModelNotFound, UnsupportedBackbone
from comet_core.layout import answering_layout
from comet_core.model import CometModel
from comet_core.published import import_published, load_published
from comet_core.reader import empty_state, read


@pytest.fixture(scope="module")
def published(shared: Path) -> Path:
    return shared / "reference" / "qwen3_tiny"


@pytest.fixture(scope="module", params=["as published", "imported"])
def model(request, published, tmp_path_factory) -> CometModel:
    if request.param == "as published":
        return load_published(published)
    target = tmp_path_factory.mktemp("imported") / "model"
    import_published(published, target)
    weights = load_weights(target / WEIGHTS_FILE)
    placement = Placement(torch.device("cpu"), torch.float32, "test")
    return build_model(target, weights, weights.config, placement)


def last_chunk(case: dict, model: CometModel) -> int:
    """Text tokens of the chunk that is answered from."""
    memory = 256  # the placeholder's id stands for a memory row
    rows = [i for i in case["last_chunk_input_ids"] if i != memory]
    return sum(i != 265 for i in rows)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_case(number: int, model: CometModel, published: Path) -> None:
    case = json.loads((published / "cases.json").read_text())[number]
    expected = load_file(published / f"case{number}.safetensors")
    ids = case["input_ids"]
    split = len(ids) - last_chunk(case, model)
    state, *states = read(model, empty_state(model), ids[:split])
    checked = 0
    for chunk, state in enumerate([state, *states][: len(case["chunk_sizes"]) - 1]):  # noqa: B020
        for number_, layer in enumerate(state.memory):
            found = {
                "global_state": layer.global_state,
                "global_memory": model.memories[number_].global_memory.rows(layer.global_state),
                "temp_memory": layer.temporary,
            }
            for name, tensor in found.items():
                reference = expected[f"chunk{chunk}.layer{number_}.{name}"]
                torch.testing.assert_close(tensor[0], reference, atol=1e-4, rtol=0)
                checked += 1
    assert checked == len(expected) - 1  # every tensor but the logits

    tail = ids[split:]
    rows = answering_layout(len(tail), model.config.stride)
    cache = model.prefix(state.memory)
    logits = model.backbone.logits(model.answer_hidden(cache, torch.tensor([tail]))[0])
    reference = expected["last_chunk_logits"][-rows.rows :][rows.text]
    assert reference.abs().max() > 0.1
    torch.testing.assert_close(logits, reference, atol=1e-4, rtol=0)

    token = int(logits[-1].argmax())
    text = []
    for _ in case["greedy_text_ids"]:  # within the chunk: the published code never folds it
        text.append(token)
        hidden = model.answer_hidden(cache, torch.tensor([[token]]), len(tail) + len(text) - 1)
        token = int(model.backbone.logits(hidden[0, -1]).argmax())
    assert text == case["greedy_text_ids"]


def test_directory_without_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        load_published(tmp_path)


def test_bare_language_model_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    with pytest.raises(ModelNotFound, match="no import"):
        load_published(tmp_path)


def test_truncated_weights_are_damaged(published: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((published / "config.json").read_bytes())
    whole = (published / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-1000])
    with pytest.raises(DamagedModel, match="download it again"):
        load_published(tmp_path)


def test_other_architecture_is_named_with_the_supported_ones(
    published: Path, tmp_path: Path
) -> None:
    config = json.loads((published / "config.json").read_text()) | {"model_type": "gpt2"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((published / "model.safetensors").read_bytes())
    with pytest.raises(UnsupportedBackbone, match=r"'gpt2'.*llama, mistral, qwen2, qwen3"):
        load_published(tmp_path)
