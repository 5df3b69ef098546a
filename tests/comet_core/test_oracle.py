"""The fast path against CoMeT written plainly: memory rows go through whole layers as placeholder
rows whose outputs are thrown away, one row and one chunk at a time."""

from collections.abc import Iterator

import pytest
import torch
from comet_core_tiny import ARCHITECTURES, VOCABULARY, make_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import comet_core.model
from comet_core.errors import ChunkTooLong
from comet_core.memory import MemoryState
from comet_core.model import CometModel
from comet_core.prefixes import open_state


@pytest.fixture(autouse=True, scope="module", params=[5, comet_core.model.CPU_BLOCK])
def _blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Chunks of several blocks of rows, and of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comet_core.model, "CPU_BLOCK", request.param)
        yield


def rms_norm(x, weight, eps):
    return x / (x.pow(2).mean() + eps).sqrt() * weight


def adapter(x, network):
    return x + network.up.weight @ (network.down.weight @ x)


class Oracle:
    """Carries, for every layer, lists of row vectors: S and T."""

    def __init__(self, model: CometModel) -> None:
        self.model, self.config = model, model.config
        self.layers = model.language_model.model.layers
        self.states = [None] * len(self.layers)
        self.temporary = [[] for _ in self.layers]

    def read(self, tokens: list[int]) -> None:
        """One chunk that is read: a C row after each group, R rows at the end."""
        kinds, rows = [], []
        for i, token in enumerate(tokens):
            kinds.append("text")
            rows.append(self.model.language_model.model.embed_tokens.weight[token])
            if (i + 1) % self.config.stride == 0 or i == len(tokens) - 1:
                kinds.append("C")
                rows.append(self.model.compression_embedding)
        for embedding in self.model.readout_embedding:
            kinds.append("R")
            rows.append(embedding)
        outputs = self.run(rows)
        for number, output in enumerate(outputs):
            readout = [o for o, kind in zip(output, kinds, strict=True) if kind == "R"]
            compressed = [o for o, kind in zip(output, kinds, strict=True) if kind == "C"]
            self.update(number, readout, compressed)

    def update(self, number, readout, compressed) -> None:
        memory = self.model.memories[number]
        eps = torch.finfo(torch.float32).eps
        fresh = [rms_norm(r, memory.global_memory.norm.weight, eps) for r in readout]
        if self.states[number] is None:
            self.states[number] = fresh
        else:
            weight = memory.global_memory.gate.weight[0]
            new = []
            for r, s in zip(fresh, self.states[number], strict=True):
                g = torch.sigmoid(weight @ torch.cat([r, s]))
                new.append(g * s + (1 - g) * r)
            self.states[number] = new
        for c in compressed:
            normed = rms_norm(c, memory.temporary_memory.norm.weight, 1e-12)
            self.temporary[number].append(adapter(normed, memory.temporary_memory.adapter))
        limit = self.config.temporary_rows
        self.temporary[number] = self.temporary[number][-limit:] if limit else []

    def logits(self, tokens: list[int], held: int = 0) -> torch.Tensor:
        """The chunk that is answered from, which held so many tokens already; logits at the text
        rows behind these, (n, vocabulary). A model that holds a tail has no C rows here, and no
        memory before it."""
        rows, text = [], []
        for i, token in enumerate(tokens):
            if i and i % self.config.stride == 0 and not self.config.tail_tokens:
                rows.append(self.model.compression_embedding)
            if i >= held:
                text.append(len(rows))
            rows.append(self.model.language_model.model.embed_tokens.weight[token])
        last = self.run(rows, alone=held > 0 and self.config.tail_tokens > 0)[-1]
        language_model = self.model.language_model
        return language_model.lm_head(language_model.model.norm(torch.stack(last)[text]))

    def run(self, live, alone=False):
        """Outputs of every layer at the live rows, behind the memory or alone."""
        hidden = torch.stack(live)
        outputs = []
        for number, layer in enumerate(self.layers):
            network = self.model.memories[number].global_memory.adapter
            memory = [adapter(s, network) for s in self.states[number] or []]
            memory += self.temporary[number]
            memory = [] if alone else memory
            rows = torch.stack([*memory, *hidden])[None]
            count = rows.shape[1]
            positions = torch.arange(count)[None]
            mask = torch.full((count, count), float("-inf")).triu(1)[None, None]
            rotary = self.model.language_model.model.rotary_emb(rows, positions)
            hidden = layer(rows, attention_mask=mask, position_embeddings=rotary)[0, len(memory) :]
            outputs.append(list(hidden))
        return outputs


