"""How answers are judged, and how sure a share of right ones is."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


def normalized(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces (the SQuAD 1.1 evaluation)."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """Whether the answer is one of those accepted, after normalization."""
    return any(normalized(answer) == normalized(a) for a in accepted)


def f1(answer: str, accepted: Sequence[str]) -> float:
    """The best word overlap (harmonic mean of precision and recall) with an accepted answer, 0 to
    1.
    """
    return max(
        (_overlap(normalized(answer).split(), normalized(a).split()) for a in accepted), default=0.0
    )


def _overlap(answer: list[str], accepted: list[str]) -> float:
    common = sum((Counter(answer) & Counter(accepted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(accepted)
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True)
class Share:
    """A share of right answers; low and high are its 95 % Wilson interval."""

    right: int
    asked: int
    share: float
    low: float
    high: float


def share(right: int, asked: int) -> Share:
    """The share of `right` among `asked` (at least 1) with its interval."""
    z, p = 1.959964, right / asked
    middle = (p + z * z / (2 * asked)) / (1 + z * z / asked)
    reach = z / (1 + z * z / asked) * sqrt(p * (1 - p) / asked + z * z / (4 * asked * asked))
    return Share(
        right,
        asked,
        round(p, 4),
        round(max(0, middle - reach), 4),
        round(min(1, middle + reach), 4),
    )
