"""What is drawn to train on: planted facts, people's questions, readings of a stage."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from comet_core_tiny import CONTROL, make_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from training_tiny import tokenize_text, write_data

from comet_core.config import CometConfig
from comet_core.prompt import NOT_IN_DOCUMENT, PromptFormat
from comet_core.training import distractors, samples
from comet_core.training.data import (
    QADocument,
    Question,
    TokenizedDocument,
    load_documents,
    tokenize,
)
from comet_core.training.facts import MAKERS, Fact, make_facts
from comet_core.training.recipe import Stage
from comet_core.training.samples import (
    CUE,
    PASSAGE,
    FactSampler,
    Part,
    QuestionSampler,
    Reading,
    TextTooShort,
    ends_sentence,
    passages,
)

PROMPT = PromptFormat(make_tokenizer(CONTROL))
SIZES = CometConfig(chunk_size=64, stride=4, global_rows=4, temporary_rows=16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@given(seed=st.integers(0, 10_000), kinds=st.sets(st.sampled_from(sorted(MAKERS)), min_size=1))
def test_facts_say_what_their_questions_ask(seed: int, kinds: set[str]) -> None:
    facts = make_facts(Random(seed), sorted(kinds), 5)
    assert len({fact.question for fact in facts}) == 5
    for fact in facts:
        assert fact.kind in kinds
        assert fact.answer.lower() in fact.statement.lower()
        assert fact.question[-1] in "?."
        assert "{" not in fact.statement + fact.question


@given(
    seed=st.integers(0, 1000),
    chunks=st.lists(st.integers(40, 80), min_size=1, max_size=4),
    tail=st.integers(0, 30),
    facts=st.integers(1, 3),
)
def test_a_planted_text_has_its_length_and_its_facts(seed, chunks, tail, facts) -> None:
    prompt = PromptFormat(make_tokenizer(CONTROL))
    reading = Reading([*chunks, 200], tail, 8)
    sampler = FactSampler(prompt, [tokenize_text(prompt, "It rained. We slept. " * 90)])
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 2)
    assert len(sample.tokens) == reading.length
    text = prompt.decode(sample.tokens)
    assert 1 <= len(sample.asked) <= 2
    for asked in sample.asked:
        answer = prompt.decode(asked.answer)
        assert answer in text
        assert asked.age in {reading.age(i) for i in range(reading.length)}


@pytest.mark.parametrize("part", ["old", "read"])
def test_distractors_stand_beside_the_facts_and_are_not_asked(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distractors, "distractor", lambda rng: f"No use {rng.randrange(10)}.")
    reading = Reading([200, 400], 0, 8)
    begin, stop = reading.part(part)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 90)])
    for seed in range(50):
        count = seed % 5
        drawn = sampler.sample(
            Random(seed), reading, ["number"], 1, 9, part=part, distractors=count
        )
        (asked,) = drawn.asked
        assert len(drawn.tokens) == reading.length
        assert PROMPT.decode(asked.answer[:-1]) in PROMPT.decode(drawn.tokens[begin:stop])
        assert len(re.findall(r" No use \d\.", PROMPT.decode(drawn.tokens))) == count


def test_distractors_give_way_to_facts() -> None:
    reading = Reading([100], 0, 8)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 90)])
    for seed in range(20):
        sample = sampler.sample(Random(seed), reading, ["number"], 1, 1, distractors=9)
        assert len(sample.tokens) == reading.length and len(sample.asked) == 1


@pytest.fixture
def documents(data: Path) -> list[TokenizedDocument]:
    return [tokenize(d, PROMPT) for d in load_documents([data / "some/train.jsonl"])]


def test_questions_are_those_of_the_window(documents: list[TokenizedDocument]) -> None:
    sampler = QuestionSampler(PROMPT, documents)
    reading = Reading([300], 20, 8)
    found = [s for n in range(30) if (s := sampler.sample(Random(n), reading, 3))]
    assert found
    for sample in found:
        text = PROMPT.decode(sample.tokens)
        assert len(sample.tokens) == reading.length
        for asked in sample.asked:
            number = PROMPT.decode(asked.answer)
            whole = (f"person {number} is", f"has {number} bridges")  # sections, all three times
            assert 3 in map(text.count, whole)


SENTENCES = [f"Ship {n} has {1000 + n} planks and a crew that likes her." for n in range(90)]


def test_a_part_of_a_long_section_is_asked_about() -> None:
    """Documents that are one section: a question counts where its answer stands."""
    text = " ".join(SENTENCES)
    questions = [Question(f"Ship {n}?", (f"{1000 + n} planks",), (0,)) for n in range(90)]
    document = tokenize(QADocument("a", (text,), tuple(questions)), PROMPT)
    assert PROMPT.decode(document.tokens) == text + "\n\n"
    sampler = QuestionSampler(PROMPT, [document])
    sample = sampler.sample(Random(1), Reading([1200], 1200, 8), 99)
    assert sample is not None and 3 < len(sample.asked) < 90
    held = PROMPT.decode(sample.tokens)
    assert all(PROMPT.decode(asked.answer) in held for asked in sample.asked)


@pytest.mark.parametrize("stop", ["Mr", "At No", "MESSRS", "Ada B", "in 1.E.8", "in 1", "U.S", ""])
def test_not_every_full_stop_ends_a_sentence(stop: str) -> None:
    tokens = PROMPT.text(f"He ran. {stop}.")
    ends = [spot for spot in range(len(tokens) + 1) if ends_sentence(PROMPT, tokens, spot)]
    assert [PROMPT.decode(tokens[:spot]) for spot in ends] == ["He ran."]


def test_an_answer_in_words_of_its_own_needs_the_whole_section() -> None:
    questions = (Question("What is told?", ("A fleet",), (1,)), Question("Who?", ("Ada",), (0,)))
    sections = ("Ada writes.", " ".join(SENTENCES))
    document = tokenize(QADocument("a", sections, questions), PROMPT)
    told, who = (question.sections for question in document.questions)
    assert told == tuple(range(1, len(document.sections))) and len(told) > 5
    assert who == (0,)


def test_a_question_of_several_sections_needs_them_all() -> None:
    questions = (Question("Who writes, and where?", ("Ada",), (0, 2)),)
    sections = ("Ada writes.", " ".join(SENTENCES), "It is in London.")
    document = tokenize(QADocument("a", sections, questions), PROMPT)
    assert document.questions[0].sections == (0, len(document.sections) - 1)


def test_what_a_text_does_not_answer_is_asked(documents: list[TokenizedDocument]) -> None:
    reading = Reading([300], 20, 8)
    known = {q.question: q for document in documents for q in document.questions}
    sampler = QuestionSampler(PROMPT, documents)
    drawn = [s for n in range(60) if (s := sampler.sample(Random(n), reading, 3, 0.5))]
    asked = [(s, a) for s in drawn for a in s.asked]
    foreign = [(s, a) for s, a in asked if not a.answerable]
    assert 0.3 < len(foreign) / len(asked) < 0.7
    questions = set()
    for sample, absent in foreign:
        assert PROMPT.decode(absent.answer) == NOT_IN_DOCUMENT
        assert absent.answer[-1] == PROMPT.end
        question = PROMPT.decode(absent.question).split("user\n")[1].split("assistant")[0].strip()
        questions.add(question)
        text = PROMPT.decode(sample.tokens)
        assert not any(answer in text for answer in known[question].answers)
    assert "Mayor?" in questions and len(questions) > 3


def test_what_only_another_part_of_the_document_answers_is_unanswerable() -> None:
    """Such questions are hard to tell from those that the part does answer."""
    sections = tuple(f"{sentence} " * 3 for sentence in SENTENCES)
    questions = tuple(Question(f"Ship {n}?", (f"{1000 + n} planks",), (n,)) for n in range(90))
    document = tokenize(QADocument("a", sections, questions), PROMPT)
    sampler = QuestionSampler(PROMPT, [document])
    absent = set()
    for n in range(20):
        sample = sampler.sample(Random(n), Reading([], 700, 8), 3, 0.5, "tail")
        assert sample is not None
        text = PROMPT.decode(sample.tokens)
        for asked in sample.asked:
            (ship,) = re.findall(r"Ship \d+", PROMPT.decode(asked.question))
            assert (text.count(f"{ship} ") == 3) is asked.answerable
            if not asked.answerable:
                absent.add(ship)
    assert len(absent) > 9


def test_an_answer_in_words_of_its_own_may_be_given_by_any_part() -> None:
    sections = tuple(f"{sentence} " * 3 for sentence in SENTENCES)
    questions = tuple(Question(f"Ship {n}?", ("all hands",), (n,)) for n in range(90))
    document = tokenize(QADocument("a", sections, questions), PROMPT)
    sampler = QuestionSampler(PROMPT, [document])
    for n in range(20):
        sample = sampler.sample(Random(n), Reading([], 700, 8), 3, 0.5, "tail")
        assert sample is not None and all(asked.answerable for asked in sample.asked)


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 4))
def test_facts_that_were_not_planted_are_asked_for(seed: int, facts: int) -> None:
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 90)])
    reading = Reading([400, 300], 0, 8)
    sample = sampler.sample(Random(seed), reading, sorted(MAKERS), facts, 4, unanswerable=1.0)
    planted = sampler.sample(Random(seed), reading, sorted(MAKERS), facts, 4)
    assert sample.tokens == planted.tokens  # the text is the same: only the questions are not
    assert len(sample.asked) == len(planted.asked)
    about = {tuple(a.question) for a in planted.asked}
    for asked in sample.asked:
        assert not asked.answerable and asked.answer == PROMPT.answer(NOT_IN_DOCUMENT)
        assert tuple(asked.question) not in about


@given(seed=st.integers(0, 10_000), distractors=st.integers(0, 6))
def test_of_a_text_without_facts_one_is_asked_for(seed: int, distractors: int) -> None:
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 90)])
    reading = Reading([400, 300], 0, 8)
    sample = sampler.sample(
        Random(seed), reading, ["number"], 0, 3, part="read", distractors=distractors
    )
    assert len(sample.tokens) == reading.length
    (asked,) = sample.asked
    assert not asked.answerable and asked.answer == PROMPT.answer(NOT_IN_DOCUMENT)
    assert any(char.isdigit() for char in PROMPT.decode(sample.tokens)) == (distractors > 0)


def test_what_was_not_planted_is_like_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def fact(kind: str, *about: str) -> Fact:
        return Fact(kind, f"{about}.", f"{about}?", "12345", about)

    planted = [fact("number", "station code", "the mill of Port Elwick"), fact("date", "a", "b")]
    drawn = {
        "number": [planted[0], fact("number", "pass number", "the boat of Tom Hale")],
        "date": [fact("date", "born", "Ann Winlow"), fact("date", "x", "b")],
    }
    drawn["number"].insert(1, fact("number", "pass number", "the mill of Saint Lunwal"))
    monkeypatch.setattr(samples, "make_facts", lambda rng, kinds, count: drawn[kinds[0]])
    sampler = FactSampler(PROMPT, [])
    asked = {PROMPT.decode(sampler._unplanted(Random(n), planted).question) for n in range(20)}
    likest = {drawn["number"][1], drawn["date"][1]}
    assert {next(f for f in likest if f.question in question) for question in asked} == likest


def test_wordings_of_one_question_are_about_one_thing() -> None:
    """Two facts about the same are told by `about`, whatever the words."""
    by_about: dict[tuple[str, str], set[str]] = {}
    drawn = [make_facts(Random(n), ["number"], 1)[0] for n in range(4000)]
    for fact in drawn:
        by_about.setdefault(fact.about, set()).add(fact.question)
        assert all(word.lower() in fact.question.lower() for word in fact.about)
    assert max(map(len, by_about.values())) > 1
    assert len({fact.about for fact in make_facts(Random(1), ["number"], 1000)}) == 1000


def test_existing_recipes_draw_what_they_drew(documents: list[TokenizedDocument]) -> None:
    """Runs of recipes from before `unanswerable` go on with the same samples."""
    stage = Stage("s", [32, 64], (2, 5), (0.2, 1.0), facts=(1, 3), questions=2)
    digest = hashlib.sha256()
    for n in range(20):
        rng = Random(f"1/{n}")
        reading = stage.reading(rng, SIZES, max_rows=8192)
        facts = FactSampler(PROMPT, documents).sample(rng, reading, stage.kinds, 2, 2)
        asked = QuestionSampler(PROMPT, documents).sample(rng, reading, 2)
        digest.update(repr((reading, facts.tokens, asked and asked.tokens)).encode())
        for a in [*facts.asked, *(asked.asked if asked else [])]:
            digest.update(repr((a.question, a.answer, a.age)).encode())
    assert digest.hexdigest()[:16] == "09003d4d1621ddd3"


def test_the_fifo_is_never_longer_than_the_backbone_allows() -> None:
    stage = Stage("s", chunk_sizes=[32, 64], chunks=(1, 40), temporary_share=(0.0, 1.0))
    rows = set()
    for n in range(300):
        reading = stage.reading(Random(n), SIZES, max_rows=128)
        chunk = max(reading.chunks)
        assert 2 * 4 + reading.temporary_rows + chunk + -(-chunk // 4) <= 128
        rows.add(reading.temporary_rows)
    assert max(rows) == 128 - 2 * 4 - 32 - 8


def test_stage_readings_stay_within_the_stage() -> None:
    stage = Stage("s", chunk_sizes=[32, 64], chunks=(2, 5), temporary_share=(0.25, 0.5))
    for n in range(200):
        reading = stage.reading(Random(n), SIZES, max_rows=8192)
        assert 2 <= len(reading.chunks) <= 5
        assert all(16 <= length <= 64 for length in reading.chunks)
        share = reading.temporary_rows * 4 / sum(reading.chunks)
        assert 0.24 <= share <= 0.51 or reading.temporary_rows in (8, 16)  # a whole chunk


def test_what_was_read_is_asked_without_a_tail_where_that_is_asked_apart() -> None:
    for part, tails in (("read", {0}), ("old", {0}), ("new", {0}), ("text", set(range(32)))):
        stage = Stage("s", [64], (1, 1), asked_of=part)
        for sizes, wanted in ((replace(SIZES, tail_tokens=64), tails), (SIZES, set(range(32)))):
            drawn = {stage.reading(Random(n), sizes, max_rows=8192).tail for n in range(400)}
            assert drawn <= wanted and (len(drawn) > 20) == (len(wanted) > 1)


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 6))
def test_facts_of_the_tail_stand_in_the_tail(seed: int, facts: int) -> None:
    stage = Stage("s", [512], (0, 2), asked_of="tail")
    reading = stage.reading(Random(seed), SIZES, max_rows=8192)
    assert 128 <= reading.tail < 512
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 400)])
    after = reading.length - reading.tail
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 9, part="tail")
    assert len(sample.tokens) == reading.length
    head, tail = PROMPT.decode(sample.tokens[:after]), PROMPT.decode(sample.tokens[after:])
    for asked in sample.asked:
        answer = PROMPT.decode(asked.answer)
        assert answer in tail and answer not in head
        assert asked.age == -1


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 6))
def test_facts_of_what_was_read_stand_before_the_tail(seed: int, facts: int) -> None:
    stage = Stage("s", [512], (1, 2), asked_of="read", tail=(20, 700))
    reading = stage.reading(Random(seed), SIZES, max_rows=8192)
    assert 20 <= reading.tail <= 700
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 400)])
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 9, part="read")
    assert len(sample.tokens) == reading.length
    tail = PROMPT.decode(sample.tokens[sum(reading.chunks) :])
    for asked in sample.asked:
        assert PROMPT.decode(asked.answer) not in tail
        assert 0 <= asked.age < len(reading.chunks)


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 6))
def test_old_facts_stand_in_the_older_half_of_what_was_read(seed: int, facts: int) -> None:
    reading = Reading([200, 180, 190], tail=150, temporary_rows=8)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 400)])
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 9, part="old")
    later = PROMPT.decode(sample.tokens[285:])
    assert all(PROMPT.decode(asked.answer) not in later for asked in sample.asked)
    assert {asked.age for asked in sample.asked} <= {1, 2}


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 6))
def test_new_facts_stand_in_the_newest_chunk(seed: int, facts: int) -> None:
    reading = Reading([200, 180, 190], tail=150, temporary_rows=8)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 400)])
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 9, part="new")
    newest = PROMPT.decode(sample.tokens[380:570])
    assert all(PROMPT.decode(asked.answer) in newest for asked in sample.asked)
    assert {asked.age for asked in sample.asked} == {0}


@given(seed=st.integers(0, 10_000), part=st.sampled_from(["text", "read", "old", "new", "tail"]))
def test_passages_stand_in_their_part_word_for_word(seed: int, part: Part) -> None:
    text = PROMPT.text(" ".join(map(str, range(100))))[:220]  # no two passages are the same
    reading = Reading([100, 80], tail=40, temporary_rows=8)
    found = passages(Random(seed), text, reading, 5, part)
    begin, stop = reading.part(part)
    whole = bytes(text[begin:stop])
    assert len(found) == {"text": 4, "read": 3, "old": 2, "new": 2, "tail": 1}[part]
    for asked in found:
        passage = bytes([*asked.question, *asked.answer])
        assert len(asked.question) == CUE and len(passage) == min(PASSAGE, stop - begin)
        assert asked.recited and passage in whole
        last = begin + whole.index(passage) + len(passage) - 1
        assert asked.age == (1 if last < 100 else 0 if last < 180 else -1)


def test_a_part_without_room_has_no_passage() -> None:
    assert passages(Random(1), [7] * 72, Reading([64], CUE, 8), 2, part="tail") == []


def test_a_text_without_room_for_a_fact_is_told() -> None:
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    with pytest.raises(TextTooShort, match=r"No fact fits in 8 tokens .* larger chunk_sizes"):
        sampler.sample(Random(1), Reading([64], 8, 8), ["date"], 5, 5, part="tail")


def test_questions_of_the_tail_are_answered_there(documents: list[TokenizedDocument]) -> None:
    sampler = QuestionSampler(PROMPT, documents)
    reading = Reading([140], 250, 8)
    drawn = [s for n in range(90) if (s := sampler.sample(Random(n), reading, 3, part="tail"))]
    assert drawn
    for sample in drawn:
        for asked in sample.asked:
            whole = PROMPT.decode(sample.tokens[140:])
            number = PROMPT.decode(asked.answer)
            assert 3 in map(whole.count, (f"person {number} is", f"has {number} bridges"))
