"""DOCX: paragraphs and tables in order. The documents are made here."""

import io
import zipfile
from pathlib import Path

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from ingest import errors
from ingest.readers import open_document


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.docx"


def blocks_of(path: Path) -> list[str]:
    with open_document(path) as document:
        return "\n".join(page.text for page in document.pages()).removesuffix("\n").split("\n\n")


def rewrite(path: Path, name: str, content: bytes) -> None:
    """Replace, or add, one member of the archive."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        new.writestr(name, content)
    path.write_bytes(buffer.getvalue())


def test_paragraphs_and_tables_in_order(path: Path) -> None:
    document = docx.Document()
    document.core_properties.title = "The Report"
    document.add_heading("Head", 1)
    document.add_paragraph("First line\nsecond line\tafter a tab")
    document.add_paragraph("   ")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["a", "b", "", "two\nlines"], strict=True):
        cell.text = text
    table.cell(0, 1).add_table(rows=1, cols=1).cell(0, 0).text = "inner"
    document.add_paragraph("After.")
    document.save(str(path))
    assert blocks_of(path) == [
        "Head",
        "First line\nsecond line\tafter a tab",
        "a | b inner\ntwo lines",
        "After.",
    ]
    with open_document(path) as opened:
        assert opened.title == "The Report"
        assert opened.page_count == 1


def test_insertions_count_and_deletions_do_not(path: Path) -> None:
    document = docx.Document()
    document.element.body.insert(
        0,
        parse_xml(
            f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p>"
            "<w:r><w:t>Old</w:t></w:r>"
            "<w:del><w:r><w:delText> deleted</w:delText></w:r></w:del>"
            "<w:moveFrom><w:r><w:t> moved</w:t></w:r></w:moveFrom>"
            "<w:ins><w:r><w:t> inserted</w:t></w:r></w:ins>"
            "<w:hyperlink><w:r><w:t> link</w:t></w:r></w:hyperlink>"
            "<w:r><w:noBreakHyphen/><w:t>end</w:t></w:r>"
            "</w:p></w:sdtContent></w:sdt>"
        ),
    )
    document.save(str(path))
    assert blocks_of(path) == ["Old inserted link-end"]


def test_long_documents_are_divided_into_pages(path: Path) -> None:
    paragraphs = [f"Paragraph {number} of a long report." for number in range(500)]
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(str(path))
    assert blocks_of(path) == paragraphs
    with open_document(path) as opened:
        assert opened.page_count == len(list(opened.pages())) > 4


def test_no_text(path: Path) -> None:
    docx.Document().save(str(path))
    with pytest.raises(errors.EmptyFile):
        open_document(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_truncated_document(path: Path, share: float) -> None:
    docx.Document().save(str(path))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(errors.TruncatedFile):
        open_document(path)


@pytest.mark.parametrize("name", ["word/document.xml", "[Content_Types].xml"])
@pytest.mark.parametrize("content", [b"", b"<w:document", b"<nothing/>"])
def test_a_part_that_cannot_be_read(path: Path, name: str, content: bytes) -> None:
    docx.Document().save(str(path))
    rewrite(path, name, content)
    with pytest.raises(errors.DamagedFile):
        open_document(path)


@pytest.mark.parametrize("name", ["word/document.xml", "word/media/white.bmp"])
def test_a_bomb(path: Path, name: str) -> None:
    docx.Document().save(str(path))
    rewrite(path, name, b" " * 20_000_000)
    with pytest.raises(errors.ZipBomb):
        open_document(path)


def test_many_members_that_are_a_bomb_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.readers.archive.TOTAL_BYTES", 3_000_000)
    docx.Document().save(str(path))
    for number in range(4):
        rewrite(path, f"word/media/{number}.bmp", b" " * 1_000_000)
    with pytest.raises(errors.ZipBomb):
        open_document(path)


def test_entities_are_not_expanded(path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("Before ENTITY after.")
    document.save(str(path))
    with zipfile.ZipFile(path) as archive:
        xml = archive.read("word/document.xml")
    head, body = xml.split(b"?>", 1)
    declared = head + b'?><!DOCTYPE d [<!ENTITY x "boo">]>' + body.replace(b"ENTITY", b"&x;")
    rewrite(path, "word/document.xml", declared)
    assert blocks_of(path) == ["Before"]


def test_another_suffix(path: Path) -> None:
    docx.Document().save(str(path))
    renamed = path.rename(path.with_suffix(".epub"))
    with pytest.raises(errors.WrongContent, match=r"holds a Word document"):
        open_document(renamed)
