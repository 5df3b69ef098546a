"""Measuring: scores are those of SQuAD, trials are what they claim to be."""

from typing import Any

import pytest
from comet_core_evaluation import Scripted, Silent, make_loaded

from comet_core.checkpoint import LoadedModel
from comet_core.config import CometConfig
from comet_core.evaluation import facts, questions, readers
from comet_core.evaluation.facts import Plan, Text, TextsTooShort, ask_facts, plant_facts
from comet_core.evaluation.questions import Item, ask_questions, bucket, choose_questions
from comet_core.evaluation.readers import Exam, MemoryReader, NothingReader
from comet_core.evaluation.score import contains, declines, exact_match, f1, rouge
from comet_core.prompt import NOT_IN_DOCUMENT
from comet_core.training.data import QADocument, Question
from comet_core.training.facts import MAKERS, Fact


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return make_loaded()


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


def test_rouge_is_that_of_its_definition() -> None:
    found = rouge("the cat on the mat", ["a dog", "the cat sat on the mat"])
    assert found == pytest.approx({"rouge1": 10 / 11, "rouge2": 2 / 3, "rougeL": 10 / 11})
    assert rouge("", ["a dog"]) == {"rouge1": 0, "rouge2": 0, "rougeL": 0}


def test_a_phrase_is_found_by_whole_words() -> None:
    assert contains("It is the 12345, I think.", "12345")
    assert not contains("It is 123456.", "12345")
    assert contains("the Grey Heron's nest", "grey herons")


def test_declining_is_said_word_for_word() -> None:
    assert declines(NOT_IN_DOCUMENT) and declines("that is not in the document")
    assert not declines("That is not in the document, but in another.")


SIZES = CometConfig(50)


def facts_of(document: facts.Document) -> list[Fact]:
    return [planted.fact for planted in document.facts]


def tokens_of(loaded: LoadedModel, text: str) -> list[int]:
    return loaded.prompt.text(text)


@pytest.mark.parametrize("count", [1, 3])
def test_planted_texts_hold_their_facts_where_they_say(loaded: LoadedModel, count: int) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 200))
    for document in plant_facts(loaded.prompt, [text], Plan([1000], ["number"], count, 10, 1)):
        assert len(document.tokens) == 1000 and document.texts == ("book",)
        said = loaded.prompt.decode(document.tokens)
        assert len(document.facts) == count
        for planted in document.facts:
            fact, depth = planted.fact, planted.depth
            spot = said.index(f" {fact.statement}")
            assert loaded.prompt.decode(document.tokens[planted.begin :]).startswith(said[spot:])
            where = spot / (len(said) - len(fact.statement) - 1)
            assert abs(where - (depth + 0.5) / 10) <= 0.051 + 0.1 * (count > 1)  # others before it
            assert spot == 0 or said[spot - 1] == "."


def test_no_fact_stands_in_the_middle_of_a_sentence(loaded: LoadedModel) -> None:
    sentence = "Messrs. Hall of No. 4, see 1.E.8. of Mrs. J. Hill, slept. "
    text = Text(("book",), tokens_of(loaded, sentence * 60))
    for document in plant_facts(loaded.prompt, [text], Plan([900], ["name"], 2, 10, 1)):
        said = loaded.prompt.decode(document.tokens)
        for fact in facts_of(document):
            spot = said.index(f" {fact.statement}")
            assert spot == 0 or said[:spot].endswith(("slept.", facts_of(document)[0].statement))


def test_thirty_two_facts_of_all_kinds_are_all_there(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 400))
    (document,) = plant_facts(loaded.prompt, [text], Plan([6000], list(MAKERS), 32, 1, seed=3))
    said = loaded.prompt.decode(document.tokens)
    assert len({fact.question for fact in facts_of(document)}) == 32
    assert all(fact.statement in said for fact in facts_of(document))
    assert {planted.depth for planted in document.facts} == set(range(10))


