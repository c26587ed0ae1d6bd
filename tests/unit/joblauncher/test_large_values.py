"""Large values of a request are decoded in pieces, and the pieces show nowhere."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

import memory
from joblauncher.inputs import large_values
from joblauncher.inputs.errors import InputUnavailable
from joblauncher.inputs.large_values import Value
from memory import MIB

BYTES = bytes(range(256))
PACKED = base64.b64encode(BYTES).decode()
WRAPPED = "\n".join(PACKED[place : place + 76] for place in range(0, len(PACKED), 76)) + "\r\n"


def decoded(raw: str, kind: str, *, in_base64: bool = False) -> Any:
    """The value as a job gets it, with something before and behind it in the file."""
    content = raw.encode()
    value = Value(3, len(content), kind, base64=in_base64)
    return large_values._decode(io.BytesIO(b"<<<" + content + b">>>"), value, "one")


@pytest.mark.parametrize("part", [1, 3, 4, 7, 1 << 20])
@pytest.mark.parametrize("raw", [PACKED, WRAPPED, " QQ = = \n", "QUI=", ""])
def test_base64_is_the_same_in_pieces_of_any_size(
    monkeypatch: pytest.MonkeyPatch, part: int, raw: str
) -> None:
    monkeypatch.setattr(large_values, "_PART", part)
    expected = base64.b64decode("".join(raw.split()))
    assert decoded(raw, "xml", in_base64=True) == expected
    assert decoded(json.dumps(raw), "json", in_base64=True) == expected


@pytest.mark.parametrize("part", [1, 3, 4, 7, 1 << 20])
@pytest.mark.parametrize("raw", ["QQ==QQ==", "QQ==\nQUJD", "QQ=", "QUJ", "Q", "=", "QU-D", "QUé="])
def test_what_is_no_base64_is_none_in_pieces_of_any_size(
    monkeypatch: pytest.MonkeyPatch, part: int, raw: str
) -> None:
    monkeypatch.setattr(large_values, "_PART", part)
    with pytest.raises(InputUnavailable, match="input one: it is not valid base64"):
        decoded(raw, "xml", in_base64=True)


@pytest.mark.parametrize("part", [1, 3, 1 << 20])
def test_texts_and_elements_are_the_same_in_pieces_of_any_size(
    monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(large_values, "_PART", part)
    assert decoded("é\r\n&lt;&#233;<![CDATA[<]]>\U0001f600", "xml") == "é\n<é<\U0001f600"
    assert decoded(' <a b="é"><!-- c --><d/></a>\n', "xml") == '<a b="é"><!-- c --><d/></a>'
    with pytest.raises(InputUnavailable, match="neither text nor one XML element"):
        decoded("<a/><b/>", "xml")
    with pytest.raises(InputUnavailable, match="neither text nor one XML element"):
        decoded("</value><value>", "xml")


@pytest.mark.parametrize(
    ("raw", "kind", "in_base64"),
    [
        ("0.25 -1e5\n" * 10, "xml", False),
        (f"<a>{'0.25 -1e5 ' * 10}</a>", "xml", False),
        (PACKED, "xml", True),
        (f'"{"0.25 -1e5 " * 10}"', "json", False),
        (f'"{PACKED}"', "json", True),
    ],
    ids=["text", "element", "base64", "json", "base64-in-json"],
)
def test_memory_for_a_value_is_at_most_three_times_its_bytes(
    raw: str, kind: str, in_base64: bool
) -> None:
    middle = len(raw) // 4 * 2
    part = raw[middle - 40 : middle]
    whole = (raw[:middle] + part * (24 * MIB // len(part)) + raw[middle:]).encode()
    file, value = io.BytesIO(whole), Value(0, len(whole), kind, base64=in_base64)
    before = memory.resident()
    most, found = memory.peak_of(lambda: large_values._decode(file, value, "one"))
    assert len(found) > 17 * MIB
    assert most - before < 3 * len(whole)
