"""What else stands in a proxied location, or is inherited by it: fields, limits, and what held streams back."""

import re
from typing import TYPE_CHECKING

from proxy.config.values import parse_duration, write_duration
from proxy.core.redact import is_secret_name
from proxy.importer import fields
from proxy.importer.draft import Draft
from proxy.importer.options import quiet

if TYPE_CHECKING:
    from proxy.importer.nginx import Directive, Scope

_READ_S = 60
# What the proxy does by itself: the same values are what it sends anyway.
_DEFAULTS = re.compile(
    r"\$(remote_addr|proxy_add_x_forwarded_for|scheme|host|http_host|server_port|http_upgrade|connection_upgrade|proxy_host"
    r"|http_[a-z_]+|proxy_protocol_addr|realip_remote_addr)"
)
_LEFT_OUT = frozenset(
    {
        *("auth_basic", "auth_request", "allow", "deny", "limit_req", "limit_conn", "limit_rate", "if", "return"),
        *("proxy_cache", "proxy_store", "sub_filter", "proxy_method", "proxy_set_body", "proxy_next_upstream"),
        *("proxy_intercept_errors", "error_page", "proxy_ssl_certificate", "proxy_ssl_trusted_certificate", "mirror"),
        *("proxy_bind", "internal", "try_files", "expires", "js_content", "valid_referers", "secure_link"),
    }
)
_GUARDS = frozenset({"auth_basic", "auth_request", "allow", "deny"})


def carry(draft: Draft, block: "list[Directive]", scope: "Scope") -> None:
    """Gives the draft the keys for what is in force in its location, and notes for the rest."""
    _streams(draft, scope)
    _fields(draft, scope)
    _limits(draft, scope)
    _tls(draft, scope)
    _cookies(draft, scope)
    if (redirect := scope.last("proxy_redirect")) and redirect["args"] == ["off"]:
        draft.values["redirects"] = "pass"
    inherited = [one for one in scope.directives if one["directive"] in _GUARDS]
    for one in [*inherited, *(one for one in block if one["directive"] in _LEFT_OUT - _GUARDS)]:
        if one["args"][:1] != ["off"]:
            name = f"{one['directive']} {' '.join(one['args'])}".strip()
            why = ": whoever reaches the listener may use the route" if one["directive"] in _GUARDS else ""
            draft.note("left out", f"{name}{why}", one["line"])


def _streams(draft: Draft, scope: "Scope") -> None:
    buffering = scope.last("proxy_buffering")
    if scope.is_on("proxy_buffering", default=True):
        what = "proxy_buffering is on" + ("" if buffering else " by default")
        draft.note("stream", f"{what}: events waited for a full buffer", buffering["line"] if buffering else None)
    elif buffering:
        draft.note("look", "proxy_buffering off was needed for streams; here it is not", buffering["line"])
    types = scope.last("gzip_types")
    compressed = types is not None and {"*", "text/event-stream"} & set(types["args"])
    if scope.is_on("gzip", default=False) and compressed and types is not None:
        draft.note("stream", "gzip compresses event streams", types["line"])
    version = scope.last("proxy_http_version")
    if version is None or version["args"] != ["1.1"]:
        text = "HTTP/1.0 upstream, unless nginx is 1.29.7 or later: a broken stream looks complete"
        draft.note("stream", text, version["line"] if version else None)
    if (cache := scope.last("proxy_cache")) and cache["args"] != ["off"]:
        draft.note("stream", "proxy_cache keeps answers, and sends them on when it has enough", cache["line"])


def _fields(draft: Draft, scope: "Scope") -> None:
    for one in scope.all("proxy_set_header"):
        name, value = one["args"][0], one["args"][1] if len(one["args"]) > 1 else ""
        if name.lower() == "host" and value in ("$host", "$http_host", "$host:$server_port"):
            draft.values["preserve_host"] = True
        elif _DEFAULTS.fullmatch(value) and (name.lower() in fields.OWN | {"host"} or value.startswith("$http_")):
            continue
        elif "$" in value:
            shown = "" if is_secret_name(name) else f" {value}"
            draft.note("left out", f"proxy_set_header {name}{shown}", one["line"])
        else:
            fields.request_field(draft, name, value, one["line"])
    for one in scope.all("add_header"):
        name, value = one["args"][0], one["args"][1] if len(one["args"]) > 1 else ""
        if "$" in value and value != "$http_origin":
            shown = "" if is_secret_name(name) else f" {value}"
            draft.note("left out", f"add_header {name}{shown}", one["line"])
        elif value:
            fields.response_field(draft, name, value, one["line"], adds=True)
    for one in scope.all("proxy_hide_header"):
        fields.removed_field(draft, "response", one["args"][0], one["line"])


def _limits(draft: Draft, scope: "Scope") -> None:
    read = scope.last("proxy_read_timeout")
    seconds = _seconds(read) if read else float(_READ_S)
    if seconds is not None:
        quiet(
            draft, "proxy_read_timeout" + ("" if read else " (60s by default)"), seconds, read["line"] if read else None
        )
    connect = scope.last("proxy_connect_timeout")
    if connect and (seconds := _seconds(connect)):
        draft.section("timeouts")["connect"] = write_duration(seconds)
    size = scope.last("client_max_body_size")
    if size and (match := re.fullmatch(r"([0-9]+)([kKmMgG]?)", size["args"][0])) and int(match[1]):
        unit = {"": "", "k": "KiB", "m": "MiB", "g": "GiB"}[match[2].lower()]
        draft.section("limits")["request_body"] = f"{match[1]}{unit}" if unit else int(match[1])


def _seconds(directive: "Directive") -> float | None:
    """nginx's times: `60`, `60s`, `1h`, `1h 30m`, `500ms`."""
    total = 0.0
    for number, unit in re.findall(r"([0-9]+)([a-zA-Z]*)", "".join(directive["args"])):
        if unit in ("d", "w"):
            total += int(number) * (86400 if unit == "d" else 604800)
        elif (seconds := parse_duration(number + unit)) is not None:
            total += seconds
        else:
            return None
    return total


def _tls(draft: Draft, scope: "Scope") -> None:
    if not str(draft.values.get("upstream", "")).startswith("https:"):
        return
    if not scope.is_on("proxy_ssl_verify", default=False):
        draft.note(
            "look", "nginx did not check the upstream's certificate; here it is checked (`tls.verify`, `tls.ca`)"
        )
    if (name := scope.last("proxy_ssl_name")) and "$" not in name["args"][0]:
        draft.section("tls")["server_name"] = name["args"][0]


def _cookies(draft: Draft, scope: "Scope") -> None:
    for key in ("domain", "path"):
        for one in scope.all(f"proxy_cookie_{key}"):
            if len(one["args"]) == 2 and not any(re.search(r"[$~]", text) for text in one["args"]):
                draft.section("cookies", key)[one["args"][0]] = one["args"][1]
            elif one["args"] != ["off"]:
                draft.note("left out", f"proxy_cookie_{key} {' '.join(one['args'])}", one["line"])
