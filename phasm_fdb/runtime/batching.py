"""How many pieces of work share a transaction: more when there is a backlog, fewer when that goes wrong."""

from __future__ import annotations


class BatchSize:
    """Doubles when a full batch went through at once, halves on a conflict or when a batch was too large.

    Args:
        largest: the most that share a transaction.
    """

    def __init__(self, largest: int, start: int = 16) -> None:
        self._largest = largest
        self.now = min(start, largest)

    def went_through(self, used: int, attempts: int) -> None:
        """A batch of `used` was committed by its `attempts`-th attempt."""
        if attempts > 1:
            self.now = max(1, self.now // 2)
        elif used >= self.now:
            self.now = min(self._largest, self.now * 2)

    def failed(self) -> bool:
        """A batch could not be committed; False if it was of one, and cannot be made smaller."""
        if self.now == 1:
            return False
        self.now = max(1, self.now // 2)
        return True
