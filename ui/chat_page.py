"""The chat page: choose a document, ask, see the answer being written; conversations are kept.

What is shown is always what the library has of the chosen document and conversation; only while
an answer is being written there is more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from html import unescape
from typing import Any

import gradio as gr

from app.library import Library
from app.tables import Conversation
from ui import chat_view as views
from ui import text
from ui.parts import choice, panel, passage
from ui.place import Place
from ui.service import Service, check_question, chosen, done, tell, told

WRITTEN_AT_A_TIME = 16  # answers; further questions wait in line

PACE_S = 0.1  # between two looks at an answer that is being written: showing it takes time, too

Shown = dict[Any, Any]
"""Components, and what becomes of them; the others stay as they are."""
Beginning = tuple[Conversation, str, int | None]
"""The conversation to go on with, the question, and the position of the message whose turn it takes
the place of, and of all that follow."""
Begin = Callable[[], Beginning]
"""Gives the beginning, once it is one's turn to ask."""


@dataclass(frozen=True)
class ChatPage:
    """The parts of the page."""

    place: gr.Textbox
    document: gr.Dropdown
    conversations: gr.Radio
    new: gr.Button
    messages: gr.Chatbot
    status: gr.HTML
    examples: list[gr.Button]
    question: gr.Textbox
    send: gr.Button
    stop: gr.Button
    manage: gr.Accordion
    name: gr.Textbox
    rename: gr.Button
    actions: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [
            self.place,
            self.document,
            self.conversations,
            self.messages,
            self.status,
            *self.examples,
            self.question,
            self.send,
            self.stop,
            self.manage,
            self.name,
            self.actions,
        ]

    def show(self, library: Library, place: Place) -> Shown:
        """All that is to be seen at a place; where something is gone, the newest, or a new one."""
        documents = library.documents()
        newest = documents[-1] if documents else None
        document = next((d for d in documents if d.id == place.document), newest)
        conversations = library.conversations(document) if document else []
        conversation = None
        if any(c.id == place.conversation for c in conversations):
            conversation = library.conversation(str(place.conversation))
        messages = conversation.messages if conversation else []
        questions = views.example_questions(document, messages)
        can_ask = document is not None and document.finished is not None
        here = Place(document.id if document else None, conversation.id if conversation else None)
        return {
            self.place: str(here),
            self.document: gr.update(
                value=here.document, choices=views.document_choices(documents)
            ),
            self.conversations: gr.update(
                value=here.conversation,
                choices=views.conversation_choices(conversations),
                visible=bool(conversations),
            ),
            self.messages: gr.update(
                value=views.chat_messages(messages), placeholder=views.placeholder(document)
            ),
            self.status: views.status_html(views.status_line(views.last_details(messages))),
            **{
                button: gr.update(value=question, visible=bool(question))
                for button, question in zip(
                    self.examples, questions + [""] * views.EXAMPLES, strict=False
                )
            },
            self.question: gr.update(interactive=can_ask),
            self.send: gr.update(visible=True, interactive=can_ask),
            self.stop: gr.update(visible=False),
            self.manage: gr.update(visible=conversation is not None),
            self.name: views.title(conversation) if conversation else "",
            self.actions: views.manage_html(conversation),
        }

    def refresh(self, library: Library, place: Place) -> Shown:
        """What may have changed of a place that is looked at again; what is written stays."""
        shown = self.show(library, place)
        if shown[self.place] != str(place):
            return shown  # something is gone
        return {
            self.document: shown[self.document],
            self.messages: gr.update(placeholder=shown[self.messages]["placeholder"]),
            self.question: shown[self.question],
            self.send: gr.update(interactive=shown[self.send]["interactive"]),
            **{example: shown[example] for example in self.examples},
        }


def build(service: Service, place: gr.Textbox) -> ChatPage:
    """Make the page, within a tab of Blocks; `place` is where the browser keeps its `Place`."""
    page = _layout(place)
    _answering(page, service)
    _choosing(page, service)
    _managing(page, service)
    return page


