"""Means with their 95 % intervals.

Questions about one document are not independent: it was read well or badly for all of them. So the
document is what is counted (Wilson's interval, where a document has one question that is right or
wrong) or drawn again (the cluster bootstrap, everywhere else). Of few documents the bootstrap can
be too narrow by chance; it is then at least as wide as if all questions were independent. Knows
nothing of what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import isclose, pi, sqrt, tan

import numpy as np
from numpy.typing import NDArray

Z = 1.959964
DRAWS = 2000
FEW = 20  # documents, below which the bootstrap alone is too narrow
NO_WIDTH = 1e-9  # of an interval, but for rounding
METHODS = {
    "wilson": "Wilson's interval; every document has one question, which is right or wrong",
    "wilson over documents": "Wilson's interval with the number of documents as the sample size, "
    "because the bootstrap would give no width",
    "unknown": "0 to 1, or of a ratio 0 to any (null): a single document, or for a ratio documents "
    "that are all alike, say nothing of other documents",
    "cluster bootstrap": f"2.5 and 97.5 % quantiles of {DRAWS} means, each over as many documents "
    "as there are, drawn with replacement, with all questions of each",
    "bootstrap or wilson": f"of fewer than {FEW} documents: the lower of the lower ends, and the "
    "higher of the higher ends, of the cluster bootstrap and of Wilson's interval of all questions",
}
"""The ways an interval is made, as every result names them."""


@dataclass(frozen=True)
class Estimate:
    """A mean of scores from 0 to 1 with its 95 % interval.

    asked: scores in it; documents: of how many documents; method: one of `METHODS`.
    """

    mean: float
    low: float
    high: float
    asked: int
    documents: int
    method: str


@dataclass(frozen=True)
class Ratio:
    """One mean as a multiple of another over the same questions, with its 95 % interval.

    high: None where there is no bound. The rest is as in `Estimate`.
    """

    ratio: float
    low: float
    high: float | None
    asked: int
    documents: int
    method: str


def estimate(scores: Sequence[float], documents: Sequence[Hashable]) -> Estimate | None:
    """The mean of scores from 0 to 1, one a question; None if there are none.

    scores: bools where a question is answered rightly or wrongly, and nothing in between.
    documents: what each score's question was about, in the same order.
    """
    if not scores:
        return None
    count, mean = len(set(documents)), sum(scores) / len(scores)
    if count == len(scores) and all(isinstance(score, bool) for score in scores):
        method, (low, high) = "wilson", wilson(mean, count)
    elif count == 1:
        method, (low, high) = "unknown", (0.0, 1.0)
    else:
        method, (low, high) = spread(mean, [[s] for s in scores], documents)
    return Estimate(_rounded(mean), _rounded(low), _rounded(high), len(scores), count, method)


def ratio(pairs: Sequence[tuple[float, float]], documents: Sequence[Hashable]) -> Ratio | None:
    """The mean of the first scores as a multiple of that of the second; None if that is 0.

    pairs: scores from 0 to 1 of one question each; documents: what it was about, in that order.
    """
    reference = sum(second for _, second in pairs)
    if not reference:
        return None
    count, found = len(set(documents)), sum(first for first, _ in pairs) / reference
    # As an angle: a draw in which the second scores nothing then has its place, above all others.
    low, high = bootstrap(pairs, documents, lambda means: np.arctan2(means[..., 0], means[..., 1]))
    if count == 1 or isclose(low, high, abs_tol=NO_WIDTH):
        return Ratio(_rounded(found), 0.0, None, len(pairs), count, "unknown")
    top = None if isclose(high, pi / 2) else _rounded(tan(high))
    return Ratio(_rounded(found), _rounded(tan(low)), top, len(pairs), count, "cluster bootstrap")


def _rounded(share: float) -> float:
    """To four digits, of which the order that floats were summed in does not decide the last."""
    return round(round(share, 9), 4)


def wilson(mean: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share `mean` of `count` independent cases (at least 1)."""
    middle = (mean + Z * Z / (2 * count)) / (1 + Z * Z / count)
    reach = Z / (1 + Z * Z / count) * sqrt(mean * (1 - mean) / count + Z * Z / (4 * count * count))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def spread(
    score: float,
    rows: Sequence[Sequence[float]],
    documents: Sequence[Hashable],
    combine: Callable[[NDArray], NDArray] = lambda means: means[..., 0],
) -> tuple[str, tuple[float, float]]:
    """The method and interval of a score from 0 to 1 of several documents: the bootstrap of its
    rows; of few documents that or Wilson's of all questions, whichever reaches further; or, where
    the bootstrap has no width, Wilson's of as many cases as there are documents.
    """
    low, high = bootstrap(rows, documents, combine)
    count = len(set(documents))
    if isclose(low, high, abs_tol=NO_WIDTH):
        return "wilson over documents", wilson(score, count)
    if count >= FEW:
        return "cluster bootstrap", (low, high)
    least, most = wilson(score, len(rows))
    return "bootstrap or wilson", (min(low, least), max(high, most))


def bootstrap(
    scores: Sequence[Sequence[float]],
    documents: Sequence[Hashable],
    combine: Callable[[NDArray], NDArray] = lambda means: means[..., 0],
) -> tuple[float, float]:
    """The 95 % interval by drawing documents; the same for the same scores.

    scores: a row of numbers a question. combine: from the mean rows (draws, numbers) to the figure
    the interval is of; the first number's mean if not given.
    """
    index = {document: i for i, document in enumerate(dict.fromkeys(documents))}
    cluster = np.array([index[document] for document in documents])
    sums = np.zeros((len(index), len(scores[0])))
    np.add.at(sums, cluster, np.array(scores, dtype=float))
    counts = np.bincount(cluster)
    drawn = np.random.default_rng(0).integers(len(index), size=(DRAWS, len(index)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)[:, None]
    low, high = np.quantile(combine(means), [0.025, 0.975])
    return float(low), float(high)
