"""Whatever stands in a suite's file: it is read, or every problem is told, and nothing hangs."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchbench.__main__ import run
from fetchbench.errors import FetchbenchError, SuiteError
from fetchbench.suite import Suite, load_suite, suite_titles
from fetchbench.suite.problems import MOST_PROBLEMS
from fetchbench.suite.reading import MOST_BYTES, MOST_RUNS
from properties.strategies import ROOT, assert_clear, changed, damaged, document, some, texts, toml_values

SOUND = [path.read_bytes() for path in sorted((ROOT / "suites").glob("*.toml"))]
TABLES = [tomllib.loads(text.decode()) for text in SOUND]
SMALL = next(table for table in TABLES if "factors" not in table)


def loaded(content: bytes, folder: Path) -> Suite | None:
    """What a file with this content gives; ``None`` where it is refused, with a message that is looked at."""
    path = folder / "mine.toml"
    path.write_bytes(content)
    try:
        suite, refusal = load_suite("mine.toml"), None
    except SuiteError as error:
        suite, refusal = None, error
    assert path.read_bytes() == content
    if refusal is not None:
        assert refusal.where == "mine.toml"
        assert 1 <= len(refusal.problems) <= MOST_PROBLEMS + 1
        assert_clear(str(refusal).replace("\n", " "), "mine.toml")
    return suite


def told(*arguments: str) -> tuple[int, str, str]:
    """Exit code and output of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()


def judge(content: bytes, folder: Path) -> None:
    """What must hold of any content."""
    suite = loaded(content, folder)
    code, out, err = told("show", "mine.toml")
    assert code == (2 if suite is None else 0), err
    assert "Traceback" not in out + err
    assert_clear(err.rstrip("\n"), *([] if suite else ["error: mine.toml: "]), lines=MOST_PROBLEMS + 2)
    assert all(line.isprintable() for line in out.split("\n"))
    if suite is None:
        return
    cells = list(suite.cells())
    assert len(cells) <= MOST_RUNS
    assert len({(seed, method.name, task) for seed, method, task in cells}) == len(cells)
    # It is the same suite however it is laid out, and each time that it is read.
    again = loaded(document(tomllib.loads(content.decode())).encode(), folder)
    assert again is not None
    assert dataclasses.replace(again, sha256=suite.sha256) == suite


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"a = " + b"9" * 5000)
@example(b"seeds = 0x" + b"f" * 6000)
@example(b"a = " + b"[" * 3000)
@example(b".".join([b"a"] * 9000) + b" = 1")
@example(b"\xef\xbb\xbftitle = 1")
@example(b'"\\u001b[2J" = 1')
def test_any_bytes(folder, content):
    judge(content, folder)


@some(0.5)
@given(st.dictionaries(texts | st.sampled_from(sorted(SMALL)), toml_values, max_size=6))
@example({"tasks": [["FetchReach-v4"]]})
@example({"seeds": [0] * 9000})
@example({"contrasts": [["a", {}]]})
def test_any_document(folder, table):
    judge(document(table).encode(), folder)


@given(changed(TABLES, toml_values))
@example(SMALL | {"methods": {"m": {"encoder": "nature(" * 300 + "nature" + ")" * 300}}})
@example(SMALL | {"methods": {"m" * 300: {"track": "blind"}}})
@example(SMALL | {"methods": {"\x1b]0;x\x07": {"track": "blind"}}, "baseline": "m"})
@example(SMALL | {"budget": {"steps": 2**62}})
@example(SMALL | {"budget": {"steps": 10**400}})
@example(SMALL | {"factors": {f"f{n}": ["a", "b"] for n in range(600)}})
@example(SMALL | {"factors": {"routing": ["critic", "actor"], "exclude": [{"routing": {"a": 1}}]}})
@example(SMALL | {"factors": {"routing": ["critic", "actor"], "exclude": [{"routing": [["critic"]]}]}})
def test_a_sound_suite_with_something_changed(folder, table):
    judge(document(table).encode(), folder)


@given(damaged(SOUND))
def test_a_sound_suite_with_damaged_bytes(folder, content):
    judge(content, folder)


@some(0.1)
@given(changed(TABLES, toml_values))
def test_planning_answers_or_refuses(folder, table):
    suite = loaded(document(table).encode(), folder)
    code, out, err = told("plan", "mine.toml")
    assert code == (2 if suite is None else 0), err
    assert "Traceback" not in out + err


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.toml")), ids=lambda path: path.stem)
def test_our_own_suites_are_the_same_however_they_are_laid_out(folder, path):
    judge(path.read_bytes(), folder)


