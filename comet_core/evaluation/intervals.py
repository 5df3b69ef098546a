"""Means with their 95 % intervals.

Questions about one document are not independent: it was read well or badly for all of them. So the
document is what is counted (Wilson's interval, where a document has one question that is right or
wrong) or drawn again (the cluster bootstrap, everywhere else). Knows nothing of what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Z = 1.959964
DRAWS = 2000
METHODS = {
    "wilson": "Wilson's interval; every document has one question, which is right or wrong",
    "wilson over documents": "Wilson's interval with the number of documents as the sample size, "
    "because all scores are 0 or all are 1 and the bootstrap would give no width",
    "unknown": "0 to 1: several questions about a single document say nothing of other documents",
    "cluster bootstrap": f"2.5 and 97.5 % quantiles of {DRAWS} means, each over as many documents "
    "as there are, drawn with replacement, with all questions of each",
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


def estimate(scores: Sequence[float], documents: Sequence[Hashable]) -> Estimate | None:
    """The mean of scores from 0 to 1, one a question; None if there are none.

    documents: what each score's question was about, in the same order.
    """
    if not scores:
        return None
    count, mean = len(set(documents)), sum(scores) / len(scores)
    if count == len(scores) and set(scores) <= {0, 1}:
        method, (low, high) = "wilson", wilson(mean, count)
    elif count == 1:
        method, (low, high) = "unknown", (0.0, 1.0)
    elif set(scores) <= {0} or set(scores) <= {1}:
        method, (low, high) = "wilson over documents", wilson(mean, count)
    else:
        method, (low, high) = "cluster bootstrap", bootstrap([[s] for s in scores], documents)
    return Estimate(_rounded(mean), _rounded(low), _rounded(high), len(scores), count, method)


def _rounded(share: float) -> float:
    """To four digits, of which the order that floats were summed in does not decide the last."""
    return round(round(share, 9), 4)


def wilson(mean: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share `mean` of `count` independent cases (at least 1)."""
    middle = (mean + Z * Z / (2 * count)) / (1 + Z * Z / count)
    reach = Z / (1 + Z * Z / count) * sqrt(mean * (1 - mean) / count + Z * Z / (4 * count * count))
    return max(0.0, middle - reach), min(1.0, middle + reach)


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
