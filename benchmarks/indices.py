"""A real service, unmodified, with ``local`` beside default mode: the same outputs, and when.

    python benchmarks/indices.py [finch.wsgi:application tasmax=file:///data/tasmax.nc] \
        --python VENV/bin/python [--number 20]

Takes the first processes of the service that require no complex input but the given one, and runs
one of them seven times, all one after the other, and then all at once, on both. The files that
they give are compared by xarray: dimensions, coordinates, variables, their values and types; not
the text that tells when they were made. Ends with 1 if one differs or fails.
Without an input, three years of made-up temperatures are it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import requests
from lxml import etree

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402
from warm import await_nursery  # noqa: E402

import servers  # noqa: E402
import wps_client  # noqa: E402

servers.START_LIMIT = 900.0
#: Seconds that one run may take on a busy machine.
LIMIT = 1200.0
#: Run by the service's own interpreter, with two files as arguments.
COMPARE = """
import sys, xarray
one, other = (xarray.open_dataset(file, decode_times=False) for file in sys.argv[1:])
xarray.testing.assert_equal(one, other)
assert {name: one[name].dtype for name in one} == {name: other[name].dtype for name in other}
"""
#: Likewise, with the name of the file to be made.
MAKE = """
import sys, numpy, pandas, xarray
days, rng = pandas.date_range("2000-01-01", "2002-12-31"), numpy.random.default_rng(1)
season = 285 - 12 * numpy.cos(2 * numpy.pi * days.day_of_year.values / 365)
values = season[:, None, None] + rng.normal(0, 4, (len(days), 8, 8))
places = {"lat": numpy.linspace(45, 52, 8), "lon": numpy.linspace(5, 12, 8)}
told = {"units": "K", "standard_name": "air_temperature", "cell_methods": "time: maximum"}
data = xarray.DataArray(
    values.astype("float32"), {"time": days, **places}, ("time", "lat", "lon"), "tasmax", told
)
data.lat.attrs = {"units": "degrees_north", "standard_name": "latitude"}
data.lon.attrs = {"units": "degrees_east", "standard_name": "longitude"}
data.to_dataset().to_netcdf(sys.argv[1])
"""


def fitting(server: servers.Server, given: str) -> list[str]:
    """The processes that require this complex input and no other, in the service's order."""
    document = wps_client.get(
        server.url, "service=WPS&version=1.0.0&request=DescribeProcess&identifier=ALL"
    ).content
    found = []
    for process in etree.fromstring(document).iterfind("ProcessDescription"):
        required = {
            each.findtext("{*}Identifier")
            for each in process.iterfind("DataInputs/Input")
            if each.get("minOccurs") != "0"
            and (
                each.find("ComplexData") is not None
                or not each.findtext("LiteralData/DefaultValue")
            )
        }
        if required == {given}:
            found.append(str(process.findtext("{*}Identifier")))
    return found


def run(
    server: servers.Server, process: str, name: str, address: str, pause: float = 0.02
) -> tuple[float, bytes]:
    """Seconds from the request to the end of a job, and the file that it gave.

    Args:
        pause: seconds between two looks at its status document. Twenty clients that look fifty
            times a second would take one of the two cores.
    """
    begun = time.perf_counter()
    value = wps_client.Reference(address, "application/x-netcdf")
    location = wps_client.submit(server.url, process, [(name, value)])
    while True:
        try:
            document = wps_client.get(location).content
            state = wps_client.state_of(document)
        except (SyntaxError, requests.RequestException):
            continue  # PyWPS writes it in place: it is empty, or cut off, meanwhile
        if state in ("ProcessSucceeded", "ProcessFailed"):
            break
        assert time.perf_counter() - begun < LIMIT, process
        time.sleep(pause)
    taken = time.perf_counter() - begun
    assert state == "ProcessSucceeded", (process, wps_client.message_of(document))
    outputs = wps_client.outputs_of(document)
    content = next(out.content for out in outputs.values() if isinstance(out.content, bytes))
    return taken, bytes(content)


def seconds(server: servers.Server, process: str, name: str, address: str) -> float:
    """Those of :func:`run`."""
    return run(server, process, name, address)[0]


Ends = list[tuple[float, bytes]]


