"""Where runs are executed: one after the other, side by side, or on a Dask cluster.

`DaskCluster` is in `dask_cluster`, which loads Dask.
"""

from course_utils.batch.executors.executing import available_threads, execute
from course_utils.batch.executors.processes import Executor, Follow, Processes, serial

__all__ = ["Executor", "Follow", "Processes", "available_threads", "execute", "serial"]
