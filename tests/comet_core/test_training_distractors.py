"""Sentences with numbers that nobody asks for."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comet_core.training import distractors
from comet_core.training.distractors import distractor, paragraphs


@given(seed=st.integers(0, 10_000))
def test_a_distractor_has_a_number_that_looks_unlike_a_planted_one(seed: int) -> None:
    said = distractor(Random(seed))
    assert re.search(r"\d\d", said)
    assert not re.search(r"(?<![\d,./-])(?<! [A-Z]{2} )\d{5}(?![\d,./-])", said)  # a zip code may
    assert "{" not in said and said[0] == said[0].upper()


@given(seed=st.integers(0, 1000), count=st.integers(0, 12))
def test_distractors_stand_in_paragraphs_of_up_to_four(seed: int, count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distractors, "distractor", lambda rng: "Zz.")
        made = list(paragraphs(Random(seed), count))
    assert sum(text.count("Zz.") for text in made) == count
    assert all(text in ("Zz.", "Zz. Zz.", "Zz. Zz. Zz.", "Zz. Zz. Zz. Zz.") for text in made)
