"""Whatever is wrong with a file, it is read or refused with an error that is for the user."""

import random
import zipfile

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from ingest.clean import clean_pages
from ingest.errors import DocumentError
from ingest.readers import SUPPORTED, open_document

CONTAINER = '<container><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>'
PACKAGE = (
    '<package><manifest><item id="a" href="ä.xhtml" media-type="application/xhtml+xml"/>'
    '</manifest><spine><itemref idref="a"/></spine></package>'
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small document of each format."""
    folder = tmp_path_factory.mktemp("samples")
    canvas = Canvas(str(folder / "book.pdf"))
    canvas.drawString(72, 700, "Some text in a book.")
    canvas.save()
    report = docx.Document()
    report.add_paragraph("Some text in a book.")
    report.save(str(folder / "book.docx"))
    with zipfile.ZipFile(folder / "book.epub", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("book.opf", PACKAGE)
        archive.writestr("ä.xhtml", "<p>Some text in a book.</p>")
    samples = {path.suffix: path.read_bytes() for path in folder.iterdir()}
    for suffix in SUPPORTED:
        samples.setdefault(suffix, b"<p>Some text &amp; more in a *book*.</p>\n" * 20)
    return samples


@given(suffix=st.sampled_from(sorted(SUPPORTED)), seed=st.integers(0, 2**32))
def test_changed_bytes(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, bytes], suffix: str, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(samples[suffix])
    for _ in range(chance.choice([1, 5, 50])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    del data[chance.choice([len(data), chance.randrange(len(data))]) :]
    path = tmp_path_factory.mktemp("changed") / f"book{suffix}"
    path.write_bytes(data)
    try:
        with open_document(path) as document:
            pages = list(clean_pages(document.pages()))
    except DocumentError as error:
        assert str(path) in str(error)
    else:
        assert any(page.text for page in pages)
