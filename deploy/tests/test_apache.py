"""Apache with mod_wsgi and the files that docs/deploy/apache.md shows; the dispatcher beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from deployed_site import (
    ACCOUNT,
    DEPLOY,
    PREFIX,
    SERVICES,
    adapted,
    ended,
    execute,
    file_of,
    location,
    open_folder,
    service,
)

from places import ROOT
from servers import HTTP, free_port, wait_for

MODULES = "/usr/lib/apache2/modules"
NEEDED = (
    *("mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic"),
    *("env", "wsgi"),
)
#: As Debian's own file has it around each site, and people who log in.
AROUND = """
ServerRoot /usr/lib/apache2
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.log
User www-data
Group www-data
WSGISocketPrefix {folder}/wsgi
{modules}
{site}
<Location /birds>
    AuthType Basic
    AuthName birds
    AuthBasicProvider file
    AuthUserFile {folder}/birds.htpasswd
    Require valid-user
</Location>
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def public(folder: Path) -> Iterator[str]:
    """The address of Apache."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = service(folder / "service", address, user=ACCOUNT, max_waiting=8, allow_root="no")
    script = {"/etc/pywps-hpc/pywps.cfg": str(server.config)}
    (folder / "birds.wsgi").write_text(adapted(DEPLOY / "apache/birds.wsgi", script))
    changes = {
        "user=wps group=wps": f"user={ACCOUNT} group={ACCOUNT}",
        "python-home=/opt/pywps-hpc": f"python-home={sys.prefix} python-path={SERVICES}:{ROOT}",
        "home=/var/lib/pywps-hpc": f"home={folder / 'service'}",
        "/etc/pywps-hpc/birds.wsgi": str(folder / "birds.wsgi"),
        "<Directory /etc/pywps-hpc>": f"<Directory {folder}>",
    }
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in NEEDED)
    site = adapted(DEPLOY / "apache/pywps-hpc.conf", changes)
    text = AROUND.format(port=port, folder=folder, modules=modules, site=site)
    (folder / "apache.conf").write_text(text)
    passwords = [
        subprocess.run(
            ["openssl", "passwd", "-apr1", name], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("anna", "ben")
    ]
    lines = (f"{name}:{word}\n" for name, word in zip(("anna", "ben"), passwords, strict=True))
    (folder / "birds.htpasswd").write_text("".join(lines))
    dispatcher = server.spawn(server.program("dispatcher"))
    line = ["/usr/sbin/apache2", "-f", str(folder / "apache.conf"), "-DFOREGROUND"]
    apache = subprocess.Popen(line)
    try:
        wait_for(lambda: is_up(f"{address}{PREFIX}/wps", folder), "Apache and the dispatcher")
        wait_for(lambda: server.cli("status").returncode == 0, "the dispatcher leads")
        yield address
    finally:
        apache.terminate()
        apache.wait(30)
        dispatcher.terminate()
        server.stop()


def is_up(url: str, folder: Path) -> bool:
    query = {"service": "WPS", "request": "GetCapabilities"}
    try:
        reply = HTTP.get(url, params=query, auth=("anna", "anna"), timeout=60)
    except requests.RequestException:
        return False
    assert reply.status_code in (200, 503), (folder / "apache.log").read_text()
    return reply.status_code == 200


def test_a_job_runs_and_its_links_lead_back(public: str) -> None:
    how = {"auth": ("anna", "anna")}
    address = location(execute(f"{public}{PREFIX}/wps", **how))
    assert address.startswith(f"{public}{PREFIX}/")
    assert HTTP.get(file_of(ended(address, **how)), **how).text == "144"
    for path in ("/conformance", "/processes", "/jobs", "/ui/"):
        assert HTTP.get(f"{public}{PREFIX}{path}", **how).status_code == 200, path


def test_who_is_authenticated_owns_the_job(public: str) -> None:
    address = location(execute(f"{public}{PREFIX}/wps", auth=("anna", "anna")))
    ended(address, auth=("anna", "anna"))
    assert HTTP.get(address, auth=("ben", "ben")).status_code == 404
    assert HTTP.get(address).status_code == 401
