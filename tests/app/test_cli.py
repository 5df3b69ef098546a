"""The command line: what goes to stdout and what to stderr, exit codes, and one line an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from sqlalchemy import func, select

from app.database import Database
from app.library import Library
from app.settings import Settings
from app.tables import Document
from tests.app.command_line import Result, Run
from tests.conftest import ROOT

SAMPLES = ROOT / "samples"
PDF, EPUB = (SAMPLES / f"the-light-on-marrow-rock.{kind}" for kind in ("pdf", "epub"))
HEAVY = {"torch", "transformers", "numpy", "pypdf", "pypdfium2", "lxml", "bs4", "docx"}


def count(settings: Settings) -> int:
    database = Database(settings.url)
    with database.reading() as session:
        total = session.scalar(select(func.count()).select_from(Document)) or 0
    database.close()
    return total


# Reading and asking


def test_from_a_file_to_an_answer(run: Run, book: Path) -> None:
    read = run("ingest", book)
    assert (read.code, read.out) == (0, "")
    assert read.err.startswith("harbour: read 2 pages, ")
    again = run("ingest", book)
    assert (again.code, again.err) == (0, "harbour is known already: nothing to do.\n")
    answer = run("ask", "harbour.txt", "How many ships?")
    assert answer.code == 0
    assert answer.out.strip()
    assert answer.err == ""
    assert run("ask", "harbour", "How many ships?").out == answer.out


def test_folders_patterns_and_failures_side_by_side(run: Run, book: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "other.md").write_text("# The other\n\nA text of its own.")
    (folder / "empty.txt").touch()
    (folder / "picture.jpg").touch()
    result = run("ingest", "--json", folder, tmp_path / "har*.txt")
    assert result.code == 1
    outcomes = json.loads(result.out)
    assert {(Path(o["path"]).name, o["result"]) for o in outcomes} == {
        ("empty.txt", "failed"),
        ("other.md", "read"),
        (book.name, "read"),
    }
    assert [o["document"]["title"] for o in outcomes if o["document"]] == ["The other", "harbour"]
    assert all((o["error"] is None) == (o["document"] is not None) for o in outcomes)
    assert "Files of other formats passed over: 1.\n2 read, 0 known, 1 failed.\n" in result.err


def test_an_encrypted_pdf_is_opened_by_its_password(
    run: Run, encrypted_pdf: Path, settings: Settings
) -> None:
    assert "--password" in run("ingest", encrypted_pdf).err
    assert "password" in run("ingest", "--password", "wrong", encrypted_pdf).err
    assert count(settings) == 0
    assert run("ingest", "--password", "pharos", encrypted_pdf).code == 0
    assert count(settings) == 1


def test_text_in_another_encoding_is_read(run: Run, tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "umlaut.txt").write_bytes(("Über die Brücke ging er heim. " * 30).encode("cp1252"))
    assert run("ingest", tmp_path / "umlaut.txt").code == 0


def test_chat_keeps_what_is_said(run: Run, book: Path, settings: Settings) -> None:
    run("ingest", book)
    first = run("chat", "harbour", typed="One?\nTwo?\n")
    assert first.code == 0
    assert len(first.out.splitlines()) >= 2
    more = run("chat", "harbour", "--continue", typed="Three?\n\nnot asked\n")
    assert "One?" in more.err
    with Library.open(settings=settings) as library:
        conversation = library.conversation(library.conversations("harbour")[0].id)
    asked = [m.text for m in conversation.messages if m.role == "user"]
    assert asked == ["One?", "Two?", "Three?"]
    assert json.loads(run("show", "harbour", "--json").out)["conversations"] == 1


def test_a_conversation_without_an_answer_is_not_kept(run: Run, book: Path) -> None:
    run("ingest", book)
    failed = run("--model", "no/such-model", "chat", "harbour", typed="One?\n")
    assert failed.code == 1
    assert "No model" in failed.err
    assert run("chat", "harbour", typed="\n").code == 0
    assert json.loads(run("show", "harbour", "--json").out)["conversations"] == 0


# Lists


def test_json_says_what_is_stored(run: Run, book: Path) -> None:
    assert json.loads(run("list", "--json").out) == []
    run("ingest", book)
    (document,) = json.loads(run("list", "--json").out)
    shown = json.loads(run("show", document["id"][:6], "--json").out)
    assert shown == document | {"conversations": 0}
    assert (document["file_name"], document["status"]) == (book.name, "ready")
    (snapshot,) = document["snapshots"]
    model = json.loads(run("model", "info", "--json").out)
    assert snapshot["fingerprint"] == model["fingerprint"]
    assert snapshot["tokens_read"] == document["tokens"] > 1000
    assert (model["chunk_size"], model["device"], model["dtype"]) == (16, "cpu", "float32")


def test_tables_show_what_is_stored(run: Run, book: Path) -> None:
    assert "Nothing has been read" in run("list").err
    run("ingest", book)
    assert "harbour.txt" in run("list").out
    assert "comet1-" in run("show", "harbour").out
    assert "comet1-" in run("model", "info").out


def test_names_are_data(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "[red]a\x1b[31m\x07.txt"
    path.write_text("A text of its own. " * 9)
    read = run("ingest", path)
    listed = run("list")
    for shown in (read.err, listed.out, run("show", "[red]a\x1b[31m\x07").out):
        assert "[red]a\N{REPLACEMENT CHARACTER}[31m" in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown


def test_list_loads_no_model_and_no_reader(settings: Settings) -> None:
    script = "import sys; from app.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, "--home", settings.home, "list", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("[]\n")
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint(HEAVY)


# Removing and checking


def test_forget_asks_once(run: Run, book: Path, settings: Settings) -> None:
    run("ingest", book)
    kept = run("forget", "harbour", typed="n\n")
    assert (kept.code, kept.out, count(settings)) == (1, "", 1)
    assert kept.err.count("?") == 1
    assert run("forget", "harbour", typed="y\n").code == 0
    assert count(settings) == 0
    run("ingest", book)
    assert run("forget", "harbour", "--yes").err == "harbour is forgotten.\n"
    assert count(settings) == 0


def test_verify_finds_damage(run: Run, book: Path, settings: Settings) -> None:
    run("ingest", book)
    with Library.open(settings=settings) as library:
        library.users.add("ada", "correct horse battery")
        library.as_owner("ada").ingest(book)
    assert (run("verify").code, run("verify").err) == (0, "2 intact, 0 damaged.\n")
    database = Database(settings.url)
    with database.writing() as session:
        session.connection().exec_driver_sql("UPDATE snapshot SET tokens_read = 1")
    database.close()
    found = run("verify")
    assert found.code == 1
    assert found.err.splitlines()[0].startswith('Error: The stored memory of "harbour" is damaged')
    assert found.err.splitlines()[1].startswith('Error: The stored memory of "harbour" is damaged')
    assert found.err.splitlines()[2:] == ["0 intact, 2 damaged."]
    assert_one_line(run("ask", "harbour", "One?"), "damaged")


# Bad input


def assert_one_line(result: Result, message: str) -> None:
    assert result.code == 1
    assert result.out == ""
    assert result.err.startswith("Error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.fixture
def encrypted_pdf(tmp_path: Path) -> Path:
    writer = pypdf.PdfWriter(clone_from=PDF)
    writer.encrypt("pharos", algorithm="AES-256")
    writer.write(tmp_path / "encrypted.pdf")
    return tmp_path / "encrypted.pdf"


def make_blank_pdf(path: Path) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(path)


def make_bomb(path: Path) -> None:
    with zipfile.ZipFile(EPUB) as book, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in book.namelist():
            data = book.read(name)
            if name.endswith(".xhtml"):
                data = data.replace(b"</body>", b" " * 10_000_000 + b"</body>")
            bomb.writestr(name, data)


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.txt": (lambda path: None, "does not exist"),
    "folder.txt": (lambda path: path.mkdir(), "holds no document"),
    "empty.txt": (lambda path: path.touch(), "no text"),
    "blank.txt": (lambda path: path.write_text(" \n\n "), "no text"),
    "picture.jpg": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0"), "unknown format"),
    "really-text.pdf": (lambda path: path.write_text("Only text."), "should be a PDF"),
    "really-pdf.epub": (lambda path: path.write_bytes(PDF.read_bytes()), "should be an EPUB"),
    "scan.pdf": (make_blank_pdf, "no text layer"),
    "half.pdf": (lambda path: path.write_bytes(PDF.read_bytes()[:20_000]), "cut off"),
    "half.epub": (lambda path: path.write_bytes(EPUB.read_bytes()[:20_000]), "cut off"),
    "bomb.epub": (make_bomb, "unpack"),
    "new\nline.txt": (lambda path: path.touch(), "no text"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_one_line_and_store_nothing(
    run: Run, tmp_path: Path, settings: Settings, name: str
) -> None:
    make, message = BAD_FILES[name]
    make(tmp_path / name)
    assert_one_line(run("ingest", tmp_path / name), message)
    assert count(settings) == 0


def test_an_encrypted_pdf_is_one_line(run: Run, encrypted_pdf: Path) -> None:
    assert_one_line(run("ingest", encrypted_pdf), "is encrypted")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "nothing", "Why?"], "There is no document"),
        (["ask", "nothing", ""], "The question is empty"),
        (["ask", "nothing", " \n "], "The question is empty"),
        (["show", "nothing"], "There is no document"),
        (["forget", "nothing", "--yes"], "There is no document"),
        (["chat", "nothing"], "There is no document"),
        (["--model", "no/such/model", "model", "info"], "No model"),
        (["--dtype", "float3", "model", "info"], "float3"),
        (["--device", "abacus", "model", "info"], "abacus"),
        (["--database-url", "nonsense", "list"], "not a database URL"),
        (["--database-url", "sqlite://books.db", "list"], "not a database URL"),
    ],
)
def test_bad_arguments_are_one_line(run: Run, arguments: list[str], message: str) -> None:
    assert_one_line(run(*arguments), message)


def test_an_ambiguous_name_lists_the_candidates(run: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.md").write_text(f"# Emma\n\nThe text number {number}.")
        run("ingest", tmp_path / f"{number}.md")
    result = run("ask", "emma", "Who?")
    assert_one_line(result, '"emma" names 2 documents')
    assert "1.md" in result.err
    assert "2.md" in result.err


def test_a_home_that_cannot_be_written_to_is_one_line(run: Run, book: Path) -> None:
    assert_one_line(run("--home", book / "x", "list"), "folder of the database")
    url = f"sqlite:///{book.with_name('a.db')}"
    result = run("--home", book / "x", "--database-url", url, "ingest", book)
    assert_one_line(result, "--home")


def test_tracebacks_are_for_debugging(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debugged = run("--debug", "ask", "nothing", "Why?")
    assert "Traceback" in debugged.err
    assert debugged.err.splitlines()[-1].startswith("Error: There is no document")
    (tmp_path / "empty.txt").touch()
    assert "Traceback" in run("--debug", "ingest", tmp_path / "empty.txt").err

    def defect(self: Library) -> list[Document]:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(Library, "documents", defect)
    assert_one_line(run("list"), "ZeroDivisionError: by nought")
    assert "Traceback" in run("--debug", "list").err


def test_a_defect_names_the_file_that_brought_it_out(
    run: Run, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("app.reading.read_document", defect)
    result = run("ingest", "--json", book)
    said = f"{book}: ZeroDivisionError: by nought"
    assert (result.code, result.err) == (1, f"Error: {said}\n")
    assert [outcome["error"] for outcome in json.loads(result.out)] == [said]


def test_wrong_usage_is_code_2(run: Run) -> None:
    for arguments in (["ask", "only a document"], ["no-such-command"]):
        result = run(*arguments)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert result.err.startswith("Error: ")
    assert "Error" not in run().err


def test_options_go_before_the_environment(run: Run, tmp_path: Path, book: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    run("--database-url", url, "ingest", book)
    assert json.loads(run("list", "--json").out) == []
    assert len(json.loads(run("--database-url", url, "list", "--json").out)) == 1
