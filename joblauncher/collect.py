"""``python -I -m joblauncher.collect``, while an image is built: what a launcher imports goes into
:mod:`joblauncher.code_archive`, whatever its process is."""

from __future__ import annotations

import importlib
import sys

from joblauncher import code_archive, lean

#: What :mod:`joblauncher.lean` does not bring.
MODULES = (
    "joblauncher.answers",
    "joblauncher.command",
    "joblauncher.shared.by_name.rebuild",
)

if __name__ == "__main__":
    lean.load()
    for name in MODULES:
        importlib.import_module(name)
    code_archive.write(list(sys.modules.values()))
