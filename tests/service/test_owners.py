"""Two accounts against each other, over every URL and operation that names a job: whoever is not
its owner gets the bytes of an unknown job, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

import wps2_client as wps2
from in_process_service import InProcessService, open_service
from joblauncher.shared import outcome
from pywps_hpc.jobs import ControlRequest, Job, State
from pywps_hpc.spool import JobDir
from pywps_hpc.web.routes import JobConverter
from pywps_hpc.web.wps2 import reading

NOBODY = "0f6c1b52-5a52-4c3e-9d5b-0d4a3c1f7e11"
OUTPUT = "result.txt"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: Operations of WPS 2.0 that name no job.
WITHOUT_JOB = {"GetCapabilities", "DescribeProcess", "Execute"}
#: URLs of jobs at which there is nothing for anybody; what a browser does with its own cookie; and
#: a resource in whose place it is sent to the page.
THE_SAME_FOR_ALL = {
    "/status/<job:access>/<rest:name>",
    "/outputs/<job:access>",
    "/ui/jobs/<job:access>/forget",
    "/jobs/ as text/html",
}
PROXY = "127.0.0.1"


@dataclass(frozen=True)
class Who:
    """Who asks: an account in the proxy's header, and where the connection comes from."""

    name: str
    peer: str = PROXY


ANNA, ROOT = Who("anna"), Who("root")
STRANGERS = (Who("ben"), Who(""), Who("Anna"), Who("anna", peer="192.0.2.7"))


@dataclass(frozen=True)
class Ask:
    """A request that names a job.

    Attributes:
        rule: the URL rule, or another name for what is asked.
        path: with the job in it.
        how: arguments of werkzeug's client besides.
        is_form: whether it is sent from a page of the service, with its token.
    """

    rule: str
    path: str
    method: str = "GET"
    how: Mapping[str, Any] = field(default_factory=dict)
    is_form: bool = False


def by_rules(app: InProcessService, access: str) -> Iterator[Ask]:
    """Every URL that names a job, in the map of all URLs, by every method."""
    known: Any = app.web.application
    for rule in known.routes._adapter.map.iter_rules():
        kinds = rule._converters
        if not any(isinstance(kind, JobConverter) for kind in kinds.values()):
            continue
        values = {
            name: access if isinstance(kind, JobConverter) else OUTPUT
            for name, kind in kinds.items()
        }
        path = rule.build(values)[1]
        for method in METHODS:
            yield Ask(rule.rule, path, method, _content(method), is_form=method == "POST")


def _content(method: str) -> dict[str, Any]:
    if method in ("PUT", "PATCH"):
        return {"json": {"status": "paused"}}
    return {"data": {}, "content_type": "multipart/form-data"} if method == "POST" else {}


def by_other_means(access: str) -> Iterator[Ask]:
    """A job named in a document, a query, a form, or a cookie."""
    for operation in (*reading.OPERATIONS, *reading.EXTENSION):
        if operation in WITHOUT_JOB:
            continue
        query = f"service=WPS&version=2.0.0&request={operation}&jobid={access}"
        yield Ask(f"{operation} as a query", f"/wps?{query}")
        prefix = "hpc" if operation in reading.EXTENSION else "wps"
        text = wps2.document(operation, f"<wps:JobID>{access}</wps:JobID>", prefix=prefix)
        sent = {"data": text, "content_type": "text/xml"}
        yield Ask(f"{operation} as a document", "/wps", "POST", sent)
    yield Ask("another run", f"/ui/processes/repeat_2?from={access}")
    find = {"data": {"address": f"http://host/jobs/{access}"}}
    yield Ask("find", "/ui/find", "POST", find, is_form=True)
    yield Ask("a browser's jobs", "/ui/", how={"headers": {"Cookie": f"pywps_hpc_jobs={access}"}})
    for path in ("/jobs/", "/a/b/jobs/", "/ui/jobs/"):
        for accept in ("text/html", "application/problem+json"):
            yield Ask(f"{path} as {accept}", f"{path}{access}", how={"headers": {"Accept": accept}})
    cross = {"headers": {"Origin": "https://else.where"}}
    yield Ask("a script of another host", f"/jobs/{access}", how=cross)
    part = {"headers": {"Range": "bytes=0-0"}}
    for path in (f"/outputs/{access}/{OUTPUT}", f"/jobs/{access}/log"):
        yield Ask(f"a part of {path.replace(access, '')}", path, how=part)


