"""States in the database: bit for bit, in whole transactions, never a damaged or foreign one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from app.database import Database
from app.errors import DamagedSnapshot, WrongModel
from app.snapshots import load_state, place, save_state, verify
from app.tables import Document, Snapshot, SnapshotLayer
from comet_core.checkpoint import ModelSpec
from comet_core.config import CometConfig
from comet_core.gates import GateHistory
from comet_core.memory import LayerState, MemoryState, of_volumes
from tests.app.conftest import bits

SPEC = ModelSpec(
    name="tiny",
    fingerprint="comet1-" + "a" * 64,
    config=CometConfig(),
    trained=False,
    parameters=1,
    device="cpu",
    dtype="float32",
    reason="",
)
OTHER = replace(SPEC, name="other", fingerprint="comet1-" + "b" * 64)
INTEGERS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}


@st.composite
def states(draw: st.DrawFn) -> MemoryState:
    """States of any size with any bit pattern, NaNs and infinities included."""
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16]))
    size, global_rows, rows = draw(st.tuples(*[st.integers(0, 5)] * 3))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    limits = torch.iinfo(INTEGERS[dtype])

    def tensor(count: int) -> torch.Tensor:
        shape = (1, count, size)
        patterns = torch.randint(limits.min, limits.max, shape, generator=random)
        return patterns.to(INTEGERS[dtype]).view(dtype)

    memory = tuple(
        LayerState(tensor(global_rows), tensor(rows)) for _ in range(draw(st.integers(1, 4)))
    )
    tail = tuple(draw(st.lists(st.integers(0, 2**31 - 1), max_size=20)))
    counts = draw(st.tuples(*[st.integers(0, 2**31 - 1)] * 2))
    gates = GateHistory()
    for _ in range(draw(st.integers(0, 4))):
        gates = gates.add(torch.rand(len(memory), generator=random))
    kept = draw(st.integers(0, 3))
    earlier = [torch.cat([tensor(global_rows) for _ in range(kept)]) for _ in memory if kept]
    return MemoryState(memory, tail, *counts, gates, tuple(map(of_volumes, earlier)))


def integer_bits(state: MemoryState) -> list[object]:
    return [
        (tensor.dtype, tensor.shape, tensor.view(INTEGERS[tensor.dtype]).tolist())
        for tensor in (*state.tensors, state.gates.values)
    ]


@pytest.fixture(scope="module")
def shared_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('snapshots') / 'a.db'}")
    yield database
    database.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    yield database
    database.close()


def a_state(value: float = 0.5) -> MemoryState:
    layers = (
        LayerState(torch.full((1, 2, 3), value), torch.full((1, 4, 3), n + value)) for n in (1, 2)
    )
    gates = GateHistory().add(torch.tensor([value, 0.25])).add(torch.tensor([value, 0.75]))
    return MemoryState(tuple(layers), (7, 8, 9), 35, 2, gates)


def add_document(database: Database) -> Document:
    """The document to store snapshots of; there is another one, "other", beside it."""
    fields = {"title": "Emma", "file_name": "emma.txt", "status": "ready"}
    counts = {"pages": 1, "characters": 1, "tokens": 1}
    document, other = (
        Document(id=name, content_hash=name, **fields, **counts) for name in ("emma", "other")
    )
    with database.writing() as session:
        session.execute(delete(Document))
        session.add_all([document, other])
    return document


def store(
    database: Database,
    document: Document,
    state: MemoryState,
    *,
    spec: ModelSpec = SPEC,
    finished: bool = True,
) -> str:
    with database.writing() as session:
        return save_state(session, document, spec, "text 1", state, finished=finished).id


def load(database: Database, snapshot_id: str, fingerprint: str = SPEC.fingerprint) -> MemoryState:
    with database.reading() as session:
        return load_state(session, session.get_one(Snapshot, snapshot_id), fingerprint)


def stored(database: Database) -> set[tuple[str, bool]]:
    with database.reading() as session:
        return {(s.model_name, s.finished) for s in session.scalars(select(Snapshot))}


@settings(max_examples=60)
@given(state=states())
def test_a_state_comes_back_bit_for_bit(shared_database: Database, state: MemoryState) -> None:
    document = add_document(shared_database)
    loaded = load(shared_database, store(shared_database, document, state))
    assert integer_bits(loaded) == integer_bits(state)
    assert (loaded.tail, loaded.tokens_read, loaded.chunks_read) == (
        state.tail,
        state.tokens_read,
        state.chunks_read,
    )
    assert (loaded.gates.span, loaded.gates.chunks) == (state.gates.span, state.gates.chunks)


def test_a_snapshot_from_before_there_were_gates_is_loaded_without(database: Database) -> None:
    state = a_state()
    snapshot_id = store(database, add_document(database), state)
    with database.writing() as session:
        snapshot = session.get_one(Snapshot, snapshot_id)
        layers = [
            layer.checksum for layer in session.scalars(select(SnapshotLayer).order_by("layer"))
        ]
        tail = b"".join(token.to_bytes(4, "little") for token in state.tail).hex()
        fields = ["emma", SPEC.fingerprint, "text 1", 35, 2, tail, True, layers]
        snapshot.gates = None
        snapshot.checksum = hashlib.sha256(json.dumps(fields).encode()).hexdigest()
    assert bits(load(database, snapshot_id)) == bits(replace(state, gates=GateHistory()))


def test_tensors_that_are_views_of_one_another_are_stored(database: Database) -> None:
    rows = torch.arange(24.0).reshape(1, 8, 3)
    state = MemoryState((LayerState(rows[:, :2], rows[:, 1:]),), (), 0, 0)
    assert bits(load(database, store(database, add_document(database), state))) == bits(state)


def test_there_is_one_row_a_layer(database: Database) -> None:
    store(database, add_document(database), a_state())
    with database.reading() as session:
        assert session.scalars(select(SnapshotLayer.layer)).all() == [0, 1]


def test_a_checkpoint_replaces_the_last_one_and_leaves_the_finished_snapshot(
    database: Database,
) -> None:
    document = add_document(database)
    finished = store(database, document, a_state(1.0), spec=OTHER)
    store(database, document, a_state(2.0), finished=False)
    last = store(database, document, a_state(3.0), finished=False)
    assert stored(database) == {("other", True), ("tiny", False)}
    assert bits(load(database, last)) == bits(a_state(3.0))
    assert bits(load(database, finished, OTHER.fingerprint)) == bits(a_state(1.0))


def test_a_finished_snapshot_replaces_all_others(database: Database) -> None:
    document = add_document(database)
    store(database, document, a_state(), spec=OTHER)
    store(database, document, a_state(), finished=False)
    store(database, document, a_state())
    assert stored(database) == {("tiny", True)}
    with database.reading() as session:  # no layers are left behind
        assert session.scalar(select(func.count()).select_from(SnapshotLayer)) == 2


def test_a_replacement_that_fails_leaves_the_last_checkpoint(database: Database) -> None:
    document = add_document(database)
    last = store(database, document, a_state(1.0), finished=False)
    with pytest.raises(RuntimeError), database.writing() as session:
        save_state(session, document, SPEC, "text 1", a_state(2.0), finished=False)
        raise RuntimeError
    assert bits(load(database, last)) == bits(a_state(1.0))


def test_another_model_is_refused_and_told_which_is_needed(database: Database) -> None:
    snapshot = store(database, add_document(database), a_state(), spec=OTHER)
    with pytest.raises(WrongModel, match=r'"Emma" was read with the model other \(comet1-bbb'):
        load(database, snapshot)


TAMPERING = [
    "UPDATE snapshot_layer SET data = zeroblob(length(data)) WHERE layer = 1",
    "UPDATE snapshot_layer SET checksum = 'x' WHERE layer = 0",
    "UPDATE snapshot_layer SET layer = CASE layer WHEN 0 THEN 9 ELSE 0 END",
    "DELETE FROM snapshot_layer WHERE layer = 1",
    "DELETE FROM snapshot_layer",
    "INSERT INTO snapshot_layer SELECT snapshot_id, 2, data, checksum FROM snapshot_layer LIMIT 1",
    "UPDATE snapshot SET document_id = 'other'",
    "UPDATE snapshot SET extraction = 'markdown 1'",
    "UPDATE snapshot SET tail = x'07000000'",
    "UPDATE snapshot SET tokens_read = tokens_read + 1",
    "UPDATE snapshot SET chunks_read = 0",
    "UPDATE snapshot SET finished = 0",
    "UPDATE snapshot SET gates = NULL",
    "UPDATE snapshot SET gates = zeroblob(length(gates))",
    "UPDATE snapshot SET checksum = ''",
]


@pytest.mark.parametrize("statement", TAMPERING)
def test_tampering_is_noticed(database: Database, statement: str) -> None:
    snapshot_id = store(database, add_document(database), a_state())
    with database.reading() as session:
        verify(session, session.get_one(Snapshot, snapshot_id))
    with database.writing() as session:
        session.execute(sqlalchemy.text(statement))
    with pytest.raises(DamagedSnapshot, match='"Emma" is damaged'):
        load(database, snapshot_id)
    with pytest.raises(DamagedSnapshot), database.reading() as session:
        verify(session, session.get_one(Snapshot, snapshot_id))


@settings(max_examples=60)
@given(data=st.data())
def test_one_flipped_bit_is_noticed(shared_database: Database, data: st.DataObject) -> None:
    snapshot_id = store(shared_database, add_document(shared_database), a_state())
    with shared_database.writing() as session:
        layer = session.get_one(SnapshotLayer, (snapshot_id, data.draw(st.integers(0, 1))))
        position = data.draw(st.integers(0, 8 * len(layer.data) - 1))
        changed = bytearray(layer.data)
        changed[position // 8] ^= 1 << position % 8
        layer.data = bytes(changed)
    with pytest.raises(DamagedSnapshot):
        load(shared_database, snapshot_id)


def test_a_state_is_placed_where_the_model_computes() -> None:
    placed = place(a_state(), torch.device("cpu"), torch.bfloat16)
    assert {t.dtype for layer in placed.memory for t in (layer.global_state, layer.temporary)} == {
        torch.bfloat16
    }
    assert (placed.tail, placed.tokens_read, placed.chunks_read) == ((7, 8, 9), 35, 2)
    assert placed.gates.values.dtype == torch.float32
    assert placed.gates.chunks == 2
