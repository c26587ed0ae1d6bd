"""What a client asks for, and who pays for it, as a real batch system has it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import cluster_site as site
import servers
import wps_client as client

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm"), pytest.mark.timeout(600)]
#: Owner -> account.
ACCOUNTS = {"anna": os.environ.get("PYWPS_HPC_TEST_ACCOUNT", ""), "ben": "rivers"}


@pytest.fixture(scope="module")
def server() -> Iterator[servers.HpcServer]:
    for what in (["account", "rivers"], ["user", site.user(), "account=rivers"]):
        # It fails where there is one from an earlier run.
        subprocess.run(["sacctmgr", "--immediate", "add", *what], capture_output=True, timeout=60)
    root = site.folder("accounts")
    site.code(root)
    sections: dict[str, dict[str, object]] = {
        "hpc": {
            "user_header": "X-User",
            "trusted_proxies": "127.0.0.1",
            "require_account": "yes",
        },
        "hpc.resources": {"memory": "400M", "client_cpus": "1..8"},
        **{f"hpc.owner.{name}": {"account": account} for name, account in ACCOUNTS.items()},
    }
    with site.slurm_server(root, "asking:service", sections=sections) as started:
        yield started


def test_two_owners_two_accounts_and_the_processors_that_were_asked_for(
    server: servers.HpcServer,
) -> None:
    asked: dict[str, client.Inputs] = {"anna": [("hpc_cpus", "4")], "ben": []}

    def run(name: str) -> str:
        inputs = [("text", "a"), *asked[name]]
        headers = {"X-User": name}
        answer = client.execute_sync(server.url, "threads", inputs, headers=headers)
        assert client.state_of(answer.content) == "ProcessSucceeded", answer.content
        return str(client.outputs_of(answer.content)["result"].content)

    with ThreadPoolExecutor() as pool:
        told = dict(zip(asked, pool.map(run, asked), strict=True))
    natives = {row["owner"]: row["native_id"] for row in server.rows()}
    paid = {
        name: site.accounted(native, "Account,AllocCPUS,State") for name, native in natives.items()
    }
    assert told == {"anna": "4 text", "ben": "1 text"}
    assert paid == {
        "anna": f"{ACCOUNTS['anna']}|4|COMPLETED",
        "ben": f"{ACCOUNTS['ben']}|1|COMPLETED",
    }
