"""A job is sent again with the inputs of another one, for the same client, and linked to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from in_process_service import InProcessService, open_service
from places import SERVICES
from pywps_hpc import settings
from pywps_hpc.jobs import JobStore, State
from pywps_hpc.web import rerun
from pywps_hpc.web.errors import Busy, NotNow

APPLICATION = """
from pywps import Service
from pywps_hpc import hpc
import odd_shapes
service = hpc(Service(odd_shapes.PROCESSES))
"""


@pytest.fixture(scope="module", params=["yes", "no"])
def app(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[InProcessService]:
    """With web pages, which also run jobs again, and without."""
    with open_service(tmp_path_factory.mktemp("retry"), hpc={"pages": request.param}) as app:
        yield app


def test_a_retry_has_the_same_inputs_and_client_and_knows_the_job_that_it_repeats(
    app: InProcessService,
) -> None:
    service = app.web.application
    job = app.accept(inputs=[("text", "a" * 5000)], user="ada")
    old = app.row(job)
    assert app.store.move(old, State.FAILED) is not None
    app.spool.delete_work(old.id)  # what the dispatcher does with a job that has ended
    new = rerun.retry(service, old)
    assert new.retry_of == old.id
    assert (new.process, new.owner, new.client) == (old.process, "ada", old.client)
    assert new.state is State.ACCEPTED
    assert new.access not in (old.access, new.id)
    folder = app.spool.open(new.id)
    assert folder.dump.exists()
    assert folder.sent.read_bytes().count(b"a" * 5000) == job.sent.read_bytes().count(b"a" * 5000)
    assert [one.id for one in app.store.retries(old.id)] == [new.id]
    assert app.store.retries("") == []


@pytest.mark.parametrize("client", ["address 10.1.2.3", "address 2001:db8::/64", "address "])
def test_a_retry_of_nobodys_job_counts_for_the_address_that_sent_it(
    app: InProcessService, client: str
) -> None:
    old = replace(app.row(app.accept()), client=client)
    new = rerun.retry(app.web.application, old)
    assert (new.owner, new.client) == ("", client)


def test_what_cannot_be_repeated_is_refused_and_leaves_nothing(app: InProcessService) -> None:
    job = app.accept()
    job.sent.unlink()
    before = set(app.spool.job_ids())
    with pytest.raises(NotNow, match="inputs of this job were not kept"):
        rerun.retry(app.web.application, app.row(job))
    kept = app.row(app.accept())
    app.store.resign("nobody")
    with pytest.raises(Busy):
        rerun.retry(app.web.application, kept)
    assert set(app.spool.job_ids()) == before | {kept.id}


def test_the_command_finds_the_application_that_is_served(tmp_path: Path) -> None:
    with open_service(tmp_path) as app:
        old = app.row(app.accept(user="ada"))
        (tmp_path / "an_application.py").write_text(APPLICATION)
        config = next(tmp_path.glob("*.cfg"))
        line = [sys.executable, "-m", "pywps_hpc", "retry", "--config", str(config), old.id[:8]]
        environment = os.environ | {"PYTHONPATH": f"{SERVICES}:{os.environ.get('PYTHONPATH', '')}"}

        def run(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*line, "--json", *more], env=environment, capture_output=True, text=True
            )

        assert "--application is needed" in run().stderr
        with app.store.facts() as facts:
            served = {"name": "an_application:service", "folder": str(tmp_path), "bind": "a:1"}
            facts["application"] = json.dumps(served)
        ended = run()
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
        assert told["retry_of"] == old.id
        new = JobStore(settings.load([config]).database_url).get(told["job"])
        assert new is not None
        assert new.owner == "ada"
        shown = subprocess.run(
            [*line[:3], "show", "--json", "--config", str(config), old.id],
            capture_output=True,
            text=True,
        )
        assert json.loads(shown.stdout)["retried_as"] == [new.id]
