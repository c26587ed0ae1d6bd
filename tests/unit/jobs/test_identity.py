"""A spool and a job table know each other: nothing is accepted into another spool, or into one that
is not there, and no job of it is judged."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from werkzeug.wrappers import Request

import wps_client as client
from dispatcher_harness import DispatcherHarness
from in_process_service import InProcessService, open_service
from pywps_hpc import settings
from pywps_hpc.cli.main import commands
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from pywps_hpc.errors import ForeignSpool
from pywps_hpc.jobs import JobStore, State, new_id
from pywps_hpc.jobs.identity import FACT, PROMISED, are_apart, service_mark, tie
from pywps_hpc.settings import ProcessSettings, Resources, SettingsError
from pywps_hpc.settings.checks import host
from pywps_hpc.spool import IDENTITY, Spool
from pywps_hpc.web import admission
from pywps_hpc.web.errors import Busy
from servers import write_config


@pytest.fixture
def harness(tmp_path: Path, database: str) -> DispatcherHarness:
    return DispatcherHarness(tmp_path, database=database)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[InProcessService]:
    with open_service(tmp_path) as found:
        yield found


def new_spool(folder: Path) -> Spool:
    folder.mkdir(mode=0o700, parents=True)
    return Spool(folder)


def fresh(harness: DispatcherHarness) -> JobStore:
    """The harness's table as another program sees it."""
    return JobStore(harness.settings.database_url)


def other_table(folder: Path) -> JobStore:
    store = JobStore(f"sqlite:///{folder / 'other.sqlite'}")
    store.create()
    return store


def test_both_have_the_same_identity_and_only_the_account_reads_it(
    harness: DispatcherHarness,
) -> None:
    file = harness.spool.root / IDENTITY
    with harness.store.facts() as facts:
        assert facts[FACT] == file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in harness.spool.root.iterdir()} == {IDENTITY}
    tie(fresh(harness), Spool(harness.spool.root))  # whoever comes later


def test_a_copy_of_a_service_with_another_spool_is_refused(
    harness: DispatcherHarness, tmp_path: Path
) -> None:
    elsewhere = new_spool(tmp_path / "copy" / "spool")
    with pytest.raises(ForeignSpool, match=r"\[hpc\] spool.*\[hpc\] database") as refused:
        tie(fresh(harness), elsewhere)
    assert "\n" not in str(refused.value)
    tie(other_table(tmp_path), elsewhere)  # as the message says
    with pytest.raises(ForeignSpool):
        tie(fresh(harness), elsewhere)
    tie(fresh(harness), Spool(harness.spool.root))


def test_two_services_on_one_spool_are_refused(harness: DispatcherHarness, tmp_path: Path) -> None:
    other = other_table(tmp_path)
    with pytest.raises(ForeignSpool, match="two services need a spool and a database each"):
        tie(other, Spool(harness.spool.root))
    with other.facts() as facts:
        assert facts == {}
    (harness.spool.root / IDENTITY).unlink()  # as the message says, where the old table was lost
    tie(other, Spool(harness.spool.root))
    assert "another job table" in harness.dispatcher._spool_trouble()


def test_an_installation_of_an_earlier_version_is_taken_as_it_is(
    harness: DispatcherHarness,
) -> None:
    job = harness.accept()
    forget(harness)
    harness.restart()
    assert (harness.spool.root / IDENTITY).exists()
    assert harness.cycle() == 1
    assert harness.row(job).state is State.QUEUED


def test_an_earlier_installation_whose_spool_is_not_mounted_is_not(
    harness: DispatcherHarness,
) -> None:
    job = harness.accept()
    forget(harness)
    shutil.rmtree(harness.folder(job).path)
    with pytest.raises(ForeignSpool, match="is its file system mounted"):
        harness.restart()
    assert list(harness.spool.root.iterdir()) == []
    assert harness.row(job).state is State.ACCEPTED


def forget(harness: DispatcherHarness) -> None:
    """Nothing is written on either side."""
    with harness.store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM hpc_facts")
    (harness.spool.root / IDENTITY).unlink()
    harness.spool = Spool(harness.spool.root)


def test_of_many_starters_all_write_the_same(harness: DispatcherHarness) -> None:
    forget(harness)
    ready, errors = threading.Barrier(6), []

    def work() -> None:
        try:
            ready.wait(60)
            tie(fresh(harness), Spool(harness.spool.root))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    with harness.store.facts() as facts:
        assert facts[FACT] == (harness.spool.root / IDENTITY).read_text().strip()


