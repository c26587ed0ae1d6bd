"""Where the files lie that come with the package: job templates and image recipes.

In a checkout they are folders of its own top level; a wheel carries them inside the package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def templates_folder() -> Path:
    """The folder of the job templates that come with the package."""
    return _find("job_templates")


def recipes_folder() -> Path:
    """The folder of the image recipes that come with the package."""
    return _find("containers")


def _find(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
