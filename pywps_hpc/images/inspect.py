"""What an image says of itself.

Read through spython, which asks ``singularity``: Apptainer installs itself under that name as well.

spython is not used to convert Dockerfiles: it makes a stray ``su`` of ``USER`` and a test of
``HEALTHCHECK``, so that another image than the one described is built without a warning. An image
that was built from a Dockerfile can be the base of ``pywps-hpc image build``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pywps_hpc.images.commands import ImageError


def labels(image: Path) -> Mapping[str, str]:
    """The labels of an image or sandbox, by name: title, base, date of build (``%labels``).

    Raises:
        ImageError: it cannot be read, or spython, Apptainer and Singularity are missing.
    """
    try:
        from spython.main import get_client  # an extra
    except ImportError:
        problem = "spython is not installed: pip install 'pywps-hpc[image]'"
        raise ImageError(problem) from None
    command = ["singularity", "inspect", str(image)]
    try:
        found = get_client(quiet=True).inspect(str(image), quiet=True)
    except OSError as error:
        raise ImageError(
            f"cannot run singularity ({error.strerror}): install Apptainer, which brings that name",
            command,
        ) from error
    if "attributes" not in found:
        said = "".join(found["message"]).strip()
        raise ImageError(f"{image} cannot be read", command, found["return_code"], said)
    return {str(name): str(value) for name, value in found["attributes"]["labels"].items()}
