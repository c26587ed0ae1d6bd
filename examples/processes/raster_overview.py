"""The process ``raster_overview``: two command-line tools of GDAL, wrapped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pywps import FORMATS, ComplexInput, ComplexOutput, Format, LiteralInput
from pywps.app import Process
from pywps.app.exceptions import ProcessError
from pywps.inout.literaltypes import AllowedValue
from pywps.validator.allowed_value import ALLOWEDVALUETYPE

WIDTHS = AllowedValue(allowed_type=ALLOWEDVALUETYPE.RANGE, minval=1, maxval=4096)
GEOTIFF = Format("image/tiff; subtype=geotiff", extension=".tif", encoding="base64")
PNG = Format("image/png", extension=".png", encoding="base64")
#: What of gdalinfo's answer names the file by its path, which is the server's own business.
PATHS = ("description", "files")
TOOLS = ("gdalinfo", "gdal_translate")
#: The driver to read with. Others follow what a file says: a VRT names further files and addresses.
ONLY_GEOTIFF = ("-if", "GTiff")


class RasterOverview(Process):
    """A small picture of a GeoTIFF, and what GDAL knows of it.

    :raises ProcessError: GDAL is not installed, or cannot read the raster
    """

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="raster_overview",
            title="Overview of a raster",
            abstract="Describes a GeoTIFF and draws a small picture of it. "
            "Shows how a process wraps a command-line tool.",
            version="1.0",
            inputs=[
                ComplexInput("raster", "Raster", [GEOTIFF]),
                LiteralInput(
                    "width", "Width", "integer", min_occurs=0, default=512, allowed_values=[WIDTHS]
                ),
            ],
            outputs=[
                ComplexOutput("description", "Description", [FORMATS.JSON]),
                ComplexOutput("overview", "Picture", [PNG], as_reference=True),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise ProcessError("This process needs GDAL, which is not installed where it runs.")
        raster, folder = request.inputs["raster"][0].file, Path(self.workdir)
        response.update_status("Reading the raster", 10)
        described = json.loads(self._run("gdalinfo", "-json", *ONLY_GEOTIFF, raster))
        response.update_status("Drawing it", 50)
        # GDAL scales to a byte by the range of the values; height 0 keeps the proportions.
        size = ("-outsize", str(request.inputs["width"][0].data), "0")
        picture, options = folder / "overview.png", ("-of", "PNG", "-ot", "Byte", "-scale", "-q")
        self._run("gdal_translate", *ONLY_GEOTIFF, *options, *size, raster, str(picture))
        kept = {
            key: value for key, value in described.items() if key not in ("description", "files")
        }
        path = folder / "description.json"
        path.write_text(json.dumps(kept), encoding="utf-8")
        response.outputs["description"].file = str(path)
        response.outputs["overview"].file = str(picture)
        return response

    def _run(self, *command: str) -> str:
        """What a tool prints: arguments in a list, no shell; its messages go to the job's log."""
        done = subprocess.run(command, cwd=self.workdir, capture_output=True, text=True)
        print(done.stderr, end="", file=sys.stderr)
        if done.returncode != 0:
            raise ProcessError("GDAL cannot read the raster; the log of the job has its message.")
        return done.stdout