def asks(app: InProcessService, access: str) -> list[Ask]:
    return [*by_rules(app, access), *by_other_means(access)]


#: Status, headers and body of an answer, but for the job's name in it.
Seen = tuple[int, str]
_FRESH = re.compile(
    r"""(name="token" value="|nonce=["]|'nonce-|pywps_hpc_form=|Expires=)[\w ,:-]+"""
)


class Accounts:
    """Several accounts of one service, each with a browser."""

    def __init__(self, app: InProcessService) -> None:
        self.app = app
        self._forms: dict[Who, tuple[str, str]] = {}

    def send(self, who: Who, ask: Ask) -> TestResponse:
        how = dict(ask.how)
        headers = {**how.pop("headers", {}), **({"X-Remote-User": who.name} if who.name else {})}
        if ask.is_form:
            cookie, token = self._form(who)
            headers["Cookie"] = f"pywps_hpc_form={cookie}"
            how["data"] = {**how["data"], "token": token}
        return self.app.web.open(
            ask.path,
            method=ask.method,
            headers=headers,
            environ_overrides={"REMOTE_ADDR": who.peer},
            **how,
        )

    def seen(self, who: Who, ask: Ask, access: str) -> Seen:
        """The answer, but for what is made anew for each browser and each page."""
        answer = self.send(who, ask)
        text = "\n".join([*(f"{k}: {v}" for k, v in sorted(answer.headers)), "", answer.text])
        return answer.status_code, _FRESH.sub(r"\1", text).replace(access, "JOB")

    def _form(self, who: Who) -> tuple[str, str]:
        if who not in self._forms:
            page = self.send(who, Ask("", "/ui/"))
            found = re.search(r'name="token" value="(\w+)"', page.text)
            cookie = re.search(r"pywps_hpc_form=(\w+)", page.headers["Set-Cookie"])
            assert found
            assert cookie
            self._forms[who] = cookie[1], found[1]
        return self._forms[who]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    own = {
        "administrators": "root",
        "user_header": "X-Remote-User",
        "trusted_proxies": PROXY,
        "cors": "*",
    }
    with open_service(tmp_path_factory.mktemp("owners"), hpc=own) as opened:
        opened.web._cookies = None  # each browser sends its own
        opened.heartbeat()
        yield opened


@pytest.fixture(scope="module")
def accounts(app: InProcessService) -> Accounts:
    return Accounts(app)


def queued(accounts: Accounts) -> JobDir:
    """A job of Anna's that waits."""
    accounts.app.heartbeat()
    form = {"data": {"in.text.0.value": "secret", "run": "yes"}}
    sent = accounts.send(ANNA, Ask("", "/ui/processes/repeat_2", "POST", form, is_form=True))
    assert sent.status_code == 303, sent.text
    row = accounts.app.store.at(sent.headers["Location"].rpartition("/")[2])
    assert row is not None
    assert row.owner == "anna"
    job = accounts.app.spool.open(row.id)
    return JobDir(job.path, access=row.access)


def succeeded(accounts: Accounts) -> JobDir:
    """A job of Anna's that has ended, with an output and a log."""
    job, app = queued(accounts), accounts.app
    job.outputs.mkdir()
    (job.outputs / OUTPUT).write_text("secret", encoding="utf-8")
    job.log.write_text("secret", encoding="utf-8")
    outcome.Report(
        job.job_id,
        "repeat_2",
        state=outcome.SUCCEEDED,
        percent=100,
        message="secret",
        started=1.0,
        outputs=[{"identifier": "result", "kind": "complex", "file": OUTPUT}],
    ).write(job)
    for state in (State.SUBMITTING, State.QUEUED, State.RUNNING, State.SUCCEEDED):
        assert app.store.move(app.row(job), state) is not None
    return job


