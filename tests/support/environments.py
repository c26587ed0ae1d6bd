"""The project as a wheel, and environments that it is installed in, without a package index."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from places import ROOT

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def wheel(folder: Path, source: Path = ROOT) -> Path:
    """The wheel of a source, made in a folder that has no other."""
    line = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*line, str(source)], check=True, timeout=600)
    (made,) = folder.glob("pywps_hpc-*.whl")
    return made


def environment(folder: Path, made: Path) -> Path:
    """The interpreter of a new environment with a wheel in it. The dependencies are those of the
    environment that runs this, which saves minutes."""
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    install = [*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(made)]
    subprocess.run(install, check=True, timeout=600)
    here = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    here |= {path for path in sys.path if path.endswith("site-packages")}
    (packages,) = folder.glob("lib/python3.*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(sorted(here)) + "\n")
    return python
