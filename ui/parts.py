"""Components that the pages are made of."""

from __future__ import annotations

import json

import gradio as gr

from ui.render import render, static


def panel(*actions: str, value: str = "") -> gr.HTML:
    """HTML whose buttons with `data-action` trigger these events, each with the id in `data-id`."""
    return gr.HTML(value, js_on_load=script("actions.js", *actions), apply_default_css=False)


def script(name: str, *events: str) -> str:
    """A script of ours for a component that triggers these events."""
    return f"const events = {json.dumps(events)};\n{static(name)}"


def passage(value: str = "") -> gr.HTML:
    """HTML to be read only."""
    return gr.HTML(value, js_on_load=None, apply_default_css=False)


def heading(title: str, words: str = "") -> gr.HTML:
    """A heading, and words below it."""
    return passage(render("heading.html", title=title, words=words))


def choice(label: str, element: str) -> gr.Dropdown:
    """A dropdown of names for ids; what is chosen comes with its `select` event."""
    return gr.Dropdown(label=label, choices=[], value=None, interactive=True, elem_id=element)
