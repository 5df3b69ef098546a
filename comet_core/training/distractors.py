"""Sentences with numbers that nobody asks for, to plant beside the facts that are asked for.

A licence, a letterhead or an index has the words of a planted number ("identification number is"),
and must neither take its place in the memory nor keep it from one. Their numbers look unlike a
planted one, but for the zip code of an address: which of two numbers that look alike belongs to
whom is for several facts to teach.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from string import ascii_uppercase

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
    "its office is at {address}, {number}.",
    "write to {owner}, {address}.",
    "{owner}, {address}, {number}.",
)


def paragraphs(rng: Random, sentences: int) -> Iterator[str]:
    """So many sentences with numbers, of no use; one to four stand beside each other."""
    while sentences > 0:
        together = min(sentences, rng.choice((1, 1, 2, 3, 4)))
        yield " ".join(distractor(rng) for _ in range(together))
        sentences -= together


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
            address=_address(rng),
        )
    )


def _address(rng: Random) -> str:
    """House, street, town, two letters of a state and a zip code of five digits."""
    state = "".join(rng.sample(ascii_uppercase, 2))
    zip_code = rng.randrange(10_000, 100_000)
    return f"{rng.randrange(1, 4000)} {place(rng)} Street, {place(rng)}, {state} {zip_code}"


def _number(rng: Random) -> str:
    """Digits in one of the shapes, the first of each group not zero."""
    groups = (
        str(rng.randrange(10 ** (len(part) - 1), 10 ** len(part))) if part[0] == "#" else part
        for part in re.findall(r"#+|[^#]+", rng.choice(SHAPES))
    )
    return "".join(groups)
