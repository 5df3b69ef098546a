"""The whole path on the default model: real files in, a memory, answers from it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.library import Library
from app.settings import Settings
from app.tables import Document
from comet_core.evaluation.score import exact_match

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
BOOK = SAMPLES / "the-light-on-marrow-rock.pdf"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def library(home: Path) -> Iterator[Library]:
    """A new library on the default model, which is converted from its package here."""
    with Library.open(settings=Settings(home=home, database_url=None, model=None)) as library:
        yield library


@pytest.fixture(scope="module")
def sample(library: Library) -> Document:
    return library.ingest(BOOK)


def test_the_model_is_the_trained_one_with_its_reason(library: Library) -> None:
    spec = library.model.spec
    assert spec.trained and spec.name == "SmolLM2-135M-Instruct"
    assert spec.dtype in spec.reason and spec.device in spec.reason


def test_the_sample_book_is_read_to_its_end(library: Library, sample: Document) -> None:
    assert sample.title == "The Light on Marrow Rock"
    snapshot = sample.finished
    assert snapshot is not None and snapshot.tokens_read == sample.tokens > 10_000
    state = library.memory(sample)
    config = library.model.model.config
    assert state.chunks_read == config.chunks_of(sample.tokens)
    compressed = state.chunks_read * config.chunk_size // config.stride
    assert compressed < config.temporary_rows
    for layer in state.memory:
        assert layer.global_state.shape == (1, config.global_rows, 576)
        assert layer.temporary.shape == (1, compressed, 576)


def test_the_questions_of_the_tour_are_answered(library: Library, sample: Document) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    from tour import QUESTIONS

    accepted = {
        asked["question"]: asked["answers"]
        for asked in json.loads((SAMPLES / "questions.json").read_text())
    }
    for question in QUESTIONS:
        answer = "".join(library.ask(sample, question))
        assert exact_match(answer, accepted[question]), (question, answer)


def test_another_process_answers_the_same(library: Library, sample: Document, home: Path) -> None:
    question = "Who was the first keeper?"
    done = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", "ask", BOOK.stem, question],
        env={**os.environ, "COMET_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "".join(library.ask(sample, question)).strip()


def test_a_real_book_is_read_once(library: Library, shared: Path) -> None:
    pages = []
    path = shared / "books" / "alice.pdf"
    alice = library.ingest(path, on_progress=lambda read: pages.append(read.pages))
    assert pages == sorted(pages) and alice.pages == 69
    assert 35_000 < alice.tokens < 60_000
    model, state = library.model.model, library.memory(alice)
    assert state.kept_volumes == 2  # of 16 chunks each, of 35
    rows = 3 * model.config.global_rows + model.config.temporary_rows
    assert alice.finished.nbytes == 30 * rows * 576 * model.dtype.itemsize
    assert library.ingest(path).finished.id == alice.finished.id  # known: nothing is read
    assert "".join(library.ask(alice, "Who did Alice follow down the hole?"))
    library.forget(alice)
