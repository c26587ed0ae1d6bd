"""``docs/start.md``, word for word: its files, its commands, and what it says of their answers; and
the clients of ``docs/scientists.md`` before the same service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from places import ROOT
from servers import HTTP, free_port, wait_for

PAGE = (ROOT / "docs/start.md").read_text(encoding="utf-8")
#: These lines make an environment, which the tests have already.
OF_THE_ENVIRONMENT = re.compile(r"python3 -m venv .*|\. venv/.*|pip install .*")
SERVE = "pywps-hpc serve"
CAPTURED: dict[str, Any] = {"capture_output": True, "text": True}


def blocks(kind: str) -> list[str]:
    """The page's code blocks."""
    return re.findall(rf"^```{kind}[^\n]*\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """What the page has a person type, block by block, without what makes an environment."""
    typed = (block.splitlines() for block in blocks("sh"))
    rest = ([line for line in lines if not OF_THE_ENVIRONMENT.fullmatch(line)] for lines in typed)
    return ["\n".join(lines) for lines in rest if lines]


@dataclass
class Place:
    """The folder that a person works in."""

    folder: Path
    port: int

    def adapted(self, text: str) -> str:
        """Text of the page, with a port that is free here."""
        return text.replace(":5000/", f":{self.port}/")

    def run(self, command: str) -> str:
        line = ["bash", "-euc", self.adapted(command)]
        ended = subprocess.run(line, cwd=self.folder, env=self.environment, timeout=60, **CAPTURED)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PWD": str(self.folder)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """With the page's files and its service, which runs."""
    place = Place(tmp_path_factory.mktemp("start"), free_port())
    for name, text in re.findall(r'title="([^"]+)"\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE):
        (place.folder / name).write_text(place.adapted(text), encoding="utf-8")
    if os.geteuid() == 0:  # as in a container
        config = place.folder / "pywps.cfg"
        config.write_text(config.read_text().replace("[hpc]\n", "[hpc]\nallow_root = yes\n"))
    first, *_ = commands()
    before, serve = first.rsplit("\n", 1)
    assert serve.startswith(SERVE)
    place.run(before)
    line = ["bash", "-euc", f"exec {serve} --bind 127.0.0.1:{place.port}"]
    with (place.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            line, cwd=place.folder, env=place.environment, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: is_up(place, process), "the service answers")
        yield place
    finally:
        process.terminate()
        process.wait(60)


def is_up(place: Place, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (place.folder / "log").read_text()
    try:
        HTTP.get(f"http://127.0.0.1:{place.port}/conformance", timeout=5)
    except OSError:
        return False
    line = ["pywps-hpc", "status", "--config", "pywps.cfg"]
    ended = subprocess.run(line, cwd=place.folder, env=place.environment, **CAPTURED)
    return ended.returncode == 0  # a dispatcher leads


def test_the_extra_that_is_installed_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (name, extra) = re.findall(r"pip install '([\w-]+)\[(\w+)\]'", PAGE)[0]
    assert f'name = "{name}"' in project
    assert f"\n{extra} = [" in project


def test_both_requests_end_with_the_square(place: Place) -> None:
    _, by_api, by_wps, *_ = commands()
    job = re.findall(r'"(http://[^"]+/jobs/[^"/]+)"', place.run(by_api))[0]
    wait_for(lambda: HTTP.get(job).json()["status"] == "successful", "the job of the API")
    assert "144" in HTTP.get(f"{job}/results").text
    status = re.findall(r'statusLocation="([^"]+)"', place.run(by_wps))[0]
    wait_for(lambda: "ProcessSucceeded" in HTTP.get(status).text, "the job of WPS")
    assert "144" in HTTP.get(status).text


def test_the_page_of_the_browser_is_there(place: Place) -> None:
    (processes,) = re.findall(r"`(http://127.0.0.1:5000/ui/processes)`", PAGE)
    assert "Square of a number" in HTTP.get(place.adapted(processes)).text


def test_the_administrators_commands_work(place: Place) -> None:
    told = place.run(commands()[-1])
    assert "leads" in told
    assert "square" in told


SCIENTISTS = (ROOT / "docs/scientists.md").read_text(encoding="utf-8")
CLIENTS = re.findall(r"^```python\n(.*?)^```", SCIENTISTS, re.DOTALL | re.MULTILINE)
SERVICE_OF_THE_PAGE = "https://wps.example.org/birds"


def test_there_are_clients_of_three_kinds() -> None:
    assert [re.search(r"(owslib|birdy|requests)", client)[1] for client in CLIENTS] == [  # type: ignore[index]
        *("owslib", "birdy", "requests")
    ]


@pytest.mark.parametrize("client", CLIENTS, ids=("owslib", "birdy", "requests"))
def test_a_scientists_client_gets_the_square(place: Place, client: str) -> None:
    here = client.replace(SERVICE_OF_THE_PAGE, f"http://127.0.0.1:{place.port}")
    soon = here.replace("sleepSecs=5", "sleepSecs=0.2").replace("sleep(5)", "sleep(0.2)")
    assert soon != here or "birdy" in client
    line = [sys.executable, "-c", soon]
    ended = subprocess.run(line, env=place.environment, timeout=120, **CAPTURED)
    assert ended.returncode == 0, ended.stderr
    assert "144" in ended.stdout.splitlines()[-1]
    # The page says that one can come back to the job with it.
    assert ("statusLocation" in client) == ("/status/" in ended.stdout)


def test_curl_sends_a_request_follows_the_job_and_gets_its_result(place: Place) -> None:
    (block,) = re.findall(r"^## curl\n\n```sh\n(.*?)^```", SCIENTISTS, re.DOTALL | re.MULTILINE)
    here = block.replace(SERVICE_OF_THE_PAGE, f"http://127.0.0.1:{place.port}")
    send, status, results = here.splitlines()
    (job,) = re.findall(r"^location: \S*/jobs/(\S+)", place.run(send), re.IGNORECASE | re.MULTILINE)
    wait_for(
        lambda: '"successful"' in place.run(status.replace("JOB", job)), "curl sees the job's end"
    )
    assert "144" in place.run(results.replace("JOB", job))
