"""Quantiles compared between arms, from order statistics, for independent and for clustered rows."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

from ab.estimates import Estimate, NoResult
from ab.means import from_units

_Z = float(stats.norm.isf(0.025))


@dataclass(frozen=True, slots=True)
class Clusters:
    """Sums over clusters (users) of s, the cluster's rows below the quantile, and of n, its rows.

    Deng, Knoblich, Lu (2018), section 4: rows of one user are not independent, and this is by how much.
    """

    level: float
    clusters: int
    s: float
    s_squares: float
    n: float
    n_squares: float
    product: float

    def inflation(self) -> float:
        """Variance of the share below the quantile, clustered over independent."""
        count = self.clusters
        share, mean_n = self.s / self.n, self.n / count
        variance_s = (self.s_squares - self.s**2 / count) / (count - 1)
        variance_n = (self.n_squares - self.n**2 / count) / (count - 1)
        covariance = (self.product - self.s * self.n / count) / (count - 1)
        clustered = (variance_s - 2 * share * covariance + share**2 * variance_n) / (count * mean_n**2)
        return clustered / (self.level * (1 - self.level) / self.n)


def unit_variance(n: int, lower: float, upper: float, clusters: Clusters | None = None) -> float:
    """Variance that one row would have, were the quantile a mean: from its 95 % order-statistic interval."""
    variance = (n - 1) * ((upper - lower) / (2 * _Z)) ** 2
    return variance * clusters.inflation() if clusters else variance


def compare(
    control: tuple[int, float, float], treatment: tuple[int, float, float], *, alpha: float = 0.05
) -> Estimate | NoResult:
    """Difference of two quantiles from (rows, quantile, unit variance) of each arm; normal interval."""
    return from_units(control, treatment, alpha=alpha, distribution="normal")
