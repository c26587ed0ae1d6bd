"""The body of an execute request (OGC 18-062r2, clause 7.11, execute.yaml as it was published)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

from werkzeug.wrappers import Request

from pywps_hpc.jobs.results import Asked, Form
from pywps_hpc.web.ogcapi.problems import Problem, invalid
from pywps_hpc.web.requests import limits

_MEMBERS = ("inputs", "outputs", "response", "subscriber", "id")
_OUTPUT = ("format", "transmissionMode")
_FORMAT = ("mediaType", "encoding", "schema")
#: Members of a subscriber; the published schema requires one name and defines the other.
_SUBSCRIBER = ("successUri", "successUrl", "inProgressUri", "failedUri")
_RESPONSES, _TRANSMISSIONS = ("raw", "document"), ("value", "reference")


@dataclass(frozen=True)
class Execute:
    """What a client asks for.

    Attributes:
        inputs: their values in JSON, by identifier.
        form: how the results are wanted.
        subscriber: the addresses to tell, by the standard's names.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    form: Form = field(default_factory=Form)
    subscriber: Mapping[str, str] = field(default_factory=dict)


def read(request: Request, identifier: str) -> Execute:
    """Read and bound the body of a request, of which nothing is left out.

    Raises:
        Problem: it is not what the standard wants.
        NoApplicableCode: it is too large.
    """
    if "json" not in (request.mimetype or ""):
        raise Problem(415, "An execute request is a document of the type application/json.")
    limits.read_body(request)
    return of_document(load(request.environ["wsgi.input"].read()), identifier)


def load(content: bytes) -> Any:
    """A document in JSON, strictly as RFC 8259 has it.

    Raises:
        Problem: it is none.
    """
    try:
        found = json.loads(
            content,
            parse_constant=_no_number,
            parse_float=_finite,
            object_pairs_hook=_no_twins,
        )
        if b"\\u" in content:  # half of a surrogate pair is no character, and cannot be written
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except RecursionError:
        raise invalid("The request is nested too deep.") from None
    except UnicodeEncodeError:
        raise invalid("The request has half of a surrogate pair, which is no text.") from None
    except (ValueError, UnicodeError):
        raise invalid("The request is not JSON.") from None


def of_document(document: Any, identifier: str) -> Execute:
    """What a document asks for, with whatever is not understood refused.

    Raises:
        Problem: it is no execute request.
    """
    _object("The request", document, _MEMBERS)
    if document.get("id", identifier) != identifier:
        raise invalid("id: it is not the process that the URL names.")
    inputs = document.get("inputs", {})
    if not isinstance(inputs, dict):
        raise invalid("inputs: an object is wanted.")
    raw = _choice("response", document.get("response", "raw"), _RESPONSES) == "raw"
    form = Form(raw, tuple(_outputs(document.get("outputs", {}))))
    subscriber = _subscriber(document["subscriber"]) if "subscriber" in document else {}
    return Execute(inputs, form, subscriber)


def _outputs(told: Any) -> list[Asked]:
    if not isinstance(told, dict):
        raise invalid("outputs: an object is wanted.")
    found = []
    for name, asked in told.items():
        what = f"output {name}"
        _object(what, asked, _OUTPUT)
        known = asked.get("format", {})
        _object(f"{what}: format", known, _FORMAT)
        if not all(isinstance(text, str) for text in known.values()):
            raise invalid(f"{what}: the members of a format are text.")
        mode = _choice(
            f"{what}: transmissionMode", asked.get("transmissionMode", "value"), _TRANSMISSIONS
        )
        facts = (known.get(key, "") for key in _FORMAT)
        found.append(Asked(name, mode, *facts))
    return found


def _subscriber(told: Any) -> dict[str, str]:
    _object("subscriber", told, _SUBSCRIBER)
    for name, address in told.items():
        if not _is_address(address):
            raise invalid(f"subscriber: {name} is no URL with http or https.")
    found = dict(told)
    given = [found.pop(name) for name in ("successUri", "successUrl") if name in found]
    if not given or len(set(given)) > 1:
        raise invalid("subscriber: exactly one successUri is wanted.")
    return {"successUri": given[0], **found}


def _is_address(address: Any) -> bool:
    try:
        parts = urlsplit(address) if isinstance(address, str) and address.isprintable() else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _object(what: str, told: Any, known: Sequence[str]) -> None:
    if not isinstance(told, dict):
        raise invalid(f"{what}: an object is wanted.")
    for key in told:
        if key not in known:
            raise invalid(f"{what}: '{key}' is not known here; known are {', '.join(known)}.")


def _choice(what: str, told: Any, known: Sequence[str]) -> str:
    if told not in known:
        raise invalid(f"{what}: it is one of {', '.join(known)}.")
    return str(told)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise invalid(f"A number is too large: {text[:20]}.")
    return number


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise invalid("The request has an object with two members of one name.")
    return found