STAGES: dict[str, Callable[[Accounts], JobDir]] = {"queued": queued, "succeeded": succeeded}


def files_of(job: JobDir) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in job.path.rglob("*")}


@pytest.mark.parametrize(
    ("who", "stage"),
    [(STRANGERS[0], "queued"), *((who, "succeeded") for who in STRANGERS)],
    ids=lambda value: f"{value.name or 'nobody'}@{value.peer}" if value in STRANGERS else value,
)
def test_a_stranger_gets_the_bytes_of_an_unknown_job_and_changes_nothing(
    accounts: Accounts, who: Who, stage: str
) -> None:
    app, job = accounts.app, STAGES[stage](accounts)
    before, files = app.row(job), files_of(job)
    pairs = list(zip(asks(app, job.access), asks(app, NOBODY), strict=True))
    assert len(pairs) > 100
    for ask, same in pairs:
        known = accounts.seen(who, ask, job.access)
        assert known == accounts.seen(who, same, NOBODY), ask
        assert app.store.get(job.job_id) == before, ask
    assert files_of(job) == files
    for path in (
        "/jobs?limit=1000",
        "/jobs?status=accepted,successful",
        "/ui/",
        "/ui/?state=queued",
    ):
        assert job.access not in accounts.send(who, Ask("", path)).text


@pytest.mark.parametrize("who", [ANNA, ROOT], ids=lambda who: who.name)
def test_every_url_of_a_job_is_its_owners_and_the_administrators(
    accounts: Accounts, who: Who
) -> None:
    """Without this, nothing would be shown by strangers getting nothing."""
    app, theirs, others = accounts.app, set(), set()
    for make in STAGES.values():
        job = make(accounts)
        for number, same in enumerate(asks(app, NOBODY)):
            if same.rule in theirs or same.method in ("HEAD", "OPTIONS", "PATCH"):
                continue
            if app.store.get(job.job_id) is None or app.row(job).control is not ControlRequest.NONE:
                job = make(accounts)
            ask = asks(app, job.access)[number]
            others.add(ask.rule)
            if accounts.seen(who, ask, job.access) != accounts.seen(who, same, NOBODY):
                theirs.add(ask.rule)
    assert others - theirs == THE_SAME_FOR_ALL


def test_only_its_owner_is_told_that_a_job_has_been_removed(accounts: Accounts) -> None:
    app, job = accounts.app, succeeded(accounts)
    assert accounts.send(ANNA, Ask("", f"/jobs/{job.access}", "DELETE")).status_code == 200
    gone = set()
    for ask, same in zip(asks(app, job.access), asks(app, NOBODY), strict=True):
        for who in (Who("ben"), ROOT):
            assert accounts.seen(who, ask, job.access) == accounts.seen(who, same, NOBODY), ask
        code, unknown = accounts.send(ANNA, ask).status_code, accounts.send(ANNA, same).status_code
        assert code == unknown or (code, unknown) == (410, 404), ask
        if code == 410:
            gone.add(ask.rule)
    assert {rule for rule in gone if rule.startswith("/")} >= {
        *("/status/<job:access>", "/jobs/<job:access>", "/ui/jobs/<job:access>"),
        "/jobs/<job:access>/results/<rest:output>",
    }
    assert {"GetStatus as a query", "Dismiss as a document", "find", "another run"} <= gone


def test_an_account_may_do_to_its_own_job_what_nobody_else_may(accounts: Accounts) -> None:
    job, app = queued(accounts), accounts.app
    put = Ask("", f"/jobs/{job.access}/status", "PUT", {"json": {"status": "paused"}})
    for who, code in ((Who("ben"), 404), (ANNA, 200)):
        before: Job = app.row(job)
        assert accounts.send(who, put).status_code == code
        assert (app.row(job) == before) is (code == 404)
