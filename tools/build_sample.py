"""Build the sample book: one Markdown source becomes a PDF and an EPUB 3.

    python tools/build_sample.py

The source is a first-level heading (the title), three paragraphs (subtitle, author, notice) and
one second-level heading a chapter, "Chapter 1: The Rock Before the Light", with paragraphs under
it. The output is the same bytes every time: dates are fixed, and nothing is compressed, because
zlib builds differ in the bytes they write. This script knows nothing of Comet Reader.
"""

from __future__ import annotations

import itertools
import uuid
import zipfile
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer

SOURCE = Path(__file__).parent.parent / "samples" / "the-light-on-marrow-rock.md"
ZIP_TIME = (2026, 1, 1, 0, 0, 0)


@dataclass
class Chapter:
    """A chapter: its label ("Chapter 1"), its title, and its paragraphs."""

    label: str
    title: str
    paragraphs: list[str] = field(default_factory=list)


@dataclass
class Book:
    """The whole book. Every text in it is inline XHTML with typographic quotes."""

    title: str
    subtitle: str
    author: str
    notice: str
    chapters: list[Chapter]


def parse(markdown: str) -> Book:
    """Read the source. Raises ValueError where it has not the form the module describes."""
    parser = MarkdownIt("commonmark", {"typographer": True}).enable("smartquotes")
    renderer = RendererHTML()
    tokens = parser.parse(markdown)
    front: list[str] = []
    chapters: list[Chapter] = []
    for opening, inline in itertools.pairwise(tokens):
        if inline.type != "inline":
            continue
        text = renderer.renderInline(inline.children or [], parser.options, {})
        if opening.tag == "h2":
            label, _, title = text.partition(": ")
            chapters.append(Chapter(label, title))
        else:
            (chapters[-1].paragraphs if chapters else front).append(text)
    if len(front) != 4:
        raise ValueError(f"expected title, subtitle, author and notice, found {len(front)} blocks")
    title, subtitle, author, notice = front
    return Book(title, subtitle, author, notice, chapters)


FIRST = ParagraphStyle(
    "first", fontName="Times-Roman", fontSize=10.5, leading=14.5, alignment=TA_JUSTIFY
)
BODY = ParagraphStyle("body", FIRST, firstLineIndent=5 * mm, allowWidows=0, allowOrphans=0)
CENTRED = ParagraphStyle("centred", FIRST, alignment=TA_CENTER, spaceBefore=12 * mm)
TITLE = ParagraphStyle("title", CENTRED, fontName="Times-Bold", fontSize=23)
ITALIC = ParagraphStyle("italic", CENTRED, fontName="Times-Italic", fontSize=12)
NOTICE = ParagraphStyle("notice", CENTRED, fontSize=8.5, leading=11, spaceBefore=45 * mm)
HEADING = ParagraphStyle("heading", TITLE, fontSize=17, spaceBefore=3 * mm, spaceAfter=9 * mm)
MARGINS = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), 18 * mm)


class Bookmark(Flowable):
    """An entry in the outline of the PDF that leads to the page it stands on."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def draw(self) -> None:
        self.canv.bookmarkPage(self.title)
        self.canv.addOutlineEntry(self.title, self.title)


def page_number(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("Times-Roman", 9)
    canvas.drawCentredString(A5[0] / 2, 10 * mm, str(document.page))


def write_pdf(book: Book, path: Path) -> None:
    """Write the book as an A5 PDF: a title page, then each chapter on a new page."""
    story: list[Flowable] = [Spacer(1, 45 * mm), Paragraph(book.title, TITLE)]
    story += [Paragraph(book.subtitle, ITALIC), Paragraph(book.author, CENTRED)]
    story += [Paragraph(book.notice, NOTICE)]
    for chapter in book.chapters:
        story += [PageBreak(), Bookmark(unescape(f"{chapter.label}: {chapter.title}"))]
        story += [Paragraph(chapter.label, ITALIC), Paragraph(chapter.title, HEADING)]
        story += [Paragraph(chapter.paragraphs[0], FIRST)]
        story += [Paragraph(text, BODY) for text in chapter.paragraphs[1:]]
    document = SimpleDocTemplate(str(path), pagesize=A5, invariant=1, pageCompression=0, **MARGINS)
    document.title, document.author = unescape(book.title), unescape(book.author)
    document.build(story, onLaterPages=page_number)


XML = '<?xml version="1.0" encoding="UTF-8"?>'
CONTAINER = f"""{XML}
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles>
<rootfile full-path="EPUB/book.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>
"""
CSS = """p { margin: 0; text-indent: 1.5em; }
h1, .front p, .label { text-align: center; text-indent: 0; margin-top: 2em; }
h1 + p { text-indent: 0; } .label { font-style: italic; }
"""


def xhtml(title: str, body: str) -> str:
    return f"""{XML}
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en-GB">
<head><title>{title}</title><link rel="stylesheet" type="text/css" href="book.css"/></head>
<body>{body}</body></html>
"""


def package(book: Book, pages: list[str]) -> str:
    """The OPF package document; `pages` are the names of the XHTML files in reading order."""
    items = (f'<item id="{p}" href="{p}" media-type="application/xhtml+xml"/>' for p in pages)
    return f"""{XML}
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, book.title)}</dc:identifier>
<dc:title>{book.title}</dc:title>
<dc:creator>{book.author}</dc:creator>
<dc:language>en-GB</dc:language>
<meta property="dcterms:modified">2026-01-01T00:00:00Z</meta>
</metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="css" href="book.css" media-type="text/css"/>
{"".join(items)}
</manifest>
<spine>{"".join(f'<itemref idref="{page}"/>' for page in pages)}</spine>
</package>
"""


def write_epub(book: Book, path: Path) -> None:
    """Write the book as EPUB 3: a title page, then one XHTML file a chapter."""
    front = "\n".join(f"<p>{text}</p>" for text in (book.subtitle, book.author, book.notice))
    title_page = f'<section class="front"><h1>{book.title}</h1>\n{front}</section>'
    pages = {"title.xhtml": xhtml(book.title, title_page)}
    contents = ""
    for number, chapter in enumerate(book.chapters, start=1):
        paragraphs = "\n".join(f"<p>{text}</p>" for text in chapter.paragraphs)
        body = f'<p class="label">{chapter.label}</p>\n<h1>{chapter.title}</h1>\n{paragraphs}'
        name = f"chapter-{number:02}.xhtml"
        pages[name] = xhtml(chapter.title, body)
        contents += f'<li><a href="{name}">{chapter.label}: {chapter.title}</a></li>\n'
    nav = f'<nav epub:type="toc"><h1>Contents</h1>\n<ol>\n{contents}</ol></nav>'
    files = {
        "mimetype": "application/epub+zip",  # the format wants this entry first, uncompressed
        "META-INF/container.xml": CONTAINER,
        "EPUB/book.opf": package(book, list(pages)),
        "EPUB/nav.xhtml": xhtml("Contents", nav),
        "EPUB/book.css": CSS,
    } | {f"EPUB/{name}": text for name, text in pages.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.create_system = 3  # Unix, whatever system this runs on
            archive.writestr(entry, text.encode())


def build(folder: Path) -> list[Path]:
    """Write the PDF and the EPUB into `folder` and return their paths."""
    book = parse(SOURCE.read_text(encoding="utf-8"))
    pdf, epub = folder / f"{SOURCE.stem}.pdf", folder / f"{SOURCE.stem}.epub"
    write_pdf(book, pdf)
    write_epub(book, epub)
    return [pdf, epub]


if __name__ == "__main__":
    build(SOURCE.parent)
