"""Whoever follows a fetch: a progress bar, a test, or nobody."""


class Watch:
    """Is told what happens; this one does nothing with it."""

    def say(self, text: str) -> None:
        """One sentence that people should read."""

    def start(self, what: str, total: int) -> None:
        """The next piece of work, of `total` bytes; 0: not known."""

    def advance(self, amount: int) -> None:
        """So many more bytes of it are done."""

    def reach(self, done: int, total: int | None) -> None:
        """So many bytes of it are done, of `total`, if that is known by now."""


SILENT = Watch()
