"""What a whole service refuses of a request before it reads its inputs."""

from __future__ import annotations

import pytest
from lxml import etree

import wps_client as client
from servers import HTTP, HpcServer

SECTIONS = {"server": {"maxrequestsize": "1mb"}, "hpc.inputs": {"max_inputs": 4}}


def test_request_with_more_inputs_than_allowed_is_refused(hpc_server: HpcServer) -> None:
    five = [("file", client.Complex("x"))] * 5
    code, locator, text = client.refusal_of(
        client.send(hpc_server.url, client.execute_document("files", five))
    )
    assert (code, locator) == ("InvalidParameterValue", "DataInputs")
    assert text == "The request has 5 inputs; at most 4 are allowed."
    assert client.execute_sync(hpc_server.url, "files", five[:4]).status == 200


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        "<!DOCTYPE x>",
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_type_declarations_are_refused(
    hpc_server: HpcServer, doctype: str, encoding: str
) -> None:
    plain = client.execute_document("files", [("file", client.Complex("x"))])
    body = etree.tostring(etree.fromstring(plain), encoding="unicode")
    whole = f'<?xml version="1.0" encoding="{encoding}"?>\n{doctype}\n{body}'.encode(encoding)
    _, _, text = client.refusal_of(client.send(hpc_server.url, whole))
    assert text == "A document type declaration (DOCTYPE) is not allowed."


def test_limit_of_a_request_holds_without_a_length(hpc_server: HpcServer) -> None:
    def send(text: str) -> client.Answer:
        document = client.execute_document("files", [("file", client.Complex(text))])
        pieces = (document[at : at + 50_000] for at in range(0, len(document), 50_000))
        answer = HTTP.post(hpc_server.url, data=pieces, headers={"Content-Type": "text/xml"})
        return client.Answer(answer.status_code, answer.headers, answer.content)

    assert send("x" * 100_000).status == 200
    code, _, text = client.refusal_of(send("x" * ((1 << 20) + 1)))
    assert (code, text) == (
        "FileSizeExceeded",
        "The request is larger than the 1 MB allowed.",
    )
    assert (
        client.refusal_of(client.send(hpc_server.url, b" " * ((1 << 20) + 1)))[0]
        == "FileSizeExceeded"
    )