def test_depths_go_round_the_tenths(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 400))
    planted = plant_facts(loaded.prompt, [text], Plan([2000], ["number"], 1, 20, 1))
    depths = [document.facts[0].depth for document in planted]
    assert all(abs(depth - number % 10) <= 1 for number, depth in enumerate(depths))
    assert set(depths) == set(range(10))


def test_whole_books_are_joined_only_where_none_is_long_enough(loaded: LoadedModel) -> None:
    texts = [
        Text(("rain",), tokens_of(loaded, "It rained. " * 60)),
        Text(("sleep",), tokens_of(loaded, "We slept. " * 90)),
    ]
    plan = Plan([700, 2000], ["number"], 1, 6, 1)
    short, joined = [], []
    for document in plant_facts(loaded.prompt, texts, plan):
        (short if document.length == 700 else joined).append(document)
        assert len(document.tokens) == document.length
    assert {document.texts for document in short} == {("sleep",)}
    for document in joined:
        assert set(document.texts) == {"rain", "sleep"}
        assert all(a != b for a, b in zip(document.texts, document.texts[1:], strict=False))
        said = loaded.prompt.decode(document.tokens)
        assert "It rained. " in said and "We slept. " in said


def test_what_cannot_be_planted_is_said(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. " * 50))
    with pytest.raises(TextsTooShort, match="32 facts do not fit in 100 tokens"):
        list(plant_facts(loaded.prompt, [text], Plan([100], ["number"], 32, 1, 1)))
    with pytest.raises(TextsTooShort, match="not a word"):
        list(plant_facts(loaded.prompt, [Text(("empty",), [])], Plan([100], ["number"], 1, 1, 1)))


def test_every_length_depth_and_kind_is_counted(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 200))
    plan = Plan([300, 500], ["number", "name"], 1, 20, seed=1)
    documents = list(plant_facts(loaded.prompt, [text], plan))
    assert documents == list(plant_facts(loaded.prompt, [text], plan))
    watcher = Silent()
    trials = ask_facts([MemoryReader(loaded), NothingReader(loaded)], documents, SIZES, watcher)
    assert watcher.count == 2 * len(trials) == 2 * plan.questions == 80
    for summary in facts.summarize(trials).values():
        assert summary.all and summary.all.asked == 40
        assert sum(s.asked for s in summary.by_kind.values() if s) == 40
        assert [s.asked for s in summary.by_length.values() if s] == [20, 20]
        assert sum(s.asked for s in summary.by_depth if s) == 40
        for row in summary.by_length_and_depth.values():
            assert sum(s.asked for s in row if s) == 20


def test_right_and_wrong_and_unread_facts_are_told_apart(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 200))
    documents = list(plant_facts(loaded.prompt, [text], Plan([900], ["number"], 4, 3, 1)))
    known = {fact.question: fact.answer for document in documents for fact in facts_of(document)}
    readers = [
        Scripted("knows", known),
        Scripted("talks", {q: f"I believe it is {a}, yes." for q, a in known.items()}),
        Scripted("guesses", dict.fromkeys(known, "12")),
        Scripted("cannot", dict.fromkeys(known)),
    ]
    summaries = facts.summarize(ask_facts(readers, documents, SIZES, Silent()))
    assert [s.all.mean if s.all else None for s in summaries.values()] == [1.0, 0.0, 0.0, None]
    contained = [s.contained.mean if s.contained else None for s in summaries.values()]
    assert contained == [1.0, 1.0, 0.0, None]
    assert summaries["knows"].all and summaries["knows"].all.documents == 3