ROPES = [
    None,
    {"rope_type": "linear", "factor": 4.0},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
    {
        "rope_type": "longrope",
        "factor": 8.0,
        "original_max_position_embeddings": 64,
        "short_factor": [1.0, 1.5, 2.0, 2.5],
        "long_factor": [2.0, 3.0, 4.0, 5.0],
    },
]


@settings(max_examples=60, deadline=None)
@given(
    architecture=st.sampled_from(ARCHITECTURES),
    seed=st.integers(0, 1000),
    chunk_size=st.integers(2, 14),
    stride=st.integers(1, 6),
    global_rows=st.integers(1, 4),
    temporary_rows=st.integers(0, 9),
    chunks=st.lists(st.integers(1, 14), max_size=4),
    tail_tokens=st.sampled_from([0, 9]),
    held=st.integers(0, 14),
    last=st.integers(1, 14),
    answer=st.integers(0, 6),
    rope=st.sampled_from(ROPES),
)
def test_fast_path_equals_oracle(
    architecture,
    seed,
    chunk_size,
    stride,
    global_rows,
    temporary_rows,
    chunks,
    tail_tokens,
    held,
    last,
    answer,
    rope,
):
    model = make_model(
        architecture,
        seed,
        rope=rope,
        chunk_size=chunk_size,
        stride=min(stride, chunk_size),
        global_rows=global_rows,
        temporary_rows=temporary_rows,
        tail_tokens=tail_tokens,
    )
    tokens = held + last + answer
    answered = global_rows + temporary_rows + tokens + tokens // model.config.stride
    assume(answered <= model.backbone.max_rows)
    text = torch.Generator().manual_seed(seed)
    oracle, memory = Oracle(model), model.empty_memory()
    for length in chunks:
        ids = torch.randint(VOCABULARY, (1, min(length, chunk_size)), generator=text)
        memory = model.read_chunk(memory, ids).memory
        oracle.read(ids[0].tolist())
        for state, s, t in zip(memory, oracle.states, oracle.temporary, strict=True):
            torch.testing.assert_close(state.global_state[0], torch.stack(s), atol=1e-4, rtol=1e-4)
            assert state.temporary.shape[1] == len(t)
            for row, expected in zip(state.temporary[0], t, strict=True):
                torch.testing.assert_close(row, expected, atol=1e-4, rtol=1e-4)
    ids = torch.randint(VOCABULARY, (1, tokens), generator=text)
    expected = oracle.logits(ids[0].tolist(), held)
    cache = open_state(model, MemoryState(memory, tuple(ids[0, :held].tolist()))).cache()
    asked = held + last
    hidden = model.answer_hidden(cache, ids[:, held:asked], held)
    found = [*model.backbone.logits(hidden[0])]
    for i in range(asked, asked + answer):  # token by token, as an answer is written
        found.append(model.backbone.logits(model.answer_hidden(cache, ids[:, i : i + 1], i)[0, -1]))
    torch.testing.assert_close(torch.stack(found), expected, atol=1e-3, rtol=1e-3)


def test_positions_that_would_turn_the_memory_otherwise_are_not_used() -> None:
    """Longrope has other angles for a whole call once one of its positions is beyond a limit."""
    with pytest.raises(ChunkTooLong):
        make_model(rope=ROPES[-1], chunk_size=60)
    assert make_model(rope=ROPES[-1]).backbone.max_rows == 64
    assert make_model(rope=ROPES[1]).backbone.max_rows == 512
