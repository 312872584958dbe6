"""The first difference of two JSON values, and where it is."""

from __future__ import annotations

import pytest

from fetchbench.records.differences import first_difference


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ([{"a": [1, None]}], [{"a": [1, None]}], None),
        (1, 2, ("", 1, 2)),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ("a.c", 2, 3)),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, ("a[1].b", 2, 3)),
        ([[1], [2, 3]], [[1], [2, 4]], ("[1][1]", 3, 4)),
        ({"a": [1]}, {"a": [1, 2]}, ("a", "1 entries", "2 entries")),
        ({"a": None}, {"a": 0.5}, ("a", None, 0.5)),
        ({}, {"a": 0.5}, ("a", None, 0.5)),
        ({"b": 1, "a": 1}, {"a": 2, "b": 2}, ("b", 1, 2)),
        ({"a": [1]}, {"a": {"b": 1}}, ("a", [1], {"b": 1})),
    ],
)
def test_the_first_difference(one, other, found):
    assert first_difference(one, other) == found
