"""Is one method better than another? Over the subsets' means, as the paper asks, and over the cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

#: Resamples of the bootstrap, and the percentiles that bound its interval.
RESAMPLES = 10_000
INTERVAL = (2.5, 97.5)
SEED = 999
#: Differences of Dice are told apart to so many digits; beyond are rounding errors, which would be ranked.
_DIGITS = 9


@dataclass(frozen=True)
class Advantage:
    """By how much one method's Dice exceeds another's in one region, and how sure that is.

    Attributes:
        difference: of the means over the subsets.
        t_test_p: one-tailed paired t-test over the subsets' means, as in the paper's Table 1. The subsets of the same
            cases are not independent of each other: it says little about other patients.
        wilcoxon_p: one-tailed Wilcoxon signed-rank test over the cases' means; None without cases.
        interval: bootstrap 95 % confidence interval of `difference` over the cases; None without cases.
        cases: how many cases both methods were evaluated on.
    """

    difference: float
    t_test_p: float | None
    wilcoxon_p: float | None = None
    interval: tuple[float, float] | None = None
    cases: int = 0


def advantage(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    cases: NDArray[np.float64] | None = None,
    seed: int = SEED,
) -> Advantage:
    """Compare two methods in one region; every test asks whether the first is better.

    Args:
        first, second: mean Dice of each subset (subsets,), in the same order.
        cases: Dice of the first minus Dice of the second (cases, subsets); NaN where a case lacks a sequence.
        seed: of the bootstrap.
    """
    difference, p = float(np.mean(first - second)), paired_t_test(first, second)
    if cases is None:
        return Advantage(difference, p)
    return Advantage(difference, p, wilcoxon(np.nanmean(cases, axis=1)), bootstrap(cases, seed), len(cases))


def paired_t_test(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """p of the one-tailed paired t-test that `first` is greater; None where all differences are the same."""
    if len(first) < 2 or np.ptp(np.round(first - second, _DIGITS)) == 0:
        return None
    return float(stats.ttest_rel(first, second, alternative="greater").pvalue)


def wilcoxon(differences: NDArray[np.float64]) -> float | None:
    """p of the one-tailed Wilcoxon signed-rank test that `differences` are above 0; None where all are 0."""
    rounded = np.round(differences, _DIGITS)
    if not rounded.any():
        return None
    return float(stats.wilcoxon(rounded, alternative="greater").pvalue)


def bootstrap(cases: NDArray[np.float64], seed: int = SEED) -> tuple[float, float] | None:
    """95 % interval of the mean over the subsets of the mean over the cases, the cases being drawn with replacement.

    Args:
        cases: differences (cases, subsets); NaN where a case lacks a sequence. A subset that no drawn case has does
            not count in that draw.
        seed: the same seed gives the same interval.

    Returns:
        Percentiles 2.5 and 97.5; None for fewer than two cases, which say nothing about others.
    """
    count = len(cases)
    if count < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    known = ~np.isnan(cases)
    weights = drawn @ known
    with np.errstate(invalid="ignore"):
        means = (drawn @ np.where(known, cases, 0)) / weights
    low, high = np.percentile(np.nanmean(means, axis=1), INTERVAL)
    return float(low), float(high)
