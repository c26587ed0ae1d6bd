"""What looks like a secret in a configuration or an address: by its name, or where it stands."""

from __future__ import annotations

import re

#: Words in the name of an option that holds a secret.
_SECRET = re.compile(
    r"authori[sz]ation|authenti|cookie|passw(or)?d|passphrase|passcode|secret|token|credential"
    r"|session|bearer|signature|\b(auth|pass|pwd|pw|pin|dsn|jwt|keys?)\b"
    r"|(api|access|private|secret|account|shared|encryption|signing)keys?\b"
)
#: A URL with a password (RFC 3986, section 3.2.1).
URL_PASSWORD = re.compile(r"(://[^/?#\s:@]*:)[^/?#\s@]+(@)")
#: A parameter of a query, or an assignment.
_ASSIGNED = re.compile(r"([\w.-]+)(\s*=\s*)([^&\s]+)")
#: What is shown instead of a secret.
HIDDEN = "(hidden)"


def is_secret_name(name: str) -> bool:
    """Whether an option or a variable of this name holds a secret, as far as a name can tell."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return bool(_SECRET.search(re.sub(r"[^a-z]+", " ", words)))


def hide(text: str) -> str:
    """A text without passwords of addresses, and without the values of ``name=value`` whose names
    are those of secrets."""
    shown = URL_PASSWORD.sub(rf"\1{HIDDEN}\2", text)
    return _ASSIGNED.sub(_without, shown)


def _without(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{HIDDEN}" if is_secret_name(found[1]) else found[0]
