"""The job table's database: limits that hold, earlier versions, servers that stop, locks."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE
from postgres import PATIENCE, Postgres
from pywps_hpc.jobs import (
    ACTIVE,
    Job,
    JobStore,
    Limit,
    LimitReached,
    SchemaTooNew,
    State,
    TableUnavailable,
    job_name,
    new_id,
    versions,
)
from servers import free_port, wait_for, write_config
from table_locks import locked

#: Seconds for which a store waits whose waiting is to end: long enough for a loaded machine to
#: answer, short enough to wait for.
SHORT = 2.0
PROCESSES = 4


def job(**facts: Any) -> Job:
    job_id = new_id()
    return Job(
        **{"id": job_id, "name": job_name("w", job_id), "process": "p", "digest": "d"} | facts
    )


def in_processes(work: Callable[[int], Any], count: int = PROCESSES) -> list[Any]:
    """What new processes return that start their work at the same moment."""
    context = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(count), context.SimpleQueue()

    def run(number: int) -> None:
        ready.wait(120)
        try:
            answers.put((number, work(number)))
        except BaseException as error:
            answers.put((number, f"{type(error).__name__}: {error}"))
            raise

    children = [context.Process(target=run, args=(number,)) for number in range(count)]
    for child in children:
        child.start()
    found = dict(answers.get() for _ in children)
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0] * count, found
    return [found[number] for number in range(count)]


# Many at once


def test_of_many_processes_exactly_one_changes_each_state(database: str, store: JobStore) -> None:
    jobs = [store.add(job()) for _ in range(20)]

    def work(number: int) -> list[str]:
        own = JobStore(database, PATIENCE)
        moved = [own.move(job, State.SUBMITTING, native_id=str(number)) for job in jobs]
        return [job.id for job in moved if job is not None]

    winners = [job_id for won in in_processes(work) for job_id in won]
    assert sorted(winners) == sorted(job.id for job in jobs)


def test_no_limit_is_exceeded_however_many_come_at_once(database: str, store: JobStore) -> None:
    """50 clients of 4 processes, a dozen threads in each."""
    limits = [
        Limit(20, "this service"),
        Limit(9, "this process", process="p"),
        Limit(5, "one client", client="anna"),
    ]
    kinds = [("p", "anna"), ("p", "ben"), ("q", "anna"), ("q", "eve"), ("q", "joe")]

    def work(number: int) -> list[str]:
        own = JobStore(database, PATIENCE)

        def one(turn: int) -> str:
            process, client = kinds[(turn + number) % len(kinds)]
            for_him = [*limits[:2], *limits[2:]] if client == "anna" else limits[:2]
            asked = [limit for limit in for_him if limit.process in (None, process)]
            try:
                own.add(job(process=process, client=client), asked)
            except LimitReached as reached:
                return reached.limit.whose
            return ""

        with ThreadPoolExecutor(12) as pool:
            return list(pool.map(one, range(13)))

    answers = [answer for answers in in_processes(work) for answer in answers]
    rows = store.in_state(ACTIVE)
    assert len(rows) == answers.count("") == 20
    assert sum(row.process == "p" for row in rows) <= 9
    assert sum(row.client == "anna" for row in rows) == 5
    assert answers.count("this service") > 0


def test_an_ended_job_makes_room(store: JobStore) -> None:
    limits = [Limit(1, "this service")]
    first = store.add(job(), limits)
    with pytest.raises(LimitReached, match=r"active jobs of this service reached \(1\)"):
        store.add(job(), limits)
    assert store.reached(limits) == limits[0]
    store.move(first, State.FAILED)
    assert store.reached(limits) is None
    second = store.add(job(), limits)
    assert [row.id for row in store.in_state(ACTIVE)] == [second.id]


# Earlier versions

#: What the first release made, in its own words for SQLite and for PostgreSQL.
FIRST = """
CREATE TABLE hpc_jobs (
    id VARCHAR(36) NOT NULL, name VARCHAR(15) NOT NULL, process VARCHAR(255) NOT NULL,
    digest VARCHAR(64) NOT NULL, owner VARCHAR(255) NOT NULL, sync BOOLEAN NOT NULL,
    state VARCHAR(12) NOT NULL, wish VARCHAR(12) NOT NULL, native_id VARCHAR(64) NOT NULL,
    message TEXT NOT NULL, missing_since {double} NOT NULL, created {double} NOT NULL,
    submitted {double} NOT NULL, started {double} NOT NULL, finished {double} NOT NULL,
    changed {double} NOT NULL, PRIMARY KEY (id)
);
CREATE INDEX ix_hpc_jobs_created ON hpc_jobs (created);
CREATE INDEX ix_hpc_jobs_name ON hpc_jobs (name);
CREATE INDEX ix_hpc_jobs_state ON hpc_jobs (state);
CREATE TABLE hpc_dispatcher (
    role VARCHAR(16) NOT NULL, holder VARCHAR(128) NOT NULL, beat {double} NOT NULL,
    message TEXT NOT NULL, PRIMARY KEY (role)
);
"""
PLACE = "ALTER TABLE hpc_jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0;"
#: What each version before the present one had.
EARLIER = {1: FIRST, 2: FIRST + PLACE}
#: As such a program records a job.
INSERT = sa.text(
    "INSERT INTO hpc_jobs (id, name, process, digest, owner, sync, state, wish, native_id, message,"
    " missing_since, created, submitted, started, finished, changed) VALUES (:id, :name, 'hello',"
    " 'd', 'anna', :sync, :state, '', :native, '', 0, 1.5, 2.5, 0, 0, 3.5)"
)


def make_earlier(url: str, version: int) -> dict[State, str]:
    """A database as a program of this version left it, with a job in each state; their ids."""
    engine = sa.create_engine(url)
    double = "DOUBLE PRECISION" if engine.dialect.name == "postgresql" else "DOUBLE"
    ids = {state: new_id() for state in State}
    with engine.begin() as connection:
        for statement in EARLIER[version].format(double=double).split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        for state, job_id in ids.items():
            insert(connection, job_id, state)
    engine.dispose()
    return ids


def insert(connection: sa.Connection, job_id: str, state: State) -> None:
    facts = {"id": job_id, "name": job_name("w", job_id), "state": state.value, "sync": False}
    connection.execute(INSERT, facts | {"native": "17"})


def form(url: str) -> dict[str, Any]:
    """The tables, columns and indexes of a database."""
    engine = sa.create_engine(url)
    inspector, found = sa.inspect(engine), {}
    # SQLite heeds no length, and cannot change one.
    kind = re.compile(r"\(\d+\)" if engine.dialect.name == "sqlite" else r"$.")
    for table in inspector.get_table_names():
        columns = {
            (
                c["name"],
                kind.sub("", str(c["type"])),
                c["nullable"],
                (c["default"] or "").split("::")[0].strip("'"),
            )
            for c in inspector.get_columns(table)
        }
        indexes = {(i["name"], *i["column_names"]) for i in inspector.get_indexes(table)}
        found[table] = columns, indexes, inspector.get_pk_constraint(table)["constrained_columns"]
    engine.dispose()
    return found


@pytest.mark.parametrize("version", EARLIER)
def test_every_job_of_an_earlier_version_stays_and_goes_on(database: str, version: int) -> None:
    ids = make_earlier(database, version)
    store = JobStore(database)
    store.create()
    for state, job_id in ids.items():
        expected = Job(
            job_id, job_name("w", job_id), "hello", "d", "anna", state=state, native_id="17",
            created=1.5, submitted=2.5, changed=3.5, access=job_id,
        )  # fmt: skip
        assert store.get(job_id) == expected
    running = store.get(ids[State.RUNNING])
    assert running is not None
    ended = store.move(running, State.SUCCEEDED, native_id="1234[56]." + "very-long-name." * 8)
    assert ended is not None
    assert store.note(ended, size=5_000_000_000) is not None
    assert store.ended_size() == 5_000_000_000
    store.engine.dispose()


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_database_becomes_equal_to_a_new_one(
    database: str, version: int, request: pytest.FixtureRequest
) -> None:
    JobStore(database).create()
    new = form(database)
    if database.startswith("sqlite"):
        database += ".earlier"
    else:
        request.getfixturevalue("postgres").clear()
    make_earlier(database, version)
    assert form(database) != new
    JobStore(database).create()
    assert form(database) == new


def test_a_program_of_the_version_before_goes_on_beside(database: str) -> None:
    make_earlier(database, 1)
    store = JobStore(database)
    store.create()
    late = new_id()
    with store.engine.begin() as connection:
        insert(connection, late, State.ACCEPTED)
    found = store.get(late)
    assert found is not None
    assert (found.array_index, found.client, found.size) == (0, "", None)
    assert found.access == late
    assert store.at(late) == found


@pytest.mark.parametrize("version", [0, *EARLIER])
def test_of_several_starters_one_prepares_the_tables(database: str, version: int) -> None:
    ids = make_earlier(database, version) if version else {}

    def work(_: int) -> int:
        own = JobStore(database, PATIENCE)
        own.create()
        own.add(job())
        return len(own.recent(1000))

    in_processes(work)
    store = JobStore(database, PATIENCE)
    store.create()
    assert len(store.recent(1000)) == len(ids) + PROCESSES
    with store.engine.begin() as connection:
        rows = connection.exec_driver_sql("SELECT version FROM hpc_schema").all()
    assert rows == [(versions.VERSION,)]


def test_a_step_that_fails_leaves_everything_as_it_was(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_earlier(database, 1)
    before = form(database)
    wrong = versions.Step(versions.VERSION + 1, ["ALTER TABLE hpc_jobs ADD COLUMN wrong NONSENSE("])
    monkeypatch.setattr(versions, "STEPS", (*versions.STEPS, wrong))
    with pytest.raises((sa.exc.ProgrammingError, TableUnavailable)):
        JobStore(database).create()
    assert form(database) == before


def test_a_database_of_a_later_version_is_refused_in_words(database: str, store: JobStore) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE hpc_schema SET version = {versions.VERSION + 4}")
    words = (
        f"has version {versions.VERSION + 4}, this program knows versions up to {versions.VERSION}"
    )
    with pytest.raises(SchemaTooNew, match=words):
        JobStore(database).create()


# Out of reach


def test_a_lock_held_too_long_is_an_error_in_time(database: str, store: JobStore) -> None:
    impatient, known = JobStore(database, SHORT), store.add(job())

    def is_asked() -> bool:
        with contextlib.suppress(TableUnavailable):  # a loaded machine
            return impatient.get(known.id) == known
        return False

    wait_for(is_asked, "it has connected")
    with locked(database):
        began = time.monotonic()
        with pytest.raises(TableUnavailable):
            impatient.add(job())
        assert SHORT - 0.5 < time.monotonic() - began < 60
        with pytest.raises(TableUnavailable):
            impatient.move(known, State.SUBMITTING)
    wait_for(is_asked, "it is used again")
    assert store.move(known, State.SUBMITTING) is not None
    assert len(store.recent()) == 1


def test_a_lock_given_back_in_time_is_waited_for(database: str, store: JobStore) -> None:
    with ThreadPoolExecutor(1) as pool:
        with locked(database):
            adding = pool.submit(store.add, job())
            time.sleep(0.3)
            assert not adding.done()
        assert store.get(adding.result(60).id) is not None


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Postgres]:
    """A PostgreSQL server that may be stopped."""
    postgres.clear()
    yield postgres
    if postgres.process is None:
        postgres.start()


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_a_server_that_was_started_again_is_used_again(server: Postgres) -> None:
    store = JobStore(server.url, PATIENCE)
    store.create()
    known = store.add(job())
    ready = threading.Barrier(8)

    def read(_: int) -> bool:
        ready.wait(120)
        return store.get(known.id) == known

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))  # several connections are open
        server.stop()
        for attempt in (store.create, store.dispatcher, lambda: store.move(known, State.FAILED)):
            began = time.monotonic()
            with pytest.raises(TableUnavailable) as caught:
                attempt()
            assert time.monotonic() - began < 60
            assert caught.value.transient
        server.start()
        assert all(pool.map(read, range(8)))
    assert store.move(known, State.FAILED) is not None
    store.engine.dispose()


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_a_store_that_was_made_before_its_server_answers_later(server: Postgres) -> None:
    JobStore(server.url).create()
    server.stop()
    store = JobStore(server.url, PATIENCE)
    with pytest.raises(TableUnavailable):
        store.create()
    server.start()
    added = store.add(job())
    assert store.get(added.id) == added
    store.engine.dispose()


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_a_server_that_takes_connections_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/jobs"
        began = time.monotonic()
        with pytest.raises(TableUnavailable):
            JobStore(url, SHORT).create()
    assert time.monotonic() - began < 60


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_the_socket_serves_as_well(server: Postgres) -> None:
    store = JobStore(f"{server.socket_url}&options=-c%20work_mem=8MB", 77)
    store.create()
    with store.engine.begin() as connection:
        shown = [
            connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("lock_timeout", "work_mem")
        ]
    assert shown == ["77s", "8MB"]
    store.engine.dispose()


def test_more_questions_than_connections_wait_for_one_another(store: JobStore) -> None:
    known = store.add(job())
    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda _: store.get(known.id), range(200)))
    assert found == [known] * 200


# The dispatcher and the table


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the dispatcher said of its table."""
    messages = [record.getMessage() for record in caplog.records]
    return [message for message in messages if "job table" in message]


