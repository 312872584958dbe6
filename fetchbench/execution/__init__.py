"""From the runs of a suite to processes: what to run, local slots, progress read from the run folders."""

from fetchbench.execution.jobs import Job, Outcome, State, prepare
from fetchbench.execution.local import default_slots, execute
from fetchbench.execution.planning import Plan, begin, plan
from fetchbench.execution.progress import Progress
from fetchbench.execution.status import RunStatus, finished_records, inspect, statuses

__all__ = [
    "Job",
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
    "plan",
    "prepare",
    "statuses",
]
