"""Intervals over seeds and ranks of methods: pure functions of numbers, on the standard library alone.

:mod:`fetchbench.statistics.comparison` and :mod:`fetchbench.statistics.probing` need numpy, and are imported by their names;
:mod:`fetchbench.statistics.coverage` is seldom needed.
"""

from fetchbench.statistics.intervals import Interval, binomial_variance, mean_interval, student_interval, student_quantile
from fetchbench.statistics.ranking import Evidence, evidence, ranks, shown

__all__ = [
    "Evidence",
    "Interval",
    "binomial_variance",
    "evidence",
    "mean_interval",
    "ranks",
    "shown",
    "student_interval",
    "student_quantile",
]
