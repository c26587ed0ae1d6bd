"""Ask a WPS for the warming of North America, watch the job, and fetch its results.

    python examples/demo.py --url http://127.0.0.1:5000/wps --output results

The data are real model output: HadGEM2-AO air temperature 1860-2099 under two emission scenarios,
from the package iris-sample-data. The server must see that file (``allowedinputpaths``).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import unescape

from owslib.util import ServiceException
from owslib.wps import (
    ASYNC,
    ComplexDataInput,
    Output,
    WebProcessingService,
    WPSExecution,
)
from requests.exceptions import RequestException
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

POLL_SECONDS = 0.3
LOST_SECONDS = 60  # a service that does not answer for so long is given up
NETCDF = "application/x-netcdf"
console = Console()


class DemoError(Exception):
    """Why the demo ends early, in a sentence."""


def main() -> int:
    """Run the demo; 0 when the process succeeded, 1 when it did not, with the reason in words."""
    arguments = _arguments()
    try:
        service = WebProcessingService(arguments.url)
        _introduce(service, arguments.process)
        outputs = _outputs(service, arguments.process)
        execution = service.execute(
            arguments.process, _inputs(arguments), output=outputs, mode=ASYNC
        )
        _watch(execution)
        files = _fetch(execution, arguments.output)
    except DemoError as error:
        console.print(f"[bold red]Failed:[/] {escape(str(error))}")
        return 1
    except RequestException as error:
        reason = type(error).__name__
        console.print(f"[bold red]Failed:[/] no answer from {escape(arguments.url)} ({reason})")
        return 1
    except ServiceException as error:
        console.print(f"[bold red]Failed:[/] {escape(_reason(error))}")
        return 1
    _show(files)
    return 0


def _reason(error: ServiceException) -> str:
    """The sentences of an exception report, which OWSLib hands over as XML."""
    texts = re.findall(r"ExceptionText>\s*(.*?)\s*</", str(error), re.DOTALL)
    return "; ".join(unescape(text) for text in texts if text) or str(error)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--url", default="http://127.0.0.1:5000/wps", help="address of the WPS")
    parser.add_argument("--output", type=Path, default=Path("demo-results"), metavar="DIR")
    parser.add_argument("--process", default="climate_anomaly")
    parser.add_argument("--scenario", choices=("E1", "A1B"), default="A1B")
    parser.add_argument("--dataset", help="address or file of other NetCDF data")
    parser.add_argument("inputs", nargs="*", metavar="NAME=VALUE", help="further literal inputs")
    arguments = parser.parse_args()
    if any("=" not in given for given in arguments.inputs):
        parser.error("further inputs must be of the form NAME=VALUE")
    return arguments


def _introduce(service: WebProcessingService, wanted: str) -> None:
    console.print(f"[bold]{escape(service.identification.title)}[/]")
    for process in service.processes:
        mark = "[green]>[/]" if process.identifier == wanted else " "
        console.print(f" {mark} [cyan]{process.identifier}[/]  {escape(process.title)}")
    if wanted not in {process.identifier for process in service.processes}:
        raise DemoError(f"The service has no process named {wanted}.")


def _inputs(arguments: argparse.Namespace) -> list[tuple[str, object]]:
    given: list[tuple[str, object]] = [tuple(pair.split("=", 1)) for pair in arguments.inputs]
    if arguments.process == "climate_anomaly":
        dataset = arguments.dataset or str(_sample(arguments.scenario))
        if not urlsplit(dataset).scheme:
            dataset = Path(dataset).resolve().as_uri()
        given.append(("dataset", ComplexDataInput(dataset, mimeType=NETCDF)))
    return given


def _outputs(service: WebProcessingService, identifier: str) -> list[tuple[str, bool]]:
    """All of them, files as links; without such a list OWSLib asks for a synchronous answer."""
    process = service.describeprocess(identifier)
    return [(o.identifier, o.dataType == "ComplexData") for o in process.processOutputs]


def _sample(scenario: str) -> Path:
    found = importlib.util.find_spec("iris_sample_data")
    if found is None or found.origin is None:
        raise DemoError("The sample data are missing: pip install -r requirements-data.txt")
    return Path(found.origin).parent / "sample_data" / f"{scenario}_north_america.nc"


def _watch(execution: WPSExecution) -> None:
    """Follow the status document to the job's end; one bar, or plain lines when not on a terminal.

    :raises DemoError: the process failed, or the service stopped answering
    """
    bar = Progress(
        BarColumn(32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        disable=not console.is_terminal,
    )
    told, heard = "", time.monotonic()
    with bar:
        task = bar.add_task("", total=100)
        while True:
            percent, message = execution.percentCompleted or 0, execution.statusMessage or ""
            if execution.isSucceded():
                percent = 100
            bar.update(task, completed=percent, description=message)
            if not console.is_terminal and told != (told := f"{percent:3d} %  {message}"):
                console.print(told, markup=False, highlight=False)
            if execution.isComplete():
                break
            time.sleep(POLL_SECONDS)
            before = execution.response
            execution.response = None
            execution.checkStatus(sleepSecs=0)
            if execution.response is not None:
                heard = time.monotonic()
            elif time.monotonic() - heard > LOST_SECONDS:
                raise DemoError(f"The service has not answered for {LOST_SECONDS} seconds.")
            else:
                execution.response = before
    if not execution.isSucceded():
        reasons = [error.text for error in execution.errors if error.text]
        raise DemoError("; ".join(reasons) or execution.statusMessage or "no reason was given")


def _fetch(execution: WPSExecution, folder: Path) -> dict[str, Path]:
    """Write every output into the folder, whether it came inside the document or as a link."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for output in execution.processOutputs:
        if output.reference:
            content = output.retrieveData()
        elif output.data and isinstance(output.data[0], str | bytes):
            content = output.data[0]
        else:
            continue
        files[output.identifier] = folder / _file_name(output)
        if isinstance(content, str):
            content = content.encode()
        files[output.identifier].write_bytes(content)
    return files


def _file_name(output: Output) -> str:
    endings = {NETCDF: ".nc", "image/png": ".png", "application/json": ".json"}
    return output.identifier + endings.get(output.mimeType or "", ".txt")


def _show(files: dict[str, Path]) -> None:
    summary = files.get("summary")
    if summary is not None:
        console.print(_table(json.loads(summary.read_text(encoding="utf-8"))))
    for identifier, path in files.items():
        console.print(f"[cyan]{identifier:>9}[/]  {path}", soft_wrap=True, highlight=False)


def _table(numbers: dict) -> Table:
    units, reference, recent = numbers["units"], numbers["reference"], numbers["recent"]
    table = Table()
    table.add_column(numbers["long_name"], no_wrap=True)
    table.add_column("regional mean", justify="right", no_wrap=True)

    def row(name: str, value: float | None, unit: str, form: str = "+.2f") -> None:
        table.add_row(name, "-" if value is None else f"{value:{form}} {unit}")

    row(f"{reference['start']}-{reference['end']}", reference["mean"], reference["units"], ".2f")
    row(f"{recent['start']}-{recent['end']} above that", recent["anomaly"], units)
    row(f"trend of {recent['start']}-{recent['end']}", recent["trend"], numbers["trend_units"])
    row(f"highest year, {numbers['highest']['year']}", numbers["highest"]["anomaly"], units)
    table.add_section()
    for decade in numbers["decades"][-6:]:
        row(f"{decade['start']}-{decade['end']}", decade["anomaly"], units)
    return table


if __name__ == "__main__":
    sys.exit(main())
