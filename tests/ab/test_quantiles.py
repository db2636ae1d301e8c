"""Clustered quantiles."""

from __future__ import annotations

import pytest

from ab import quantiles


def test_clusters_of_one_row_are_independent_rows() -> None:
    level, n = 0.3, 1000
    below = 300
    clusters = quantiles.Clusters(level, n, below, below, n, n, below)
    assert clusters.inflation() == pytest.approx(n / (n - 1), rel=1e-9)
