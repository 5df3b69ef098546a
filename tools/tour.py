"""What `make run` shows: a book is read once, three questions are answered from its memory, and the
web chat opens.

The commands are the ones a user types; each is shown in front of what it prints.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

COMET_READER = Path(sys.executable).with_name("comet-reader")
BOOK = Path(__file__).parent.parent / "samples" / "the-light-on-marrow-rock.pdf"
QUESTIONS = (
    "Who was the first curator of the museum?",
    "Which number was stamped on the signal gun?",
    "On which date was the museum opened?",
)


def main() -> int:
    """Run the commands one after another; the exit code of the first that fails, or 0."""
    commands = [["ingest", os.path.relpath(BOOK)]]
    commands += [["ask", BOOK.name, question] for question in QUESTIONS]
    for command in [*commands, ["serve"]]:
        print(f"\n$ comet-reader {shlex.join(command)}", flush=True)
        if code := subprocess.run([COMET_READER, *command], check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # how one ends the web chat
        sys.exit(130)
