"""Intervals: closed forms where there are some, and that questions of one document count as one."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comet_core.evaluation.intervals import METHODS, Z, bootstrap, estimate, ratio, wilson


def test_wilson_is_that_of_the_tables() -> None:
    assert wilson(0.95, 100) == pytest.approx((0.8882, 0.9785), abs=1e-4)
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


@given(count=st.integers(1, 10_000))
def test_wilson_of_all_or_none_has_a_closed_form(count: int) -> None:
    assert wilson(1.0, count) == pytest.approx((count / (count + Z * Z), 1.0))
    assert wilson(0.0, count) == pytest.approx((0.0, Z * Z / (count + Z * Z)))


@given(asked=st.integers(2, 300), data=st.data())
def test_an_interval_holds_its_mean_and_shrinks_with_more_documents(asked: int, data) -> None:
    right = data.draw(st.integers(0, asked))
    scores = [True] * right + [False] * (asked - right)
    found, more = estimate(scores, range(asked)), estimate(scores * 10, range(asked * 10))
    assert found and more and found.method in METHODS
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert more.high - more.low < found.high - found.low


def test_one_question_a_document_is_wilsons() -> None:
    found = estimate([True] * 95 + [False] * 5, range(100))
    assert found and found.method == "wilson"
    assert (found.mean, found.low, found.high) == (0.95, 0.8882, 0.9785)
    assert found.asked == found.documents == 100


def test_scores_that_could_lie_between_are_never_a_share() -> None:
    found = estimate([1.0] * 95 + [0.0] * 5, range(100))
    assert found and found.method == "cluster bootstrap"
    single = estimate([1.0], ["a"])
    assert single and (single.low, single.high, single.method) == (0.0, 1.0, "unknown")


@given(
    shares=st.lists(st.sampled_from([0.0, 0.3, 0.8, 1.0]), min_size=3, max_size=12),
    times=st.integers(2, 5),
)
@example([1.0, 0.8, 0.0, 0.0, 0.8, 0.8, 0.8, 0.8, 1.0, 1.0, 0.8, 0.8], 2)  # a tie at the last digit
def test_asking_a_document_more_often_does_not_make_the_interval_narrower(
    shares: list[float], times: int
) -> None:
    """What a document scores is known no better for being asked the same again."""
    documents = list(range(len(shares)))
    once = bootstrap([[s] for s in shares], documents)
    assert bootstrap([[s] for s in shares * times], documents * times) == pytest.approx(once)
    two, three = (estimate(shares * n, documents * n) for n in (2, 3))
    assert two and three
    for found in (two, three):  # asked as if they were independent, but never narrower than once
        assert found.low <= once[0] + 1e-4 and found.high >= once[1] - 1e-4
    assert two.documents == len(shares) and two.asked == 2 * len(shares)


def test_questions_of_one_document_are_not_independent() -> None:
    """Ten documents, each wholly right or wrong: as uncertain as ten answers, not as a hundred."""
    scores = [float(document < 5) for document in range(10) for _ in range(10)]
    found = estimate(scores, [document for document in range(10) for _ in range(10)])
    assert found and found.method == "bootstrap or wilson"
    standard_error = sqrt(0.25 / 10)
    assert found.high - found.low == pytest.approx(2 * Z * standard_error, abs=0.1)
    assert found.high - found.low > 2 * (wilson(0.5, 100)[1] - wilson(0.5, 100)[0])


def test_few_documents_that_agree_by_chance_say_no_more_than_their_questions() -> None:
    """Five documents with 4 or 5 of 8 right: their differences alone would say 51 % to 59 %."""
    scores = [n < right for right in (4, 4, 4, 5, 5) for n in range(8)]
    documents = [document for document in range(5) for _ in range(8)]
    found = estimate(scores, documents)
    assert found and found.method == "bootstrap or wilson"
    assert (found.low, found.high) == tuple(round(end, 4) for end in wilson(22 / 40, 40))
    many = estimate(scores * 4, [40 * n + d for n in range(4) for d in documents])
    assert many and many.documents == 20 and many.method == "cluster bootstrap"


def test_the_bootstrap_of_many_is_the_normal_interval() -> None:
    scores = np.random.default_rng(1).random(1000)
    low, high = bootstrap([[s] for s in scores], range(1000))
    reach = Z * scores.std() / sqrt(1000)
    assert low == pytest.approx(scores.mean() - reach, abs=0.002)
    assert high == pytest.approx(scores.mean() + reach, abs=0.002)


def test_the_bootstrap_weighs_documents_by_their_questions() -> None:
    """Two documents, 1 of 1 and 0 of 3: the draws' means are 0, 1/4 and 1."""
    assert bootstrap([[1], [0], [0], [0]], ["a", "b", "b", "b"]) == (0.0, 1.0)
    found = estimate([1, 0, 0, 0], ["a", "b", "b", "b"])
    assert found and found.mean == 0.25