def misses(messages: list[str]) -> bool:
    """Whether it said last that it cannot ask the table."""
    return bool(messages) and not messages[-1].endswith("reachable again")


def go_through(
    harness: DispatcherHarness,
    trouble: contextlib.AbstractContextManager[None],
    caplog: pytest.LogCaptureFixture,
    patience: float = PATIENCE,
) -> None:
    """A dispatcher at work, while its table is out of reach until it has seen that."""
    caplog.set_level(logging.INFO)
    running, stop = harness.running(), threading.Event()
    harness.settings = dataclasses.replace(harness.settings, poll_interval=0.2, poll_backoff=0.5)
    store = JobStore(harness.settings.database_url, patience)
    thread = threading.Thread(target=harness.restart(store=store).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: harness.store.leader() != "", "it leads")
        with trouble:
            harness.succeed(running)
            harness.scheduler.say(running.native_id, DONE)
            wait_for(lambda: misses(told(caplog)), "the dispatcher misses its table")
            time.sleep(2 * SHORT)  # it goes on asking
            assert thread.is_alive()
        wait_for(lambda: harness.row(running).state is State.SUCCEEDED, "the job's end is seen")
        late = harness.accept()
        wait_for(lambda: harness.row(late).state is State.QUEUED, "a new job is submitted")
    finally:
        stop.set()
        thread.join(120)
    assert not thread.is_alive()
    assert harness.store.leader() == "", "it resigned"


