"""The recipes that ship, run on tiny random models of their backbones' architectures, and what
docs/training.md says of recipes.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path

import pytest
from comet_core_tiny import CONTROL, make_model, make_tokenizer
from transformers import AutoConfig, PreTrainedConfig

from comet_core.config import CometConfig
from comet_core.prompt import PromptFormat
from comet_core.training.data import QADocument, Question, tokenize
from comet_core.training.estimate import arithmetic, footprint, shape_of
from comet_core.training.loop import Trainer
from comet_core.training.recipe import Recipe, Stage, check_rows, load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
PAGE = (ROOT / "docs" / "training.md").read_text()
# hidden size, feed-forward size, layers, heads, key heads, head size, vocabulary, positions
BACKBONES = {
    "qwen3-0.6b-gpu": ("qwen3", 1024, 3072, 28, 16, 8, 128, 151936, 40960),
    "qwen3-4b-gpu": ("qwen3", 2560, 9728, 36, 32, 8, 128, 151936, 40960),
    "llama-3.2-1b-gpu": ("llama", 2048, 8192, 16, 32, 8, 64, 128256, 131072),
}


def config_of(name: str) -> PreTrainedConfig:
    kind, hidden, wide, layers, heads, keys, size, vocabulary, positions = BACKBONES[name]
    return AutoConfig.for_model(
        kind,
        hidden_size=hidden,
        intermediate_size=wide,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        head_dim=size,
        vocab_size=vocabulary,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
    )


def small(recipe: Recipe) -> Recipe:
    """The recipe with chunks, tails and memories of a tiny model, a step a stage."""
    held = min(100, recipe.sizes.tail_tokens)
    sizes = CometConfig(128, 4, 4, temporary_rows=64, adapter_rank=2, tail_tokens=held)
    stages = [
        replace(
            stage,
            chunk_sizes=[128 for _ in stage.chunk_sizes],
            chunks=(min(2, stage.chunks[0]), min(3, stage.chunks[1])),
            tail=stage.tail and (100, 120),
            step_tokens=300,
            max_steps=1,
        )
        for stage in recipe.stages
    ]
    return replace(recipe, sizes=sizes, stages=stages, warmup_steps=1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_stage_of_a_recipe_takes_a_step(path: Path, tmp_path: Path) -> None:
    recipe = small(load_recipe(path))
    architecture = BACKBONES.get(path.stem, ("llama",))[0]
    prompt = PromptFormat(make_tokenizer(CONTROL))
    model = make_model(architecture, vocabulary=len(prompt.tokenizer), **sizes_of(recipe))
    model.requires_grad_(True)
    sections = tuple(f"On day {n} it rained in Bergen. " * 2 for n in range(30))
    questions = tuple(Question(f"When, {n}?", (f"on day {n}",), (n,)) for n in range(30))
    documents = [tokenize(QADocument("a", sections, questions), prompt)] * 2
    # what is for tails alone reads nothing into a memory
    learner = model.memories if any(stage.chunks[1] for stage in recipe.stages) else model
    before = [p.detach().clone() for p in learner.parameters()]
    trainer = Trainer(model, prompt, documents, recipe, tmp_path)
    reports = list(trainer.run())
    assert [r.stage for r in reports] == [stage.name for stage in recipe.stages]
    assert trainer.finished
    after = list(learner.parameters())
    assert any(not a.equal(b) for a, b in zip(before, after, strict=True))


def sizes_of(recipe: Recipe) -> dict[str, int]:
    return {k: v for k, v in recipe.sizes.to_dict().items() if k != "prompt_version"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_in_its_backbones_rows(path: Path) -> None:
    check_rows(load_recipe(path), BACKBONES.get(path.stem, (8192,))[-1])


@pytest.mark.parametrize("name", BACKBONES)
def test_recipes_fit_where_they_say(name: str) -> None:
    path = ROOT / "recipes" / f"{name}.toml"
    recipe = load_recipe(path)
    limit = int(re.search(r"GPU of (\d+) GB", path.read_text())[1])
    shape = shape_of(config_of(name), recipe)
    assert max(footprint(shape, recipe, s).total for s in recipe.stages) < 0.85 * limit * 1e9
    assert shape.max_rows == BACKBONES[name][-1]


def test_a_frozen_tail_takes_less() -> None:
    recipe = load_recipe(ROOT / "recipes" / "smollm2-135m-cpu.toml")
    shape = shape_of(config_of(next(iter(BACKBONES))), recipe)
    for stage in recipe.stages:
        if stage.frozen_tail:
            thawed = replace(stage, frozen_tail=False)
            assert footprint(shape, recipe, stage).total < footprint(shape, recipe, thawed).total


def table_rows(name: str) -> Iterator[list[str]]:
    for line in PAGE.splitlines():
        if line.startswith(f"| {name} |"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("name", BACKBONES)
def test_the_worked_table_is_computed(name: str) -> None:
    recipe = load_recipe(ROOT / "recipes" / f"{name}.toml")
    shape = shape_of(config_of(name), recipe)
    expected = []
    for stage in (recipe.stages[0], recipe.stages[-1]):
        needs = footprint(shape, recipe, stage)
        held = (needs.weights, needs.trained, needs.states, needs.activations + needs.gradients)
        cells = [f"{nbytes / 1e9:.1f}" for nbytes in (*held, needs.total)]
        flops = arithmetic(shape, recipe, stage)
        speed = f"{round(0.3 * 990e12 / flops, -2):,.0f}"
        expected.append([name, stage.name, *cells, f"{flops / 1e9:.1f}", speed])
    assert list(table_rows(name)) == expected


def default_of(field: Field) -> str:
    if field.default_factory is not MISSING:
        return "none" if field.default_factory is dict else "all"
    if field.default is MISSING:
        return "required"
    if isinstance(field.default, bool):
        return str(field.default).lower()
    if field.default is None:
        return "none"
    return str(list(field.default)) if isinstance(field.default, tuple) else str(field.default)


@pytest.mark.parametrize("kind", [Recipe, Stage, CometConfig])
def test_every_key_of_a_recipe_is_documented(kind: type) -> None:
    heading = {Recipe: "## The recipe", CometConfig: "### Sizes", Stage: "### Stages"}[kind]
    part = PAGE.split(f"{heading}\n")[1].split("\n#")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", part, re.MULTILINE))
    keys = {f.name: default_of(f) for f in fields(kind) if f.name not in ("sizes", "stages")}
    keys.pop("prompt_version", None)
    assert {name: cell.strip().strip("`") for name, cell in documented.items()} == keys
