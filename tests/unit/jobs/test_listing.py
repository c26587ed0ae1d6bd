"""Pages of the list of jobs: the same as looking at every job, at the cost of a few."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from pywps_hpc.jobs import ControlRequest, Job, JobStore, State, job_name, listing, new_id
from pywps_hpc.jobs.listing import Filter
from pywps_hpc.jobs.rows import to_row
from pywps_hpc.jobs.schema import jobs as table
from pywps_hpc.jobs.view import PublicState, job_view

NOW = time.time()
OWNERS, PROCESSES = ("", "anna", "ben"), ("p", "q", "r")


def some_jobs(number: int, chance: random.Random) -> list[Job]:
    found = []
    for index in range(number):
        job_id, state = new_id(), chance.choice(list(State))
        created = NOW - 1000 + index // 3  # some at the very same time
        begun = state not in (State.STAGING, State.ACCEPTED, State.SUBMITTING, State.QUEUED)
        over = state in (State.SUCCEEDED, State.FAILED, State.DISMISSED)
        started = created + 1 if begun and chance.random() < 0.9 else 0.0
        found.append(
            Job(
                job_id,
                job_name("w", job_id),
                chance.choice(PROCESSES),
                "d" * 64,
                owner=chance.choice(OWNERS),
                state=state,
                control=chance.choice([*ControlRequest, ControlRequest.NONE]),
                created=created,
                started=started,
                finished=created + chance.choice([1, 5, 30, 300]) if over else 0.0,
                access=new_id(),
            )
        )
    return found


def store_of(database: str, known: Iterable[Job]) -> JobStore:
    store = JobStore(database)
    store.create()
    with store.engine.begin() as connection:
        connection.execute(table.insert(), [to_row(job) for job in known])
    return store


def shown(job: Job) -> PublicState:
    return job_view(job, None, scheduler="local").state


def is_wanted(job: Job, wanted: Filter) -> bool:
    ran = (job.finished or NOW) - job.started if job.started else None
    return (
        (wanted.owner is None or job.owner == wanted.owner)
        and (not wanted.states or shown(job) in wanted.states)
        and (not wanted.processes or job.process in wanted.processes)
        and (wanted.since is None or job.created >= wanted.since)
        and (wanted.until is None or job.created <= wanted.until)
        and (wanted.min_duration is None or (ran is not None and ran >= wanted.min_duration))
        and (wanted.max_duration is None or (ran is not None and ran <= wanted.max_duration))
    )


def whole(store: JobStore, wanted: Filter, limit: int) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    after = ""
    for _ in range(1000):
        page = store.page(wanted, limit, after)
        assert len(page.jobs) <= limit
        found += [job.id for job in page.jobs]
        after = page.after
        if not after:
            return found
    raise AssertionError("the list has no end")


def filters() -> list[Filter]:
    states: list[frozenset[PublicState]] = [frozenset()]
    states += [frozenset({state}) for state in PublicState]
    states += [
        frozenset({PublicState.RUNNING, PublicState.PAUSED}),
        frozenset({PublicState.SUCCEEDED, PublicState.DISMISSED, PublicState.QUEUED}),
    ]
    spans = [
        {},
        {"since": NOW - 960, "until": NOW - 930},
        {"min_duration": 4.0},
        {"max_duration": 29.0, "min_duration": 1.0, "since": NOW - 980},
    ]
    return [
        Filter(owner=owner, states=state, processes=frozenset(processes), **span)
        for owner, state, processes, span in itertools.product(
            (None, "anna", "nobody"), states, ((), ("p",), ("q", "r", "unknown")), spans
        )
    ]


@pytest.mark.parametrize("examined", [7, listing.EXAMINED])
def test_all_pages_together_are_what_a_look_at_every_job_finds(
    database: str, examined: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "EXAMINED", examined)
    chance = random.Random(examined)
    known = some_jobs(200, chance)
    store = store_of(database, known)
    newest_first = sorted(known, key=lambda job: (job.created, job.id), reverse=True)
    # The running ones grow older meanwhile: none of them is near a bound.
    for wanted in chance.sample(filters(), 100):
        expected = [job.id for job in newest_first if is_wanted(job, wanted)]
        assert whole(store, wanted, chance.choice([3, 20, 1000])) == expected, wanted
    assert whole(store, Filter(), 1) == [job.id for job in newest_first]


def test_a_page_looks_at_so_many_rows_and_no_more(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that nothing matches is answered by pages that are empty and go on."""
    monkeypatch.setattr(listing, "EXAMINED", 50)
    store = store_of(database, some_jobs(201, random.Random(1)))
    wanted, after, pages = Filter(min_duration=1e9), "", 0
    while True:
        page = store.page(wanted, 10, after)
        assert page.jobs == ()
        after, pages = page.after, pages + 1
        if not after:
            break
    assert 4 <= pages <= 6


def test_jobs_that_come_meanwhile_move_nothing(database: str) -> None:
    known = some_jobs(30, random.Random(2))
    store = store_of(database, known)
    first = store.page(Filter(), 10)
    newer = [replace(job, created=NOW) for job in some_jobs(5, random.Random(3))]
    with store.engine.begin() as connection:
        connection.execute(table.insert(), [to_row(job) for job in newer])
    second = store.page(Filter(), 100, first.after)
    expected = sorted(known, key=lambda job: (job.created, job.id), reverse=True)
    assert [job.id for job in (*first.jobs, *second.jobs)] == [job.id for job in expected]


@pytest.mark.parametrize("after", ["x", "1.0", "nan_a", "inf_a", "_", "1.2.3_a", "-1_a", "1_" * 99])
def test_what_is_no_place_in_the_list_is_refused(after: str, tmp_path: object) -> None:
    store = store_of(f"sqlite:///{tmp_path}/jobs.sqlite", some_jobs(1, random.Random(4)))
    with pytest.raises(ValueError, match="no place in the list"):
        store.page(Filter(), 10, after)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Filter(owner="anna"), "owner"),
        (Filter(owner="anna", processes=frozenset({"p"})), "owner"),
        (Filter(owner="anna", states=frozenset({PublicState.FAILED})), "owner_state"),
        (Filter(owner="anna", states=frozenset({PublicState.RUNNING})), "owner_state"),
        (
            Filter(
                "anna", frozenset({PublicState.FAILED}), frozenset({"p", "q"}), min_duration=600
            ),
            "owner_state",
        ),
        (Filter(states=frozenset({PublicState.FAILED})), "state"),
        (Filter(processes=frozenset({"p"})), "process"),
        (
            Filter(processes=frozenset({"p", "q"}), states=frozenset({PublicState.FAILED})),
            "process_state",
        ),
    ],
)
def test_a_page_is_read_along_one_index(wanted: Filter, index: str, tmp_path: object) -> None:
    store = store_of(f"sqlite:///{tmp_path}/jobs.sqlite", some_jobs(50, random.Random(5)))
    asked: list[tuple[str, object]] = []
    sa.event.listen(
        store.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, values, *_: asked.append((statement, values)),
    )
    store.page(wanted, 10)
    queries = [(text, values) for text, values in asked if text.startswith("SELECT")]
    with store.engine.connect() as connection:
        for text, values in queries:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
            assert f"USING INDEX ix_hpc_jobs_{index}_created" in str(plan).replace("COVERING ", "")
