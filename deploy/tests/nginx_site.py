"""nginx with the file that docs/deploy/nginx.md shows."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from deployed_site import ACCOUNT, DEPLOY, adapted, certificate

from servers import HTTP

#: As nginx's own file has it around each site. ``X-Sent`` is for :func:`was_sent`.
AROUND = """
daemon off; worker_processes 1; user {user}; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; add_header X-Sent "$upstream_bytes_sent" always;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/site.conf;
}}
"""


@contextmanager
def nginx(
    folder: Path,
    port: int,
    hosts: Sequence[int],
    *,
    login: bool = True,
    patient: bool = False,
    user: str = ACCOUNT,
) -> Iterator[str]:
    """nginx on a port, and two web hosts behind it; the name of its certificate's file.

    Args:
        login: whether the accounts anna and ben have to give the passwords a and b.
        patient: whether a host that broke off is asked again at once.
        user: who its workers are; that of the spool in the folder ``service``.
    """
    more = " max_fails=0" if patient else ""
    made, key = certificate(folder)
    first, second = hosts
    changes = {
        "server 127.0.0.1:5000;": f"server 127.0.0.1:{first}{more};",
        "# server 10.20.0.12:5000;": f"server 127.0.0.1:{second}{more};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "wps.example.org;": "localhost;",
        "/etc/ssl/certs/wps.example.org.pem": str(made),
        "/etc/ssl/private/wps.example.org.key": str(key),
        "/shared/pywps/spool": str(folder / "service/spool"),
    }
    if login:
        changes |= {
            '# auth_basic "birds";': 'auth_basic "birds";',
            "# set $account": "set $account",
            "# auth_basic_user_file /etc/nginx/birds": f"auth_basic_user_file {folder}/birds",
        }
    (folder / "site.conf").write_text(adapted(DEPLOY / "nginx/pywps-hpc.conf", changes))
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
    (folder / "birds.htpasswd").write_text("anna:{PLAIN}a\nben:{PLAIN}b\n")
    process = subprocess.Popen(["/usr/sbin/nginx", "-c", str(folder / "nginx.conf")])
    try:
        yield str(made)
    finally:
        process.terminate()
        process.wait(30)


def was_sent(answer: requests.Response) -> bool:
    """Whether a web host had any of the request that nginx answers: not if all refused."""
    return any(
        part.strip() not in ("", "-", "0") for part in answer.headers.get("X-Sent", "").split(",")
    )


def answers(url: str, certificate_file: str) -> bool:
    """Whether GetCapabilities works there."""
    query = {"service": "WPS", "request": "GetCapabilities"}
    try:
        reply = HTTP.get(url, params=query, verify=certificate_file, auth=("anna", "a"), timeout=60)
    except requests.RequestException:
        return False
    return reply.status_code == 200
