"""How many of the questions in samples/questions.json are answered rightly: by chapter, as a table.

The sample book is read into a new library, by the commands' own library; run with the file that the
results go to, as JSON.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.library import Library
from app.settings import Settings
from comet_core.evaluation.score import exact_match
from comet_core.generation import Sampling
from comet_core.prompt import NOT_IN_DOCUMENT

SAMPLES = Path(__file__).parent.parent / "samples"


def main(out: Path) -> None:
    """Read, ask, write `out` and print a table."""
    questions = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/sample.db"
        with Library.open(url, Settings()) as library:
            document = library.ingest(SAMPLES / "the-light-on-marrow-rock.pdf")
            for question in track(questions, "Asking"):
                reply = library.ask(
                    document, question["question"], sampling=Sampling(max_tokens=24)
                )
                question["answer"] = "".join(reply)
                accepted = question["answers"] or [NOT_IN_DOCUMENT]
                question["right"] = exact_match(question["answer"], accepted)
            result = {
                "document": document.title,
                "tokens": document.tokens,
                "fingerprint": library.model.spec.fingerprint,
                "sizes": library.model.spec.config.to_dict(),
                "questions": questions,
            }
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(questions)


def show(questions: list[dict]) -> None:
    """Right answers by chapter; the last row is of what the book does not tell."""
    table = Table("chapter", "right", "asked", box=None)
    chapters = sorted({q["chapter"] for q in questions if q["chapter"]})
    for chapter in [*chapters, None]:
        asked = [q for q in questions if q["chapter"] == chapter]
        right = sum(q["right"] for q in asked)
        table.add_row(
            "not in the book" if chapter is None else str(chapter), str(right), str(len(asked))
        )
    Console().print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
