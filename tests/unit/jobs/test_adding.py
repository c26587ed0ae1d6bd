"""Jobs that come at once are recorded in one transaction, and each has its own outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from pywps_hpc.jobs import Job, JobStore, Limit, LimitReached, TableUnavailable, job_name, new_id
from pywps_hpc.jobs import drain as drains
from pywps_hpc.jobs.adding import Adding
from pywps_hpc.jobs.callbacks import Event
from pywps_hpc.jobs.database import Lock
from pywps_hpc.jobs.drain import Drain, Drained
from pywps_hpc.jobs.single import Asked
from pywps_hpc.jobs.together import Entry, Together
from servers import wait_for

ROOM = [Limit(100, "this service")]


def job(**facts: Any) -> Job:
    job_id = new_id()
    known = {"id": job_id, "name": job_name("w", job_id), "process": "p", "digest": "d"}
    return Job(**known | {"access": new_id()} | facts)


class Counted:
    """The transactions of a job table; the first one waits until all that come have come.

    Attributes:
        begun: how many there were.
    """

    def __init__(self, store: JobStore, patch: pytest.MonkeyPatch) -> None:
        self.store, self.begun = store, 0
        self.go, self.first = threading.Event(), threading.Event()
        self.waiting: list[Entry[Any]] = []
        writing, do = store._writing, Together.do

        @contextlib.contextmanager
        def counted(lock: Lock | None = None, patience: float | None = None) -> Iterator[Asked]:
            self.begun += 1
            if self.begun == 1:
                self.first.set()
                assert self.go.wait(60)
            with self.writing(writing, lock, patience) as asked:
                yield asked

        def noted(together: Together[Any], *arguments: Any) -> Entry[Any]:
            self.together = together
            return do(together, *arguments)

        patch.setattr(store, "_writing", counted)
        patch.setattr(Together, "do", noted)

    def writing(self, writing: Any, *arguments: Any) -> Any:
        """One transaction."""
        return writing(*arguments)

    def at_once(self, *calls: Callable[[], Job]) -> list[Job | Exception]:
        """What becomes of them; the first one's transaction begins when all others wait."""
        found: dict[int, Job | Exception] = {}

        def call(number: int) -> None:
            try:
                found[number] = calls[number]()
            except Exception as error:
                found[number] = error

        threads = [threading.Thread(target=call, args=(n,)) for n in range(len(calls))]
        threads[0].start()
        assert self.first.wait(30)
        for number, thread in enumerate(threads[1:], 1):
            thread.start()
            wait_for(lambda n=number: len(self.together._waiting) == n, "it waits", 30)  # type: ignore[misc]
        self.go.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        return [found[number] for number in range(len(calls))]


def test_one_transaction_records_all_that_come_at_once(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, new = Counted(store, monkeypatch), [job(sync=bool(n % 2)) for n in range(9)]
    urls = {Event.SUCCESS: "https://h/ok", Event.FAILED: "https://h/no"}
    found = counted.at_once(*(lambda one=one: store.add(one, ROOM, urls, True) for one in new))  # type: ignore[misc]
    assert counted.begun == 1
    for one, recorded in zip(new, found, strict=True):
        assert isinstance(recorded, Job)
        assert recorded == dataclasses.replace(
            one, created=recorded.created, changed=recorded.changed, callbacks=2
        )
        assert store.get(one.id) == recorded
        assert {known.event: known.url for known in store.callbacks_of(one.id)} == urls


def test_each_of_them_has_its_own_limits(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(job(process="q", client="anna"))
    counted = Counted(store, monkeypatch)
    kinds = [("p", "anna"), ("p", "ben"), ("q", "anna"), ("p", "eve"), ("q", "eve"), ("q", "joe")]

    def add(process: str, client: str) -> Job:
        limits = [
            Limit(5, "this service"),
            Limit(2, "this process", process=process),
            Limit(2, "one client", client=client),
        ]
        return store.add(job(process=process, client=client), limits)

    found = counted.at_once(*(lambda kind=kind: add(*kind) for kind in kinds))  # type: ignore[misc]
    assert counted.begun == 1
    assert [one.limit.whose if isinstance(one, LimitReached) else "" for one in found] == [
        *("", "", "one client", "this process", "", "this process")
    ]
    assert {one.client for one in store.recent()} == {"anna", "ben", "eve"}


def test_a_table_that_drains_concerns_those_only_whom_it_does(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    drains.begin(store, Drain("maintenance"))
    counted = Counted(store, monkeypatch)
    first, second, third = counted.at_once(
        lambda: store.add(job(), ROOM),
        lambda: store.add(job(), ROOM, None, True),
        lambda: store.add(job(), ROOM),
    )
    assert counted.begun == 1
    assert isinstance(first, Job)
    assert isinstance(third, Job)
    assert isinstance(second, Drained)
    assert second.drain.message == "maintenance"


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_row_that_the_database_refuses_concerns_no_other(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    known = store.add(job())
    new = [job() for _ in range(4)]
    new[place] = job(access=known.access)
    counted = Counted(store, monkeypatch)
    found = counted.at_once(*(lambda one=one: store.add(one, ROOM) for one in new))  # type: ignore[misc]
    assert isinstance(found.pop(place), sa.exc.IntegrityError)
    assert store.get(new.pop(place).id) is None
    assert [one.id for one in found if isinstance(one, Job)] == [one.id for one in new]
    assert all(store.get(one.id) == recorded for one, recorded in zip(new, found, strict=True))
    assert counted.begun == 5  # and each alone


def test_of_a_commit_that_fails_nobody_knows_so_nobody_tries_again(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(store, monkeypatch)

    @contextlib.contextmanager
    def lost(writing: Any, *arguments: Any) -> Iterator[Asked]:
        with writing(*arguments) as asked:
            yield asked
        raise TableUnavailable("the connection was lost")  # it did commit

    monkeypatch.setattr(counted, "writing", lost)
    found = counted.at_once(*(lambda: store.add(job(), ROOM) for _ in range(3)))
    assert [str(one) for one in found if isinstance(one, TableUnavailable)] == [
        "the connection was lost"
    ] * 3
    assert counted.begun == 1
    assert len(store.recent()) == 3


def test_who_comes_when_one_waits_for_the_table_waits_no_longer_than_that(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "timeout", 0.2)
    held, first = threading.Event(), threading.Event()
    add_all = Adding._add_all

    def hold(self: JobStore, *arguments: Any) -> None:
        first.set()
        assert held.wait(60)
        add_all(self, *arguments)

    monkeypatch.setattr(Adding, "_add_all", hold)
    leader = threading.Thread(target=lambda: store.add(job(), ROOM))
    leader.start()
    assert first.wait(30)
    late = job()
    with pytest.raises(TableUnavailable, match="too many changes at once"):
        store.add(late, ROOM)
    held.set()
    leader.join(60)
    assert store.get(late.id) is None