MANY = "".join(f"x{n} = 1\n" for n in range(MOST_BYTES))
HUGE = {
    "a thousand million seeds": document(SMALL | {"seeds": 10**9}),
    "more seeds than runs may have": document(SMALL | {"seeds": [0] * (MOST_BYTES // 4)}),
    "more runs than anybody makes": document(
        SMALL | {"seeds": 1000, "methods": {f"m{n}": {"encoder": {"name": "nature", "dim": n}} for n in range(1, 300)}}
    ),
    "ten to the twelfth combinations": document(
        SMALL | {"factors": {f"f{n}": {f"l{m}": {"trunk": m} for m in range(10)} for n in range(12)}}
    ),
    "two to the nine hundredth": document(SMALL | {"factors": {f"f{n}": ["a", "b"] for n in range(900)}}),
    "thousands of factors": document(SMALL | {"factors": {f"f{n}": ["a", "b"] for n in range(2000)}}),
    "one factor of many levels": document(
        SMALL | {"factors": {"design": "one-at-a-time", "f": [f"l{n}" for n in range(5000)]}}
    ),
    "many exclusions": document(
        SMALL | {"factors": {"routing": ["critic", "actor"], "exclude": [{"routing": "actor"}] * 2500}}
    ),
    "an unknown field on every line": MANY[: MOST_BYTES - 9].rpartition("\n")[0],
    "keys of many parts": "a." * (MOST_BYTES // 2 - 9) + "a = 1",
    "quoted keys of many parts": '"a".' * (MOST_BYTES // 4 - 9) + "a = 1",
    "a table's name of many parts": "[" + "a . " * (MOST_BYTES // 4 - 9) + "a]",
    "one long word": "a" * (MOST_BYTES - 9),
    "many quotes": "'\"" * (MOST_BYTES // 2 - 9),
    "one long string": f'title = "{"x" * (MOST_BYTES - 99)}"',
    "lists in lists": "a = " + "[" * (MOST_BYTES - 99),
    "tables in tables": "a = " + "{a=" * (MOST_BYTES // 3 - 99),
    "a file of ten megabytes": "#" * 10_000_000,
}


SAYS = {
    "a thousand million seeds": "seeds: must be 1 to 1000 where it says how many, not 1000000000",
    "more seeds than runs may have": "seeds: are 16,384, and 1,000 are the most",
    "more runs than anybody makes": "runs of 299 methods, and 20,000 are the most; take fewer",
    "ten to the twelfth combinations": "factors: these are more than a thousand million combinations, and 2,000 are the most",
    "two to the nine hundredth": "factors.f0.a: 'a' is a value for the field 'f0', which no method has",
    "thousands of factors": "factors: have 4,000 levels, and 2,000 are the most",
    "one factor of many levels": "factors: have 5,000 levels, and 2,000 are the most",
    "many exclusions": "factors.exclude: are 2,500 entries, and 2,000 are the most",
    "an unknown field on every line": "file: 50 problems and perhaps more; these are the first",
    "keys of many parts": "line 1: a key of 32 parts or more: nothing in a suite is nested so deeply",
    "quoted keys of many parts": "line 1: a key of 32 parts or more",
    "a table's name of many parts": "line 1: a key of 32 parts or more",
    "lists in lists": "file: lists or tables are nested too deeply to be read",
    "tables in tables": "file: lists or tables are nested too deeply to be read",
    "a file of ten megabytes": "file: has more than 65,536 bytes, the most; write what varies as [factors]",
}


@pytest.mark.parametrize("name", HUGE)
def test_what_is_huge_is_refused_before_it_costs_anything(folder, name):
    (folder / "mine.toml").write_text(HUGE[name])
    began = time.process_time()
    with pytest.raises(SuiteError) as caught:
        load_suite("mine.toml")
    assert time.process_time() - began < 5
    assert_clear(str(caught.value).replace("\n", " "), "mine.toml", SAYS.get(name, ""))


def test_what_cannot_be_read_is_left_out_of_a_list(folder):
    (folder / "suites").mkdir(exist_ok=True)
    path = folder / "suites" / "deep.toml"
    path.write_text("a = " + "[" * 5000)
    try:
        assert "deep" not in suite_titles()
        assert told("suites")[0] == 0
        with pytest.raises(FetchbenchError):
            load_suite("deep")
    finally:
        path.unlink()
