"""A recipe and data for training runs that take a moment."""

import json
from pathlib import Path

from comet_core.prompt import PromptFormat
from comet_core.training.data import QADocument, TokenizedDocument, tokenize

RECIPE = """
questions = ["some/train.jsonl"]
lora_rank = 2
learning_rate = 0.01
memory_learning_rate = 0.01
warmup_steps = 2
seed = 3
[sizes]
chunk_size = 64
stride = 4
global_rows = 4
temporary_rows = 16
adapter_rank = 2
[[stages]]
name = "first"
chunk_sizes = [64]
chunks = [1, 2]
temporary_share = [0.2, 1.0]
step_tokens = 256
qa_share = 0.5
max_steps = 4
[[stages]]
name = "second"
chunk_sizes = [48, 64]
chunks = [2, 3]
passages = 2
step_tokens = 256
max_steps = 4
"""


def write_data(folder: Path) -> Path:
    """A data directory with one file of two documents; returns it."""
    (folder / "some").mkdir(parents=True)
    sections = [f"The name of person {n} is Anna. She has {n} cats. " * 3 for n in range(5)]
    qas = [{"question": f"Cats of {n}?", "answers": [str(n)], "sections": [n]} for n in range(5)]
    other = [f"The town of Bergen has {n} bridges, built by Olaf. " * 3 for n in range(60, 64)]
    bridges = [
        {"question": f"Bridges, {n}?", "answers": [str(60 + n)], "sections": [n]} for n in range(4)
    ]
    marked = {"question": "Mayor?", "answers": [], "sections": [0], "unanswerable": True}
    records = [
        {"id": "a", "title": "A", "sections": sections, "qas": qas},
        {"id": "b", "title": "B", "sections": other, "qas": [*bridges, marked]},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "some" / "train.jsonl").write_text(lines)
    return folder


def tokenize_text(prompt: PromptFormat, text: str) -> TokenizedDocument:
    """A text without questions."""
    return tokenize(QADocument("x", (text,), ()), prompt)