def test_the_dispatcher_goes_on_after_a_lock(
    tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    harness = DispatcherHarness(tmp_path, database=database, timeout=PATIENCE)
    go_through(harness, locked(database), caplog, SHORT)
    # Each time once. On a loaded machine there may have been more times.
    again = [message.endswith("reachable again") for message in told(caplog)]
    assert again == [False, True] * (len(again) // 2), told(caplog)
    assert again
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_the_dispatcher_goes_on_after_the_server_was_started_again(
    tmp_path: Path, server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    harness = DispatcherHarness(tmp_path, database=server.url, timeout=PATIENCE)
    go_through(harness, server.stopped(), caplog)
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_a_job_submitted_when_the_server_stops_is_submitted_once(
    tmp_path: Path, server: Postgres
) -> None:
    harness = DispatcherHarness(tmp_path, database=server.url, timeout=PATIENCE)
    accepted = harness.accept()
    harness.scheduler.on_submit = lambda _: server.stop()
    with pytest.raises(TableUnavailable):
        harness.cycle()
    server.start()
    assert harness.row(accepted).state is State.SUBMITTING
    harness.cycle()
    assert (harness.row(accepted).state, harness.row(accepted).native_id) == (State.QUEUED, "1")
    assert len(harness.scheduler.jobs) == 1


# The command line


def command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``pywps-hpc …`` with this configuration."""
    name, *rest = arguments
    line = [sys.executable, "-m", "pywps_hpc", name, "--config", str(config), *rest]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "line",
    [["jobs"], ["dispatcher"], ["web", "odd:service", "--bind", f"127.0.0.1:{free_port()}"]],
    ids=lambda line: line[0],
)
def test_commands_refuse_a_later_database_in_one_line(
    tmp_path: Path, database: str, store: JobStore, line: list[str]
) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE hpc_schema SET version = {versions.VERSION + 1}")
    config = write_config(tmp_path, "http://127.0.0.1:9/wps", hpc={"database": database})
    ended = command(config, *line)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith(f"Error: the job table has version {versions.VERSION + 1}, this")


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_commands_say_when_the_table_cannot_be_asked(tmp_path: Path) -> None:
    hpc = {"database": "postgresql+psycopg://me:secret@127.0.0.1:1/jobs", "database_timeout": 2}
    ended = command(write_config(tmp_path, "http://127.0.0.1:9/wps", hpc=hpc), "jobs")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: the job table cannot be reached: ")
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
