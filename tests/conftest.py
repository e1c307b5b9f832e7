"""Settings of the whole suite."""

from __future__ import annotations

import os

# Before torch loads its thread pool: tests share few cores with the processes they start, and
# threads that spin while they wait starve each other (seen: 90 s instead of 1 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
