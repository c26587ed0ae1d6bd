"""PyWPS is imported without libraries that most jobs never use; whoever asks for one gets it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from joblauncher import client_request
from joblauncher.shared import dump

#: Each takes as long to import as a good part of PyWPS.
HEAVY = (
    *("requests", "urllib3", "humanize", "dateutil.parser", "werkzeug.serving", "werkzeug.test"),
    *("http.client", "http.server", "importlib.metadata", "sqlalchemy", "jsonschema"),
    *("jinja2", "werkzeug.wrappers", "werkzeug.http", "werkzeug.datastructures", "email", "html"),
    *("xml.sax", "joblauncher.inputs.fetch", "joblauncher.inputs.addresses", "dill", "hashlib"),
)


def run(code: str, before: str = "") -> str:
    """What code prints in an interpreter of its own, with PyWPS as jobs have it.

    Args:
        before: code that runs before PyWPS is imported.
    """
    load = "import sys\nfrom joblauncher import lean, runner\nlean.load()\nimport pywps.inout.basic"
    program = "\n".join((before, load, code))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_job_does_not_import_what_it_does_not_use() -> None:
    code = f"print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code) == "[]"


def test_no_stand_in_is_left_for_a_process_to_import() -> None:
    code = """
from pathlib import Path
for name in ("requests", "humanize", "dateutil.parser", "urllib.request"):
    assert name not in sys.modules, name
import requests, humanize, dateutil.parser, urllib.request
from requests.adapters import HTTPAdapter
for module in (requests, humanize, dateutil.parser, urllib.request):
    assert Path(module.__file__).is_file() and module.__spec__.name == module.__name__
    assert type(module) is type(sys)
assert requests.adapters.HTTPAdapter is HTTPAdapter is type(requests.Session().adapters["http://"])
"""
    run(code)


def test_pywps_uses_the_same_library_as_a_process() -> None:
    code = """
import pywps.inout.basic
assert pywps.inout.basic.humanize.naturalsize(10**6) == "1.0 MB"
import requests
requests.get = lambda **_: "patched"
assert pywps.inout.basic.requests.get(url="x") == "patched"
from pywps.inout.literaltypes import convert_date
assert str(convert_date("2024-02-29")) == "2024-02-29"
import dateutil.parser
assert pywps.validator.complexvalidator.urlopen is not None
"""
    run(code)


def test_classes_that_pywps_imports_by_name_are_the_library_s_own_when_they_are_used() -> None:
    code = """
import pywps.exceptions, pywps.response, pywps.response.basic as basic
from pywps.response.execute import ExecuteResponse, Request
own = pywps.response.RelEnvironment(loader=basic.PackageLoader("pywps", "templates"))
assert own.join_path("main.xml", "a/b.xml") == "a/main.xml"
assert own.get_template("1.0.0/execute/main.xml")
import jinja2
from werkzeug import datastructures, wrappers
assert isinstance(own, jinja2.Environment) and isinstance(jinja2.Environment(), basic.Environment)
assert issubclass(pywps.response.RelEnvironment, jinja2.Environment)
assert not isinstance("another", pywps.response.RelEnvironment)
assert not isinstance("another", basic.Environment)
class Derived(basic.Environment):
    pass
assert isinstance(Derived(), jinja2.Environment)
environ = {"HTTP_ACCEPT": "text/xml", "SERVER_NAME": "x", "SERVER_PORT": "80", "PATH_INFO": "/",
           "wsgi.url_scheme": "http", "REQUEST_METHOD": "GET"}
