"""EPUB: the spine in order, and archives that lie. The books are made here."""

import random
import struct
import zipfile
from pathlib import Path

import pytest

from ingest import errors
from ingest.readers import open_document
from ingest.readers.base import Page

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>"
)


def chapter(text: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml">'
        f"<head><title/></head><body><p>{text}</p></body></html>"
    )


def package(hrefs: list[str], title: str = "A Book", declarations: str = "") -> str:
    items = "".join(
        f'<item id="i{n}" href="{href}" media-type="application/xhtml+xml"/>'
        for n, href in enumerate(hrefs)
    )
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(hrefs)))
    return (
        f'{declarations}<package xmlns="http://www.idpf.org/2007/opf">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title></metadata><manifest>{items}"
        '<item id="css" href="style.css" media-type="text/css"/></manifest>'
        f'<spine>{spine}<itemref idref="css"/><itemref idref="nowhere"/></spine></package>'
    )


def write_epub(path: Path, hrefs: list[str], members: dict[str, str | bytes], **opf: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", package(hrefs, **opf))
        for name, content in members.items():
            archive.writestr(name, content)


def damage(path: Path, member: str, begin: int) -> None:
    """Change the bytes of a member, from `begin` to 1,000 behind the start of its header."""
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo(member).header_offset
    data = bytearray(path.read_bytes())
    for position in range(offset + begin, offset + 1000):
        data[position] ^= 0x55
    path.write_bytes(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.epub"


def test_the_order_is_that_of_the_spine(path: Path) -> None:
    write_epub(
        path,
        ["z.xhtml", "sub/a%20b.xhtml#part", "../root.xhtml"],
        {
            "OEBPS/sub/a b.xhtml": chapter("Second, née été."),
            "root.xhtml": chapter("Third."),
            "OEBPS/z.xhtml": chapter("First."),
            "OEBPS/unused.xhtml": chapter("Unused."),
        },
        title=" A\n Book ",
    )
    with open_document(path) as document:
        assert document.title == "A Book"
        assert document.page_count == 3
        assert list(document.pages()) == [
            Page(1, "First.\n"),
            Page(2, "Second, née été.\n"),
            Page(3, "Third.\n"),
        ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_chapters_in_other_encodings(path: Path, encoding: str) -> None:
    markup = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?><p>Où été ?</p>'
    write_epub(path, ["a.xhtml"], {"OEBPS/a.xhtml": markup.encode(encoding)})
    with open_document(path) as document:
        assert list(document.pages()) == [Page(1, "Où été ?\n")]


def test_references_cannot_leave_the_archive(path: Path) -> None:
    secret = path.parent / "secret.xhtml"
    secret.write_text(chapter("hunter2"))
    outside = ["../../secret.xhtml", str(secret), secret.as_uri(), "..%2F..%2Fsecret.xhtml"]
    write_epub(path, ["a.xhtml", *outside], {"OEBPS/a.xhtml": chapter("Inside.")})
    with open_document(path) as document:
        first, *others = document.pages()
    assert first == Page(1, "Inside.\n")
    assert len(others) == len(outside)
    assert all(page.text == "" and page.problem is not None for page in others)


def test_entities_are_not_loaded(path: Path) -> None:
    secret = path.parent / "secret"
    secret.write_text("hunter2")
    declaration = f'<!DOCTYPE package [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
    members = {"OEBPS/a.xhtml": chapter("Text.")}
    write_epub(path, ["a.xhtml"], members, title="Title &x;", declarations=declaration)
    with open_document(path) as document:
        assert document.title == "Title"


def test_entities_are_not_expanded(path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    declaration = f'<!DOCTYPE package [<!ENTITY l0 "ha">{laughs}]>'
    members = {"OEBPS/a.xhtml": chapter("Text.")}
    write_epub(path, ["a.xhtml"], members, title="&l11;", declarations=declaration)
    with pytest.raises(errors.DamagedFile):
        open_document(path)


def test_a_chapter_that_is_missing_or_damaged_is_skipped(path: Path) -> None:
    noise = random.Random(1).randbytes(3000).hex()
    write_epub(
        path,
        ["a.xhtml", "gone.xhtml", "b.xhtml", "picture.xhtml", "c.xhtml"],
        {
            "OEBPS/a.xhtml": chapter("One."),
            "OEBPS/b.xhtml": chapter(f"BROKEN {noise}"),
            "OEBPS/picture.xhtml": bytes(range(256)) * 4,
            "OEBPS/c.xhtml": chapter("Three."),
        },
    )
    damage(path, "OEBPS/b.xhtml", 200)
    with open_document(path) as document:
        pages = list(document.pages())
    assert [page.text for page in pages] == ["One.\n", "", "", "", "Three.\n"]
    problems = [page.problem for page in pages]
    assert problems[0] is problems[4] is None
    assert "gone.xhtml" in problems[1]
    assert "b.xhtml" in problems[2]
    assert "picture.xhtml" in problems[3]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_is_that_of_a_chapter_however_it_is_packed(path: Path, method: int) -> None:
    members = {"OEBPS/a.xhtml": chapter("One."), "OEBPS/c.xhtml": chapter("Three.")}
    write_epub(path, ["a.xhtml", "b.xhtml", "c.xhtml"], members)
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("OEBPS/b.xhtml", chapter(random.Random(1).randbytes(3000).hex()))
    damage(path, "OEBPS/b.xhtml", 60)
    with open_document(path) as document:
        assert [page.text for page in document.pages()] == ["One.\n", "", "Three.\n"]


def test_a_name_that_cannot_be_decoded_is_a_missing_chapter(path: Path) -> None:
    members = {"OEBPS/ä.xhtml": chapter("One."), "OEBPS/b.xhtml": chapter("Two.")}
    write_epub(path, ["ä.xhtml", "b.xhtml"], members)
    name = "OEBPS/ä.xhtml".encode()
    path.write_bytes(path.read_bytes().replace(name, name.replace(b"\xc3", b"\xff"), 1))
    with open_document(path) as document:
        first, second = document.pages()
    assert first.text == "" and first.problem and second.text == "Two.\n"


def test_a_chapter_too_large_to_parse_is_skipped(path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ingest.readers.epub.MARKUP_BYTES", 1000)
    members = {"OEBPS/a.xhtml": chapter("One."), "OEBPS/b.xhtml": chapter("x " * 500)}
    write_epub(path, ["a.xhtml", "b.xhtml"], members)
    with open_document(path) as document:
        first, second = document.pages()
    assert first.text == "One.\n" and second.text == "" and "of markup" in (second.problem or "")


def test_no_chapter_can_be_read(path: Path) -> None:
    write_epub(path, ["gone.xhtml"], {})
    with pytest.raises(errors.DamagedFile, match="gone"):
        open_document(path)


def test_no_chapter_has_text(path: Path) -> None:
    write_epub(path, ["a.xhtml"], {"OEBPS/a.xhtml": chapter("<img src='x.png'/>")})
    with pytest.raises(errors.EmptyFile):
        open_document(path)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_book(path: Path, share: float) -> None:
    write_epub(
        path, ["a.xhtml"], {"OEBPS/a.xhtml": chapter(random.Random(1).randbytes(9999).hex())}
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(errors.TruncatedFile):
        open_document(path)


@pytest.mark.parametrize("opf", ["", "<package", "<package/>", "<p><manifest/><spine/></p>"])
def test_a_book_without_a_spine(path: Path, opf: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", opf)
    with pytest.raises(errors.DamagedFile):
        open_document(path)


def test_a_container_that_names_no_package(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
    with pytest.raises(errors.DamagedFile):
        open_document(path)


def test_copy_protection(path: Path) -> None:
    encryption = '<encryption><a><CipherReference URI="OEBPS/a.xhtml"/></a></encryption>'
    members = {"OEBPS/a.xhtml": b"\x8f" * 999, "META-INF/encryption.xml": encryption}
    write_epub(path, ["a.xhtml"], members)
    with pytest.raises(errors.ProtectedFile):
        open_document(path)


def test_scrambled_fonts_are_no_copy_protection(path: Path) -> None:
    encryption = '<encryption><a><CipherReference URI="OEBPS/font.otf"/></a></encryption>'
    members = {"OEBPS/a.xhtml": chapter("Text."), "META-INF/encryption.xml": encryption}
    write_epub(path, ["a.xhtml"], members)
    with open_document(path) as document:
        assert list(document.pages()) == [Page(1, "Text.\n")]


def test_a_bomb_in_a_late_chapter_is_found_at_once(path: Path) -> None:
    bomb = chapter(" " * 20_000_000)
    write_epub(
        path, ["a.xhtml", "b.xhtml"], {"OEBPS/a.xhtml": chapter("Text."), "OEBPS/b.xhtml": bomb}
    )
    assert path.stat().st_size < 50_000
    with pytest.raises(errors.ZipBomb):
        open_document(path)


def test_a_chapter_too_large_for_any_book(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However well or badly it is packed."""
    monkeypatch.setattr("ingest.readers.archive.MEMBER_BYTES", 100_000)
    huge = chapter(random.Random(1).randbytes(60_000).hex())
    write_epub(path, ["a.xhtml"], {"OEBPS/a.xhtml": huge})
    with pytest.raises(errors.ZipBomb):
        open_document(path)


def test_a_bomb_that_lies_about_its_unpacked_size_is_never_unpacked(path: Path) -> None:
    members = {"OEBPS/a.xhtml": chapter("Text."), "OEBPS/b.xhtml": chapter("x" * 50_000_000)}
    write_epub(path, ["a.xhtml", "b.xhtml"], members)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"OEBPS/b.xhtml") - 46  # in the directory at the end of the archive
    assert data[entry : entry + 4] == b"PK\x01\x02"
    data[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    path.write_bytes(data)
    with open_document(path) as document:
        first, second = document.pages()
    assert first == Page(1, "Text.\n")
    assert second.text == ""
    assert second.problem is not None


def test_pictures_that_are_never_unpacked_are_no_bomb(path: Path) -> None:
    members = {"OEBPS/a.xhtml": chapter("Text."), "OEBPS/white.bmp": b"\xff" * 20_000_000}
    write_epub(path, ["a.xhtml"], members)
    with open_document(path) as document:
        assert list(document.pages()) == [Page(1, "Text.\n")]


def test_another_suffix(path: Path) -> None:
    write_epub(path, ["a.xhtml"], {"OEBPS/a.xhtml": chapter("Text.")})
    renamed = path.rename(path.with_suffix(".docx"))
    with pytest.raises(errors.WrongContent, match="holds an EPUB book"):
        open_document(renamed)
