"""Threads that want the same at the same time: one does it for all, and nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pywps_hpc.jobs.together import Entry, Late, Together
from servers import wait_for

Take = Callable[[int], list[Entry[int]]]


class Crowd:
    """Threads that each want a number to be done, while the first one is held up."""

    def __init__(self) -> None:
        self.together: Together[int] = Together()
        self.go, self.begun = threading.Event(), threading.Event()
        self.rounds: list[list[int]] = []
        self.threads: list[threading.Thread] = []
        self.became: dict[int, Entry[int] | Exception] = {}

    def lead(self, own: Entry[int], take: Take) -> None:
        """Done in the order of coming."""
        self.begun.set()
        assert self.go.wait(60)
        entries = [own, *take(3)]
        self.rounds.append([entry.what for entry in entries])
        for entry in entries:
            entry.done()

    def join(self, number: int, lead: Callable[[Entry[int], Take], None] | None = None) -> None:
        """One thread more, which waits."""

        def want() -> None:
            try:
                self.became[number] = self.together.do(number, lead or self.lead, 60)
            except Exception as error:
                self.became[number] = error

        waiting = len(self.threads)
        self.threads.append(threading.Thread(target=want))
        self.threads[-1].start()
        assert self.begun.wait(30)
        wait_for(lambda: len(self.together._waiting) == waiting, "it waits", 30)

    def end(self) -> None:
        """All threads are through."""
        self.go.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


def test_who_comes_meanwhile_is_done_together_with_others() -> None:
    crowd = Crowd()
    for number in range(7):
        crowd.join(number)
    crowd.end()
    assert crowd.rounds == [[0, 1, 2, 3], [4, 5, 6]]
    assert all(isinstance(one, Entry) and one.is_done for one in crowd.became.values())
    assert crowd.together.do(7, crowd.lead, 0).is_done  # and nobody leads any more


def test_who_leads_and_fails_leaves_the_others_to_the_next_one() -> None:
    crowd = Crowd()

    def fail(own: Entry[int], take: Take) -> None:
        crowd.begun.set()
        assert crowd.go.wait(60)
        assert [one.what for one in take(1)] == [1]
        raise ZeroDivisionError

    crowd.join(0, fail)
    for number in (1, 2, 3):
        crowd.join(number)
    crowd.end()
    assert isinstance(crowd.became[0], ZeroDivisionError)
    left = crowd.became[1]
    assert isinstance(left, Entry)
    assert not left.is_done  # it has to be done alone
    assert crowd.rounds == [[2, 3]]


def test_who_has_waited_for_too_long_is_not_done_any_more() -> None:
    crowd = Crowd()
    crowd.join(0)
    with pytest.raises(Late):
        crowd.together.do(1, crowd.lead, 0.01)
    crowd.join(2)
    crowd.end()
    assert crowd.rounds == [[0, 2]]
