"""Serves a WSGI file as mod_wsgi and uWSGI do: loaded under a name that no import finds.

python wsgi_script.py PORT FILE
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from werkzeug.serving import run_simple

NAME = "_mod_wsgi_1f3870be274f6c49b3e31a0c6728957f"

if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location(NAME, Path(sys.argv[2]))
    assert spec is not None
    assert spec.loader is not None
    script = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    run_simple("127.0.0.1", int(sys.argv[1]), script.application, threaded=True)
