"""The keys of a connection: the one that we show, and the ones that the login host must show.

Both come from files that an administrator named; nothing is looked up or learned elsewhere.
Problems are a ``ValueError`` with a sentence for the administrator.
"""

from __future__ import annotations

from collections.abc import Sequence

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys

from pywps_hpc.settings import Ssh, paths


def private_key(own: Ssh) -> paramiko.PKey:
    """Our key.

    Raises:
        ValueError: others can read the file, or there is no key in it that can be used as it is.
    """
    file = paths.private_file(str(own.key))
    try:
        return paramiko.PKey.from_path(file)
    except Exception as error:  # the libraries below raise nearly anything
        raise ValueError(f"{file} is not a private key without a passphrase: {error}") from error


def known_keys(own: Ssh) -> list[paramiko.PKey]:
    """The keys by which the login host is known; there may be several of one kind, since one name
    may stand for several login hosts.

    Raises:
        ValueError: the file has a line that cannot be followed. One that revokes a key must not be
            passed over.
    """
    file = paths.owned_file(str(own.known_hosts))
    name = own.host if own.port == 22 else f"[{own.host}]:{own.port}"
    keys = []
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        line = " ".join(text.split())
        if not line or line.startswith("#"):
            continue
        if line.startswith("@"):
            raise ValueError(f"{file}, line {number}: markers are not supported")
        try:
            entry = HostKeyEntry.from_line(line, number)
        except paramiko.SSHException:
            raise ValueError(f"{file}, line {number}: not a host key") from None
        if entry is not None and entry.key is not None and _names(entry.hostnames or [], name):
            keys.append(entry.key)
    return keys


def verify(own: Ssh, shown: paramiko.PKey, known: Sequence[paramiko.PKey]) -> None:
    """Make sure that the login host is the one that the administrator knows.

    Raises:
        ValueError: it is not, or it is not known; with the remedy.
    """
    if shown in known:
        return
    scan = f"ssh-keyscan -p {own.port} {own.host}"
    shows = f"it shows {shown.get_name()} {shown.fingerprint}"
    if not known:
        raise ValueError(
            f"its key is unknown: {shows}. Compare that with what the cluster's administrators "
            f"publish, then: {scan} >> {own.known_hosts}"
        )
    raise ValueError(
        f"its key has CHANGED: {shows}, which {own.known_hosts} does not have. The "
        "connection may be intercepted: ask the cluster's administrators, and only if the change "
        f"is theirs replace the host's lines there with those of: {scan}"
    )


def prefer(algorithms: Sequence[str], known: Sequence[paramiko.PKey]) -> list[str]:
    """Signature algorithms with those of known keys first: a host shows one of its keys only."""
    kinds = {key.get_name() for key in known}
    return sorted(algorithms, key=lambda algorithm: _kind(algorithm) not in kinds)


def _kind(algorithm: str) -> str:
    """The kind of key behind an algorithm; RSA keys have several (RFC 8332)."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def _names(entries: Sequence[str], name: str) -> bool:
    """Whether one of these is the host's name, in plain or hashed (ssh-keygen(1), -H)."""
    return name in entries or any(
        entry.startswith("|1|") and HostKeys.hash_host(name, entry) == entry for entry in entries
    )
