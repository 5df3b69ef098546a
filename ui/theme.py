"""How the pages look: colours and fonts of the system, none from elsewhere."""

from __future__ import annotations

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

VIOLET = gr.themes.Color(
    name="violet",
    c50="#f4f2ff",
    c100="#e9e5ff",
    c200="#d5cdff",
    c300="#b9acff",
    c400="#9a87fb",
    c500="#7c6cf0",
    c600="#5b4bd0",
    c700="#4a3cb0",
    c800="#3d328f",
    c900="#332c73",
    c950="#1f1a4a",
)
INK = gr.themes.Color(
    name="ink",
    c50="#faf9f7",
    c100="#f2f0ec",
    c200="#e3e0da",
    c300="#cbc7c0",
    c400="#9b97a0",
    c500="#6c6878",
    c600="#52505f",
    c700="#3b3947",
    c800="#272632",
    c900="#1b1a24",
    c950="#121118",
)


def theme() -> gr.themes.Base:
    """The theme of all pages, light and dark."""
    return gr.themes.Base(
        primary_hue=VIOLET,
        secondary_hue=VIOLET,
        neutral_hue=INK,
        font=SANS,
        font_mono=MONO,
        radius_size=gr.themes.sizes.radius_lg,
        spacing_size=gr.themes.sizes.spacing_lg,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        block_shadow="none",
        block_padding="14px 16px",
        button_border_width="1px",
        button_small_text_size="*text_md",
        button_small_padding="8px 14px",
        button_large_text_weight="600",
        button_large_text_size="*text_md",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="*primary_950",
    )
