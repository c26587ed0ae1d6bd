"""How costs grow, as plots for docs/performance.md: with jobs, with clients, with the size of a
value in the request.

    python benchmarks/curves.py [--json FIGURES] [--plots docs/pictures]

With ``--json`` of an earlier run only the plots are made anew. Needs matplotlib.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from accept import NO_LIMITS  # noqa: E402
from dispatcher import fill, installation  # noqa: E402

import servers  # noqa: E402
import wps_client  # noqa: E402
from pywps_hpc.jobs import State  # noqa: E402

JOBS, CLIENTS = (10, 100, 1000, 10_000), (1, 5, 20, 50, 100, 200)
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
TIMES = 5
#: Lowest, middle and highest of some times, in milliseconds, by what they depend on.
Curve = list[tuple[float, float, float, float]]


def curve(places: tuple[int, ...], measure: Callable[[int], list[float]]) -> Curve:
    """Measure at each place."""
    found = []
    for place in places:
        times = [1e3 * second for second in measure(place)]
        found.append((place, min(times), statistics.median(times), max(times)))
        print(*(f"{figure:.4g}" for figure in found[-1]), flush=True)
    return found


def timed(act: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def turns(count: int) -> list[float]:
    """Turns of a dispatcher at so many running jobs."""
    with installation("sqlite") as harness:
        fill(harness, count, State.RUNNING)
        harness.turn()
        return [timed(harness.dispatcher.cycle) for _ in range(TIMES)]


def accepts(url: str, clients: int) -> list[float]:
    """Answers to so many clients that send at once, a few times."""
    document = wps_client.execute_document("sleeper", [("seconds", "0")], asynchronous=True)

    def client(_number: int) -> list[float]:
        with requests.Session() as session:
            session.trust_env = False

            def send() -> None:
                sent = session.post(url, data=document, headers={"Content-Type": "text/xml"})
                assert sent.status_code == 200, sent.text

            return [timed(send) for _ in range(3)]

    with ThreadPoolExecutor(clients) as pool:
        return [second for each in pool.map(client, range(clients)) for second in each]


def inline(url: str, size: int) -> list[float]:
    """Answers to requests with a value of so many bytes in them."""
    text = wps_client.Complex("x" * size)
    document = wps_client.execute_document("texts", [("text", text)], asynchronous=True)
    times = TIMES if size < 10_000_000 else 2
    return [
        timed(lambda: wps_client.location_of(wps_client.send(url, document))) for _ in range(times)
    ]


def measured() -> dict[str, Any]:
    """All curves, and the load of the host."""
    found: dict[str, Any] = {"jobs": curve(JOBS, turns)}
    bounds = {"maxsingleinputsize": "200mb", "maxrequestsize": "200mb"}
    own = {**NO_LIMITS, "max_dump_size": "1G"}
    with tempfile.TemporaryDirectory() as folder:
        server = servers.HpcServer(Path(folder), sections={"hpc": own, "server": bounds})
        with server:
            accepts(server.url, 4)
            found["clients"] = curve(CLIENTS, lambda number: accepts(server.url, number))
            found["size"] = curve(SIZES, lambda size: inline(server.url, size))
    found["load"] = os.getloadavg()[1]
    return found


def plot(found: dict[str, Any], folder: Path) -> None:
    """One picture for each curve."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = {
        "jobs": ("running jobs", "a turn of the dispatcher [ms]"),
        "clients": ("clients that send at once", "until an Execute is answered [ms]"),
        "size": ("size of the value in the request [bytes]", "until an Execute is answered [ms]"),
    }
    for name, (across, up) in kinds.items():
        places, low, middle, high = zip(*found[name], strict=True)
        figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
        axes.fill_between(places, low, high, alpha=0.2, color="#1f5f99", label="least to most")
        axes.plot(places, middle, marker="o", color="#1f5f99", label="median")
        axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
        axes.grid(which="major", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(
            f"load of the host: {found['load']:.0f} on two cores", fontsize=9, loc="right"
        )
        axes.legend(frameon=False, loc="upper left")
        figure.savefig(folder / f"cost-by-{name}.png", dpi=120)
        pyplot.close(figure)


@click.command()
@click.option("--json", "file", type=click.Path(path_type=Path), help="Figures of an earlier run.")
@click.option("--plots", default=ROOT / "docs/pictures", type=click.Path(path_type=Path))
def main(file: Path | None, plots: Path) -> None:
    """Measure, and draw."""
    logging.disable(logging.CRITICAL)
    if file is not None and file.exists():
        found = json.loads(file.read_text())
    else:
        found = measured()
        if file is not None:
            file.write_text(json.dumps(found, indent=1))
    plot(found, plots)


if __name__ == "__main__":
    main()