@pytest.mark.parametrize("is_written", [False, True])
def test_a_kill_between_the_two_leaves_nobody_outside(
    harness: DispatcherHarness, is_written: bool
) -> None:
    with harness.store.facts() as facts:
        identity = facts[FACT]
        facts[FACT] = PROMISED + identity
    if not is_written:
        (harness.spool.root / IDENTITY).unlink()
    tie(fresh(harness), Spool(harness.spool.root))
    with harness.store.facts() as facts:
        assert facts[FACT] == identity == (harness.spool.root / IDENTITY).read_text().strip()


@pytest.mark.parametrize("place", ["empty", "missing", "another service's", "not empty"])
def test_no_job_is_judged_by_a_spool_that_is_not_ours(
    harness: DispatcherHarness, tmp_path: Path, place: str
) -> None:
    waiting, running = harness.accept(), harness.running()
    harness.scheduler.forget(running.native_id)
    real = harness.spool.root.rename(tmp_path / "elsewhere")
    if place != "missing":
        new = new_spool(harness.spool.root)
        if place == "another service's":
            tie(other_table(tmp_path), new)
        elif place == "not empty":
            (new.root / "lost+found").mkdir()
    before = [harness.row(job) for job in (waiting, running)]
    for _ in range(4):
        harness.cycle(later=100)
        assert harness.told().startswith("the spool cannot be used: ")
    assert [harness.row(job) for job in (waiting, running)] == before
    if place != "missing":
        shutil.rmtree(harness.spool.root)
    real.rename(harness.spool.root)
    harness.cycle()
    assert harness.told() == ""
    for _ in range(4):
        harness.cycle(later=30)
    assert harness.row(running).state is State.FAILED


@pytest.mark.parametrize("place", ["empty", "missing", "another service's"])
def test_a_client_is_told_503_and_nothing_is_accepted(
    app: InProcessService, tmp_path: Path, place: str
) -> None:
    job = app.accept()
    real = app.spool.root.rename(tmp_path / "elsewhere")
    if place != "missing":
        new = new_spool(app.spool.root)
        if place == "another service's":
            (new.root / IDENTITY).write_text("00000000-0000-4000-8000-000000000000\n")
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    answers = [
        app.web.post("/wps", data=document, content_type="text/xml"),
        app.get(f"/status/{app.row(job).id}"),
        app.get(f"/outputs/{app.row(job).id}/a.txt"),
    ]
    for answer in answers:
        assert answer.status_code == 503, answer.get_data()
        assert answer.headers["Retry-After"]
        assert b"their storage is missing" in answer.get_data()
        assert str(tmp_path).encode() not in answer.get_data()
    if place == "empty":
        assert list(app.spool.root.iterdir()) == []
    assert [row.id for row in app.store.recent()] == [job.job_id]
    if place != "missing":
        shutil.rmtree(app.spool.root)
    real.rename(app.spool.root)
    assert app.get(f"/status/{app.row(job).id}").status_code == 200


@pytest.mark.parametrize("command", [("dispatcher",), ("purge", "--older-than", "1d")])
def test_a_command_says_in_one_line_what_does_not_fit(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    harness = DispatcherHarness(tmp_path)
    keys = {"spool": tmp_path / "copy" / "spool", "database": harness.settings.database}
    config = write_config(tmp_path / "copy", "http://127.0.0.1:9/wps", hpc=keys)
    result = CliRunner().invoke(commands, [*command, "--config", str(config)])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "[hpc] spool" in result.output
    assert "needs a new database" in result.output


def test_a_service_with_a_strange_spool_is_not_wrapped(
    harness: DispatcherHarness, tmp_path: Path
) -> None:
    copy = open_service(tmp_path / "copy", hpc={"database": harness.settings.database})
    with pytest.raises(SettingsError, match="is its file system mounted"), copy:
        pass


# Neighbours on the file system


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o720, 0o500])
@pytest.mark.parametrize("command", [("dispatcher",), ("web", "odd:service"), ("serve", "x:y")])
def test_a_spool_that_others_may_look_into_is_refused(
    tmp_path: Path, command: tuple[str, ...], mode: int
) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    (tmp_path / "spool").chmod(mode)
    result = CliRunner().invoke(commands, [*command, "--config", str(config)])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert f"chmod 700 {tmp_path / 'spool'}" in result.output
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_spool_of_another_account_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    own = settings.Settings(spool=tmp_path)
    host.refuse_open_spool(own)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(SettingsError, match="belongs to another account"):
        host.refuse_open_spool(own)


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_whatever_the_umask_nothing_of_ours_is_open_to_others(tmp_path: Path, umask: int) -> None:
    earlier = tmp_path / "earlier.sqlite"
    JobStore(f"sqlite:///{earlier}").create()
    earlier.chmod(0o644)  # as versions before left it
    before = os.umask(umask)
    try:
        harness = DispatcherHarness(tmp_path)
        harness.scheduler.arrays = True
        harness.restart()
        local = LocalScheduler(harness.spool.root / "scheduler")
        for _ in range(3):
            harness.accept()
        harness.cycle()
        harness.spool.discard(harness.accept().id)
        JobStore(f"sqlite:///{earlier}").create()
    finally:
        os.umask(before)
    assert local.system == "local"
    files = [*tmp_path.iterdir(), *harness.spool.root.iterdir()]
    modes = {path: path.lstat().st_mode & 0o077 for path in files}
    names = {path.name for path in modes}
    assert names >= {"jobs.sqlite", "jobs.sqlite-wal", "arrays", "trash", "scheduler"}
    assert {str(path) for path, others in modes.items() if others} == set()