def _layout(place: gr.Textbox) -> ChatPage:
    with gr.Row(elem_classes="comet-chat"):
        with gr.Column(scale=1, min_width=260, elem_classes="comet-side"):
            document = choice(text.DOCUMENT, "chat-document")
            new = gr.Button(text.NEW_CONVERSATION, elem_id="chat-new")
            conversations = gr.Radio(
                label=text.CONVERSATIONS,
                choices=[],
                value=None,
                interactive=True,
                elem_id="chat-conversations",
            )
            with gr.Accordion(
                text.MANAGE, open=False, visible=False, elem_id="chat-manage"
            ) as manage:
                name = gr.Textbox(label=text.CONVERSATION_NAME, max_lines=1, max_length=200)
                rename = gr.Button(text.RENAME, size="sm")
                actions = panel("delete")
        with gr.Column(scale=3, min_width=320, elem_classes="comet-main"):
            messages = gr.Chatbot(
                label=text.CHAT_ABOUT,
                show_label=False,
                placeholder=text.CHAT_EMPTY,
                render_markdown=False,
                latex_delimiters=[],
                allow_tags=False,
                editable="user",
                buttons=["copy"],
                feedback_options=None,
                height="clamp(18rem, 100vh - 25rem, 44rem)",
                elem_id="chat-messages",
            )
            status = passage(views.status_html(""))
            with gr.Row(elem_classes="comet-examples"):
                examples = [gr.Button(visible=False, size="sm") for _ in range(views.EXAMPLES)]
            with gr.Row(elem_classes="comet-ask"):
                question = gr.Textbox(
                    label=text.QUESTION,
                    placeholder=text.QUESTION_HINT,
                    lines=1,
                    max_lines=6,
                    scale=5,
                    elem_id="chat-question",
                )
                button: dict[str, Any] = {"scale": 1, "min_width": 96}
                send = gr.Button(text.SEND, variant="primary", elem_id="chat-send", **button)
                stop = gr.Button(
                    text.STOP_ANSWER, variant="stop", visible=False, elem_id="chat-stop", **button
                )
    return ChatPage(
        place=place,
        document=document,
        conversations=conversations,
        new=new,
        messages=messages,
        status=status,
        examples=examples,
        question=question,
        send=send,
        stop=stop,
        manage=manage,
        name=name,
        rename=rename,
        actions=actions,
    )


def _answering(page: ChatPage, service: Service) -> None:
    """Ask, ask again, stop."""

    def answered(request: gr.Request, library: Library, begin: Begin) -> Iterator[Shown]:
        """The answer as it is written, and then what is kept of it."""
        with service.answers.writing(library.owner, str(request.session_hash)) as running:
            conversation, question, instead_of = begin()
            said = views.chat_messages(conversation.messages)
            if instead_of is not None:
                said = said[: instead_of - instead_of % 2]
            said.append(views.said("user", question))
            writing = _begun(page, said)
            yield writing
            # What comes at once is shown by a slow browser with what later messages leave out left
            # out: so each has all of it again, but not what may be typed over by then
            writing = {**writing, page.question: gr.skip()}
            unsaid = ""
            try:
                reply = library.say(conversation, question, instead_of=instead_of)
                with closing(reply) as pieces:
                    written, due = "", 0.0
                    for piece in pieces:
                        if running.stopped.is_set():
                            break
                        written += piece
                        if time.monotonic() >= due:
                            answer = [*said, views.said("assistant", written)]
                            yield {**writing, page.messages: answer}
                            due = time.monotonic() + PACE_S
            except Exception as error:
                tell(error)
                unsaid = question
            shown = page.show(library, Place(conversation.document_id, conversation.id))
            if unsaid:
                shown[page.question] = gr.update(value=unsaid, interactive=True)
        if not running.left.is_set():
            yield {part: copy(change) for part, change in shown.items()}  # Gradio empties them
            # Gradio shows the last of these twice, which would undo what is typed in between
            yield {**shown, page.name: gr.skip()}

    def answered_again(
        request: gr.Request, at: str, index: Any, instead: str | None = None
    ) -> Iterator[Shown]:
        """The answer to the question at an index, or to another in its place."""
        library = service.library_of(request)

        def begin() -> Beginning:
            conversation = library.conversation(Place.of(at).conversation or "")
            position = int(index[0] if isinstance(index, list | tuple) else index)
            question = conversation.question_at(position)
            return conversation, instead or question, position

        return answered(request, library, begin)

    @told
    def ask(question: str, at: str, request: gr.Request) -> Iterator[Shown]:
        check_question(question, service)
        place, library = Place.of(at), service.library_of(request)
        document = service.document(request, place.document)

        def begin() -> Beginning:
            if place.conversation:
                return library.conversation(place.conversation), question.strip(), None
            return library.start_conversation(document), question.strip(), None

        yield from answered(request, library, begin)

    @told
    def regenerate(at: str, request: gr.Request, event: gr.RetryData) -> Iterator[Shown]:
        yield from answered_again(request, at, event.index)

    @told
    def edit(at: str, request: gr.Request, event: gr.EditData) -> Iterator[Shown]:
        question = unescape(str(event.value)).strip()
        check_question(question, service)
        yield from answered_again(request, at, event.index, question)

    @told
    def stop(request: gr.Request) -> None:
        service.answers.stop(service.owner(request.username), str(request.session_hash))

    write: dict[str, Any] = {
        "outputs": page.outputs,
        "show_progress": "hidden",
        "concurrency_limit": WRITTEN_AT_A_TIME,
        "concurrency_id": "answers",
    }
    asking = [page.question.submit, page.send.click]
    gr.on(asking, ask, [page.question, page.place], **write, api_name="ask")
    for example in page.examples:
        example.click(ask, [example, page.place], **write, api_visibility="private")
    page.messages.retry(regenerate, page.place, **write, api_name="regenerate")
    page.messages.edit(edit, page.place, **write, api_name="edit")
    page.stop.click(stop, None, None, show_progress="hidden", api_name="stop")


