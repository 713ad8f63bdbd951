"""The process of a job: ``python -m co2net.jobs FOLDER LOCK``, started by `co2net.jobs.submit`."""

import sys

from co2net.jobs.worker import main

sys.exit(main(sys.argv[1:]))