def in_turn(
    ours: servers.Server, theirs: servers.Server, processes: list[str], name: str, address: str
) -> tuple[Ends, Ends]:
    """One job after the other, each on both servers."""
    found: tuple[Ends, Ends] = [], []
    for number, process in enumerate(processes):
        for which in (0, 1) if number % 2 else (1, 0):
            found[which].append(run((ours, theirs)[which], process, name, address))
    return found


def together(
    ours: servers.Server, theirs: servers.Server, processes: list[str], name: str, address: str
) -> tuple[Ends, Ends]:
    """All jobs at once on one server, and then on the other."""

    def all_on(server: servers.Server) -> Ends:
        begun = time.perf_counter()
        with ThreadPoolExecutor(len(processes)) as pool:
            look = partial(run, server, name=name, address=address, pause=0.5)
            ends = list(pool.map(look, processes))
        print(f"all: {time.perf_counter() - begun:.1f} s", flush=True)
        return ends

    return all_on(ours), all_on(theirs)


def main() -> int:
    """Print the times and what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("application", nargs="?", default="finch.wsgi:application")
    parser.add_argument("input", nargs="?", help="NAME=file:///PATH")
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--process", default="tx_mean", help="run by itself, again and again")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the service")
    parser.add_argument("--memory", default="4G")
    own = parser.parse_args()
    different = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        name, _, address = (own.input or f"tasmax=file://{folder}/data/tasmax.nc").partition("=")
        data = Path(address.removeprefix("file://"))
        if not own.input:
            data.parent.mkdir()
            subprocess.run([own.python, "-c", MAKE, str(data)], check=True)
        allowed = {"allowedinputpaths": str(data.parent)}
        sections = {"server": allowed, "hpc.resources": {"memory": own.memory}}
        for kind in ("local", "default"):
            (folder / kind).mkdir()
        how = {"python": own.python, "sections": sections}
        ours = servers.HpcServer(folder / "local", own.application, workers=1, **how)
        theirs = servers.DefaultServer(folder / "default", own.application, **how)
        with ours, theirs:
            different_ones = fitting(theirs, name)
            processes = (different_ones * own.number)[: own.number]
            print(own.number, "jobs of", *different_ones, flush=True)
            for server in (theirs, ours, ours):
                first = run(server, processes[0], name, address)[0]
                print(f"the first of {type(server).__name__}: {first:.1f} s", flush=True)
            await_nursery(folder / "local")
            one = own.process if own.process in different_ones else processes[0]
            row = compare.Row(f"`{one}`, `local`, warm", "PyWPS's multiprocessing", 1.3)
            mine = partial(seconds, ours, one, name, address)
            other = partial(seconds, theirs, one, name, address)
            compare.tell(compare.in_turn(row, mine, other))
            for order, at_once in (("in a row", False), ("at once", True)):
                row = compare.Row(f"{own.number} jobs {order}", "default mode", 1.3)
                found = (together if at_once else in_turn)(ours, theirs, processes, name, address)
                for kind, ends in zip(("local", "default mode"), found, strict=True):
                    times = sorted(seconds for seconds, _ in ends)
                    middle = times[len(times) // 2]
                    print(
                        f"{order}, {kind}: {middle:.1f} s ({times[0]:.1f} to {times[-1]:.1f})",
                        flush=True,
                    )
                row.ours, row.theirs = ([seconds for seconds, _ in ends] for ends in found)
                row.load = os.getloadavg()[0]
                compare.tell(row)
                if at_once:
                    row = compare.Row(f"{row.what}, until the last has ended", row.against, 1.3)
                    row.ours, row.theirs = ([max(ends)[0]] for ends in found)
                    row.load = os.getloadavg()[0]
                    compare.tell(row)
                files = [[content for _, content in ends] for ends in found]
                for process, one, other in zip(processes, *files, strict=True):
                    (folder / "one.nc").write_bytes(one)
                    (folder / "other.nc").write_bytes(other)
                    command = [own.python, "-c", COMPARE, str(folder / "one.nc")]
                    done = subprocess.run(
                        [*command, str(folder / "other.nc")], capture_output=True, text=True
                    )
                    if done.returncode:
                        different.append(f"{process} {order}: {done.stderr[-300:]}")
    print(f"{len(different)} different", *different, sep="\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
