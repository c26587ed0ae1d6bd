"""A job through every face at once: what each says of it, and dismissals by each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import requests

import wps2_client as wps2
import wps_client as client
from joblauncher.shared import status_xml
from servers import HTTP

#: What a face says of a job that it does not know, or no longer.
GONE = "gone"
DISMISSED = "dismissed"
#: Answers to a dismissal that comes after the end: by a face that says so and changes nothing, and
#: by one that removes the job.
ENDED, REMOVED = "ended", "removed"
#: By which clients dismiss.
DISMISSING = ("wps2", "ogc", "page")
LIMIT = 120.0
_OGC = {"successful": "succeeded"}
#: What a job without results is told by WPS 2.0 (exception code) and by the API (problem type).
_NO_RESULT = {
    "ResultNotReady": "active",
    "NoSuchJob": GONE,
    "result-not-ready": "active",
    "no-such-job": GONE,
    "dismissed": DISMISSED,
}


@dataclass
class Faces:
    """All faces of a service, as one account sees them.

    Attributes:
        base: URL of the folder in which the endpoint lies, without a slash at its end.
        user: the account, named in the header ``X-User``; empty: nobody.
    """

    base: str
    user: str = ""
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"X-User": self.user} if self.user else {}

    @property
    def url(self) -> str:
        """The endpoint of WPS."""
        return f"{self.base}/wps"

    def get(self, path: str) -> requests.Response:
        """GET, without following redirections."""
        return HTTP.get(self.base + path, headers=self.headers, timeout=LIMIT)

    def post(self, path: str, **values: str) -> requests.Response:
        """Send a form of the pages."""
        cookie, token = self._form
        return HTTP.post(
            self.base + path,
            data={"token": token, **values},
            headers={**self.headers, "Cookie": cookie},
            allow_redirects=False,
            timeout=LIMIT,
        )

    @cached_property
    def _form(self) -> tuple[str, str]:
        """A browser's cookie, and the token that its forms carry."""
        page = requests.get(f"{self.base}/ui/", headers=self.headers, timeout=LIMIT)
        found = re.search(r'name="token" value="(\w+)"', page.text)
        assert found, page.text
        return "; ".join(f"{name}={value}" for name, value in page.cookies.items()), found[1]

    def submit(self, process: str, inputs: client.Inputs = ()) -> str:
        """Start a process by WPS 1.0.0; what stands for the job in its addresses."""
        return client.job_id_of(client.submit(self.url, process, inputs, headers=self.headers))

    def dismiss(self, face: str, access: str) -> str:
        """Dismiss a job by one of :data:`DISMISSING`; the answer: :data:`DISMISSED`,
        :data:`ENDED`, :data:`REMOVED` or :data:`GONE`. WPS 2.0 calls a removed job dismissed."""
        if face == "wps2":
            inside = f"<wps:JobID>{access}</wps:JobID>"
            answer = client.send(self.url, wps2.document("Dismiss", inside), self.headers)
            return _of_wps2(answer)
        if face == "ogc":
            found = HTTP.delete(f"{self.base}/jobs/{access}", headers=self.headers, timeout=LIMIT)
            told = _of_ogc(found)
            return REMOVED if told == DISMISSED and not found.json()["links"] else told
        found = self.post(f"/ui/jobs/{access}/dismiss")
        if found.status_code == 303:
            return DISMISSED
        assert found.status_code in (404, 409, 410), (found.status_code, found.text)
        return ENDED if found.status_code == 409 else GONE

    def told(self, access: str) -> dict[str, str]:
        """The state of a job by each way to read it; ``active`` where a face says no more."""
        return dict(self._told(access))

    def _told(self, access: str) -> Iterator[tuple[str, str]]:
        yield "WPS 1.0.0", _of_wps1(client.get(f"{self.base}/status/{access}", "", self.headers))
        for operation, read in (("GetStatus", _of_wps2), ("GetResult", _of_result)):
            query = f"service=WPS&version=2.0.0&request={operation}&jobid={access}"
            yield operation, read(client.get(self.url, query, self.headers))
        yield "status", _of_ogc(self.get(f"/jobs/{access}"))
        yield "results", _of_results(self.get(f"/jobs/{access}/results"))
        yield "page", _of_page(self.get(f"/ui/jobs/{access}"))

    def listed(self) -> dict[str, str]:
        """The states of all jobs of this account in the API's list."""
        jobs = self.get("/jobs?limit=1000").json()["jobs"]
        return {job["jobID"]: _OGC.get(job["status"], job["status"]) for job in jobs}

    def listed_on_the_page(self) -> dict[str, str]:
        """The states of the newest jobs in the list of the pages."""
        item = r'<li class="card job">.*?/jobs/([\w-]+)".*?class="chip (\w+)"'
        return dict(re.findall(item, self.get("/ui/").text, re.DOTALL))


def _of_wps1(answer: client.Answer) -> str:
    if answer.status in (404, 410):
        return GONE
    assert answer.status == 200, (answer.status, answer.content)
    told = status_xml.parse(answer.content)
    # There is no dismissal in WPS 1.0.0: its message tells it.
    is_dismissed = told.state == "failed" and told.message.startswith("dismissed")
    return DISMISSED if is_dismissed else told.state


def _of_wps2(answer: client.Answer) -> str:
    if answer.status in (404, 410):
        assert wps2.refusal(answer, answer.status)[0] == "NoSuchJob"
        return GONE
    return wps2.state_of(answer).lower()


def _of_result(answer: client.Answer) -> str:
    if answer.status == 200:
        return "succeeded"
    code, _, words = wps2.refusal(answer, answer.status)
    if code == "NoApplicableCode":
        return DISMISSED if answer.status == 410 and "dismissed" in words else "failed"
    return _NO_RESULT[code]


def _of_ogc(answer: requests.Response) -> str:
    if answer.status_code in (404, 410):
        assert answer.json()["type"].endswith("no-such-job"), answer.text
        return GONE
    assert answer.status_code == 200, (answer.status_code, answer.text)
    told = str(answer.json()["status"])
    return _OGC.get(told, told)


def _of_results(answer: requests.Response) -> str:
    if answer.status_code in (200, 204):
        return "succeeded"
    kind = re.split("[:/]", answer.json()["type"])[-1]
    return _NO_RESULT.get(kind, "failed")


def _of_page(answer: requests.Response) -> str:
    if answer.status_code in (404, 410):
        return GONE
    assert answer.status_code == 200, (answer.status_code, answer.text)
    found = re.search(r'class="card standing (\w+)"', answer.text)
    assert found, answer.text
    return found[1]
