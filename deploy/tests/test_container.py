"""The Dockerfile and the compose file that docs/deploy/container.md shows: the image is built, its
command runs in it as its account, and docker-compose takes the file. No container is started: a
container in which these tests run may not make another one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from deployed_site import DEPLOY, SERVICES, ended, execute, file_of, location
from pages_tried import MEASURED

from environments import wheel
from postgres import Postgres
from servers import HTTP, free_port, wait_for

pytestmark = pytest.mark.timeout(1200)
CONTAINER = DEPLOY / "container"
#: Names of images and of a container of these tests alone.
BASE, IMAGE, BUILT = "localhost/pywps-hpc-test-base", "localhost/pywps-hpc-test", "pywps-hpc-test"
PODMAN = ("podman", "--cgroup-manager=cgroupfs")
CERTIFICATES = "/etc/ssl/certs"
#: The account of the Dockerfile.
ACCOUNT_NUMBER = 901
#: Seconds that compose gives the service to end.
GRACE = 60


def run(*line: str | Path, **how: Any) -> str:
    """What a command prints.

    Raises:
        AssertionError: it failed.
    """
    ended = subprocess.run(
        [str(word) for word in line],
        capture_output=True,
        text=True,
        timeout=900,
        **how,
    )
    assert ended.returncode == 0, f"{line}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    return ended.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page has beside one's service."""
    made = tmp_path_factory.mktemp("container")
    shutil.copytree(CONTAINER, made / "context")
    shutil.copy(SERVICES / "my_service/wsgi.py", made / "context/my_service.py")
    (made / "context/requirements.txt").write_text("pywps\n")
    return made


@pytest.fixture(scope="module")
def image(folder: Path) -> Iterator[str]:
    """The image that the Dockerfile makes, of a Debian with Python in place of the registry's, and
    of this release in place of PyPI's."""
    wheel(folder / "wheels")
    pip = ["[global]", "find-links = /wheels"]
    if certificate := os.environ.get("PIP_CERT"):
        pip.append(f"cert = {certificate}")
    (folder / "pip.conf").write_text("\n".join(pip) + "\n")
    try:
        (base,) = Path(os.environ["PYWPS_HPC_TEST_HOME"], "images").glob("base-*")
        run(*PODMAN, "import", "--quiet", *_path_of(base), _archive(base, folder), BASE)
        build = [*PODMAN, "build", "--isolation", "chroot", "--network", "host", "--tag", IMAGE]
        shown = {"wheels": "/wheels", "pip.conf": "/etc/pip.conf", CERTIFICATES: CERTIFICATES}
        for here, there in shown.items():
            build += ["--volume", f"{folder / here}:{there}:ro"]
        run(*build, "--build-arg", f"BASE={BASE}", folder / "context")
        yield IMAGE
    finally:
        for name in (IMAGE, BASE):
            subprocess.run([*PODMAN, "rmi", "--force", name], capture_output=True)


def _path_of(base: Path) -> list[str]:
    """Where the base has its Python."""
    (python,) = base.glob("opt/*/bin/python3")
    path = f"/{python.parent.relative_to(base)}:/usr/bin:/bin:/usr/sbin:/sbin"
    return ["--change", f"ENV PATH={path}"]


def _archive(base: Path, folder: Path) -> Path:
    made = folder / "base.tar"
    with tarfile.open(made, "w") as archive:
        for part in sorted(base.iterdir()):
            if part.name not in ("proc", "sys", "dev"):
                archive.add(part, part.name)
    return made


def inspected(image: str) -> dict[str, Any]:
    """How a container of an image would be started."""
    (found,) = json.loads(run(*PODMAN, "image", "inspect", image))
    config: dict[str, Any] = found["Config"]
    return config


@pytest.fixture(scope="module")
def compose(folder: Path) -> dict[str, Any]:
    """The compose file as docker-compose, which holds it against its schema, understands it."""
    file = folder / "context/compose.yaml"
    environment = os.environ | {"POSTGRES_PASSWORD": "not-so-secret"}
    told = run("docker-compose", "--file", file, "config", env=environment)
    found: dict[str, Any] = yaml.safe_load(told)
    return found


