"""EPUB: the documents of the book's spine, in order, one a page.

References are names looked up in the archive, so none can lead out of it; entities are not
expanded and nothing is loaded from elsewhere. Pictures and styles are never unpacked.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from lxml import etree

from ingest.errors import DamagedFile, ProtectedFile
from ingest.readers.archive import MEMBER_ERRORS, Archive
from ingest.readers.base import Document, Page, join_blocks, one_line
from ingest.readers.html import MARKUP_BYTES, decode_markup, parse, visible_blocks


def open_file(path: Path, password: str | None = None) -> Document:
    return EpubDocument(path)


class EpubDocument(Document):
    """An EPUB file, held open. Raises a `DocumentError` where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._archive = Archive(path)
        try:
            package_name = _package_name(self._xml(path, "META-INF/container.xml"))
            package = self._xml(path, package_name)
            self._spine = _spine(package, posixpath.dirname(package_name))
            if not self._spine:
                raise DamagedFile(path, reason="it lists no chapters")
            if self._protected() & set(self._spine):
                raise ProtectedFile(path)
            self._archive.check(self._spine)
        except BaseException:
            self.close()
            raise
        self.title = one_line(package.findtext(".//{http://purl.org/dc/elements/1.1/}title"))
        self.page_count: int = len(self._spine)

    def pages(self) -> Iterator[Page]:
        for number, name in enumerate(self._spine, start=1):
            text, problem = self._chapter(name)
            yield Page(number, text, problem=problem and f"{one_line(name)}: {problem}")

    def _chapter(self, name: str) -> tuple[str, str | None]:
        """The text of a chapter, and why there is none."""
        try:
            data = self._archive.read(name)
        except MEMBER_ERRORS:
            return "", "missing or damaged in the archive"
        if len(data) > MARKUP_BYTES:
            return "", f"more than {MARKUP_BYTES // 2**20} MB of markup"
        markup = decode_markup(data)
        if markup is None:
            return "", "not text"
        return join_blocks(visible_blocks(parse(markup))), None

    def close(self) -> None:
        self._archive.close()

    def _xml(self, path: Path, name: str) -> etree._Element:
        try:
            return _parse_xml(self._archive.read(name))
        except (*MEMBER_ERRORS, etree.XMLSyntaxError) as error:
            raise DamagedFile(path, reason=f"{name or 'its contents'} cannot be read") from error

    def _protected(self) -> set[str]:
        """Names of the members that copy protection has encrypted."""
        try:
            root = _parse_xml(self._archive.read("META-INF/encryption.xml"))
        except (*MEMBER_ERRORS, etree.XMLSyntaxError):
            return set()
        return {unquote(item.get("URI", "")) for item in root.iterfind(".//{*}CipherReference")}


def _parse_xml(data: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(data, parser)


def _package_name(container: etree._Element) -> str:
    """Name of the package document that lists the chapters; "" if there is none."""
    rootfile = container.find(".//{*}rootfile")
    return "" if rootfile is None else unquote(rootfile.get("full-path", ""))


def _spine(package: etree._Element, folder: str) -> list[str]:
    """Archive names of the spine's documents in reading order."""
    documents = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(href)))
        for item in package.iterfind(".//{*}manifest/{*}item")
        if (href := item.get("href", "").partition("#")[0])
        and any(kind in item.get("media-type", "") for kind in ("html", "oeb1-document"))
    }
    references = [item.get("idref") for item in package.iterfind(".//{*}spine/{*}itemref")]
    return [documents[reference] for reference in references if reference in documents]
