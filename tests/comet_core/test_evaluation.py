"""Measuring: scores are those of SQuAD, trials are what they claim to be."""

from random import Random

import pytest
from comet_core_tiny import CONTROL, make_model, make_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from comet_core.checkpoint import LoadedModel, ModelSpec
from comet_core.evaluation import facts, questions
from comet_core.evaluation.score import exact_match, f1, share
from comet_core.prompt import PromptFormat
from comet_core.training.data import QADocument, Question


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    prompt = PromptFormat(make_tokenizer(CONTROL))
    model = make_model(vocabulary=len(prompt.tokenizer), chunk_size=50, temporary_rows=12)
    spec = ModelSpec("tiny", "comet1-0", model.config, False, 0, "cpu", "float32", "test")
    return LoadedModel(spec, model, prompt)


@pytest.mark.parametrize(
    ("answer", "accepted", "score"),
    [
        ("The Grey Heron.", ["grey heron"], 1.0),
        ("a heron", ["the grey heron"], 2 / 3),
        ("nothing", ["the grey heron", "nothing at all"], 0.5),
        ("", ["heron"], 0.0),
        ("heron heron", ["heron"], 2 / 3),
    ],
)
def test_f1_is_that_of_squad(answer: str, accepted: list[str], score: float) -> None:
    assert f1(answer, accepted) == pytest.approx(score)
    assert exact_match(answer, accepted) == (score == 1.0)


@given(asked=st.integers(1, 500), data=st.data())
def test_an_interval_holds_its_share(asked: int, data) -> None:
    right = data.draw(st.integers(0, asked))
    found = share(right, asked)
    assert 0 <= found.low <= found.share <= found.high <= 1
    assert share(right * 10, asked * 10).high - share(right * 10, asked * 10).low < (
        found.high - found.low
    )


def test_a_known_interval() -> None:
    found = share(95, 100)
    assert (found.low, found.high) == pytest.approx((0.8882, 0.9785), abs=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_planted_texts_hold_their_facts_where_they_say(loaded: LoadedModel, count: int) -> None:
    text = loaded.prompt.text("It rained. We slept. " * 200)
    for number in range(10):
        tokens, planted = facts._planted(
            loaded, Random(number), [text], 1000, ["number"], count, number
        )
        assert len(tokens) == 1000
        said = loaded.prompt.decode(tokens)
        for fact, depth in planted:
            where = said.index(fact.statement) / (len(said) - len(fact.statement))
            assert abs(where - (depth + 0.5) / 10) <= 0.05 + 0.1 * (count > 1)  # others are before
            assert said[said.index(fact.statement) - 2] == "." or where < 0.05


def test_every_length_depth_and_kind_is_counted(loaded: LoadedModel) -> None:
    text = loaded.prompt.text("It rained. We slept. " * 200)
    trials = list(facts.plant_facts(loaded, [text], [300, 500], ["number", "name"], 1, 20, seed=1))
    assert trials == list(
        facts.plant_facts(loaded, [text], [300, 500], ["number", "name"], 1, 20, seed=1)
    )
    summary = facts.summarize(trials)
    assert summary.all.asked == 40 == sum(s.asked for s in summary.by_kind.values())
    assert [s.asked for s in summary.by_length.values()] == [20, 20]
    for row in summary.by_length_and_depth.values():
        assert sum(s.asked for s in row if s) == 20


def test_a_right_answer_counts_and_a_wrong_one_does_not() -> None:
    def trial(right: bool) -> facts.Trial:
        return facts.Trial(1000, 3, "number", "?", "1", "1" if right else "2", right)

    summary = facts.summarize([trial(True), trial(True), trial(False)])
    assert (summary.all.right, summary.all.asked) == (2, 3)
    assert summary.by_length_and_depth[1000][3] == summary.all
    assert summary.by_length_and_depth[1000][0] is None


def test_questions_are_asked_of_what_was_read(loaded: LoadedModel) -> None:
    document = QADocument(
        "d",
        ("It rained. " * 20, "We slept. " * 20),
        (
            Question("Rain?", ("yes",), (0,)),
            Question("Sleep?", ("no",), (1,)),
            Question("None?", (), ()),
        ),
    )
    first = len(loaded.prompt.text(document.sections[0] + "\n\n"))
    asked = list(questions.ask_questions(loaded, [document], 10, max_tokens=first, seed=1))
    assert [a.question for a in asked] == ["Rain?"]
    assert asked[0].tokens == first
    both = list(questions.ask_questions(loaded, [document], 10, max_tokens=10_000, seed=1))
    assert {a.question for a in both} == {"Rain?", "Sleep?"}
    assert all(a.answer != a.guess for a in both)  # the document makes a difference
    summary = questions.summarize(both)
    assert summary.questions == 2 and summary.exact.asked == 2
