"""Invented facts to plant in real text, and the questions that ask for them.

A fact is true of nothing, so a model can only know it by having read it. Kinds: five-digit numbers,
other numbers, names, dates, places, things; each is a few sentence forms over invented people,
places and objects. Only text is made here; where it is planted is decided elsewhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

WORDS: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
)
MEASURES = (
    ("high", "metres"),
    ("long", "metres"),
    ("wide", "metres"),
    ("deep", "metres"),
    ("heavy", "tons"),
    ("old", "years"),
)


@dataclass(frozen=True)
class Fact:
    """A sentence, a question it answers, and the answer (each plain text).

    about: what is asked of whom; the same for all wordings of a question.
    """

    kind: str
    statement: str
    question: str
    answer: str
    about: tuple[str, str]


def person(rng: Random) -> str:
    """A first and a family name; the family name is invented."""
    return f"{rng.choice(WORDS['first_names'])} {_invented(rng, WORDS['name_endings'])}"


def place(rng: Random) -> str:
    """An invented place name."""
    name = _invented(rng, WORDS["place_endings"])
    return rng.choice(("{}", "{}", "{}", "Port {}", "Mount {}", "{} Bay", "Saint {}")).format(name)


def _invented(rng: Random, endings: list[str]) -> str:
    return (
        rng.choice(WORDS["syllables"])
        + rng.choice(["", rng.choice(WORDS["syllables"])])
        + rng.choice(endings)
    ).capitalize()


def thing(rng: Random) -> str:
    """A thing that belongs to somewhere or someone, as in "the clock of Port Benley"."""
    noun = rng.choice(WORDS["things"])
    return rng.choice(
        (
            f"the {noun}",
            f"the {noun} of {place(rng)}",
            f"the {noun} in {place(rng)}",
            f"the {place(rng)} {noun}",
            f"the old {noun}",
            f"{person(rng)}'s {noun}",
        )
    )


def _emblem(rng: Random) -> str:
    return f"{rng.choice(WORDS['colours']).capitalize()} {rng.choice(WORDS['nouns']).capitalize()}"


def upper(text: str) -> str:
    """A text with its first letter a capital."""
    return text[0].upper() + text[1:]


def _forms(
    rng: Random, statements: list[str], questions: list[str], **words: str
) -> tuple[str, str]:
    return (
        upper(rng.choice(statements).format(**words)),
        upper(rng.choice(questions).format(**words)),
    )


def _number(rng: Random) -> Fact:
    answer = str(rng.randrange(10_000, 100_000))
    owner = rng.choice((thing(rng), thing(rng), person(rng)))
    verb, asked = rng.choice((("is", "is"), ("was", "was"), ("was", "is")))
    name = rng.choice(WORDS["number_names"])
    statement, question = _forms(
        rng,
        [
            "the {name} of {owner} {verb} {answer}.",
            "the {name} of {owner} {verb} {answer}.",
            "{answer} {verb} the {name} of {owner}.",
            "{owner} had the {name} {answer}.",
            "the {name} for {owner} {verb} {answer}.",
            "everyone knew that the {name} of {owner} {verb} {answer}.",
            "on a card was written the {name} of {owner}: {answer}.",
        ],
        [
            "what {asked} the {name} of {owner}?",
            "what {asked} the {name} of {owner}?",
            "what {asked} the {name} for {owner}?",
            "which {name} did {owner} have?",
            "tell me the {name} of {owner}.",
        ],
        name=name, owner=owner, answer=answer, verb=verb, asked=asked,
    )  # fmt: skip
    return Fact("number", statement, question, answer, (name, owner))


def _quantity(rng: Random) -> Fact:
    owner = thing(rng)
    if rng.random() < 0.5:
        asked, unit = rng.choice(MEASURES)
        answer = f"{rng.randrange(3, 400)} {unit}"
        statement, question = _forms(
            rng,
            ["{owner} is {answer} {quality}.", "{owner} was {answer} {quality}.",
             "{owner} was exactly {answer} {quality}."],
            ["how {quality} is {owner}?", "how {quality} was {owner}?"],
            owner=owner, answer=answer, quality=asked,
        )  # fmt: skip
    else:
        answer = str(rng.randrange(2, 500))
        asked = rng.choice(WORDS["counted"])
        statement, question = _forms(
            rng,
            ["{owner} had {answer} {counted}.", "there were {answer} {counted} in {owner}.",
             "{owner} has {answer} {counted}."],
            ["how many {counted} did {owner} have?", "how many {counted} were there in {owner}?",
             "how many {counted} does {owner} have?"],
            owner=owner, answer=answer, counted=asked,
        )  # fmt: skip
    return Fact("quantity", statement, question, answer, (asked, owner))


def _name(rng: Random) -> Fact:
    answer = person(rng)
    if rng.random() < 0.6:
        asked = rng.choice(WORDS["roles"])
        whose = rng.choice((thing(rng), place(rng)))
        statement, question = _forms(
            rng,
            ["the {role} of {owner} was {answer}.", "the {role} of {owner} was named {answer}.",
             "{answer} was the {role} of {owner}.", "{answer} worked as the {role} of {owner}.",
             "the {role} of {owner}, {answer}, was known to all."],
            ["who was the {role} of {owner}?", "what was the name of the {role} of {owner}?",
             "what was the {role} of {owner} called?"],
            role=asked, owner=whose, answer=answer,
        )  # fmt: skip
    else:
        asked, whose = rng.choice(WORDS["kin"]), person(rng)
        statement, question = _forms(
            rng,
            ["{who}'s {kin} was {answer}.", "{who}'s {kin} was called {answer}.",
             "{answer} was the {kin} of {who}.", "{who} had a {kin} named {answer}."],
            ["who was {who}'s {kin}?", "who was the {kin} of {who}?",
             "what was the name of {who}'s {kin}?"],
            kin=asked, who=whose, answer=answer,
        )  # fmt: skip
    return Fact("name", statement, question, answer, (asked, whose))


def _date(rng: Random) -> Fact:
    year = str(rng.randrange(1500, 2020))
    day = f"{rng.randrange(1, 29)} {rng.choice(WORDS['months'])} {year}"
    if rng.random() < 0.6:
        words = {"owner": thing(rng), "event": rng.choice(WORDS["events"])}
        statements, asked = ["{owner} was {event} {answer}."], "was {owner} {event}"
    else:
        words = {
            "owner": person(rng),
            "event": rng.choice(("born", "married", "promoted", "elected")),
        }
        statements = [
            "{owner} was {event} {answer}.",
            "it is recorded that {owner} was {event} {answer}.",
        ]
        asked = "was {owner} {event}"
    about = (words["event"], words["owner"])
    if rng.random() < 0.5:
        statement, question = _forms(
            rng,
            statements,
            [f"when {asked}?", f"in which year {asked}?", f"in what year {asked}?"],
            answer=f"in {year}", **words,
        )  # fmt: skip
        return Fact("date", statement, question, year, about)
    statement, question = _forms(
        rng, statements, [f"when {asked}?", f"on what date {asked}?", f"on which day {asked}?"],
        answer=f"on {day}", **words,
    )  # fmt: skip
    return Fact("date", statement, question, day, about)


def _place(rng: Random) -> Fact:
    answer = place(rng)
    verb, asked = rng.choice(
        (
            ("was born in", "was {who} born"),
            ("lived in", "did {who} live"),
            ("moved to", "did {who} move to"),
            ("grew up in", "did {who} grow up"),
            ("was buried in", "was {who} buried"),
            ("studied in", "did {who} study"),
            ("went to school in", "did {who} go to school"),
            ("came from", "did {who} come from"),
        )
    )
    who = person(rng)
    statement, question = _forms(
        rng,
        [f"{{who}} {verb} {{answer}}.", f"{{who}}, they say, {verb} {{answer}}."],
        [f"where {asked}?"],
        who=who,
        answer=answer,
    )
    return Fact("place", statement, question, answer, (asked, who))


def _thing(rng: Random) -> Fact:
    who = person(rng)
    if rng.random() < 0.5:
        answer = f"the {_emblem(rng)}"
        vessel = rng.choice(
            ("boat", "ship", "inn", "steamer", "newspaper", "schooner", "locomotive")
        )
        statement, question = _forms(
            rng,
            ["{who}'s {vessel} was called {answer}.", "{who} owned a {vessel} called {answer}.",
             "the {vessel} of {who} bore the name {answer}."],
            ["what was {who}'s {vessel} called?", "what was the name of {who}'s {vessel}?",
             "what was the {vessel} of {who} called?"],
            who=who, vessel=vessel, answer=answer,
        )  # fmt: skip
        return Fact("thing", statement, question, upper(answer), (vessel, who))
    answer = rng.choice((rng.choice(WORDS["nouns"]).capitalize(), rng.choice(WORDS["first_names"])))
    animal = rng.choice(WORDS["animals"])
    statement, question = _forms(
        rng,
        ["{who} had a {animal} named {answer}.", "{who}'s {animal} was called {answer}."],
        ["what was {who}'s {animal} called?", "what was the name of {who}'s {animal}?"],
        who=who, animal=animal, answer=answer,
    )  # fmt: skip
    return Fact("thing", statement, question, answer, (animal, who))


MAKERS: dict[str, Callable[[Random], Fact]] = {
    "number": _number,
    "quantity": _quantity,
    "name": _name,
    "date": _date,
    "place": _place,
    "thing": _thing,
}


def make_facts(rng: Random, kinds: list[str], count: int) -> list[Fact]:
    """`count` facts of the given kinds, no two of them about the same."""
    facts: dict[tuple[str, str], Fact] = {}
    while len(facts) < count:
        fact = MAKERS[rng.choice(kinds)](rng)
        facts[fact.about] = fact
    return list(facts.values())
