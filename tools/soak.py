"""Many uploads and questions against a running server, and the server's memory while they last.

    comet-reader serve --port 8000 &
    python -m tools.soak --url http://127.0.0.1:8000 --pid $!

Each document is made up, read, asked about and removed again, so that what grows is a leak.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.ui.visitor import Visitor

PARAGRAPH = (
    "In the year {year} the harbour of Port Ellery counted {ships} ships and one lighthouse. "
    "The keeper wrote the number {secret} into his book, and nobody ever asked him why.\n\n"
)
QUESTIONS = ("Which number did the keeper write?", "How many ships were there?", "Who is it about?")
LINES = 20  # of figures, over the whole time
POLL_S = 0.5


@dataclass
class Server:
    """The process that is measured."""

    process: psutil.Process
    begun: float

    def line(self, uploads: int, questions: int) -> str:
        """Minutes, uploads, questions, megabytes, threads, open files."""
        minutes = (time.monotonic() - self.begun) / 60
        memory = self.process.memory_info().rss / 1e6
        threads, files = self.process.num_threads(), self.process.num_fds()
        return f"{minutes:7.1f} {uploads:8d} {questions:10d} {memory:10.1f} {threads:8d} {files:6d}"


def document(number: int, paragraphs: int) -> str:
    """A text that no other is the same as."""
    return "".join(
        PARAGRAPH.format(year=1800 + n, ships=n * 7, secret=number * 1000 + n)
        for n in range(paragraphs)
    )


def read(visitor: Visitor, path: Path) -> str:
    """Send a file and wait until it is read; returns the document's id."""
    sent = visitor.upload(path)
    assert sent.status_code == 201, sent.text
    while 'data-action="stop"' in (shown := visitor.event("library").outputs)[0]:
        time.sleep(POLL_S)
    for job in re.findall(r'data-action="dismiss" data-id="([^"]+)"', shown[0]):
        visitor.event("dismiss", about={"id": job})
    found = re.search(r'data-action="ask" data-id="([^"]+)"', shown[1])
    assert found, shown[0]
    return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--pid", type=int, required=True, help="process id of the server")
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--paragraphs", type=int, default=20, help="length of each document")
    parser.add_argument("--name", default="", help="who signs in, where that is demanded")
    parser.add_argument("--password", default="")
    given = parser.parse_args()
    server = Server(psutil.Process(given.pid), time.monotonic())
    asked = 0
    print("minutes  uploads  questions  memory/MB  threads  files")
    with (
        Visitor(given.url, given.name, given.password) as visitor,
        tempfile.TemporaryDirectory() as folder,
    ):
        for number in range(given.uploads):
            if number % max(1, given.uploads // LINES) == 0:
                print(server.line(number, asked), flush=True)
            path = Path(folder) / f"soak-{number}.txt"
            path.write_text(document(number, given.paragraphs))
            document_id = read(visitor, path)
            place = f"{document_id}/"
            while asked < given.questions * (number + 1) // given.uploads:
                shown = visitor.event("ask", QUESTIONS[asked % len(QUESTIONS)], place)
                place, asked = shown.outputs[0], asked + 1
            visitor.event("remove", about={"id": document_id})
    print(server.line(given.uploads, asked))


if __name__ == "__main__":
    main()
