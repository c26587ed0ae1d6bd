"""How many connections each worker of a server has, in memory that all of them see.

The kernel gives a new connection to whichever worker asks first: of fifty that come at once, one
worker may get all and the other none, and its clients wait for several times as long. What is here
decides nothing about whether a connection is taken, only who waits a moment for another to take it.
"""

from __future__ import annotations

import mmap

#: Workers at once, those that finish after a reload among them; any more are not counted.
PLACES = 256
#: Connections that a worker may have more than another one before it waits for that.
MARGIN = 4
#: The count of a worker that takes no connections, or is none.
_NOBODY = -1


class Shares:
    """The counts; made before workers are forked."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * PLACES)).cast("i")
        for place in range(PLACES):
            self._counts[place] = _NOBODY
        self._free = list(reversed(range(PLACES)))

    def take(self) -> Share:
        """In the master: a place for a worker that is about to begin."""
        return Share(self._counts, self._free.pop() if self._free else None)

    def give_back(self, share: Share) -> None:
        """In the master: the worker has ended, in whatever way."""
        share.leave()
        if share.place is not None:
            self._free.append(share.place)


class Share:
    """One worker's count.

    Args:
        counts: of all; a worker writes its own only.
        place: of its own; ``None``: it has none, and waits for nobody.
    """

    def __init__(self, counts: memoryview, place: int | None) -> None:
        self._counts, self.place = counts, place

    def tell(self, connections: int) -> None:
        """It takes connections, and has so many."""
        if self.place is not None:
            self._counts[self.place] = connections

    def leave(self) -> None:
        """It takes no more."""
        self.tell(_NOBODY)

    @property
    def is_large(self) -> bool:
        """Whether another worker that takes connections has fewer by :data:`MARGIN`."""
        if self.place is None:
            return False
        most = self._counts[self.place] - MARGIN
        return any(_NOBODY < count <= most for count in self._counts.tolist())
