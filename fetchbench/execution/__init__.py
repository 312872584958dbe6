"""From the runs of a suite to processes: what to run, who starts it where, progress read from the run folders."""

from fetchbench.execution.jobs import Job, Outcome, State, prepare
from fetchbench.execution.launching import Launcher, launcher
from fetchbench.execution.local import default_slots
from fetchbench.execution.planning import Plan, begin, plan
from fetchbench.execution.progress import Progress
from fetchbench.execution.scheduling import execute
from fetchbench.execution.status import RunStatus, finished_records, inspect, statuses

__all__ = [
    "Job",
    "Launcher",
    "Outcome",
    "Plan",
    "Progress",
    "RunStatus",
    "State",
    "begin",
    "default_slots",
    "execute",
    "finished_records",
    "inspect",
    "launcher",
    "plan",
    "prepare",
    "statuses",
]
