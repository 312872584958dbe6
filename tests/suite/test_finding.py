"""Which suites there are, and what each is named."""

from __future__ import annotations

import pytest

from fetchbench.errors import FetchbenchError, UnknownNameError
from fetchbench.registry import bundled_folder
from fetchbench.suite import load_suite, suite_files, suite_titles

from .conftest import suite_text


def test_fetchbenchs_own_and_those_of_the_current_folder(write):
    mine = write("mine")
    files = suite_files()
    assert files["demo"] == bundled_folder("suites") / "demo.toml"
    assert files["mine"].samefile(mine)
    assert list(files) == sorted(files)


def test_hidden_files_and_drafts_are_no_suites(write):
    write(".#mine")
    write("_draft")
    assert not {".#mine", "_draft"} & set(suite_files())


def test_one_name_for_two_different_files(write):
    path = write("demo")
    with pytest.raises(FetchbenchError) as caught:
        suite_files()
    own = bundled_folder("suites") / "demo.toml"
    assert str(caught.value) == f"two suites are named 'demo': {own} and suites/demo.toml; rename one of the files"
    path.write_bytes(own.read_bytes())
    assert "demo" in suite_files()


def test_one_file_by_two_ways(workspace):
    (workspace / "suites").symlink_to(bundled_folder("suites"))
    assert load_suite("demo").name == load_suite("suites/demo.toml").name == "demo"


def test_a_path_may_not_borrow_another_suites_name(workspace):
    (workspace / "demo.toml").write_text(suite_text())
    with pytest.raises(FetchbenchError, match="two suites are named 'demo'"):
        load_suite("demo.toml")


def test_a_path(workspace):
    path = workspace / "elsewhere" / "reach-v1.2.toml"
    path.parent.mkdir()
    path.write_text(suite_text())
    suite = load_suite(str(path))
    assert (suite.name, suite.path) == ("reach-v1.2", path)


def test_an_unknown_suite(write):
    write("mine")
    with pytest.raises(UnknownNameError) as caught:
        load_suite("dmo")
    assert str(caught.value) == (
        f"unknown suite 'dmo'; did you mean 'demo'? Known: {', '.join(suite_files())}. "
        "Put a suite of your own into ./suites, or give the path of its .toml file."
    )
    with pytest.raises(UnknownNameError, match=r"unknown suite 'absent\.toml'.* There is no file absent\.toml\."):
        load_suite("absent.toml")


def test_titles_of_all_suites_that_say_one(write):
    write("mine")
    write("wrong", 'title = "Budget and more\\nare missing"\n')
    write("broken", "title = 'x'\n= 3\n")
    write("untitled", "title = 3\n")
    write("binary", "").write_bytes(b"\xff")
    write("folder", "").unlink()
    (suite_files()["mine"].parent / "folder.toml").mkdir()
    titles = suite_titles()
    for path in bundled_folder("suites").glob("*.toml"):
        assert titles.pop(path.stem) == load_suite(path.stem).title
    assert titles == {"mine": "A test", "wrong": "Budget and more are missing"}