def test_where_all_are_right_the_documents_are_counted() -> None:
    found = estimate([1.0] * 40, [n // 4 for n in range(40)])
    assert found and found.method == "wilson over documents"
    assert (found.low, found.high) == (round(10 / (10 + Z * Z), 4), 1.0)


def test_where_all_score_the_same_the_documents_are_counted() -> None:
    found = estimate([0.3] * 30, range(30))
    assert found and found.method == "wilson over documents"
    assert (found.low, found.high) == tuple(round(end, 4) for end in wilson(0.3, 30))


def test_a_ratio_of_independent_means_has_the_interval_of_its_logarithm() -> None:
    """The delta method: the variance of log(a / b) is that of a over a squared, and of b."""
    first, second = np.random.default_rng(1).random((2, 1000))
    pairs = list(zip(2 * first, second, strict=True))
    found = ratio(pairs, range(1000))
    assert found and found.method == "cluster bootstrap"
    assert found.ratio == pytest.approx(2 * first.mean() / second.mean(), abs=1e-4)
    deviation = sqrt(sum(x.var() / x.mean() ** 2 / 1000 for x in (first, second)))
    assert found.high is not None
    assert np.log([found.low, found.high]) == pytest.approx(
        np.log(found.ratio) + np.array([-Z, Z]) * deviation, abs=0.01
    )
    assert (found.asked, found.documents) == (1000, 1000)


def test_a_ratio_is_over_the_same_questions_of_the_same_documents() -> None:
    """Where every document is read twice as well by one, nothing of the ratio is left to chance."""
    scores = [0.1, 0.2, 0.3, 0.4]
    found = ratio([(2 * s, s + 1e-4 * n) for n, s in enumerate(scores)], "abcd")
    assert found and found.high is not None
    assert found.ratio == pytest.approx(2, abs=0.01) and found.high - found.low < 0.01


def test_a_ratio_to_what_may_be_nothing_has_no_bound() -> None:
    found = ratio([(0.5, 0.0), (0.4, 0.0), (0.6, 0.2)], "abc")
    assert found and (found.ratio, found.high) == (7.5, None)
    assert 0 < found.low < 7.5
    assert ratio([(0.5, 0.0)] * 3, "abc") is None
    assert ratio([], []) is None


@pytest.mark.parametrize("documents", ["aaa", "abc"])
def test_documents_that_are_one_or_all_alike_say_nothing_of_a_ratio(documents: str) -> None:
    found = ratio([(0.0, 0.5)] * 3, documents)
    assert found and (found.ratio, found.low, found.high) == (0.0, 0.0, None)
    assert found.method == "unknown" in METHODS


def test_a_single_document_says_nothing_of_others() -> None:
    found = estimate([1.0, 0.0, 1.0], ["a"] * 3)
    assert found and (found.low, found.high, found.method) == (0.0, 1.0, "unknown")
    assert estimate([], []) is None
