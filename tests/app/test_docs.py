"""The examples of docs/langchain.md and docs/training.md, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from app.library import Library
from app.openai_api import create_app
from comet_core.training.data import load_documents
from tests.app.serving import serving
from tests.app.test_tools import Scripted, call
from tests.conftest import ROOT, TINY_TEXT

PAGE = ROOT / "docs" / "langchain.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_books_become_training_data(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("books").mkdir()
    for name in ("alice.txt", "sherlock-holmes.epub"):
        Path("books", name).symlink_to(shared / "books" / name)
    [example] = EXAMPLE.findall((ROOT / "docs" / "training.md").read_text())
    exec(example, {})
    books = {book.id: " ".join(book.sections) for book in load_documents([Path("books.jsonl")])}
    assert books.keys() == {"alice", "sherlock-holmes"}
    assert "down the rabbit-hole" in books["alice"].lower()
    assert "a scandal in bohemia" in books["sherlock-holmes"].lower()


def test_the_examples_run(
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"HOME": tmp_path / "home", "MODEL": tiny_model, "DEVICE": "cpu", "DTYPE": "float32"}
    for name, value in options.items():
        monkeypatch.setenv(f"COMET_{name}", str(value))
    for name in ("emma", "alice", "holmes"):
        Path(f"{name}.txt").write_text(f"This is the book of {name}. " + TINY_TEXT)
    script = [
        call("ask_document", name="alice", question="Who is late?"),
        AIMessage("The Rabbit is."),
    ]
    names: dict[str, Any] = {"brain": Scripted(messages=iter(script))}
    text = PAGE.read_text()
    examples = list(EXAMPLE.finditer(text))
    assert len(examples) > 10
    with Library.open("sqlite:///books.db") as library, serving(create_app(library)) as url:
        for example in examples:
            code = example[1].replace("http://127.0.0.1:8000", url)
            line = text[: example.start(1)].count("\n")
            exec(compile("\n" * line + code, PAGE, "exec"), names)
    out = capsys.readouterr().out
    assert "['comet/emma', 'comet/alice', 'comet/holmes']" in out
    assert "The Rabbit is." in out
    assert "\nholmes: " in out
    assert names["answer"].usage_metadata["total_tokens"] > names["document_tokens"] > 0
