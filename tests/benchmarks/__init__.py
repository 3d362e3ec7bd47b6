"""Measurements; each module is a command of its own."""

import os

# As the command line does, and before anything loads OpenMP: threads that wait for work by
# spinning take the cores from those that have some.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
