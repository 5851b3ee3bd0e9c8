"""Header rules from elsewhere: what helps streams is not needed, CORS has its own keys, secrets are taken out."""

import os
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from proxy.config.presets import CREDENTIAL_FIELDS
from proxy.core.redact import is_secret_name
from proxy.importer.draft import Draft

# Written by the proxy itself, or by default.
OWN = frozenset(
    {
        *("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"),
    }
)
HINTS = frozenset({"content-encoding", "x-accel-buffering"})
"""What people set or remove so that a stream streams."""
_SHORTEST_VALUE = 8


def request_field(draft: Draft, name: str, value: str, line: int | None) -> None:
    """A field that is set on requests; an empty value removes it."""
    key = name.lower()
    if key == "host":
        if value != urlsplit(str(draft.values.get("upstream", ""))).netloc:
            draft.note(
                "left out",
                f"Host is set to {value}: here it is the upstream's, or with preserve_host the client's",
                line,
            )
    elif key in OWN or (key == "accept-encoding" and value in ("", "identity")):
        pass
    elif value == "":
        _listed(draft, "request").append(name)
    else:
        draft.section("headers", "request", "set")[name] = _without_secret(draft, name, value, line)


def response_field(draft: Draft, name: str, value: str, line: int | None, adds: bool = False) -> None:
    """A field that is set on answers, or added to them."""
    key = name.lower()
    if key in HINTS or (key == "cache-control" and "no-transform" in value):
        draft.note("look", f"{name} was set for streams: not needed here", line)
    elif key in OWN:
        draft.note("look", f"{name} is written by the proxy itself", line)
    elif key == "access-control-allow-origin":
        _allow(draft, value, line)
    elif key == "access-control-allow-credentials" and value == "true":
        if "*" not in draft.section("cors").setdefault("origins", []):
            draft.section("cors")["credentials"] = True
    elif key == "access-control-expose-headers":
        draft.section("cors")["expose"] = [one.strip() for one in value.split(",") if one.strip() not in ("", "*")]
    elif key.startswith("access-control-"):
        draft.note("look", f"{name}: `cors` answers preflights with what the page asks for", line)
    else:
        draft.section("headers", "response", "add" if adds else "set")[name] = value


def removed_field(draft: Draft, direction: str, name: str, line: int | None) -> None:
    """A field that is taken out."""
    if name.lower() in HINTS:
        draft.note("look", f"{name} was removed for streams: not needed here", line)
    elif name.lower() not in OWN and name.lower() != "host":
        _listed(draft, direction).append(name)


def _allow(draft: Draft, value: str, line: int | None) -> None:
    if "asked.invalid" in value or "$http_origin" in value:
        draft.note("left out", "every origin was allowed by repeating it: list yours in cors.origins", line)
    else:
        draft.section("cors")["origins"] = [value]


def _listed(draft: Draft, direction: str) -> list[str]:
    names: list[str] = draft.section("headers", direction).setdefault("remove", [])
    return names


def _without_secret(draft: Draft, name: str, value: str, line: int | None) -> str:
    """The value with a reference in place of a secret, if the name says that there is one."""
    if name.lower().encode("latin-1", "replace") not in CREDENTIAL_FIELDS and not is_secret_name(name):
        return value
    for variable, known in _longest_first(os.environ.items()):
        if len(known) >= _SHORTEST_VALUE and known in value and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", variable):
            draft.secrets.add(variable)
            return value.replace(known, f"${{{variable}}}")
    variable = "UPSTREAM_" + re.sub("[^A-Z0-9]", "_", name.upper())
    scheme = re.match(r"(?i)(?:bearer|basic|token) +", value)
    draft.secrets.add(variable)
    draft.note("look", f"the value of {name} stands there literally: put it into the environment as {variable}", line)
    return f"{scheme[0] if scheme else ''}${{{variable}}}"


def _longest_first(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: -len(pair[1]))
