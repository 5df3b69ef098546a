"""The sample book: its files come from its source, and its questions have their answers in it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import zipfile
from itertools import chain
from pathlib import Path
from types import ModuleType

import pypdfium2
import pytest
from lxml import etree

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
SOURCE = SAMPLES / "the-light-on-marrow-rock.md"
TEXT = SOURCE.read_text(encoding="utf-8")
CHAPTERS = re.split(r"^## ", TEXT, flags=re.MULTILINE)  # [0] is what stands before chapter 1
QUESTIONS = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))
ANSWERABLE = [question for question in QUESTIONS if not question.get("unanswerable")]
UNANSWERABLE = [question for question in QUESTIONS if question.get("unanswerable")]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """tools/build_sample.py as a module; it needs reportlab, a development dependency."""
    spec = importlib.util.spec_from_file_location("build_sample", ROOT / "tools/build_sample.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look it up
        spec.loader.exec_module(module)
    return module


def words(text: str) -> list[str]:
    """Letters and digits only, so that quotes, emphasis and layout do not count."""
    return re.findall(r"[a-z0-9]+", text.lower())


def stands_in(answer: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(answer)}\b", text) is not None


def test_the_shipped_files_are_what_the_source_makes(builder: ModuleType, tmp_path: Path) -> None:
    built = builder.build(tmp_path)
    assert {path.suffix for path in built} == {".pdf", ".epub"}
    for path in built:
        assert path.read_bytes() == (SAMPLES / path.name).read_bytes(), (
            f"{path.name} is out of date: run python tools/build_sample.py"
        )


def test_a_source_of_another_form_is_refused(builder: ModuleType) -> None:
    with pytest.raises(ValueError, match="found 1 blocks"):
        builder.parse("# A title alone\n")


def test_size() -> None:
    assert 7_500 <= len(TEXT.split()) <= 8_500
    assert len(CHAPTERS) - 1 == 12


def test_the_pdf_holds_the_text() -> None:
    with pypdfium2.PdfDocument(SAMPLES / f"{SOURCE.stem}.pdf") as pdf:
        pages = [page.get_textpage().get_text_bounded() for page in pdf]
        metadata = pdf.get_metadata_dict()
        outline = [bookmark.get_title() for bookmark in pdf.get_toc()]
    for index, page in enumerate(pages[1:], start=1):  # the title page has no number
        assert page.startswith(f"{index + 1}\r\n")
        pages[index] = page.removeprefix(f"{index + 1}\r\n")
    assert words(" ".join(pages)) == words(TEXT)
    assert metadata["Title"] == "The Light on Marrow Rock"
    assert metadata["Author"] == "The Comet Reader project"
    assert outline == [chapter.splitlines()[0] for chapter in CHAPTERS[1:]]


def test_the_epub_holds_the_text() -> None:
    opf = {"opf": "http://www.idpf.org/2007/opf", "dc": "http://purl.org/dc/elements/1.1/"}
    with zipfile.ZipFile(SAMPLES / f"{SOURCE.stem}.epub") as epub:
        assert epub.infolist()[0].filename == "mimetype"
        assert epub.infolist()[0].compress_type == zipfile.ZIP_STORED
        package = etree.fromstring(epub.read("EPUB/book.opf"))
        files = {
            item.get("id"): epub.read(f"EPUB/{item.get('href')}")
            for item in package.iterfind("opf:manifest/opf:item", opf)
        }
    spine = [files[item.get("idref")] for item in package.iterfind("opf:spine/opf:itemref", opf)]
    assert len(spine) == 13  # a title page and twelve chapters
    etree.fromstring(files["nav"])  # well-formed
    bodies = [etree.fromstring(page).xpath("//*[local-name()='body']//text()") for page in spine]
    assert words(" ".join(chain.from_iterable(bodies))) == words(TEXT)
    assert package.findtext(".//dc:title", namespaces=opf) == "The Light on Marrow Rock"


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["question"])
def test_the_answers_stand_in_their_chapter(question: dict) -> None:
    assert question["answers"]
    assert question["kind"] in {"number", "name", "date", "place", "thing"}
    for answer in question["answers"]:
        assert stands_in(answer, CHAPTERS[question["chapter"]])


@pytest.mark.parametrize("question", UNANSWERABLE, ids=lambda question: question["question"])
def test_what_an_unanswerable_question_asks_for_is_nowhere(question: dict) -> None:
    assert question["answers"] == []
    assert question["absent"] in question["question"]
    assert question["absent"] not in TEXT.lower()
    names = re.findall(r"(?<!^)\b[A-Z][a-z]+\b", question["question"])
    assert names and all(name in TEXT for name in names)  # it sounds as if the book knew


def test_questions_cover_the_book_evenly() -> None:
    assert len(ANSWERABLE) >= 30 and len(UNANSWERABLE) == 5
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)
    for chapter in range(1, 13):
        assert sum(question["chapter"] == chapter for question in ANSWERABLE) >= 3
    kinds = [question["kind"] for question in ANSWERABLE]
    assert all(kinds.count(kind) >= 5 for kind in ("number", "name", "date", "place", "thing"))


def test_every_five_digit_number_belongs_to_one_thing() -> None:
    asked = [a for question in ANSWERABLE for a in question["answers"] if re.fullmatch(r"\d{5}", a)]
    assert len(asked) >= 10
    assert len(set(asked)) == len(asked)
    assert set(asked) == set(re.findall(r"\b\d{5}\b", TEXT))