def test_compose_takes_the_file_and_no_other_word_in_it(
    folder: Path, compose: dict[str, Any]
) -> None:
    assert compose["services"].keys() == {"wps", "db"}
    assert compose["volumes"].keys() == {"spool", "database"}
    text = (folder / "context/compose.yaml").read_text()
    for wrong in (
        text.replace("restart:", "restrat:"),
        text.replace("init: true", "init: perhaps"),
    ):
        (folder / "wrong.yaml").write_text(wrong)
        line = ["docker-compose", "--file", str(folder / "wrong.yaml"), "config", "--quiet"]
        environment = os.environ | {"POSTGRES_PASSWORD": "x"}
        assert subprocess.run(line, env=environment, capture_output=True).returncode != 0
    without = {key: value for key, value in os.environ.items() if key != "POSTGRES_PASSWORD"}
    line = ["docker-compose", "--file", str(folder / "context/compose.yaml"), "config", "--quiet"]
    told = subprocess.run(line, env=without, capture_output=True, text=True)
    assert told.returncode != 0
    assert "set it in .env" in told.stderr


def test_the_image_starts_the_service_as_its_account_and_compose_fits_it(
    image: str, compose: dict[str, Any]
) -> None:
    config, service = inspected(image), compose["services"]["wps"]
    assert config["User"] == "wps"
    assert config["Cmd"][:2] == ["pywps-hpc", "serve"]
    assert [config["Cmd"][-1].rpartition(":")[2] + "/tcp"] == list(config["ExposedPorts"])
    assert [each.partition(":")[2].partition(":")[0] for each in service["volumes"]] == list(
        config["Volumes"]
    )
    assert service["stop_grace_period"] in (f"{GRACE}s", "1m0s")


def test_the_command_of_the_image_runs_jobs_in_it_and_ends(
    image: str,
    compose: dict[str, Any],
    folder: Path,
    record_property: Callable[[str, object], None],
) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [word.replace(":5000", f":{port}") for word in inspected(image)["Cmd"]]
    given = compose["services"]["wps"]["environment"]
    run("buildah", "from", "--name", BUILT, image)
    try:
        with Postgres() as database:
            given |= {"PYWPS_HPC_URL": f"{base}/wps", "PYWPS_HPC_DATABASE": database.url}
            line = ["buildah", "run", "--isolation", "chroot", "--network", "host"]
            line += [word for pair in given.items() for word in ("--env", "=".join(pair))]
            with (folder / "service.log").open("wb") as log:
                process = subprocess.Popen([*line, BUILT, "--", *command], stdout=log, stderr=log)
            try:
                wait_for(lambda: _is_up(f"{base}/wps", process, folder), "the service", 180)
                document = ended(location(execute(f"{base}/wps")))
                assert b"ProcessSucceeded" in document, document.decode()
                assert HTTP.get(file_of(document), timeout=60).text == "144"
                top = _service(port)
                assert {part.uids().real for part in (top, *top.children(recursive=True))} == {
                    ACCOUNT_NUMBER
                }
                begun = time.monotonic()
                top.terminate()  # as compose does it
                process.wait(GRACE)
                took = time.monotonic() - begun
                record_property(MEASURED, f"the service in its image ended within {took:.1f} s")
            finally:
                process.kill()
                process.wait(60)
    finally:
        subprocess.run(["buildah", "rm", BUILT], capture_output=True)


def _is_up(url: str, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "service.log").read_text()
    query = {"service": "WPS", "request": "GetCapabilities"}
    try:
        return HTTP.get(url, params=query, timeout=60).status_code == 200
    except requests.RequestException:
        return False


def _service(port: int) -> psutil.Process:
    """The first process of the service, which listens on a port."""
    mine = [
        each
        for each in psutil.process_iter(["cmdline"])
        if f"0.0.0.0:{port}" in (each.info["cmdline"] or ()) and "python" in each.exe()
    ]
    (top,) = (each for each in mine if each.ppid() not in {one.pid for one in mine})
    return top
