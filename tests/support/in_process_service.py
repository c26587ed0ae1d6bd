"""The service within this process, without a dispatcher: what it accepts can be looked at, and a
job's folder can be made to hold what a hostile process might leave there."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from werkzeug.test import Client, TestResponse

import wps_client as client
from pywps_hpc import settings
from pywps_hpc.dispatch import finish, folders
from pywps_hpc.dispatch.decide.reconcile import decide
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, Resources
from pywps_hpc.jobs import TERMINAL, Job, JobStore, State
from pywps_hpc.spool import JOB_ID, JobDir, Spool
from servers import SERVICES, write_config


@dataclass(frozen=True)
class InProcessService:
    """Web server, job table and spool of one service."""

    web: Client
    settings: settings.Settings
    store: JobStore
    spool: Spool

    def heartbeat(self) -> None:
        """Send a dispatcher's heartbeat; after a while without one no job is taken."""
        assert self.store.lead("nobody", 3600)

    def accept(
        self, process: str = "repeat_2", inputs: client.Inputs = (("text", "a"),), **how: Any
    ) -> JobDir:
        """Have a job accepted; its folder.

        Args:
            how: keywords of :func:`wps_client.execute_document`; ``headers``, ``user``, ``query``.
        """
        headers: Mapping[str, str] = how.pop("headers", {})
        environ = {"REMOTE_USER": user} if (user := how.pop("user", "")) else {}
        path = f"/wps?{how.pop('query', '')}"
        document = client.execute_document(process, inputs, asynchronous=True, **how)
        self.heartbeat()
        answer = self.web.post(
            path, data=document, content_type="text/xml", headers=headers, environ_overrides=environ
        )
        assert answer.status_code == 200, answer.get_data()
        location = etree.fromstring(answer.get_data()).get("statusLocation")
        row = self.store.at(client.job_id_of(str(location)))
        assert row is not None
        return replace(self.spool.open(row.id), access=row.access)

    def get(self, path: str, user: str = "", **headers: str) -> TestResponse:
        """GET a path, as this user; a job's id in it stands for its address."""
        for job_id in re.findall(JOB_ID, path):
            if (row := self.store.get(job_id)) is not None:
                path = path.replace(job_id, row.access)
        environ = {"REMOTE_USER": user} if user else {}
        return self.web.get(path, environ_overrides=environ, headers=headers)

    def row(self, job: JobDir) -> Job:
        """The job's row."""
        row = self.store.get(job.job_id)
        assert row is not None
        return row

    def end(self, job: JobDir, code: int) -> None:
        """Do what a dispatcher does with a job whose launcher ended with this exit code."""
        status = JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=code)
        row, seen = self.row(job), folders.look(job)
        action = decide(
            row, status, seen, resources=Resources(memory=1, walltime=60), now=0.0, grace=0.0
        )
        if action.rewrite:
            assert finish.write_failure(job, row.process, action.message, 1.0)
        assert action.state is not None
        assert (
            self.store.move(row, action.state, message=action.message, cause=action.cause.value)
            is not None
        )

    def forget(self, job: JobDir) -> None:
        """Let a job be as if it had never been."""
        if self.row(job).state not in TERMINAL:
            assert self.store.move(self.row(job), State.FAILED) is not None
        self.store.remove(job.job_id)
        self.spool.remove(job.job_id)


@contextmanager
def pywps_left_as_it_was() -> Iterator[None]:
    """What wrapping a service changes in PyWPS is undone."""
    import pywps.response.basic
    import pywps.xml_util
    from pywps import configuration
    from pywps.app.WPSRequest import WPSRequest
    from pywps.inout.basic import ComplexInput, IOHandler, UrlHandler
    from pywps.inout.outputs import ComplexOutput

    with pytest.MonkeyPatch.context() as patch:
        for owner, names in (
            (pywps.response.basic, ["store_status"]),
            (pywps.xml_util, ["fromstring", "parse"]),
            (WPSRequest, ["_set_json"]),
            (sys.modules[WPSRequest.__module__], ["_get_rawvalue_value"]),
            (ComplexInput, ["process"]),
            (IOHandler, ["_check_valid", "_build_file_name"]),
            (UrlHandler, ["file", "size"]),
            (ComplexOutput, ["_json_data"]),
            (configuration, ["CONFIG"]),
        ):
            for name in names:
                patch.setattr(owner, name, vars(owner)[name])
        records = logging.getLogRecordFactory()
        yield
        logging.setLogRecordFactory(records)


@contextmanager
def open_service(folder: Path, **sections: Mapping[str, object]) -> Iterator[InProcessService]:
    """The odd processes as a service in this process.

    Args:
        sections: as in :func:`servers.write_config`.
    """
    with pytest.MonkeyPatch.context() as patch, pywps_left_as_it_was():
        patch.setenv("ODD_WORD", "forty")
        patch.setenv("SERVER_SECRET", "open-sesame")
        patch.delenv("PYWPS_CFG", raising=False)
        patch.syspath_prepend(str(SERVICES))
        config = write_config(
            folder,
            "http://127.0.0.1:9/wps",
            odd={"api_token": "open-sesame", "answer": "x"},
            **sections,
        )
        from pywps import Service, configuration

        from pywps_hpc import hpc

        configuration.load_configuration([str(config)])

        import odd_data
        import odd_shapes

        service = hpc(Service([*odd_shapes.PROCESSES, *odd_data.PROCESSES]))
        own = settings.load([config])
        yield InProcessService(Client(service), own, JobStore(own.database_url), Spool(own.spool))
