"""What `make run` shows: a book is read once, and three questions are answered from its memory."""

from pathlib import Path

from app import console
from app.library import Library

BOOK = Path(__file__).parent.parent / "samples" / "the-light-on-marrow-rock.pdf"
QUESTIONS = (
    "What was the registration number of the lighthouse?",
    "Who was the first keeper?",
    "What is the inventory number of the door key?",
)


def main() -> None:
    with Library.open() as library:
        with console.ReadingDisplay(files=1) as display:
            book = library.ingest(BOOK, on_progress=lambda read: display.update(BOOK, read))
        console.note(console.outcome_line(book, known=False))
        for question in QUESTIONS:
            print(f"\n? {question}\n  ", end="", flush=True)
            for piece in library.ask(book, question):
                print(console.printable(piece), end="", flush=True)
            print()


if __name__ == "__main__":
    main()
