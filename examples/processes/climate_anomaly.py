"""The process ``climate_anomaly``: how much warmer than the reference period?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pywps import FORMATS, BoundingBoxInput, ComplexInput, ComplexOutput, Format, LiteralInput
from pywps.app import Process
from pywps.app.Common import Metadata
from pywps.app.exceptions import ProcessError
from pywps.inout.literaltypes import AllowedValue
from pywps.validator.allowed_value import ALLOWEDVALUETYPE

YEARS = AllowedValue(allowed_type=ALLOWEDVALUETYPE.RANGE, minval=1700, maxval=2300)
PNG = Format("image/png", extension=".png", encoding="base64")


class ClimateAnomaly(Process):
    """Anomaly of a gridded climate variable relative to a reference period.

    Yearly means lose the mean of the reference years, monthly means the mean of the same calendar
    month. Units are those of the data; temperature anomalies are in kelvin.

    :raises ProcessError: the data are not NetCDF, have no such variable, do not cover the reference
        period, or have no grid point in the box
    """

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="climate_anomaly",
            title="Climate anomaly relative to a reference period",
            abstract=(
                "Subtracts the climate of a reference period (1961-1990 unless told otherwise) "
                "from near-surface temperature, or another gridded variable, of yearly or monthly "
                "means. Gives the anomaly at every grid point, the regional mean weighted by area "
                "with its decades and trend, and a figure of both."
            ),
            version="1.0",
            keywords=["climate", "temperature", "anomaly", "climatology"],
            metadata=[
                Metadata(
                    "WMO Guidelines on the Calculation of Climate Normals, WMO-No. 1203",
                    "https://library.wmo.int/idurl/4/55797",
                )
            ],
            inputs=[
                ComplexInput(
                    "dataset",
                    "Dataset",
                    [FORMATS.NETCDF],
                    abstract="CF-compliant NetCDF on a regular latitude-longitude grid, with "
                    "yearly or monthly time steps.",
                ),
                LiteralInput(
                    "variable",
                    "Variable",
                    "string",
                    abstract="Name in the file. Without it: the near-surface temperature, or the "
                    "only field.",
                    min_occurs=0,
                ),
                LiteralInput(
                    "reference_start",
                    "First year of the reference period",
                    "integer",
                    min_occurs=0,
                    default=1961,
                    allowed_values=[YEARS],
                ),
                LiteralInput(
                    "reference_end",
                    "Last year of the reference period",
                    "integer",
                    min_occurs=0,
                    default=1990,
                    allowed_values=[YEARS],
                ),
                BoundingBoxInput(
                    "bbox",
                    "Region",
                    ["epsg:4326"],
                    abstract="Only grid points whose centre lies in this box. Without it: all.",
                    min_occurs=0,
                ),
            ],
            outputs=[
                ComplexOutput(
                    "anomaly", "Anomaly at every grid point", [FORMATS.NETCDF], as_reference=True
                ),
                ComplexOutput(
                    "summary",
                    "Numbers",
                    [FORMATS.JSON],
                    abstract="Reference mean, recent anomaly, trends and decades of the region.",
                ),
                ComplexOutput("plot", "Map and series", [PNG], as_reference=True),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        from .gridded import InputError

        try:
            self._compute(request, response)
        except InputError as error:
            raise ProcessError(str(error)) from None
        return response

    def _compute(self, request: Any, response: Any) -> None:
        from .anomaly import anomaly, summary
        from .anomaly_figure import draw
        from .anomaly_netcdf import write_netcdf
        from .gridded import open_dataset, open_field

        folder = Path(self.workdir)
        start, end = (int(_value(request, f"reference_{edge}")) for edge in ("start", "end"))
        response.update_status("Reading the dataset", 2)
        with open_dataset(request.inputs["dataset"][0].file) as dataset:
            field = open_field(dataset, _value(request, "variable"), _value(request, "bbox"))
            years, grid = field.years, f"{len(field.latitudes)} x {len(field.longitudes)}"
            response.update_status(
                f"{field.title}: {len(years)} time steps, {years[0]} to {years[-1]}, "
                f"on {grid} grid points",
                5,
            )
            result = anomaly(
                field,
                start,
                end,
                lambda message, done: response.update_status(message, 5 + round(65 * done)),
            )
            numbers = summary(field, result)
            response.update_status("Drawing the map and the regional series", 72)
            draw(folder / "anomaly.png", field, result)
            response.update_status("Writing the anomaly as NetCDF", 90)
            write_netcdf(folder / "anomaly.nc", field, result)
        text = json.dumps(numbers, indent=2, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        for output, name in (
            ("anomaly", "anomaly.nc"),
            ("summary", "summary.json"),
            ("plot", "anomaly.png"),
        ):
            response.outputs[output].file = str(folder / name)
        recent = numbers["recent"]
        response.update_status(
            f"{recent['start']}-{recent['end']} differs by {recent['anomaly']:+.2f} "
            f"{numbers['units']} from {start}-{end}",
            99,
        )


def _value(request: Any, name: str) -> Any:
    given = request.inputs.get(name)
    return given[0].data if given else None
