"""Purge asks, scripts and settings are shown as they are, the table is copied while it is used."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dispatcher_harness import DispatcherHarness
from pywps_hpc import settings
from pywps_hpc.cli import commands
from pywps_hpc.jobs import Job, JobStore, State, new_id
from pywps_hpc.jobs.identity import tie
from pywps_hpc.secret_values import hide
from servers import write_config


class Site:
    """A service with a dispatcher that a test drives, and its command line."""

    def __init__(self, folder: Path) -> None:
        self.harness = DispatcherHarness(folder)
        keys = {"spool": self.harness.spool.root, "database": self.harness.settings.database}
        self.config = write_config(folder / "config", "http://127.0.0.1:9/wps", hpc=keys)
        self.table = folder / "jobs.sqlite"

    def run(self, name: str, *arguments: object, answer: str | None = None) -> Result:
        line = [name, "--config", str(self.config), *map(str, arguments)]
        return CliRunner().invoke(commands, line, input=answer)

    def finished(self) -> Job:
        """A job that ended ten days ago."""
        job = self.harness.accept()
        past = time.time() - 10 * 86400
        ended = self.harness.store.move(job, State.SUCCEEDED, finished=past)
        assert ended is not None
        return ended


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def left(site: Site) -> int:
    return sum(site.harness.store.count().values())


@pytest.mark.parametrize(("answer", "code", "stay"), [("n\n", 1, 3), ("", 1, 3), ("y\n", 0, 1)])
def test_purge_asks_before_it_removes_more_than_half(
    site: Site, answer: str, code: int, stay: int
) -> None:
    site.finished(), site.finished()
    young = site.harness.accept()
    assert site.harness.store.move(young, State.SUCCEEDED, finished=time.time()) is not None
    ended = site.run("purge", "--older-than", "7d", answer=answer)
    assert "This removes 2 of 3 ended jobs" in ended.output
    assert ended.exit_code == code
    assert left(site) == stay


def test_purge_does_not_ask_about_half_of_them_or_when_told_so(site: Site) -> None:
    site.finished()
    young = site.harness.accept()
    assert site.harness.store.move(young, State.SUCCEEDED, finished=time.time()) is not None
    assert site.run("purge", "--older-than", "7d").exit_code == 0
    assert left(site) == 1
    ended = site.run("purge", "--keep-size", "1", "--json")
    assert ended.exit_code == 0
    assert [json.loads(line)["job"] for line in ended.stdout.splitlines()] == [young.id]
    assert left(site) == 0


def test_purge_takes_a_period_in_months_for_what_it_says(site: Site) -> None:
    job = site.finished()
    ended = site.run("purge", "--older-than", "6m", "--yes")
    assert ended.exit_code == 2
    assert "write 6min for minutes, 6mo for months" in ended.output
    assert site.run("purge", "--older-than", "6mo", "--yes").exit_code == 0
    assert site.harness.store.get(job.id) is not None


def test_the_script_that_is_shown_is_the_one_that_is_submitted(tmp_path: Path) -> None:
    from pywps_hpc.dispatch.schedulers.registry import make_scheduler
    from pywps_hpc.dispatch.scripts.script import Scripts

    site = Site(tmp_path)
    section = {"memory": "3G", "walltime": "01:02:03", "account": "climate"}
    hpc = {"spool": site.harness.spool.root, "database": site.harness.settings.database}
    config = write_config(
        tmp_path / "config",
        "http://127.0.0.1:9/wps",
        hpc=hpc | {"scheduler": "slurm"},
        **{"hpc.process.hello": section},
    )
    job = site.harness.accept()
    own = settings.load([config])
    scheduler = make_scheduler(own)
    expected = Scripts(own, scheduler.system, scheduler.header).batch_job([job]).script
    shown = site.run("render", "--job", job.id)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout_bytes == expected.encode()
    made_up = site.run("render", "hello").stdout
    assert "--account=climate" in made_up
    found = json.loads(site.run("render", "hello", "--json").stdout)
    assert found["script"].count("\n") == made_up.count("\n") == expected.count("\n")
    assert "--account" not in site.run("render", "other").stdout
    assert site.run("render").exit_code == site.run("render", "a", "--job", "b").exit_code == 2


def test_settings_are_shown_with_their_source_and_without_secrets(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        "http://127.0.0.1:9/wps",
        hpc={
            "database": "postgresql+psycopg://wps:open-sesame@db/x?sslpassword=open-sesame",
            "command_environment": "\n  SITE_TOKEN=open-sesame\n  SLURM_CONF=/etc/slurm.conf",
        },
        **{"hpc.process.p": {"cpus": 4}, "mine": {"api_token": "open-sesame", "name": "n"}},
    )
    line = ["config", "--config", str(config)]
    shown = CliRunner().invoke(commands, line)
    assert shown.exit_code == 0, shown.output
    assert "open-sesame" not in shown.stdout
    told = json.loads(CliRunner().invoke(commands, [*line, "--json"]).stdout)["settings"]
    assert "open-sesame" not in json.dumps(told)
    found = {(one["section"], one["key"]): (one["value"], one["source"]) for one in told}
    file = str(config)
    assert found["hpc", "max_active_per_owner"] == ("0", "default")
    assert found["hpc.process.p", "cpus"] == ("4", file)
    assert found["mine", "api_token"] == ("(hidden)", file)
    assert found["mine", "name"] == ("n", file)
    assert found["hpc", "database"] == (
        "postgresql+psycopg://wps:(hidden)@db/x?sslpassword=(hidden)",
        file,
    )
    assert "SLURM_CONF=/etc/slurm.conf" in found["hpc", "command_environment"][0]
    assert found["hpc.retention", "age"] == ("0", "default")
    only = json.loads(CliRunner().invoke(commands, [*line, "--json", "--set-only"]).stdout)
    assert {one["source"] for one in only["settings"]} == {file}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://a:b@c/d", "http://a:(hidden)@c/d"),
        ("X_PASSWORD=a b", "X_PASSWORD=(hidden) b"),
        ("url?x=1&token=2&y=3", "url?x=1&token=(hidden)&y=3"),
        ("/etc/key", "/etc/key"),
    ],
)
def test_what_is_secret_in_a_value_is_hidden(text: str, shown: str) -> None:
    assert hide(text) == shown


def test_a_copy_is_consistent_while_jobs_come_and_go(site: Site, tmp_path: Path) -> None:
    tie(site.harness.store, site.harness.spool)
    stop = threading.Event()

    def work() -> None:
        """Two rows in each transaction, or none."""
        store = JobStore(site.harness.settings.database_url)
        while not stop.is_set():
            with store.engine.connect().execution_options(write=True) as one, one.begin():
                for name in ("first", "second"):
                    row = Job(new_id(), name, "p", "0" * 64)
                    from pywps_hpc.jobs.rows import to_row
                    from pywps_hpc.jobs.schema import jobs

                    one.execute(jobs.insert().values(to_row(row)))

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy-{number}.sqlite"
            ended = site.run("backup", copy, "--json")
            assert ended.exit_code == 0, ended.output
            assert copy.stat().st_mode & 0o777 == 0o600
            with sqlite3.connect(copy) as made:
                counts = made.execute("SELECT count(*) FROM hpc_jobs GROUP BY name").fetchall()
            assert len({count for (count,) in counts}) <= 1
            assert json.loads(ended.stdout)["jobs"] == sum(count for (count,) in counts)
            assert sorted(tmp_path.glob("copy-*")) == sorted(
                tmp_path / f"copy-{n}.sqlite" for n in range(number + 1)
            )
    finally:
        stop.set()
        writer.join()


def test_a_copy_is_put_back_and_the_table_of_before_is_kept(site: Site, tmp_path: Path) -> None:
    tie(site.harness.store, site.harness.spool)
    first, copy = site.harness.accept(), tmp_path / "copy"
    assert site.run("backup", copy).exit_code == 0
    second = site.harness.accept()
    site.harness.store.engine.dispose()
    assert site.run("restore", copy, answer="n\n").exit_code == 1
    ended = site.run("restore", copy, "--yes", "--json")
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    store = JobStore(site.harness.settings.database_url)
    assert store.get(first.id) == first
    assert store.get(second.id) is None
    kept = JobStore(f"sqlite:///{told['kept']}")
    assert kept.get(second.id) == second


def test_nothing_is_put_back_under_a_dispatcher_that_leads(site: Site, tmp_path: Path) -> None:
    job, copy = site.harness.accept(), tmp_path / "copy"
    assert site.run("backup", copy).exit_code == 0
    assert site.harness.store.lead("elsewhere:x:1:2:3", 3600)
    ended = site.run("restore", copy, "--yes")
    assert ended.exit_code == 1
    assert "a dispatcher leads" in ended.output
    assert site.harness.store.get(job.id) == job


def test_what_is_no_copy_of_this_table_is_refused(site: Site, tmp_path: Path) -> None:
    tie(site.harness.store, site.harness.spool)
    job, text = site.harness.accept(), tmp_path / "text"
    text.write_text("no database at all\n" * 100)
    assert "is no copy of a job table" in site.run("restore", text, "--yes").output
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    tie(other.harness.store, other.harness.spool)
    strange = tmp_path / "strange"
    assert other.run("backup", strange).exit_code == 0
    assert "of another spool" in site.run("restore", strange, "--yes").output
    assert site.run("backup", strange).exit_code == 1  # it is there
    assert site.harness.store.get(job.id) == job


def test_a_table_in_postgresql_is_left_to_its_own_tools(tmp_path: Path) -> None:
    url = {"database": "postgresql+psycopg://wps@db.invalid/x"}
    config = write_config(tmp_path, "http://127.0.0.1:9/wps", hpc=url)
    line = ["backup", "--config", str(config), str(tmp_path / "copy")]
    ended = CliRunner().invoke(commands, line)
    assert ended.exit_code == 1
    assert "use pg_dump" in ended.output
