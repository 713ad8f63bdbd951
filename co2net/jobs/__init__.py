"""Jobs: long work as detached processes, each with a folder that tells all there is to know.

See ``docs/jobs.md`` for what lies in the folder.
"""

from co2net.jobs.data import open_data
from co2net.jobs.folder import Job, Look, State, finished_runs, job, jobs, runs_root, submit
from co2net.jobs.spec import (
    KINDS,
    Evaluate,
    Prepare,
    Reconstruct,
    Simulate,
    Spec,
    Train,
)

__all__ = [
    "KINDS",
    "Evaluate",
    "Job",
    "Look",
    "Prepare",
    "Reconstruct",
    "Simulate",
    "Spec",
    "State",
    "Train",
    "finished_runs",
    "job",
    "jobs",
    "open_data",
    "runs_root",
    "submit",
]
