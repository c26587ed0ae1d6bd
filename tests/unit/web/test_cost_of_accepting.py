"""What an accepted job costs: one wait for the disk before its row, and nothing computed twice."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pywps import configuration

import wps_client as client
from in_process_service import InProcessService, open_service
from joblauncher.shared import outcome
from joblauncher.shared.by_name import pickling
from pywps_hpc.jobs import JobStore
from pywps_hpc.web import packing


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("service")) as opened:
        yield opened


def test_the_dump_alone_is_on_disk_before_the_row(
    service: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    sync, add = os.fsync, JobStore.add

    def fsync(descriptor: int) -> None:
        seen.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def record(store: JobStore, *arguments: object) -> object:
        seen.append("row")
        return add(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(JobStore, "add", record)
    job = service.accept()
    assert seen == ["job.dump", "row"]
    assert job.dump.stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("left", [b"", None], ids=["empty", "missing"])
def test_a_job_whose_first_documents_a_power_failure_took_is_shown_all_the_same(
    service: InProcessService, left: bytes | None
) -> None:
    job = service.accept()
    whole = service.get(f"/status/{job.access}").get_data()
    for file in (job.status, job.report):
        file.unlink()
        if left is not None:
            file.write_bytes(left)
    shown = service.get(f"/status/{job.access}")
    assert shown.status_code == 200
    assert b"ProcessAccepted" in shown.get_data()
    assert b"ProcessAccepted" in whole
    assert outcome.read(job) is None


def test_the_configuration_is_evaluated_again_only_if_something_has_changed(
    service: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration.CONFIG
    config.set("odd", "word", "${ODD_WORD}-two")
    try:
        first = packing.effective_configuration(config)
        assert packing.effective_configuration(config) is first
        assert first["odd"]["word"] == "forty-two"
        monkeypatch.setenv("ODD_WORD", "fifty")
        assert packing.effective_configuration(config)["odd"]["word"] == "fifty-two"
        config.set("odd", "word", "plain")
        assert packing.effective_configuration(config)["odd"]["word"] == "plain"
        assert "api_token" not in packing.effective_configuration(config)["odd"]
        passed = packing.effective_configuration(config, {"odd.api_token"})
        assert passed["odd"]["api_token"] == "open-sesame"
    finally:
        config.remove_option("odd", "word")
    assert "word" not in packing.effective_configuration(config)["odd"]


def test_the_job_table_is_asked_once_and_written_once(service: InProcessService) -> None:
    service.accept()  # what is asked now and then has been asked
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    seen: list[str] = []
    engine = service.web.application.store.engine

    def note(statement: str) -> None:
        seen.append(" ".join(statement.split()[:2]))

    def listen(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_trace_callback(note)

    def leave(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_trace_callback(None)

    sa.event.listen(engine, "checkout", listen)
    sa.event.listen(engine, "checkin", leave)
    try:
        answer = service.web.post("/wps", data=document, content_type="text/xml")
    finally:
        sa.event.remove(engine, "checkout", listen)
        sa.event.remove(engine, "checkin", leave)
    assert b"ProcessAccepted" in answer.get_data()
    end = seen.index("COMMIT")
    transaction = ["BEGIN IMMEDIATE", "SELECT (SELECT", "INSERT INTO"]
    assert seen[:end] == ["SELECT (SELECT", *transaction], seen
    # Now and then it asks who leads, in a transaction that reads.
    assert seen[end + 1 :] in ([], ["BEGIN", "SELECT hpc_dispatcher.holder", "COMMIT"])


def test_a_process_that_goes_by_name_is_serialised_by_the_quick_pickler_alone(
    service: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.accept("table", [])

    def dump(_pickler: object, _content: object) -> None:
        raise AssertionError("by value")

    monkeypatch.setattr(pickling.Pickler, "dump", dump)
    service.accept("table", [])
