"""Settings of all tests."""

import os

from hypothesis import settings

# One thread, here and in all processes that tests start: on fields as small as theirs, threads
# wait for each other longer than they work, on a busy machine ten times as long.
os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("patient", deadline=None)  # a slow or busy machine is no failure
settings.load_profile("patient")
