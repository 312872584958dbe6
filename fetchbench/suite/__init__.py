"""Suite files, and the runs that they ask for: which there are, what they say, and the index of a suite's runs."""

from fetchbench.suite.asking import still_asked_for
from fetchbench.suite.finding import suite_files, suite_titles
from fetchbench.suite.index import IndexedRun, SuiteIndex, read_index, write_index
from fetchbench.suite.model import Factor, Suite
from fetchbench.suite.reading import load_suite
from fetchbench.suite.runs import requests, run_directory, run_key
from fetchbench.suite.selection import select, with_plugins

__all__ = [
    "Factor",
    "IndexedRun",
    "Suite",
    "SuiteIndex",
    "load_suite",
    "read_index",
    "requests",
    "run_directory",
    "run_key",
    "select",
    "still_asked_for",
    "suite_files",
    "suite_titles",
    "with_plugins",
    "write_index",
]
