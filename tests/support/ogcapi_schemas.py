"""The OGC's schemas of OGC API - Processes 1.0, read from this folder and nowhere else."""

from __future__ import annotations

import functools
from typing import Any

import yaml
from jsonschema import Draft4Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from places import SCHEMAS

FOLDER = SCHEMAS / "ogcapi" / "schemas"
#: As published, every text is there twice (string, and binaryInputValue), and every integer
#: (number, and integer): exactly one of them never holds.
_ANY_OF = "inputValueNoObject.yaml"


@functools.cache
def _registry() -> Registry[Any]:
    found: Registry[Any] = Registry()
    for file in FOLDER.glob("*.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if file.name == _ANY_OF:
            content["anyOf"] = content.pop("oneOf")
        if file.name == "subscriber.yaml":  # it requires what it does not define
            content["required"] = ["successUri"]
        found = found.with_resource(file.name, Resource(content, DRAFT4))
    return found


def faults(name: str, document: Any) -> list[str]:
    """What is wrong with a document, by the schema of this name."""
    registry = _registry()
    schema = {"$ref": f"{name}.yaml"}
    validator = Draft4Validator(schema, registry=registry, format_checker=FormatChecker())
    return [f"{list(e.absolute_path)}: {e.message}" for e in validator.iter_errors(document)]


def assert_valid(name: str, document: Any) -> None:
    assert faults(name, document) == [], document
