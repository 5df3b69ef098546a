"""Example questions out of a document's own words: something to begin with.

The names that appear most often within sentences are asked about, in a form that fits the words
around them; a text without names gets general questions. Names are gathered while the text goes by,
in constant memory. A question is plain text. Knows neither documents nor models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

QUESTIONS = 3
_MOST = 4096
"""Different names, and different words, that are counted at a time."""
_SEEN = 2
"""Times a name must appear to be asked about."""
_LONGEST = 40
"""Characters of a name."""
_NOUNS = 0.2
"""Share of words within sentences from which on a capital does not mean a name (as in German)."""
_PERSON, _PLACE, _ARTICLE = 0.04, 0.15, 0.5
"""Shares of a name's uses that tell what it is a name of."""
_VARIETY = 10
"""Most frequent names among which one of another kind is looked for."""

# Letters, digits and what stands within names; nothing that Markdown or HTML gives a meaning.
_WORD = re.compile(r"\w+(?:['’/-]\w+)*")
_POSSESSIVE = re.compile(r"['’]s?$")
_NAME = re.compile(r"[^\W\d_]{2,}\.?(?:[ '’/-][^\W\d_]+\.?)*")
_YEAR = re.compile(r"1\d{3}|20\d{2}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DOTTED = _words("Mr Mrs Ms Dr St")
_TITLES = _DOTTED | _words(
    "Miss Sir Lady Lord Captain Colonel Major Doctor Professor Saint Aunt Uncle King Queen Prince "
    "Princess Father Mother Sister Brother Inspector"
)
_NO_NAMES = _words(
    "English French German Italian Spanish Latin Greek American British Monday Tuesday Wednesday "
    "Thursday Friday Saturday Sunday January February March April May June July August September "
    "October November December Christmas Chapter Section Part Figure Table Appendix Volume Page "
    "Note God Heaven Majesty Highness Honour Gutenberg"
)
_SPEECH = _words("said says asked replied cried exclaimed answered thought whispered added")
_ACTS = _SPEECH | _words(
    "who smiled laughed looked felt knew went came turned sat stood began spoke seemed told wrote "
    "heard saw walked married died lived"
)
_FOLLOWERS = _ACTS | _words(
    "and or but nor is was are were be been has had have of in on at to from for with by as that "
    "which will would could can cannot may might must should did does do not he she it they we you "
    "then when while if than about into over after before so up out himself herself itself now"
)
_PREPOSITIONS = ("in", "at", "on")


class _Kind(Enum):
    """What is asked about, and how: another form for each of a kind."""

    PERSON = ("Who is {}?", "What does {} do?", "What happens to {}?")
    PLACE = ("What happens {place} {}?", *["What does the text say about {}?"] * 2)
    YEAR = ("What happened in {}?",) * 3
    TOPIC = ("What does the text say about {}?",) * 3
    THING = ("What is {}?", "What does the text say about {}?", "Why is {} mentioned?")
    GENERAL = (
        "What is this text about?",
        "What are the most important points?",
        "How does the text end?",
    )


@dataclass
class _Uses:
    """How a name is used: how often within a sentence, and next to which words."""

    count: int = 0
    adjective: int = 0
    acts: int = 0  # of people
    deeds: int = 0  # of people, or of things
    article: int = 0
    places: Counter[str] = field(default_factory=Counter)

    @property
    def place(self) -> str:
        """The preposition that goes with it."""
        return max(_PREPOSITIONS, key=self.places.__getitem__)


@dataclass(frozen=True)
class _Run:
    """Words with capitals in a row, with the words on either side ("" for punctuation)."""

    words: tuple[str, ...]
    before: str
    after: str
    inside: bool
    """Whether it stands within a sentence, where only names have capitals."""


class Examples:
    """Gathers names as the text goes by, and makes questions of them."""

    def __init__(self) -> None:
        self._names: dict[str, _Uses] = {}
        self._years: Counter[str] = Counter()
        self._common: Counter[str] = Counter()
        self._inside = 0
        self._capitals = 0

    def add(self, text: str) -> None:
        """Take in a page, or any piece of text that begins and ends between words."""
        for run in self._runs(text):
            self._use(run)
        self._forget_rare()

    def questions(self) -> list[str]:
        """QUESTIONS different ones, the most obvious first; general ones where names are few."""
        asked: list[str] = []
        used: Counter[_Kind] = Counter()
        for kind, name, place in self._chosen():
            asked.append(kind.value[used[kind]].format(name, place=place))
            used[kind] += 1
        return [*asked, *_Kind.GENERAL.value][:QUESTIONS]

    # Gathering

    def _runs(self, text: str) -> Iterator[_Run]:
        before, previous, end = "", "", 0
        words: list[str] = []
        inside = False
        for match in _WORD.finditer(text):
            gap, word = text[end : match.start()], match[0]
            end = match.end()
            capital, follows = word[0].isupper(), gap == " "
            if words and capital and (follows or (gap == ". " and previous in _DOTTED)):
                words.append(word)
            else:
                if words:
                    yield _Run(tuple(words), before, word if follows else "", inside)
                words = [word] if capital else []
                inside = previous[:1].islower() and gap in (" ", ", ")
                before = previous if follows else ""
                self._note(word, before, inside)
            previous = word
            if words and _POSSESSIVE.search(word):
                words[-1] = _POSSESSIVE.sub("", word)
                yield _Run(tuple(words), before, "", inside)
                words = []
        if words:
            yield _Run(tuple(words), before, "", inside)

    def _note(self, word: str, before: str, inside: bool) -> None:
        """Count a word that does not belong to a name, or begins one."""
        self._inside += inside
        self._capitals += inside and word[0].isupper()
        if word.islower() and before:
            self._common[word] += 1
        elif before == "in" and _YEAR.fullmatch(word):
            self._years[word] += 1

    def _use(self, run: _Run) -> None:
        name = " ".join(word + "." * (word in _DOTTED) for word in run.words)
        uses = self._names.get(name)
        if uses is None:
            if not run.inside:
                return
            uses = self._names[name] = _Uses()
        uses.acts += run.before in _SPEECH or run.after in _ACTS
        uses.deeds += run.after.endswith("ed")
        if not run.inside:
            return
        if run.after and not _may_follow(run.after):  # "the English language"
            uses.adjective += 1
            return
        uses.count += 1
        uses.article += run.before == "the"
        if run.before in _PREPOSITIONS:
            uses.places[run.before] += 1

    def _forget_rare(self) -> None:
        if len(self._names) > _MOST:
            ranked = sorted(self._names.items(), key=lambda item: item[1].count, reverse=True)
            self._names = dict(ranked[: _MOST // 2])
        for counter in (self._common, self._years):
            if len(counter) > _MOST:
                kept = counter.most_common(_MOST // 2)
                counter.clear()
                counter.update(dict(kept))

    # Choosing

    def _chosen(self) -> list[tuple[_Kind, str, str]]:
        """What to ask about: the most frequent, and among them one of another kind if there is."""
        ranked = self._ranked()
        chosen = ranked[:1]
        others = [item for item in ranked[:_VARIETY] if item[0] != chosen[0][0]]
        for item in [*others[:1], *ranked]:
            taken = {word for _, name, _ in chosen for word in _significant(name)}
            if len(chosen) < QUESTIONS and not taken & _significant(item[1]):
                chosen.append(item)
        return sorted(chosen, key=ranked.index)

    def _ranked(self) -> list[tuple[_Kind, str, str]]:
        """Kind, name and preposition of all that can be asked about, the most frequent first."""
        if self._capitals > _NOUNS * self._inside:
            return []
        names = {name: uses for name, uses in self._names.items() if self._is_name(name, uses)}
        people = {name for name, uses in names.items() if _is_person(name, uses, uses.acts)}
        if people:  # a story, where deeds are done by people
            people = {
                name
                for name, uses in names.items()
                if _is_person(name, uses, uses.acts + uses.deeds)
            }
        known = {word for name in people for word in _significant(name)}
        found: list[tuple[int, _Kind, str, str]] = []
        for name, uses in names.items():
            is_place = sum(uses.places.values()) > _PLACE * uses.count
            if name in people or (not is_place and known & _significant(name)):
                kind = _Kind.PERSON
            elif people:
                kind = _Kind.PLACE if is_place else _Kind.TOPIC
            else:
                kind = _Kind.TOPIC if _is_plural(name) else _Kind.THING
            shown = _full_name(name, names) if kind is _Kind.PERSON else name
            article = "the " * (uses.article >= _ARTICLE * uses.count)
            found.append((uses.count, kind, article + shown, uses.place))
        found += [(n, _Kind.YEAR, year, "in") for year, n in self._years.items() if n >= _SEEN]
        found.sort(key=lambda item: item[0], reverse=True)
        return [item[1:] for item in found]

    def _is_name(self, name: str, uses: _Uses) -> bool:
        words = name.split()
        if uses.count < _SEEN or len(name) > _LONGEST or not _NAME.fullmatch(name):
            return False
        if _NO_NAMES & set(words) or min(map(len, words)) < 2:
            return False
        if len(words) == 1 and name.rstrip(".") in _TITLES and uses.article < _ARTICLE * uses.count:
            return False
        return self._common[name.lower()] < uses.count + uses.adjective


def _may_follow(word: str) -> bool:
    """Whether a word after a name leaves it a noun: function words, common verbs, adverbs."""
    return word in _FOLLOWERS or word.endswith(("ed", "ly"))


def _full_name(name: str, names: dict[str, _Uses]) -> str:
    """The name with the surname or first name that most often goes with it."""
    longer = [(uses.count, other) for other, uses in names.items() if _extends(other, name)]
    return max(longer)[1] if longer else name


def _extends(longer: str, name: str) -> bool:
    words = longer.split()
    return len(words) == 2 and name in words and words[0].rstrip(".") not in _TITLES


def _is_person(name: str, uses: _Uses, acts: int) -> bool:
    words = name.split()
    if len(words) > 1 and words[0].rstrip(".") in _TITLES:
        return True
    places = sum(uses.places.values())
    return acts >= _SEEN and acts > max(_PERSON * uses.count, places)


def _is_plural(name: str) -> bool:
    return name.endswith("s") and not name.endswith("ss")


def _significant(name: str) -> set[str]:
    """The words of a name that are not shared by others of its kind."""
    return {word for word in name.split() if word.rstrip(".") not in _TITLES and word != "the"} or {
        name
    }
