"""A bar with the time left."""

import sys


class Progress:
    """A bar where tqdm and a terminal are there, else nothing.

    Call it with a title, how much is done and how much there is. The time left is judged from what
    is done after the first call, so neither compilation nor an earlier part of the run counts.
    """

    def __init__(self) -> None:
        self.bar = None

    def __call__(self, title: str, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = self._bar(title, done, total)
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    @staticmethod
    def _bar(title: str, done: int, total: int):
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        return tqdm(
            total=total,
            desc=title,
            unit="step",
            unit_scale=total > 10_000,
            initial=done,
            leave=False,
            disable=not sys.stderr.isatty(),
        )