def test_facts_in_the_memory_are_told_from_those_in_the_tail(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 200))
    documents = list(plant_facts(loaded.prompt, [text], Plan([900], ["number"], 8, 2, 1)))
    sizes = CometConfig(50, tail_tokens=400)  # 500 tokens of 900 are read
    known = {p.fact.question: p.fact.answer for d in documents for p in d.facts if p.begin >= 500}
    trials = ask_facts([Scripted("tail", known)], documents, sizes, Silent())
    assert [t.in_memory for t in trials] == [p.begin < 500 for d in documents for p in d.facts]
    found = facts.summarize(trials)["tail"]
    read = sum(t.in_memory for t in trials)
    assert found.in_memory and (found.in_memory.mean, found.in_memory.asked) == (0.0, read)
    assert found.all and found.all.mean == pytest.approx(1 - read / 16) and 0 < read < 16
    held = ask_facts([Scripted("tail", known)], documents, CometConfig(901), Silent())
    assert facts.summarize(held)["tail"].in_memory is None


def test_all_readers_are_given_the_same(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 200))
    documents = list(plant_facts(loaded.prompt, [text], Plan([300], ["number"], 2, 5, 1)))
    first, second = Scripted("first", {}), Scripted("second", {})
    ask_facts([first, MemoryReader(loaded), second], documents, SIZES, Silent())
    assert first.seen == second.seen
    assert [exam.tokens for exam in first.seen] == [d.tokens for d in documents]
    assert [list(exam.questions) for exam in first.seen] == [
        [fact.question for fact in facts_of(d)] for d in documents
    ]


def test_readers_do_not_disturb_each_other(loaded: LoadedModel) -> None:
    text = Text(("book",), tokens_of(loaded, "It rained. We slept. " * 200))
    documents = list(plant_facts(loaded.prompt, [text], Plan([300], ["number"], 1, 3, 1)))
    memory, nothing = MemoryReader(loaded), NothingReader(loaded)
    alone = ask_facts([memory], documents, SIZES, Silent())
    together = ask_facts([nothing, memory], documents, SIZES, Silent())
    assert [t.answers["memory"] for t in alone] == [t.answers["memory"] for t in together]


RAIN = QADocument(
    "rain",
    ("It rained on Monday. " * 20, "We slept on Sunday. " * 20),
    (
        Question("When did it rain?", ("Monday",), (0,)),
        Question("When did we sleep?", ("Sunday",), (1,)),
        Question("When did it snow?", (), ()),
    ),
)
SEA = QADocument(
    "sea",
    ("The sea was cold in May. " * 20,),
    (
        Question("When was the sea cold?", ("May", "in May"), (0,)),
        Question("Which day do the bells ring?", ("a Monday",), (0,)),
        Question("What is the article?", ("the",), (0,)),
    ),
)


def plan(**changes: Any) -> questions.Plan:
    return questions.Plan(
        **{
            **{"questions": 10, "unanswerable": 0, "max_tokens": 10_000, "sizes": CometConfig(50)},
            "seed": 1,
            **changes,
        }
    )


def test_questions_are_asked_of_what_was_read(loaded: LoadedModel) -> None:
    first = len(loaded.prompt.text(RAIN.sections[0] + "\n\n"))
    (paper,) = choose_questions(loaded.prompt, [RAIN], plan(max_tokens=first))
    assert [item.question for item in paper.items] == ["When did it rain?"]
    assert len(paper.tokens) == first
    (paper,) = choose_questions(loaded.prompt, [RAIN], plan())
    assert {item.question for item in paper.items} == {"When did it rain?", "When did we sleep?"}
    assert choose_questions(loaded.prompt, [RAIN], plan(max_tokens=first - 1)) == []


