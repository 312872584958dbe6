"""What a record says stays text: on the board, in CHANGES.md, in figures and on a terminal."""

from __future__ import annotations

import contextlib
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from leaderboard.factory import make_method, make_record, write_published
from markdown_it import MarkdownIt
from rich.console import Console

from fetchbench.__main__ import run
from fetchbench.leaderboard import console_table, rows
from fetchbench.leaderboard.board import board
from fetchbench.leaderboard.drawing import draw
from fetchbench.leaderboard.figures import figure_data
from fetchbench.leaderboard.manifest import manifest
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.records.schema import Component, Probe, Record

PLAIN = "plain"
HOSTILE = {
    "a terminal's commands": "\x1b[2J\x1b]0;owned\x07\x9b31m\x08",
    "letters turned round": "a\u202eb\u2066c\u200fd\u061c",
    "cells and lines": "a | b |\n| --- |\n| x |\r\n# head\n\n---\n- item",
    "html": "<img src=x onerror=alert(1)><script>alert(1)</script><!-- -->",
    "an end of a comment": "--> <b>bold</b> <!--",
    "links and images": "[x](javascript:alert(1)) ![y](http://e.example/z.png) <http://e.example>",
    "a reference": "[x]: http://e.example 'title' [x][x]",
    "bare addresses": "www.e.example http://e.example someone@e.example WWW.E.EXAMPLE",
    "code and emphasis": "`code` ``more`` **bold** __b__ *i* _i_ ~~gone~~ $x^2$ \\| \\<",
    "what looks escaped": "&lt;img&gt; &#60;b&#62; &amp;",
    "separators of lines": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "zero width": "a\u200bb\ufeffc\u00ad",
}


TASKS = ("FetchReach-v4", "FetchPush-v4")


def record(text: str, name: str, seed: int, task: str = "FetchReach-v4", status: str = "done") -> Record:
    """A record that has a text in every field that takes any."""
    part: dict[str, Any] = {
        "options": {text: text, "list": [text]},
        "provider": text,
        "version": text,
        "source_sha256": "a" * 64,
        "licence": text,
    }
    method = make_method(
        name,
        encoder=Component(name="outer", wraps=Component(name=name, **part), **part),
        augmentation=Component(name="shift", **part),
        auxiliary_loss=Component(name="curl", **part),
        routing=Component(name="critic", **part),
        goal_space=Component(name="vector", **part),
    )
    origin = {"weights": {text: text}, "licences": {text: text}, "packages": {"torch": text, "mujoco": text, text: text}}
    words = ("fetchbench", "commit", "python", "platform", "processor", "gpu", "finished", "suite_sha256")
    made = make_record(
        method,
        seed,
        task=task,
        status=status,
        request={"mujoco": text},
        provenance={**origin, "renderer": {text: text}, "dirty": True, **dict.fromkeys(words, text)},
    )
    numbers = {"r2": {"gripper_xyz": 0.5, text: 0.5}, "error_cm": {}, "mean_error_cm": {}, "effective_rank": 1.0}
    probes = [
        Probe(steps=2000, updates=1000, encoder=encoder, scenes=9, dead_units=0, **numbers)
        for encoder in (f"{text} 1", f"{text} 2")
    ]
    reason = "" if status == "done" else text
    return made.model_copy(update={"result": made.result.model_copy(update={"probes": probes, "reason": reason}).sealed()})


def records(text: str) -> list[Record]:
    """Two methods on two tasks, with runs that ended in every way."""
    return [
        *(
            record(text, name, seed, task)
            for name in ("a", "b")
            for seed in (0, 1)
            for task in ("FetchReach-v4", "FetchPush-v4")
        ),
        record(text, "a", 2, status="failed"),
        record(text, "a", 3, status="diverged"),
        record(text, "a", 4, status="censored"),
    ]


