"""The three pages as one Gradio application, and what one page tells the others."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.library import Library
from ui import chat_page, library_page, memory_page, text
from ui.parts import passage
from ui.place import Place
from ui.render import render
from ui.service import Service, chosen, told

LIBRARY, CHAT, MEMORY = "library", "chat", "memory"
WAITING = 128  # events that wait in one line; who comes beyond is told to come again


def build(service: Service) -> gr.Blocks:
    """The pages; nothing in them is anybody's before a request says who looks."""
    with gr.Blocks(title=text.NAME, analytics_enabled=False, fill_width=True) as pages:
        header = passage()
        place = gr.Textbox(str(Place()), visible="hidden", show_label=False)
        with gr.Tabs(elem_classes="comet-tabs") as tabs:
            with gr.Tab(text.LIBRARY, id=LIBRARY):
                library = library_page.build(service)
            with gr.Tab(text.CHAT, id=CHAT) as chat_tab:
                chat = chat_page.build(service, place)
            with gr.Tab(text.MEMORY, id=MEMORY) as memory_tab:
                memory = memory_page.build(service, place)

        @told
        def open_page(request: gr.Request) -> dict[Any, Any]:
            """What is seen at first: all documents, and the last conversation there was."""
            view = service.library_of(request)
            return {
                header: render("header.html", user=request.username or ""),
                **dict(zip(library.outputs, library.show(request), strict=True)),
                **chat.show(view, _last(view)),
            }

        @told
        def open_chat(at: str, request: gr.Request) -> dict[Any, Any]:
            view = service.library_of(request)
            if service.answers.is_writing(view.owner, str(request.session_hash)):
                return gr.skip()
            here = Place.of(at)
            if not here.document:  # the page was only just opened
                return chat.show(view, _last(view))
            return chat.refresh(view, here)

        @told
        def open_memory(at: str, request: gr.Request) -> dict[Any, Any]:
            return memory.show(service.library_of(request), Place.of(at))

        @told
        def ask_about(request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
            view, document = service.library_of(request), service.document(request, chosen(event))
            service.answers.leave(view.owner, str(request.session_hash))
            return {tabs: gr.Tabs(selected=CHAT), **chat.show(view, Place(document.id))}

        quiet: dict[str, Any] = {"show_progress": "hidden"}
        pages.load(
            open_page, None, [header, *library.outputs, *chat.outputs], **quiet, api_name="open"
        )
        chat_tab.select(open_chat, place, chat.outputs, **quiet, api_name="chat")
        memory_tab.select(open_memory, place, memory.outputs, **quiet, api_name="memory_of")
        library.documents.ask(ask_about, None, [tabs, *chat.outputs], **quiet, api_name="ask_about")
    pages.queue(max_size=WAITING, default_concurrency_limit=8, api_open=False)
    return pages


def _last(library: Library) -> Place:
    """The conversation that was last gone on with."""
    last = next(iter(library.conversations()), None)
    return Place(last.document_id, last.id) if last else Place()
