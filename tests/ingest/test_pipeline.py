"""One document: counted pages, skipped pages, and the same bits from whichever state it starts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from comet_core.checkpoint import LoadedModel, load_model
from comet_core.memory import MemoryState
from comet_core.reader import empty_state, read
from ingest.clean import clean_pages
from ingest.errors import DocumentError, MissingFile, NotAFile
from ingest.pipeline import Progress, content_hash, read_document
from ingest.readers import Document, Page, open_document

WORDS = ["Port", "Ellery", "light-\n", "house.\n\n", "1854", "é", "<|im_end|>", "\x07", "\n"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join), max_size=6)


class Pages(Document):
    """A document of given texts; None is a page that cannot be read, an error ends it."""

    def __init__(self, texts: list[str | DocumentError | None], count: int | None = None) -> None:
        self._texts = texts
        self.page_count = count

    def pages(self) -> Iterator[Page]:
        for number, text in enumerate(self._texts, start=1):
            if isinstance(text, DocumentError):
                raise text
            yield Page(number, "", "no text") if text is None else Page(number, text)


@pytest.fixture(scope="module")
def loaded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    cache = tmp_path_factory.mktemp("cache")
    return load_model(str(tiny_model), cache=cache, device="cpu", dtype="float32")


def read_all(loaded: LoadedModel, document: Document) -> list[Progress]:
    return list(read_document(loaded, document, empty_state(loaded.model)))


def same(one: MemoryState, other: MemoryState) -> bool:
    counts = [(s.tail, s.tokens_read, s.chunks_read) for s in (one, other)]
    gates = [(s.gates.span, s.gates.chunks, s.gates.values.tolist()) for s in (one, other)]
    return (counts[0], gates[0]) == (counts[1], gates[1]) and all(
        torch.equal(a.global_state, b.global_state) and torch.equal(a.temporary, b.temporary)
        for a, b in zip(one.memory, other.memory, strict=True)
    )


@settings(max_examples=30)
@given(texts=TEXTS, data=st.data())
def test_reading_from_any_state_ends_with_the_same_bits(
    loaded: LoadedModel, texts: list[str], data: st.DataObject
) -> None:
    undisturbed = read_all(loaded, Pages(list(texts)))
    start = data.draw(st.sampled_from(undisturbed)).state
    *_, last = read_document(loaded, Pages(list(texts)), start)
    assert same(last.state, undisturbed[-1].state)
    assert (last.pages, last.characters) == (len(texts), undisturbed[-1].characters)
    assert last.examples == undisturbed[-1].examples


def test_example_questions_come_with_the_last_page(loaded: LoadedModel) -> None:
    text = "And so they came to the harbour of Port Ellery, and stayed in Port Ellery. " * 9
    first, *_, last = read_all(loaded, Pages([text] * 3, count=3))
    assert first.examples == ()
    assert "Port Ellery" in last.examples[0]
    assert len(last.examples) == 3


def test_a_turn_is_taken_for_every_chunk(loaded: LoadedModel) -> None:
    taken: list[int] = []

    @contextmanager
    def turn() -> Iterator[None]:
        taken.append(len(reports))
        yield
        taken.append(len(reports))

    reports: list[Progress] = []
    document = Pages(["The harbour of Port Ellery. " * 20])
    for progress in read_document(loaded, document, empty_state(loaded.model), turn):
        reports.append(progress)  # not within a turn: this may take long
    chunks = reports[-1].state.chunks_read
    assert taken == [number for number in range(chunks) for _ in range(2)]


@settings(max_examples=30)
@given(texts=TEXTS)
def test_a_document_is_read_as_its_clean_text(loaded: LoadedModel, texts: list[str]) -> None:
    pages = clean_pages(Pages(list(texts)).pages())
    clean = [page.text for page in pages]
    *_, last = read_all(loaded, Pages(list(texts)))
    *_, expected = read(loaded.model, empty_state(loaded.model), loaded.prompt.document(clean))
    assert same(last.state, expected)
    assert last.characters == sum(map(len, clean))


def test_every_chunk_is_reported(loaded: LoadedModel) -> None:
    reports = read_all(loaded, Pages(["The harbour of Port Ellery. " * 20] * 3, count=3))
    size = loaded.model.config.chunk_size
    *chunks, end = [report.tokens for report in reports]
    assert chunks == [size * (n + 1) for n in range(len(chunks))]
    assert len(chunks) > 10
    assert chunks[-1] <= end < chunks[-1] + size
    pages = [report.pages for report in reports]
    assert pages == sorted(pages)
    assert pages[-1] == 3


def test_pages_that_cannot_be_read_are_skipped_and_reported(loaded: LoadedModel) -> None:
    *_, last = read_all(loaded, Pages(["One.\n\n", None, "Three.\n\n", None]))
    assert [(page.number, page.problem) for page in last.skipped] == [
        (2, "no text"),
        (4, "no text"),
    ]
    assert last.pages == 4
    *_, without = read_all(loaded, Pages(["One.\n\n", "", "Three.\n\n", ""]))
    assert same(last.state, without.state)


def test_pages_are_counted_where_the_document_does_not_know(loaded: LoadedModel) -> None:
    (first, *_) = read_all(loaded, Pages(["The harbour of Port Ellery. " * 20] * 3))
    assert (first.pages, first.page_count) == (1, 3)


def test_what_was_read_before_a_failure_is_had(loaded: LoadedModel) -> None:
    text = "The harbour of Port Ellery. " * 20
    document = Pages([text, text, DocumentError(Path("a.pdf"))], count=3)
    reports = []
    with pytest.raises(DocumentError):
        for report in read_document(loaded, document, empty_state(loaded.model)):
            reports.append(report)
    assert reports[-1].tokens > 0


def test_a_state_of_a_longer_document_is_refused(loaded: LoadedModel) -> None:
    *_, last = read_all(loaded, Pages(["The harbour of Port Ellery."]))
    with pytest.raises(ValueError, match="longer document"):
        next(read_document(loaded, Pages(["The harbour."]), last.state))


def test_a_real_file_is_read(loaded: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "harbour.txt"
    path.write_text("The harbour of Port Ellery. " * 200)
    with open_document(path) as document:
        *_, last = read_all(loaded, document)
    assert last.pages == last.page_count
    assert last.characters == len(path.read_text().strip())


def test_a_file_is_known_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"bytes" * 100_000)
    assert content_hash(path) == hashlib.sha256(b"bytes" * 100_000).hexdigest()


def test_what_is_no_file_has_no_hash(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, error in (("missing", MissingFile), ("", NotAFile), ("pipe", NotAFile)):
        with pytest.raises(error):
            content_hash(tmp_path / name)
