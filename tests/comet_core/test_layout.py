"""The order of rows in a chunk."""

import pytest
from comet_core_tiny import make_model
from hypothesis import given
from hypothesis import strategies as st

from comet_core.errors import ChunkTooLong
from comet_core.layout import answering_layout, reading_layout


def kinds(layout) -> str:
    rows = ["?"] * layout.rows
    for name, index in (("t", layout.text), ("C", layout.compression), ("R", layout.readout)):
        for row in index.tolist():
            rows[row] = name
    return "".join(rows)


def test_reading_layout_has_a_compression_row_after_each_group() -> None:
    assert kinds(reading_layout(8, 4, 2)) == "ttttCttttCRR"
    assert kinds(reading_layout(6, 4, 1)) == "ttttCttCR"  # a shorter last group gets its C row
    assert kinds(reading_layout(3, 4, 3)) == "tttCRRR"


def test_answering_layout_has_a_compression_row_only_between_text() -> None:
    assert kinds(answering_layout(8, 4)) == "ttttCtttt"
    assert kinds(answering_layout(9, 4)) == "ttttCttttCt"
    assert kinds(answering_layout(3, 4)) == "ttt"
    assert kinds(answering_layout(1, 1)) == "t"


@given(length=st.integers(1, 200), stride=st.integers(1, 32), readouts=st.integers(1, 20))
def test_every_row_has_one_kind(length: int, stride: int, readouts: int) -> None:
    for layout in (reading_layout(length, stride, readouts), answering_layout(length, stride)):
        rows = [*layout.text.tolist(), *layout.compression.tolist(), *layout.readout.tolist()]
        assert sorted(rows) == list(range(layout.rows))
        assert len(layout.text) == length


def test_model_says_when_a_chunk_exceeds_the_backbone() -> None:
    with pytest.raises(ChunkTooLong, match=r"500.*512"):
        make_model(chunk_size=500)


def test_a_fifo_longer_than_the_backbone_is_seen_in_windows() -> None:
    with pytest.raises(ChunkTooLong, match=r"512"):
        make_model(temporary_rows=600)
    make_model(temporary_rows=600, window_rows=8)
