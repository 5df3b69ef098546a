"""The memory page: what is left of a document, in words and figures from its real state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.library import Library
from app.memory_view import memory_view
from app.tables import Document, Message
from ui import chat_view, plots, text
from ui import memory_view as views
from ui.parts import choice, heading, passage
from ui.place import Place
from ui.render import render
from ui.service import Service, told

Shown = dict[Any, Any]


@dataclass(frozen=True)
class MemoryPage:
    """The parts of the page; each figure has words of its own."""

    document: gr.Dropdown
    summary: gr.HTML
    strip: gr.Plot
    strip_words: gr.HTML
    gates: gr.Plot
    gates_words: gr.HTML
    sizes: gr.Plot
    sizes_words: gr.HTML
    answer: gr.Dropdown
    chances: gr.Plot
    chances_words: gr.HTML
    figures: gr.Column

    @property
    def outputs(self) -> list[Any]:
        return [
            self.document,
            self.summary,
            self.strip,
            self.strip_words,
            self.gates,
            self.gates_words,
            self.sizes,
            self.sizes_words,
            self.answer,
            self.chances,
            self.chances_words,
            self.figures,
        ]

    def show(self, library: Library, place: Place) -> Shown:
        """All that is to be seen of the document at a place, or of the newest that was read."""
        documents = library.documents()
        document = next((d for d in documents if d.id == place.document), None)
        if document is None and documents:
            document = next((d for d in reversed(documents) if d.finished), documents[-1])
        choose = gr.update(
            value=document.id if document else None, choices=chat_view.document_choices(documents)
        )
        if document is None or document.finished is None:
            problem = text.NO_DOCUMENT if document is None else text.MEMORY_NOT_READ
            return {
                self.document: choose,
                self.summary: _said(problem),
                self.figures: gr.update(visible=False),
            }
        return {
            self.document: choose,
            self.figures: gr.update(visible=True),
            **self._memory(library, document),
            **self._answers(library, document),
        }

    def _memory(self, library: Library, document: Document) -> Shown:
        view = memory_view(library, document)
        gates = plots.gates(view)
        return {
            self.summary: _said(views.summary(document.title, view)),
            self.strip: plots.strip(view),
            self.strip_words: _said(views.strip_caption(view)),
            self.gates: gr.update(value=gates, visible=gates is not None),
            self.gates_words: _said(views.gates_caption(view)),
            self.sizes: plots.sizes(view),
            self.sizes_words: _said(views.sizes_caption(view)),
        }

    def _answers(self, library: Library, document: Document) -> Shown:
        asked = last_answers(library, document)
        choices = views.answer_choices(asked)
        pieces = views.pieces_of(asked[0][2].details if asked else None)
        return {
            self.answer: gr.update(
                value=choices[0][1] if choices else None, choices=choices, visible=bool(choices)
            ),
            **self.show_chances(pieces),
        }

    def show_chances(self, pieces: views.Pieces) -> Shown:
        """The tokens of one answer."""
        figure = plots.chances(pieces)
        return {
            self.chances: gr.update(value=figure, visible=figure is not None),
            self.chances_words: _said(views.chances_caption(pieces)),
        }


def build(service: Service, place: gr.Textbox) -> MemoryPage:
    """Make the page, within a tab of Blocks; `place` is where the browser keeps its `Place`."""
    page = _layout()

    @told
    def choose_document(request: gr.Request, event: gr.SelectData) -> Shown:
        here = Place(service.document(request, str(event.value)).id)
        return {place: str(here), **page.show(service.library_of(request), here)}

    @told
    def choose_answer(request: gr.Request, event: gr.SelectData) -> Shown:
        conversation_id, _, position = str(event.value).rpartition(":")
        messages = service.library_of(request).conversation(conversation_id).messages
        details = next((m.details for m in messages if str(m.position) == position), None)
        return page.show_chances(views.pieces_of(details))

    quiet: dict[str, Any] = {"show_progress": "hidden"}
    page.document.select(choose_document, None, [place, *page.outputs], **quiet, api_name="memory")
    page.answer.select(
        choose_answer, None, [page.chances, page.chances_words], **quiet, api_name="chances"
    )
    return page


def last_answers(library: Library, document: Document) -> list[tuple[str, Message, Message]]:
    """The last answers about a document with their questions and conversations, newest first."""
    asked: list[tuple[str, Message, Message]] = []
    for found in library.conversations(document)[: views.ANSWERS]:
        messages = library.conversation(found.id).messages
        pairs = zip(messages[::2], messages[1::2], strict=False)
        asked += [(found.id, question, answer) for question, answer in pairs]
    asked.sort(key=lambda turn: (turn[2].created_at, turn[2].position), reverse=True)
    return asked[: views.ANSWERS]


def _layout() -> MemoryPage:
    heading(text.MEMORY, text.MEMORY_INTRO)
    document = choice(text.DOCUMENT, "memory-document")
    summary = passage()
    with gr.Column(elem_classes="comet-figures") as figures:
        strip, strip_words = _figure(text.STRIP)
        gates, gates_words = _figure(text.GATES)
        sizes, sizes_words = _figure(text.SIZES)
        with gr.Column(elem_classes="comet-figure"):
            heading(text.CHANCES)
            answer = choice(text.CHANCES_ANSWER, "memory-answer")
            chances_words, chances = passage(), _plot(text.CHANCES)
    return MemoryPage(
        document=document,
        summary=summary,
        strip=strip,
        strip_words=strip_words,
        gates=gates,
        gates_words=gates_words,
        sizes=sizes,
        sizes_words=sizes_words,
        answer=answer,
        chances=chances,
        chances_words=chances_words,
        figures=figures,
    )


def _figure(title: str) -> tuple[gr.Plot, gr.HTML]:
    with gr.Column(elem_classes="comet-figure"):
        heading(title)
        words, plot = passage(), _plot(title)
        return plot, words


def _plot(title: str) -> gr.Plot:
    return gr.Plot(label=title, show_label=False, container=False)


def _said(words: str) -> str:
    return render("words.html", words=words)
