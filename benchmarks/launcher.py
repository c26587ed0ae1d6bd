"""From the start of a launcher, cold and warm, to its process's first line, against PyWPS's
``joblauncher``.

    python benchmarks/launcher.py [--rounds N] [--python PYTHON ...]

Both get the same process, which needs nothing but PyWPS, by the dump that their own service wrote.
They are started in turn; the clock runs from before the fork to the handler's first statement. A
warm one is started by a server with ``local``; its clock runs from when its log is made.
``--python`` is the beginning of the command that starts an interpreter, for example
``apptainer exec IMAGE /opt/pywps-hpc/bin/python``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support"), str(ROOT / "tests/services")]

import compare  # noqa: E402
from warm import await_nursery, to_first_line  # noqa: E402

import servers  # noqa: E402

#: What PyWPS installs as ``joblauncher``.
THEIRS = "from pywps.processing.job import launcher; launcher()"


def first_line(command: list[str], mark: Path) -> float:
    """Seconds from the start of a command to the first line of its process."""
    mark.unlink(missing_ok=True)
    begun = time.monotonic_ns()
    done = subprocess.run(
        command,
        env=os.environ | {"FIRST_LINE": str(mark), "PYTHONPATH": str(servers.SERVICES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert mark.exists(), done.stdout + done.stderr
    return (int(mark.read_text()) - begun) / 1e9


def accepted(folder: Path, config: Path) -> tuple[Path, str]:
    """A job that our service has accepted: its folder, and the digest of its dump."""
    from pywps import configuration
    from werkzeug.test import Client

    from first_line import service
    from pywps_hpc import hpc, settings
    from pywps_hpc.jobs import JobStore
    from pywps_hpc.spool import Spool

    configuration.load_configuration([str(config)])
    wrapped = hpc(service)
    own = settings.load([config])
    store = JobStore(own.database_url)
    assert store.lead("nobody", 3600)
    query = "service=WPS&version=1.0.0&request=Execute&identifier=first_line"
    answer = Client(wrapped).get(f"/wps?{query}&storeExecuteResponse=true&status=true")
    assert answer.status_code == 200, answer.get_data()
    [job] = Path(folder, "spool").rglob("job.dump")
    row = store.get(job.parent.name)
    assert row is not None
    return Spool(own.spool).open(row.id).path, row.digest


def dumped(folder: Path, config: Path) -> Path:
    """The same job as PyWPS dumps it."""
    from pywps import configuration
    from pywps.app.WPSRequest import WPSRequest
    from pywps.processing.job import Job
    from pywps.response.execute import ExecuteResponse
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request

    from first_line import FirstLine

    configuration.load_configuration([str(config)])
    process: Any = FirstLine()
    work = folder / "work" / "job"
    work.mkdir()
    process.set_workdir(str(work))
    process._set_uuid("00000000-0000-4000-8000-000000000000")
    query = "service=WPS&version=1.0.0&request=Execute&identifier=first_line"
    wps_request = WPSRequest(Request(EnvironBuilder(query_string=query).get_environ()), ["en-US"])
    response = ExecuteResponse(wps_request, process.uuid, process=process)
    file = Path(Job(process, wps_request, response).dump())
    return file.rename(folder / "theirs.dump")  # its working folder is removed at its end


def warm(folder: Path, rounds: int) -> list[float]:
    """Seconds of as many warm starts, once the nursery has learned what there is to import."""
    folder.mkdir()
    server = servers.HpcServer(folder, "first_line:service", workers=1)
    with server:
        for _ in range(4):
            to_first_line(server)
        await_nursery(folder)
        return [to_first_line(server) for _ in range(rounds)]


def main() -> None:
    """Print the medians, and the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--python", type=shlex.split, default=[sys.executable])
    parser.add_argument("--mode", type=shlex.split, default=["-I"], help="options of ours")
    own = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = servers.write_config(folder, "http://127.0.0.1:9/wps")
        theirs = dumped(folder, config)
        job, digest = accepted(folder, config)
        os.environ.pop("PYWPS_CFG", None)
        kept = folder / "kept"
        shutil.copytree(job, kept)
        mark = folder / "mark"
        ours = [*own.python, *own.mode, "-m", "joblauncher", "--path", str(servers.SERVICES)]
        ours += ["--digest", digest, "--attempt", "0", "--allow-root", str(job)]
        other = [*own.python, "-c", THEIRS, "-c", str(config), str(theirs)]
        taken: dict[str, list[float]] = {"ours": [], "joblauncher": []}
        for _ in range(own.rounds + 1):
            shutil.rmtree(job)
            shutil.copytree(kept, job)
            (folder / "work" / "job").mkdir(exist_ok=True)
            taken["joblauncher"].append(first_line(other, mark))
            taken["ours"].append(first_line(ours, mark))
        taken["warm"] = warm(folder / "warm", own.rounds + 1)
    for kind, times in taken.items():
        print(f"{kind}: {statistics.median(times[1:]) * 1e3:.0f} ms")
    row = compare.Row("cold launcher to the first line", "PyWPS's `joblauncher`", 0.45)
    row.ours, row.theirs = taken["ours"][1:], taken["joblauncher"][1:]
    row.load = os.getloadavg()[0]
    compare.tell(row)
    row = compare.Row("warm launcher to the first line", "PyWPS's `joblauncher`", 0.05)
    row.ours, row.theirs = taken["warm"][1:], taken["joblauncher"][1:]
    row.load = os.getloadavg()[0]
    compare.tell(row)


if __name__ == "__main__":
    main()
