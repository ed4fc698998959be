"""A process with all that it has started: the memory they use together, and their end."""

import contextlib
import os

import psutil

SWEEPS = 10  # while the signals go out, a process may start another


class ProcessTree:
    """The process `pid`, its children, theirs, and those of them that lost their parent.

    A process is known from the first `look` that finds it. One that was started and orphaned
    between two calls still belongs to the session of a known process (a kernel leads one), and
    so `kill` finds it. On Windows, which has no sessions, only the known ones are ended.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known = {self._root}
        self._leaders: dict[int, psutil.Process] = {}

    def look(self) -> None:
        """Find what has been started since the last look, and forget what has ended."""
        self._known = {process for process in self._known if process.is_running()}
        with contextlib.suppress(psutil.NoSuchProcess):
            self._known.update(self._root.children(recursive=True))
        for process in self._known:
            if _session(process.pid) == process.pid:
                self._leaders[process.pid] = process

    def resident_bytes(self, limit: float = float("inf")) -> int:
        """Return the memory of all known processes together, resident in RAM.

        Pages that processes share count for each of them, which is cheap to learn. Only where
        the sum is above `limit` is Linux asked for their true shares (PSS), which takes long.
        """
        total = sum(_resident(process) for process in self._known)
        return sum(_share(process) for process in self._known) if total > limit else total

    def kill(self) -> None:
        """End all of them, at once and without a chance to clean up. Safe to call twice."""
        ended: set[psutil.Process] = set()
        for _ in range(SWEEPS):
            self.look()
            left = (self._known | self._in_known_sessions()) - ended
            if not left:
                return
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()  # the same process, not a later one of the same number
            ended |= left

    def _in_known_sessions(self) -> set[psutil.Process]:
        # A session's number is free again only when its last process is gone. So where the
        # leader's number belongs to another process by now, the session is another one too.
        ours = {
            pid
            for pid, leader in self._leaders.items()
            if leader.is_running() or not psutil.pid_exists(pid)
        }
        found = set()
        for pid in psutil.pids() if ours else []:
            if _session(pid) in ours:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.add(psutil.Process(pid))
        return found


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid) if hasattr(os, "getsid") else None
    except (ProcessLookupError, PermissionError):
        return None


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _share(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:
        return _resident(process)
    return int(getattr(memory, "pss", memory.rss))
