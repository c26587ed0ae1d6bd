"""Questions of one statement: the driver is asked, and the answer is SQLAlchemy's."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pywps_hpc.jobs import Job, JobStore, TableUnavailable, job_name, new_id, single
from pywps_hpc.jobs.schema import jobs


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite"


@pytest.fixture
def store(url: str) -> Iterator[JobStore]:
    store = JobStore(url)
    store.create()
    yield store
    store.engine.dispose()


def job(**facts: Any) -> Job:
    job_id = new_id()
    known = {"id": job_id, "name": job_name("w", job_id), "process": "p", "digest": "d"}
    return Job(**known | {"access": new_id()} | facts)


def test_a_look_at_a_job_costs_nothing_of_sqlalchemy(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, nobodys = (store.add(job(owner=owner, sync=True)) for owner in ("me", ""))
    with store.facts() as facts:
        facts["one"] = "1"

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("asked through SQLAlchemy")

    monkeypatch.setattr(sa.engine.Connection, "execute", refuse)
    assert store.at(mine.access) == store.at(mine.access, "me") == mine
    assert store.at(mine.access, "other") is None
    assert store.at(nobodys.access, "other") == nobodys
    assert store.at(new_id()) is None
    assert (store.fact("one"), store.fact("two")) == ("1", "")


def test_the_answer_is_that_of_sqlalchemy(store: JobStore) -> None:
    known = store.add(job(sync=True, memory=1 << 40, message="é\n'\"%s ?", retry_of=new_id()))
    query = sa.select(jobs).where(jobs.c.id == sa.bindparam("wanted"))
    found = single.first(store.engine, query, {"wanted": known.id})
    with store.engine.begin() as connection:
        expected = connection.execute(query, {"wanted": known.id}).mappings().one()
    assert found is not None
    assert found == {column.key: expected[column] for column in jobs.c}
    assert {name: type(value) for name, value in found.items()} == {
        column.key: type(expected[column]) for column in jobs.c
    }
    assert single.first(store.engine, query, {"wanted": new_id()}) is None


def test_a_row_of_an_earlier_version_has_its_id_for_its_address(store: JobStore) -> None:
    known = store.add(job())
    with store.engine.begin() as connection:
        connection.execute(jobs.update().values(access=None))
    assert store.at(known.id) == dataclasses.replace(known, access=known.id)


def test_no_transaction_stays_open(store: JobStore, url: str) -> None:
    known = store.add(job())
    for _ in range(20):  # more than there may be connections
        assert store.at(known.access) == known
    with sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0) as other:
        busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    assert not busy


def test_a_table_that_cannot_be_read_is_unavailable(store: JobStore, url: str) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hpc_jobs RENAME TO gone")
    with pytest.raises(TableUnavailable, match=r"no such table.*jobs\.sqlite"):
        store.at(new_id())


def test_many_jobs_are_read_as_the_driver_gives_them(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [store.add(job(sync=sync, created=1.0 + sync)) for sync in (False, True)]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("rows of SQLAlchemy's were made")

    monkeypatch.setattr(sa.engine.CursorResult, "all", refuse)
    found: dict[tuple[Any, ...], Job] = {}
    for _ in range(2):
        assert store.in_state((known[0].state,), known=found) == known
    assert [type(one.sync) for one in found.values()] == [bool, bool]