# Neighbours in the queue


def test_what_the_queue_shows_leads_nowhere(app: InProcessService) -> None:
    job = app.accept()
    row = app.row(job)
    job.outputs.mkdir()
    (job.outputs / "a.txt").write_bytes(b"a")
    assert len({row.id, row.access}) == 2
    assert row.name[1:] not in row.access.replace("-", "")
    for kind, name in (("status", ""), ("outputs", "/a.txt")):
        assert app.web.get(f"/{kind}/{row.access}{name}").status_code == 200
        unknown = app.web.get(f"/{kind}/{new_id()}{name}")
        by_id = app.web.get(f"/{kind}/{row.id}{name}")
        assert by_id.status_code == 404
        assert by_id.get_data() == unknown.get_data()
    document = job.status.read_bytes()
    assert row.access.encode() in document
    assert row.id.encode() not in document


def test_addresses_of_jobs_of_an_earlier_version_stay(app: InProcessService) -> None:
    job = app.accept()
    with app.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE hpc_jobs SET access = NULL")
    assert app.row(job).access == job.job_id
    assert app.web.get(f"/status/{job.job_id}").status_code == 200


def test_commands_know_a_job_by_its_address_too(app: InProcessService, tmp_path: Path) -> None:
    row = app.row(app.accept())
    config = tmp_path / "pywps.cfg"
    for text in (row.id, row.access):
        result = CliRunner().invoke(commands, ["show", text, "--config", str(config)])
        assert result.exit_code == 0, result.output
        assert row.id in result.output


# Two services with one spool and one table


def service(name: str, memory: int) -> settings.Settings:
    needs = ProcessSettings(Resources(memory=memory))
    return settings.Settings(spool=Path("/spool"), defaults=needs, url=name and f"http://{name}")


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (service("a/wps", 1024), service("b/wps", 2048), True),
        (service("a/wps", 1024), service("a/wps", 2048), False),  # its configuration was changed
        (service("a/wps", 1024), service("b/wps", 1024), False),  # two endpoints of one service
        (service("", 1024), service("b/wps", 2048), False),  # nobody can tell
    ],
)
def test_two_services_are_told_apart(
    one: settings.Settings, other: settings.Settings, apart: bool
) -> None:
    assert are_apart(service_mark(one), service_mark(other)) is apart
    assert are_apart(service_mark(other), service_mark(one)) is apart


def test_two_services_that_share_spool_and_table_do_not_run_each_other_s_jobs(
    harness: DispatcherHarness,
) -> None:
    harness.settings = dataclasses.replace(harness.settings, url="http://a/wps")
    harness.restart()
    harness.cycle()
    mine = harness.settings
    needs = dataclasses.replace(mine.defaults, resources=Resources(memory=64))
    theirs = dataclasses.replace(mine, url="http://b/wps", defaults=needs)
    request = Request.from_values("/wps")
    admission.admit(mine, harness.store, "p", request)
    with pytest.raises(Busy):
        admission.admit(theirs, harness.store, "p", request)
    harness.settings = theirs
    with pytest.raises(ForeignSpool, match=r"another service \(http://a/wps\)"):
        harness.restart()
    harness.store.resign(harness.holder)
    harness.restart()
    harness.cycle()
    with pytest.raises(Busy):
        admission.admit(mine, harness.store, "p", request)
