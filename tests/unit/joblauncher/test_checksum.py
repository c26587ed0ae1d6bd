"""Hashes are those of the standard library, whoever makes them."""

from __future__ import annotations

import hashlib
import sys

import pytest

from joblauncher.shared import checksum


@pytest.mark.parametrize("data", [b"", b"abc", bytes(range(256)) * 20_000], ids=len)
def test_a_hash_is_sha256(data: bytes) -> None:
    ours, theirs = checksum.sha256(data), hashlib.sha256(data)
    assert (ours.digest(), ours.hexdigest()) == (theirs.digest(), theirs.hexdigest())


def test_an_interpreter_without_its_own_uses_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)
    assert checksum.sha256(b"abc").digest() == hashlib.sha256(b"abc").digest()
