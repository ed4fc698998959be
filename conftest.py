"""Settings of every test: figures without a screen, a cache of its own, reproducible properties."""

import os
import tempfile

from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
_cache = tempfile.TemporaryDirectory(prefix="course_cache_")
os.environ["COURSE_CACHE"] = _cache.name

# Deadlines are timing assertions; fixed examples keep a failure in CI reproducible here.
settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")
