"""The library page: documents come in, are read, and go.

Progress is read from the desk once a second, so a page that is loaded again shows the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.console import size
from ui import text
from ui.library_view import documents_html, is_active, jobs_html
from ui.parts import panel, script
from ui.render import render
from ui.service import Service, chosen, done, told

TICK_S = 1.0


@dataclass(frozen=True)
class LibraryPage:
    """The parts of the page that the others have to do with."""

    documents: gr.HTML
    jobs: gr.HTML
    timer: gr.Timer
    show: Any

    @property
    def outputs(self) -> list[Any]:
        return [self.jobs, self.documents, self.timer]


def build(service: Service) -> LibraryPage:
    """Make the page, within a tab of Blocks."""
    limit = service.desk.limits.upload_bytes
    limit_shown = size(limit).replace(".0 ", " ")
    zone = render(
        "drop.html",
        limit=limit,
        formats=text.FORMATS.format(size=limit_shown),
        too_large=text.TOO_LARGE.format(size=limit_shown),
    )
    drop = gr.HTML(zone, js_on_load=script("drop.js", "uploaded"), apply_default_css=False)
    jobs = panel("stop", "dismiss")
    documents = panel("ask", "remove")
    timer = gr.Timer(TICK_S, active=False)

    @told
    def show(request: gr.Request) -> list[Any]:
        return _shown(service, request)

    @told
    def stop(request: gr.Request, event: gr.EventData) -> list[Any]:
        service.desk.stop(service.owner(request.username), chosen(event))
        return _shown(service, request)

    @told
    def dismiss(request: gr.Request, event: gr.EventData) -> list[Any]:
        service.desk.dismiss(service.owner(request.username), chosen(event))
        return _shown(service, request)

    @told
    def remove(request: gr.Request, event: gr.EventData) -> list[Any]:
        document = service.document(request, chosen(event))
        service.library_of(request).forget(document)
        done(text.REMOVED.format(title=document.title))
        return _shown(service, request)

    page = LibraryPage(documents, jobs, timer, show)
    quiet: dict[str, Any] = {"outputs": page.outputs, "show_progress": "hidden"}
    drop.uploaded(show, **quiet, api_name="library")
    timer.tick(show, **quiet, api_visibility="private")
    jobs.stop(stop, **quiet, api_name="stop_reading")
    jobs.dismiss(dismiss, **quiet, api_name="dismiss")
    documents.remove(remove, **quiet, api_name="remove")
    return page


def _shown(service: Service, request: gr.Request) -> list[Any]:
    jobs = service.desk.jobs(service.owner(request.username))
    documents = service.library_of(request).documents()
    return [
        jobs_html(jobs),
        documents_html(documents, jobs),
        gr.Timer(active=any(map(is_active, jobs))),
    ]
