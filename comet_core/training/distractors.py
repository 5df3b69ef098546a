"""Sentences with numbers that nobody asks for, to plant beside the facts that are asked for.

A licence, a letterhead or an index has the words of a planted number ("identification number is"),
and what comes later must not take its place in the memory. Their numbers look unlike a planted
one: which of two numbers that look alike belongs to whom is for several facts to teach.
"""

from __future__ import annotations

import re
from random import Random

from comet_core.training.facts import WORDS, person, place, thing, upper

SHAPES = (
    "###", "####", "######", "########", "##,###", "#,###,###", "##.##", "##/####", "##-#######",
    "###-####", "####-##", "#####-####", "(###) ###-####", "#-###-#####-#",
)  # fmt: skip
FORMS = (
    "{owner}'s {name} is {number}.",
    "{owner}'s {name} or {other} is {number}.",
    "the {name} of {owner} is {number}.",
    "its {name} is {number}.",
    "it was given the {name} {number}.",
    "see {name} {number}.",
    "{owner} was registered in {year} under the {name} {number}.",
    "the {name} for {owner} has been {number} since {year}.",
    "{owner} can be reached at {number}.",
    "for more, call {number}.",
    "the sum was {number} dollars.",
    "{number} people lived in {where} in {year}.",
    "in {year}, {owner} paid {number} for {where}.",
)


def distractor(rng: Random) -> str:
    """A sentence with a number, of no use."""
    names = WORDS["number_names"] + WORDS["figure_names"]
    owners = (f"the {place(rng)} {rng.choice(WORDS['bodies'])}", person(rng), thing(rng))
    return upper(
        rng.choice(FORMS).format(
            owner=rng.choice(owners),
            name=rng.choice(names),
            other=rng.choice(names),
            number=_number(rng),
            year=rng.randrange(1500, 2025),
            where=place(rng),
        )
    )


def _number(rng: Random) -> str:
    """Digits in one of the shapes, the first of each group not zero."""
    groups = (
        str(rng.randrange(10 ** (len(part) - 1), 10 ** len(part))) if part[0] == "#" else part
        for part in re.findall(r"#+|[^#]+", rng.choice(SHAPES))
    )
    return "".join(groups)
