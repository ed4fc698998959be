"""Settings of every test: figures without a screen, reproducible properties."""

import os

from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

# Deadlines are timing assertions; fixed examples keep a failure in CI reproducible here.
settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")
