"""SHA-256 (FIPS 180-4) without OpenSSL, which takes 4 MB from an image to be loaded."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hashlib import _Hash

#: Bytes beyond which OpenSSL's is faster, with the time that loading it takes.
_MUCH = 1 << 22
#: Modules of Python's own implementation, in 3.12 and before.
_OWN = ("_sha2", "_sha256")


def sha256(data: bytes) -> _Hash:
    """The hash of these bytes (:mod:`hashlib`)."""
    for name in _OWN if len(data) <= _MUCH else ():
        try:
            return cast("_Hash", importlib.import_module(name).sha256(data))
        except ImportError:
            continue
    import hashlib

    return hashlib.sha256(data)
