"""How an answer is judged: by equality, by shared words, and by ROUGE (of the package rouge-score).

Scores lie between 0 and 1; of several accepted answers the one that scores best counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from comet_core.errors import CometError
from comet_core.prompt import NOT_IN_DOCUMENT

ROUGE = ("rouge1", "rouge2", "rougeL")


class ExtraMissing(CometError):
    """A package that only measuring needs is not installed."""


def require(package: str) -> None:
    """Raises ExtraMissing unless a package of the extra `evaluate` is installed."""
    if find_spec(package) is None:
        raise ExtraMissing(
            f"The package {package} is not installed; run: pip install 'comet-reader[evaluate]'"
        )


def normalized(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces (the SQuAD 1.1 evaluation)."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """Whether the answer is one of those accepted, after normalization."""
    return any(normalized(answer) == normalized(a) for a in accepted)


def contains(text: str, phrase: str) -> bool:
    """Whether the words of a phrase stand in a text, in order and side by side, after
    normalization; a phrase without words stands in every text.
    """
    return f" {normalized(phrase)} " in f" {normalized(text)} " or not normalized(phrase)


def declines(answer: str) -> bool:
    """Whether an answer says that the document does not hold one."""
    return exact_match(answer, [NOT_IN_DOCUMENT])


def f1(answer: str, accepted: Sequence[str]) -> float:
    """The best word overlap (harmonic mean of precision and recall) with an accepted answer."""
    return max(
        (_overlap(normalized(answer).split(), normalized(a).split()) for a in accepted), default=0.0
    )


def _overlap(answer: list[str], accepted: list[str]) -> float:
    common = sum((Counter(answer) & Counter(accepted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(accepted)
    return 2 * precision * recall / (precision + recall)


def rouge(answer: str, accepted: Sequence[str]) -> dict[str, float]:
    """The best F-measure of ROUGE-1, ROUGE-2 and ROUGE-L with an accepted answer, without stemming,
    as SCROLLS computes them. Raises ExtraMissing.
    """
    best = _scorer().score_multi(accepted, answer)
    return {kind: best[kind].fmeasure for kind in ROUGE}


@cache
def _scorer() -> Any:
    require("rouge_score")
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), use_stemmer=False)