def pages(text: str) -> dict[str, str]:
    """Every page, of records and of a suite's file that say this."""
    asked = (("a", "FetchReach-v4", 0), ("b", "FetchSlide-v4", 0))
    notes = {
        "reach-v1": SuiteNotes(text, "a", (("b", "a"),), asked),
        "other-v1": SuiteNotes(text, runs=asked, bundled=True),
    }
    suites = {"reach-v1": records(text)}
    return {"README.md": board(suites, notes), "CHANGES.md": manifest(suites, notes)}


def structure(page: str) -> list[tuple[str, ...]]:
    """What a page is made of, without its text: every heading, cell, link with where it leads, tag and piece of code."""
    found: list[tuple[str, ...]] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page):
        found.append((token.type, token.content if token.type in ("html_block", "fence", "code_block") else ""))
        for inner in token.children or ():
            if inner.type not in ("text", "softbreak", "text_special"):
                href = str(inner.attrs.get("href", inner.attrs.get("src", "")))
                found.append((inner.type, href, inner.content if inner.type in ("html_inline", "code_inline") else ""))
    return found


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return pages(PLAIN)


def without_digests(found: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Digests follow the records, and so differ."""
    return [tuple(re.sub(r"^[0-9a-f]{12}$", "digest", part) for part in parts) for parts in found]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("page", ["README.md", "CHANGES.md"])
def test_a_page_is_made_of_the_same_parts_whatever_its_records_say(plain, text, page):
    found = pages(text)[page]
    assert PLAIN in plain[page]
    assert without_digests(structure(found)) == without_digests(structure(plain[page]))
    assert all(char.isprintable() or char == "\n" for char in found)
    # What GitHub makes a link of without being told to.
    bare = r"(?i)\bwww\.\w|\w://\w|\w@\w"
    assert re.findall(bare, found) == re.findall(bare, plain[page])


def test_names_that_look_like_addresses_are_no_links():
    found = [make_record(make_method("www.e.example"), seed, suite="www.e.example", task="www.e.example") for seed in (0, 1)]
    notes = {"www.e.example": SuiteNotes("x", runs=(("www.e.example", "www.e.example", 7),))}
    notes["www.f.example"] = SuiteNotes("y", runs=notes["www.e.example"].runs, bundled=True)
    for page in (board({"www.e.example": found}, notes), manifest({"www.e.example": found}, notes)):
        shown = re.sub(r"`[^`]*`|\]\([^)]*\)", "", page)
        assert "www&#46;e.example" in shown
        assert not re.search(r"(?i)www\.\w", shown)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_terminal_is_told_nothing(text):
    out = io.StringIO()
    Console(file=out, width=160, markup=False, force_terminal=False).print(console_table(rows(records(text))))
    assert all(line.isprintable() for line in out.getvalue().split("\n"))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_commands_print_records_as_text(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    write_published(tmp_path, [one for one in records(text) if one.request.seed < 2])
    (tmp_path / "suites").mkdir()
    for command in (["compare", "a", "b"], ["publish", "--check"], ["plan", "demo"]):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(command)
        assert code == (2 if command[0] == "publish" else 0), err.getvalue()
        assert all(line.isprintable() for line in (out.getvalue() + err.getvalue()).split("\n"))


def test_a_suites_file_cannot_speak_to_the_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('"\\u001b[2J\\u202e" = 1\n[methods."\\u009b31m"]\ntrack = "\\u001b]0;x\\u0007"\n')
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert run(["show", "mine.toml"]) == 2
    assert "unknown field" in err.getvalue()
    assert all(line.isprintable() for line in err.getvalue().split("\n"))


def test_a_figure_holds_shapes_and_its_digest():
    odd = ("www.e.example", "a" * 100, "0.script")
    found = [make_record(make_method(name), seed) for name in odd for seed in (0, 1)]
    svg = draw(figure_data("www.e.example", found)["success"])["svg"]
    kinds = set()
    for element in ElementTree.fromstring(svg).iter():
        kinds.add(element.tag.rpartition("}")[2])
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            if name.endswith("href"):
                assert value.startswith("#")
    assert not kinds & {"a", "script", "image", "foreignObject", "iframe", "text", "animate", "set"}
