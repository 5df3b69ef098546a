"""The registry: which reader opens a file, and the files that none can open."""

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comet_core.errors import CometError
from ingest import errors
from ingest.readers import SUPPORTED, extraction, open_document
from ingest.readers.base import PAGE_CHARACTERS, Document, group_blocks, one_line

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(64)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
MARKUP = {".html", ".htm", ".xhtml"}
TEXTS = {".md", ".markdown", ".txt", ".text"} | MARKUP


def fail(path: Path, error: type[errors.DocumentError]) -> str:
    """The one-line sentence that opening a file fails with."""
    with pytest.raises(CometError) as caught:
        open_document(path)
    assert type(caught.value) is error
    assert caught.value.path == path
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


def test_supported_suffixes() -> None:
    assert set(SUPPORTED) == {".pdf", ".epub", ".docx", *TEXTS}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    fail(tmp_path / "no.pdf", errors.MissingFile)
    (tmp_path / "file.txt").write_text("text")
    fail(tmp_path / "file.txt" / "inside.txt", errors.MissingFile)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "book.epub").mkdir()
    fail(tmp_path / "book.epub", errors.NotAFile)


def test_a_path_that_the_system_refuses(tmp_path: Path) -> None:
    assert "too long" in fail(tmp_path / ("x" * 5000 + ".txt"), errors.UnreadableFile)


def test_what_determines_a_text_is_known_by_the_name() -> None:
    named = {suffix: extraction(Path(f"a{suffix.upper()}")) for suffix in SUPPORTED}
    assert len(set(named.values())) == 6
    assert {named[suffix] for suffix in MARKUP} == {named[".html"]}
    assert f"pypdfium2 {version('pypdfium2')}" in named[".pdf"]
    with pytest.raises(errors.UnknownFormat):
        extraction(Path("a.jpg"))


@pytest.mark.parametrize("suffix", SUPPORTED)
def test_no_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    path.touch()
    fail(path, errors.EmptyFile)


@pytest.mark.parametrize("suffix", sorted(TEXTS))
def test_no_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"blank{suffix}"
    path.write_text(" \n\n \t\n***\n")
    fail(path, errors.EmptyFile)


@pytest.mark.parametrize("name", ["book.xyz", "book", ".pdf", "book.txt.gz"])
def test_unknown_formats_name_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text")
    assert ".epub" in fail(tmp_path / name, errors.UnknownFormat)


@pytest.mark.parametrize("suffix", SUPPORTED)
@pytest.mark.parametrize(
    ("content", "found"),
    [(PNG, "a PNG image"), (OLE, "Office file"), (b"\x7fELF" + bytes(range(256)), "a program")],
)
def test_content_of_another_kind(tmp_path: Path, suffix: str, content: bytes, found: str) -> None:
    path = tmp_path / f"book{suffix}"
    path.write_bytes(content)
    assert found in fail(path, errors.WrongContent)


@pytest.mark.parametrize("suffix", SUPPORTED)
def test_binary_data_without_a_signature(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book{suffix}"
    path.write_bytes(bytes(range(256)) * 8)
    fail(path, errors.WrongContent)


@pytest.mark.parametrize("suffix", SUPPORTED)
def test_a_plain_zip_archive_is_no_document(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book{suffix}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "text")
    assert "a zip archive" in fail(path, errors.WrongContent)


@pytest.mark.parametrize("suffix", SUPPORTED)
def test_a_zip_archive_of_an_unknown_version(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book{suffix}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "text")
    packed = bytearray(path.read_bytes())
    packed[packed.index(b"PK\x01\x02") + 6] = 255  # "version needed to extract"
    path.write_bytes(packed)
    is_zip = suffix in (".epub", ".docx")
    fail(path, errors.TruncatedFile if is_zip else errors.WrongContent)


@pytest.mark.parametrize("suffix", [".pdf", ".epub", ".docx"])
def test_text_under_another_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book{suffix}"
    path.write_text("Just some words about books.")
    fail(path, errors.WrongContent)


def test_what_a_file_name_contains_stays_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "evil\n\x1b[31m{name}.pdf"
    path.write_bytes(PNG)
    with pytest.raises(errors.WrongContent) as caught:
        open_document(path)
    assert str(caught.value).isprintable()
    assert "{name}" in str(caught.value)


@pytest.mark.parametrize("suffix", sorted(TEXTS))
def test_suffixes_count_in_either_case(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"BOOK{suffix.upper()}"
    path.write_text("Some words.")
    with open_document(path) as document:
        assert isinstance(document, Document)
        assert "".join(page.text for page in document.pages()).strip() == "Some words."


def test_pages_can_be_streamed_again(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("Some words.\n\n" * 2000)
    with open_document(path) as document:
        assert list(document.pages()) == list(document.pages())


def test_libraries_of_formats_are_not_loaded_before_they_are_needed() -> None:
    code = (
        "import sys, ingest.readers, ingest.clean\n"
        "print({'pypdfium2', 'pypdf', 'docx', 'bs4', 'lxml', 'torch'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@given(st.lists(st.text("ab ", min_size=1, max_size=PAGE_CHARACTERS)))
def test_grouping_loses_no_block(blocks: list[str]) -> None:
    texts = list(group_blocks(blocks))
    assert "\n".join(texts) == "\n\n".join(blocks) + ("\n" if blocks else "")
    assert all(len(text) <= 2 * PAGE_CHARACTERS for text in texts)


@given(st.text())
def test_titles_are_one_printable_line(title: str) -> None:
    line = one_line(title)
    assert line is None or (line.isprintable() and line.strip() == line != "")


def test_no_title() -> None:
    assert one_line(None) is None
    assert one_line(" \n\x00") is None
    assert one_line("  Emma,\n a   novel\x00 ") == "Emma, a novel"