def test_a_paper_says_how_much_of_it_is_in_the_memory(loaded: LoadedModel) -> None:
    tokens = sum(len(loaded.prompt.text(s + "\n\n")) for s in RAIN.sections)
    for size, chunks in ((tokens + 1, 0), (tokens, 1), (tokens // 3, 3)):
        (paper,) = choose_questions(loaded.prompt, [RAIN], plan(sizes=CometConfig(size)))
        assert paper.chunks == chunks


def test_distances_are_chunks_between_the_section_and_the_question(loaded: LoadedModel) -> None:
    ends = [len(loaded.prompt.text(s + "\n\n")) for s in RAIN.sections]
    (paper,) = choose_questions(loaded.prompt, [RAIN], plan(sizes=CometConfig(100)))
    distance = {item.question: item.distance for item in paper.items}
    whole = sum(ends) // 100
    assert distance["When did it rain?"] == whole - 1 - (ends[0] - 1) // 100 > 0
    assert sum(ends) % 100, "the text has a tail"
    assert distance["When did we sleep?"] == -1
    held = CometConfig(100, tail_tokens=sum(ends) - 100)
    (paper,) = choose_questions(loaded.prompt, [RAIN], plan(sizes=held))
    assert {i.question: i.distance for i in paper.items}["When did it rain?"] == (
        0 if ends[0] <= 100 else -1
    )
    (paper,) = choose_questions(loaded.prompt, [SEA], plan())
    assert all(item.distance is None for item in paper.items), "one section says nothing"
    names = [bucket(distance) for distance in (-1, 0, 1, 2, 3, 4, 7, 8)]
    assert names == ["tail", "0", "1", "2-3", "2-3", "4-7", "4-7", "8-15"]


def test_unanswerable_questions_are_marked_or_have_no_answer_here(loaded: LoadedModel) -> None:
    rain, sea = choose_questions(loaded.prompt, [RAIN, SEA], plan(unanswerable=3))
    # "Monday" and "the" occur in the rain; "Sunday" and "Monday" do not in the sea.
    assert [i.question for i in rain.items if not i.accepted] == [
        "When did it snow?",
        "When was the sea cold?",
    ]
    assert {i.question for i in sea.items if not i.accepted} == {
        "When did it rain?",
        "When did we sleep?",
    }
    without = choose_questions(loaded.prompt, [RAIN, SEA], plan())
    assert [[i for i in p.items if i.accepted] for p in (rain, sea)] == [
        list(p.items) for p in without
    ]


def test_documents_may_stand_behind_a_book(loaded: LoadedModel) -> None:
    """The same is asked of them, but what the book answers."""
    alone = choose_questions(loaded.prompt, [RAIN, SEA], plan(unanswerable=3))
    book = tokens_of(loaded, "It was a Sunday, and cold in May. " * 30)
    behind = choose_questions(loaded.prompt, [RAIN, SEA], plan(unanswerable=3, before=tuple(book)))
    for one, other in zip(alone, behind, strict=True):
        assert other.tokens == book + one.tokens
        assert other.chunks == len(other.tokens) // 50
    answerable = [[i.question for i in p.items if i.accepted] for p in alone]
    assert [[i.question for i in p.items if i.accepted] for p in behind] == answerable
    assert [[i.question for i in p.items if not i.accepted] for p in behind] == [
        ["When did it snow?"],
        ["When did it rain?"],
    ]


def test_what_documents_begin_with_is_read_once(loaded: LoadedModel, monkeypatch) -> None:
    """And changes no answer; documents may end at any place in it."""
    book = tokens_of(loaded, "It was a Sunday, and cold in May. " * 30)
    documents = [book + tokens_of(loaded, "The mayor is Olaf."), book[:100], book]
    exams = [Exam(tokens, ("Who is the mayor?", "Which day?")) for tokens in documents]
    apart = [MemoryReader(loaded).answer([exam], 8, Silent())[0] for exam in exams]
    chunks: list[int] = []
    read = readers.read_batch

    def counted(model, states, tokens):
        chunks.append(sum(map(len, tokens)))
        return read(model, states, tokens)

    monkeypatch.setattr(readers, "read_batch", counted)
    assert MemoryReader(loaded).answer(exams, 8, Silent()) == apart
    step = loaded.model.config.chunk_size
    assert sum(chunks) == sum(map(len, documents)) - 2 * (100 // step * step)


def test_a_reader_is_scored_on_what_it_can_answer_and_what_it_cannot(loaded: LoadedModel) -> None:
    tokens = tokens_of(loaded, "It rained.")
    right = {f"{n}?": f"the answer {n}" for n in range(5)}
    unanswerable = ["Why?", "Who?"]
    papers = [
        questions.Paper("a", tokens, 0, tuple(Item(q, (a, "x"), n // 2) for n, (q, a) in
                                           enumerate(right.items()))),
        questions.Paper("b", tokens, 0, tuple(Item(q, ()) for q in unanswerable)),
    ]  # fmt: skip
    good = Scripted("good", {**right, **dict.fromkeys(unanswerable, NOT_IN_DOCUMENT)})
    shy = Scripted("shy", dict.fromkeys([*right, *unanswerable], NOT_IN_DOCUMENT))
    half = Scripted("half", {q: f"{a} {a}" for q, a in right.items()})
    trials = ask_questions([good, shy, half], papers, 32, Silent())
    found = questions.summarize(trials)
    assert found["good"].exact and found["good"].exact.mean == 1.0
    assert found["good"].not_in_document and found["good"].not_in_document.mean == 1.0
    assert found["good"].wrongly_not and found["good"].wrongly_not.mean == 0.0
    assert found["shy"].f1 and found["shy"].f1.mean == 0.0
    assert found["shy"].wrongly_not and found["shy"].wrongly_not.mean == 1.0
    assert found["half"].f1 and found["half"].f1.asked == len(right) == 5
    expected = sum(f1(f"{a} {a}", [a]) for a in right.values()) / 5
    against = found["half"].against["good"]
    assert against and against.ratio == pytest.approx(expected, abs=1e-3)
    assert (against.low, against.high, against.asked) == (0, None, 5), "of a single document"
    assert found["half"].against["shy"] is None
    assert found["half"].exact and found["half"].exact.mean == 0.0
    assert found["half"].contained and found["half"].contained.mean == 1.0
    assert found["shy"].contained and found["shy"].contained.mean == 0.0
    asked = {label: e.asked for label, e in found["good"].f1_by_distance.items() if e}
    assert asked == {"0": 2, "1": 2, "2-3": 1}


def test_an_answer_is_contained_by_its_words(loaded: LoadedModel) -> None:
    """An accepted answer without words is in every text, and says nothing."""
    said = {"Who?": "It was Anna, I think.", "Which?": "a bananas", "What?": "anything"}
    accepted = {"Who?": ("Bob", "anna"), "Which?": ("banana",), "What?": ("the",)}
    paper = questions.Paper("d", [1], 0, tuple(Item(q, a) for q, a in accepted.items()))
    trials = ask_questions([Scripted("r", said)], [paper], 32, Silent())
    contained = [said.contained for t in trials if (said := t.answers["r"])]
    assert contained == [True, False, False]


def test_rouge_is_of_long_answers_only(loaded: LoadedModel) -> None:
    paper = questions.Paper(
        "d",
        tokens_of(loaded, "It rained."),
        0,
        (Item("Long?", ("it rained all night in the old town",)), Item("Short?", ("rain",))),
    )
    reader = Scripted("r", {"Long?": "it rained all night", "Short?": "rain"})
    (summary,) = questions.summarize(ask_questions([reader], [paper], 32, Silent())).values()
    assert summary.rouge_l_long and summary.rouge_l_long.asked == 1
    assert summary.rouge_l_long.mean == pytest.approx(2 * 4 / (4 + 8), abs=1e-4)


def test_a_document_makes_a_difference(loaded: LoadedModel) -> None:
    papers = choose_questions(loaded.prompt, [RAIN], plan())
    trials = ask_questions([MemoryReader(loaded), NothingReader(loaded)], papers, 16, Silent())
    assert all(t.answers["memory"] != t.answers["nothing"] for t in trials)
