"""Text that shows as it is, whatever it holds."""

from __future__ import annotations

import html
import re
import string

import pytest

from fetchbench.leaderboard.markdown import escape, table


@pytest.mark.parametrize(
    "text",
    ["AMD EPYC 7763 64-Core Processor", "mobilenet_v3_large", "3.11.0", "coordconv(nature, k=1.5)", "ä ß 日本", "a - b", "-1"],
)
def test_ordinary_text_stays_readable(text):
    assert escape(text) == text


@pytest.mark.parametrize("char", sorted(set(string.punctuation) - set(".,+()=/-_")))
def test_punctuation_becomes_a_reference(char):
    assert escape(f"a{char}b") == f"a&#{ord(char)};b"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("_a_ b_c __d", "&#95;a&#95; b_c &#95;&#95;d"),
        ("see www.example.com", "see www&#46;example.com"),
        ("- item", "&#45; item"),
        ("+ item", "&#43; item"),
        ("---", "&#45;--"),
        ("1. item", "1&#46; item"),
        ("12) item", "12&#41; item"),
        ("# head", "&#35; head"),
        ("    code", "code"),
        ("a\nb\r\n\tc", "a b c"),
        ("a\x1b[31mb\x00c\u202ed\u200be", "a &#91;31mb c d e"),
        ("", ""),
    ],
)
def test_what_means_something_in_markdown(text, escaped):
    assert escape(text) == escaped


def test_a_browser_shows_the_text_itself():
    text = "".join(map(chr, range(33, 127)))
    assert html.unescape(escape(text)) == text


def test_nothing_is_left_that_markdown_or_html_knows():
    left = re.sub(r"&#\d+;", "", escape(string.printable * 2))
    assert not set(left) & set("|`*<>[]~\\&#!:$\"'{}^@%?;\n\r\t")


def test_very_long_text_is_cut_before_it_is_escaped():
    assert escape("x" * 161) == "x" * 157 + "..."
    assert escape("|" * 160) == "&#124;" * 160


def test_a_table():
    assert table(["A", "B", "C"], "lcr", [["1", "2", "3"]]) == ["| A | B | C |", "| :-- | :-: | --: |", "| 1 | 2 | 3 |"]
