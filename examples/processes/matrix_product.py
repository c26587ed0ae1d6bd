"""The process ``matrix_product``: work on a GPU, or a sentence that says why there is none."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from pywps import LiteralInput, LiteralOutput
from pywps.app import Process
from pywps.app.exceptions import ProcessError
from pywps.inout.literaltypes import AllowedValue
from pywps.validator.allowed_value import ALLOWEDVALUETYPE

SIZES = AllowedValue(allowed_type=ALLOWEDVALUETYPE.RANGE, minval=1, maxval=20_000)
#: Files of the drivers' devices: NVIDIA's, AMD's.
DEVICES = ("nvidia[0-9]*", "kfd")
#: What batch systems set for a job that was given GPUs.
GIVEN = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


class MatrixProduct(Process):
    """The product of a matrix and its inverse, computed on a GPU; tells which one it was.

    :raises ProcessError: the job has no GPU, or the environment no CuPy
    """

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="matrix_product",
            title="Matrix product on a GPU",
            abstract="Multiplies a random matrix by its inverse and tells how far the result is "
            "from the identity. Shows how a process uses a GPU, and what it says without one.",
            version="1.0",
            inputs=[
                LiteralInput(
                    "size", "Rows", "integer", min_occurs=0, default=1000, allowed_values=[SIZES]
                ),
            ],
            outputs=[
                LiteralOutput("error", "Largest deviation", data_type="float"),
                LiteralOutput("gpu", "The GPU", data_type="string"),
            ],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        reason = why_not()
        if reason:
            raise ProcessError(reason)
        import cupy

        size = request.inputs["size"][0].data
        response.update_status(f"Multiplying {size} by {size} numbers", 10)
        matrix = cupy.random.default_rng(1).random((size, size)) + size * cupy.eye(size)
        deviation = cupy.abs(matrix @ cupy.linalg.inv(matrix) - cupy.eye(size)).max()
        response.outputs["error"].data = float(deviation)
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
        response.outputs["gpu"].data = name.decode() if isinstance(name, bytes) else name
        return response


def why_not(devices: Path = Path("/dev")) -> str:
    """Why this job cannot use a GPU; empty if it can.

    A missing GPU is the service's own setting, a missing package is the image's: two sentences.
    """
    given = any(os.environ.get(name) for name in GIVEN)
    if not given and not any(found for pattern in DEVICES for found in devices.glob(pattern)):
        return "This process needs a GPU, and the service gives it none."
    if importlib.util.find_spec("cupy") is None:
        return "This process needs CuPy, which is not installed where it runs."
    return ""
