"""Suites run over files: what the evaluation commands have in common.

Opens books and data files, hands them to a suite in batches, and saves after every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from app import console
from app.cli_evaluate_display import Display
from comet_core.errors import CometError

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.evaluation import facts, gates, questions
    from comet_core.evaluation.readers import Reader

Item = TypeVar("Item")


class NothingAsked(CometError):
    """A data file has no question that could be asked."""


def open_books(paths: Sequence[Path], loaded: LoadedModel) -> list[facts.Text]:
    """Whole books as token ids, read as `ingest` reads them."""
    from comet_core.evaluation.facts import Text
    from ingest.clean import clean_pages
    from ingest.readers import open_document

    books = []
    for path in paths:
        with console.waiting(f"Reading {path.name}"), open_document(path) as book:
            pages = (page.text for page in clean_pages(book.pages()))
            books.append(Text((path.name,), list(loaded.prompt.document(pages))))
    return books


def run_facts(
    readers: Sequence[Reader],
    loaded: LoadedModel,
    books: Sequence[facts.Text],
    plan: facts.Plan,
    batch: int,
    save: Callable[[Any, Any], None],
    before: Sequence[Any] = (),
) -> list[facts.Trial]:
    """All trials of a plan, saved after every batch. before: the first of them, as JSON has them,
    where they have been found already.
    """
    from comet_core.evaluation.facts import Trial, ask_facts, plant_facts, summarize

    found = TypeAdapter(list[Trial]).validate_python(before)
    left = islice(plant_facts(loaded.prompt, books, plan), len(found) // plan.facts, None)
    with Display("Facts", plan.questions * len(readers), len(found) * len(readers)) as display:
        for documents in batches(left, batch):
            found += ask_facts(readers, documents, loaded.model.config, display)
            save(summarize(found), found)
    return found


def choose_papers(
    data: Sequence[Path], loaded: LoadedModel, plan: questions.Plan, documents: int
) -> dict[str, list[questions.Paper]]:
    """What is asked of the documents of each file; raises NothingAsked where that is nothing."""
    from comet_core.evaluation.questions import choose_questions
    from comet_core.training.data import load_documents

    papers = {}
    for path in data:
        with console.waiting(f"Reading {path.name}"):
            chosen = list(islice(load_documents([path]), documents))
            name = f"{path.parent.name}/{path.stem}"
            name = f"{path}" if name in papers else name
            papers[name] = choose_questions(loaded.prompt, chosen, plan)
        if not papers[name]:
            raise NothingAsked(
                f"{path} has no question that its first {plan.max_tokens} tokens answer."
            )
        if left_out := len(chosen) - len(papers[name]):
            console.note(
                f"{name}: {left_out} of {len(chosen)} documents are left out, as their first "
                f"{plan.max_tokens} tokens, in whole sections, answer none of their questions."
            )
    return papers


def run_questions(
    readers: Sequence[Reader],
    papers: dict[str, list[questions.Paper]],
    batch: int,
    answer_tokens: int,
    save: Callable[[Any, Any], None],
) -> dict[str, list[questions.Trial]]:
    """All trials by file, saved after every batch."""
    from comet_core.evaluation.questions import ask_questions

    found: dict[str, list[questions.Trial]] = {}
    for name, of_file in papers.items():
        found[name] = []
        with Display(name, sum(len(p.items) for p in of_file) * len(readers)) as display:
            for group in batches(of_file, batch):
                found[name] += ask_questions(readers, group, answer_tokens, display)
                save(by_file(found), with_file(found))
    return found


def by_file(found: dict[str, list[questions.Trial]]) -> dict[str, dict[str, questions.Summary]]:
    from comet_core.evaluation.questions import summarize

    return {name: summarize(trials) for name, trials in found.items()}


def with_file(found: dict[str, list[questions.Trial]]) -> list[dict[str, Any]]:
    """All trials in one list, each with the name of its file."""
    return [{"data": name, **asdict(trial)} for name, trials in found.items() for trial in trials]


def questions_plan(
    loaded: LoadedModel,
    questions: int,
    unanswerable: int,
    max_tokens: int,
    seed: int,
    before: Sequence[facts.Text] = (),
) -> questions.Plan:
    from comet_core.evaluation.questions import Plan

    ids = tuple(chain.from_iterable(book.tokens for book in before))
    return Plan(questions, unanswerable, max_tokens, loaded.model.config, seed, ids)


def facts_setting(plan: facts.Plan, books: Sequence[facts.Text], batch: int) -> dict[str, Any]:
    longest = max((len(book.tokens) for book in books), default=0)
    return {
        "texts": text_setting(books),
        "lengths": plan.lengths, "kinds": plan.kinds, "facts": plan.facts, "trials": plan.trials,
        "joined_lengths": [length for length in plan.lengths if length >= longest],
        "batch": batch, "seed": plan.seed,
    }  # fmt: skip


def questions_setting(
    plan: questions.Plan,
    papers: dict[str, list[questions.Paper]],
    batch: int,
    answer_tokens: int,
    before: Sequence[facts.Text] = (),
) -> dict[str, Any]:
    return {
        "data": {
            name: {
                "documents": len(of_file),
                "questions": sum(len(p.items) for p in of_file),
                "lengths": [len(p.tokens) for p in of_file],
                "chunks": [p.chunks for p in of_file],
                "all_tail": sum(p.chunks == 0 for p in of_file),
            }
            for name, of_file in papers.items()
        },
        "before": text_setting(before),
        "max_tokens": plan.max_tokens, "questions": plan.questions,
        "unanswerable": plan.unanswerable, "answer_tokens": answer_tokens,
        "batch": batch, "seed": plan.seed,
    }  # fmt: skip


def warn_if_all_tail(chunks: Collection[int]) -> None:
    """Say so where nothing of any document is read into the memory. chunks: of each document."""
    if chunks and not any(chunks):
        console.note(
            "Warning: All documents are short enough to be held word for word, so nothing is read "
            "into the memory and this says nothing of it; give longer ones."
        )


def text_setting(books: Sequence[facts.Text]) -> list[dict[str, Any]]:
    return [{"name": " ".join(book.names), "tokens": len(book.tokens)} for book in books]


def gates_result(
    found: dict[str, gates.GateStatistics],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What there is to say of each text, and a trial for every chunk of them."""
    summary = {name: {**asdict(s), "warnings": s.warnings} for name, s in found.items()}
    trials = [
        {"text": name, "chunk": number, "mean_gate_by_layer": means}
        for name, text in summary.items()
        for number, means in enumerate(text.pop("by_chunk"), start=1)
    ]
    return summary, trials


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch
