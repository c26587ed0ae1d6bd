"""The definition of the API, and requests that are made from it at random: schemathesis finds
nothing that is answered otherwise than it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from places import ROOT, SERVICES
from servers import HpcServer

SECTIONS = {
    "hpc.container": {"python_path": f"\n    {SERVICES}\n    {ROOT}"},
    "hpc.inputs": {"allowed_networks": "127.0.0.0/8"},
}
#: A job that was dismissed stays, to be looked at: OGC 18-062r2, clause 10, wants that, and this
#: check takes it for a fault.
EXCLUDED = "use_after_free"
#: What a job came to is no answer to the request for it: a failed one has a problem for a result.
CONFIGURATION = """
[[operations]]
include-path-regex = "/jobs/.*/results"
checks.positive_data_acceptance.enabled = false
checks.not_a_server_error.enabled = false
"""


def test_no_request_that_is_made_from_the_definition_finds_a_fault(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    with HpcServer(tmp_path, application="echo:service", sections=SECTIONS) as server:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.base}/api"),
            *("--phases", "coverage,fuzzing", "--max-examples", "20", "--generation-deterministic"),
            *("--exclude-checks", EXCLUDED, "--request-timeout", "30", "--no-color"),
        ]
        environment = os.environ | {"NO_PROXY": "*", "COLUMNS": "200"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        [(sent, passed)] = re.findall(r"(\d+) generated, (\d+) passed", done.stdout)
        assert int(sent) == int(passed) >= 50, done.stdout
        # It reached what there is: some of what it sent became jobs.
        assert len(server.rows()) > 10