def _choosing(page: ChatPage, service: Service) -> None:
    """Another document, another conversation."""

    def showing(request: gr.Request, place: Place) -> Shown:
        library = service.library_of(request)
        service.answers.leave(library.owner, str(request.session_hash))
        return page.show(library, place)

    @told
    def choose_document(request: gr.Request, event: gr.SelectData) -> Shown:
        document = service.document(request, str(event.value))
        last = next(iter(service.library_of(request).conversations(document)), None)
        return showing(request, Place(document.id, last.id if last else None))

    @told
    def choose_conversation(request: gr.Request, event: gr.SelectData) -> Shown:
        conversation = service.library_of(request).conversation(str(event.value))
        return showing(request, Place(conversation.document_id, conversation.id))

    @told
    def begin(at: str, request: gr.Request) -> Shown:
        return showing(request, Place(Place.of(at).document))

    quiet: dict[str, Any] = {"outputs": page.outputs, "show_progress": "hidden"}
    page.document.select(choose_document, None, **quiet, api_name="choose_document")
    page.conversations.select(choose_conversation, None, **quiet, api_name="choose_conversation")
    page.new.click(begin, page.place, **quiet, api_name="new_conversation")


def _managing(page: ChatPage, service: Service) -> None:
    """Rename and delete; export is a link."""

    @told
    def rename(name: str, at: str, request: gr.Request) -> Shown:
        library = service.library_of(request)
        conversation = library.conversation(Place.of(at).conversation or "")
        library.rename(conversation, name)
        done(text.RENAMED)
        return page.show(library, Place(conversation.document_id, conversation.id))

    @told
    def delete(request: gr.Request, event: gr.EventData) -> Shown:
        library = service.library_of(request)
        conversation = library.conversation(chosen(event))
        library.delete_conversation(conversation)
        done(text.DELETED)
        return page.show(library, Place(conversation.document_id))

    quiet: dict[str, Any] = {"outputs": page.outputs, "show_progress": "hidden"}
    renaming = [page.rename.click, page.name.submit]
    gr.on(renaming, rename, [page.name, page.place], **quiet, api_name="rename")
    page.actions.delete(delete, **quiet, api_name="delete_conversation")


def _begun(page: ChatPage, said: list[dict[str, str]]) -> Shown:
    """While the memory is opened, before the first word."""
    return {
        page.messages: said,
        page.status: views.status_html(text.RESUMING),
        page.question: "",
        page.send: gr.update(visible=False),
        page.stop: gr.update(visible=True),
        page.manage: gr.update(visible=False),
        **{button: gr.update(visible=False) for button in page.examples},
    }
