"""Plain text: any encoding, any length."""

import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import errors
from ingest.clean import clean_pages, clean_text
from ingest.readers import open_document
from ingest.readers.base import PAGE_CHARACTERS

FRENCH = "Où étiez-vous l'été dernier ? L'élève a répondu : « Nous étions à la forêt, mère. »\n"
GERMAN = "Der Bürgermeister hört das müßige Geschrei über die größten Straßen; schön wäre das.\n"
ENGLISH = "It cost £5 — “a fair price,” said the café owner’s naïve son, and left for the day.\n"
SPANISH = "El niño soñó que la montaña habló: «¿Qué pasó, señor? ¡Mañana iré al jardín!»\n"
POLISH = "Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi pod względem swych praw.\n"
TURKISH = "Bütün insanlar özgür, onur ve haklar bakımından eşit doğarlar. Işık ve vicdan.\n"
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая несчастлива.\n"
GREEK = "Στην αρχή δημιούργησε ο Θεός τον ουρανό και τη γη. Η γη ήταν άμορφη και έρημη.\n"
JAPANESE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。\n"
)
CHINESE = "道可道，非常道。名可名，非常名。无名天地之始；有名万物之母。\n"
TRADITIONAL = "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心。\n"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.\n"

UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
CASES = [
    *((text, code) for text in (ENGLISH, RUSSIAN, JAPANESE, CHINESE) for code in UNICODE),
    *((text, "cp1252") for text in (FRENCH, GERMAN, ENGLISH, SPANISH)),
    *((text, "latin-1") for text in (FRENCH, GERMAN, SPANISH)),
    *((RUSSIAN, code) for code in ("cp1251", "koi8-r", "cp866")),
    *((POLISH, code) for code in ("cp1250", "iso8859-2")),
    *((JAPANESE, code) for code in ("shift_jis", "euc_jp")),
    *((TURKISH, "cp1254"), (GREEK, "cp1253"), (KOREAN, "cp949")),
    *((CHINESE, "gbk"), (TRADITIONAL, "big5")),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.txt"


def text_of(path: Path) -> str:
    with open_document(path) as document:
        return "\n".join(page.text for page in document.pages())


@pytest.mark.parametrize("repeats", [1, 40])
@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_encodings(path: Path, text: str, encoding: str, repeats: int) -> None:
    path.write_bytes((text * repeats).encode(encoding))
    assert text_of(path).split() == (text * repeats).split()


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_first_accent_late_in_the_file(path: Path, encoding: str) -> None:
    text = "All of this is plain ASCII text.\n" * 20_000 + FRENCH * 3
    path.write_bytes(text.encode(encoding))
    assert text_of(path).split() == text.split()


def test_utf8_with_a_damaged_character_stays_utf8(path: Path) -> None:
    path.write_bytes((FRENCH * 10).encode()[:-1] + "é".encode()[:1])
    text = text_of(path)
    assert "étiez-vous" in text
    assert text.endswith("\N{REPLACEMENT CHARACTER}")


def test_a_stray_nul_does_not_make_text_binary(path: Path) -> None:
    path.write_bytes((ENGLISH * 5).encode() + b"\0" + (ENGLISH * 5).encode())
    assert clean_text(text_of(path)) == clean_text(ENGLISH * 10)


@pytest.mark.parametrize("lines", [1, 4, 8])
def test_a_few_nuls_do_not_make_english_chinese(path: Path, lines: int) -> None:
    part = ENGLISH * lines + "\n\0\n"
    path.write_bytes((part * 200).encode())
    assert clean_text(text_of(path)) == clean_text(part.replace("\0", "") * 200)


@given(st.integers(0, 2**32), st.integers(200, 5000))
def test_random_bytes_are_not_text(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("binary") / "book.txt"
    path.write_bytes(b"\0" + random.Random(seed).randbytes(size))
    with pytest.raises(errors.WrongContent):
        open_document(path)


PARAGRAPHS = st.lists(
    st.lists(st.sampled_from(["It was a bright cold day in April", "and", "so on"]), min_size=1),
    min_size=1,
    max_size=40,
)


@given(PARAGRAPHS, st.sampled_from(["\n", "\r\n"]), st.integers(1, 60))
def test_pages_are_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    paragraphs: list[list[str]],
    newline: str,
    repeats: int,
) -> None:
    path = tmp_path_factory.mktemp("text") / "book.txt"
    text = "\n\n".join("\n".join(lines) for lines in paragraphs * repeats)
    path.write_bytes(text.replace("\n", newline).encode())
    with open_document(path) as document:
        pages = list(document.pages())
    assert "\n".join(page.text for page in pages) == text
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    assert all(len(page.text) <= 4 * PAGE_CHARACTERS for page in pages)
    assert "".join(page.text for page in clean_pages(pages)) == clean_text(text)


def test_one_endless_line_is_cut_at_spaces(path: Path) -> None:
    text = "word " * 50_000 + "end"
    path.write_text(text)
    with open_document(path) as document:
        pages = list(document.pages())
    assert len(pages) > 10
    assert "".join(page.text for page in clean_pages(pages)) == text


def test_a_line_without_spaces_is_cut_anywhere(path: Path) -> None:
    path.write_text("x" * 50_000)
    with open_document(path) as document:
        texts = [page.text for page in document.pages()]
    assert "".join(texts) == "x" * 50_000
    assert all(len(text) <= 4 * PAGE_CHARACTERS for text in texts)


def test_a_huge_file_is_never_in_memory(path: Path) -> None:
    with path.open("w") as file:
        for _ in range(20):
            file.write("It was the best of times, it was the worst of times.\n" * 20_000)
    size = path.stat().st_size
    assert size > 20_000_000
    with open_document(path):  # what is imported and cached at first is not the file
        pass
    tracemalloc.start()
    try:
        with open_document(path) as document:
            characters = sum(len(page.text) for page in document.pages())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert characters > 0.99 * size
    assert peak < size / 20