request = environ["werkzeug.request"] = Request(environ)
assert type(request) is wrappers.Request and Request.from_values().path == "/"
answer = pywps.exceptions.InvalidParameterValue("this").get_response(environ)
assert type(answer) is wrappers.Response and answer.status_code == 400
response = object.__new__(ExecuteResponse)
response.doc = "<a/>"
response.wps_request = type("", (), {"http_request": request, "raw": 0, "default_mimetype": ""})
assert wrappers.Response.from_app(response, environ).get_data() == b"<a/>"
"""
    run(code)


@pytest.mark.parametrize(
    "code",
    [
        "import werkzeug; assert callable(werkzeug.run_simple)",
        "import werkzeug; from werkzeug.test import Client; assert werkzeug.Client is Client",
        "import werkzeug; assert werkzeug.serving.run_simple is werkzeug.run_simple",
        "from werkzeug import Request; import werkzeug.wrappers as w; assert w.Request is Request",
        "from werkzeug import *; Response, run_simple",
        "from werkzeug import serving; import werkzeug; assert serving is werkzeug.serving",
        "import werkzeug\ntry: werkzeug.no_such\nexcept AttributeError: pass\nelse: assert 0",
        "import werkzeug.routing; assert werkzeug.routing.Map",
    ],
)
def test_a_package_is_whole_for_whoever_asks(code: str) -> None:
    run(code)


def test_libraries_that_were_imported_before_are_used_as_they_are() -> None:
    run("assert pywps.inout.basic.requests is first", before="import requests as first")


def test_versions_are_those_of_the_installed_distributions() -> None:
    assert dump.versions() == {
        "python": sys.version.split()[0],
        "dill": version("dill"),
        "pywps": version("pywps"),
    }


HTTP = {
    "method": "POST",
    "path": "/wps",
    "base_url": "http://example.org/",
    "query": "",
    "headers": [["host", "example.org"], ["content-type", "text/xml"]],
    "remote_addr": "192.0.2.1",
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"method": "GET", "query": "service=WPS&identifier=a%20b%26", "headers": []},
        {"base_url": "https://example.org:8443/a/b%C3%A4/"},
        {"base_url": "https://b\u00fccher.example/\u00e4/", "path": "/wps/\u00e4"},
        {"headers": [["X-Forwarded-For", "a"], ["x-forwarded-for", "b"], ["accept", "*/*"]]},
        {"headers": [["content-type", "application/x-www-form-urlencoded; charset=utf-8"]]},
    ],
    ids=str,
)
def test_a_process_sees_the_request_that_werkzeug_would_make(changed: dict[str, Any]) -> None:
    http = HTTP | changed
    builder = EnvironBuilder(
        method=http["method"],
        path=http["path"],
        base_url=http["base_url"],
        query_string=http["query"],
        headers=[tuple(pair) for pair in http["headers"]],
        environ_base={"REMOTE_ADDR": http["remote_addr"]},
    )
    ours, theirs = client_request.environ(http), builder.get_environ()
    for found in (ours, theirs):
        assert found.pop("wsgi.input").read() == b""
        found.pop("wsgi.errors")
    assert ours == theirs
    one, other = Request(ours), Request(theirs)
    assert (one.url, one.path, one.root_url) == (other.url, other.path, other.root_url)


def test_a_request_is_made_when_a_process_looks_at_it() -> None:
    code = f"""
import copy
from joblauncher import client_request
from pywps.app.WPSRequest import WPSRequest
request = WPSRequest()
assert request.http_request is None
client_request.restore(request, {HTTP!r})
other = copy.deepcopy(request)
assert "werkzeug.wrappers" not in sys.modules
assert request.http_request is request.http_request and request.http_request.method == "POST"
assert other.http_request.headers["Host"] == "example.org"
request.http_request = None
assert request.http_request is None and WPSRequest().http_request is None
"""
    run(code)


@pytest.mark.parametrize(
    ("url", "port"), [("http://[2001:db8::1]/", "80"), ("http://[2001:db8::1]:8080/", "8080")]
)
def test_an_ipv6_address_is_the_server_s_name(url: str, port: str) -> None:
    ours = client_request.environ(HTTP | {"base_url": url})
    assert (ours["SERVER_NAME"], ours["SERVER_PORT"]) == ("[2001:db8::1]", port)
