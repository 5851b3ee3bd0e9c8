"""Secrets out of text that people or machines will read.

Which names are secret, how a secret is shown and in which forms a known one is found is said here for every output: log
lines, messages, `check --print`, and whatever shows an exchange. Redaction happens when something is written.
"""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

ELLIPSIS = "…"
_SHORTEST_SHOWN = 16
# Shorter ones are no secrets, and blacking them out would make holes in ordinary words.
_SHORTEST_FOUND = 4
_SECRET_NAME = re.compile(r"key|token|secret|auth|sig|passw|credential|cookie|code|session|bearer", re.IGNORECASE)
_USER_INFO = re.compile(r"//[^/?#]*@")
# Provider prefixes are short (sk-, gsk_, hf_); a longer first part would be a piece of the secret itself.
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9]{0,6}[-_]")
_SCHEME = re.compile(r"(?i)(?:Bearer|Basic|Token) +")
_PARAMETER = re.compile(r"[^&;]+")


def is_secret_name(name: str) -> bool:
    """Whether a query name, header field or environment variable of this name is likely to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def redacted(secret: str) -> str:
    """The form in which a secret is shown: `sk-…abcd`; only `…` if it is shorter than 16 characters."""
    if scheme := _SCHEME.match(secret):
        return scheme.group() + redacted(secret[scheme.end() :])
    if len(secret) < _SHORTEST_SHOWN:
        return ELLIPSIS
    prefix = _PREFIX.match(secret)
    return f"{prefix.group() if prefix else ''}{ELLIPSIS}{secret[-4:]}"


def target(text: str) -> str:
    """A request target or URL with user info and the values of secret-like query names replaced by an ellipsis."""
    if "@" in text:
        text = _USER_INFO.sub("//…@", text)
    path, mark, query = text.partition("?")
    return f"{path}?{_PARAMETER.sub(_pair, query)}" if mark else path


def _pair(found: re.Match[str]) -> str:
    pair = found.group()
    name, mark, value = pair.partition("=")
    hidden = mark and value and ELLIPSIS not in value and is_secret_name(unquote(name))
    return f"{name}={ELLIPSIS}" if hidden else pair


class Redactor:
    """Known secrets out of any text: as they are, percent-encoded, JSON-escaped and in base64.

    `plain` is for text that has to stay ASCII: the ellipsis is escaped then.
    """

    def __init__(self, secrets: Iterable[str], plain: bool = False) -> None:
        found = [secret for secret in secrets if len(secret) >= _SHORTEST_FOUND]
        forms = {form: _shown(secret, plain) for secret in found for form in _forms(secret)}
        # The longest first: one secret may be a part of another.
        self._forms = sorted(forms.items(), key=lambda entry: len(entry[0]), reverse=True)

    @property
    def forms(self) -> list[str]:
        """Every form of every secret that is looked for, the longest first."""
        return [form for form, _ in self._forms]

    def text(self, text: str) -> str:
        """The text with every secret in the form in which it may be shown."""
        for form, shown in self._forms:
            if form in text:
                text = text.replace(form, shown)
        return text


def _shown(secret: str, plain: bool) -> str:
    shown = redacted(secret)
    return shown.encode("ascii", "backslashreplace").decode("ascii") if plain else shown


def _forms(secret: str) -> set[str]:
    encoded = {quote(secret, safe=safe) for safe in ("", "/", "/:", "/+=:,")}
    lower = {re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), form) for form in encoded}
    whole = {secret, json.dumps(secret)[1:-1], *encoded, *lower}
    return whole | {form for form in _in_base64(secret) if len(form) >= _SHORTEST_FOUND}


def _in_base64(secret: str) -> set[str]:
    """What of the secret's base64 is the same whatever stands before and behind it, as in `Basic` of `user:secret`."""
    found = set()
    for before in range(3):
        raw = b"\0" * before + secret.encode("utf-8", "surrogatepass")
        coded = base64.b64encode(raw).decode("ascii")
        inner = coded[(before * 8 + 5) // 6 : len(raw) * 8 // 6]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found
