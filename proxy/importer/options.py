"""The options of http-proxy and what is built on it, one by one, as keys of a route."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from proxy.config.values import write_duration
from proxy.importer import fields
from proxy.importer.draft import Draft, Note

_OURS_IDLE_S, _OURS_HEAD_S = 300, 600
# Their own logging and errors, what Node needs, and what is read elsewhere.
_NOTHING_TO_DO = frozenset(
    {
        *("target", "context", "pathFilter", "rewrite", "pathRewrite", "onProxyReq", "onProxyRes", "configure"),
        *(
            "logLevel",
            "logger",
            "logProvider",
            "onError",
            "onOpen",
            "onClose",
            "onProxyReqWs",
            "ejectPlugins",
            "plugins",
        ),
        *("xfwd", "ws", "autoRewrite", "hostRewrite", "protocolRewrite", "buffer", "prependPath", "changeOrigin"),
        *("preserveHeaderKeyCase", "rewriteWsOrigin", "name", "enable", "path"),
    }
)


def carry(draft: Draft, given: dict[str, Any], kind: str) -> None:
    """Every option of an entry, as a key or as a note."""
    _target(draft, given)
    if given.get("changeOrigin", {}).get("value") is not True and draft.values.get("upstream"):
        draft.values["preserve_host"] = True
    for name, one in given.items():
        value, line = one["value"], one["line"]
        if name in _TABLE:
            _TABLE[name](draft, value, line)
        elif name not in _NOTHING_TO_DO:
            draft.note("left out", f"{name}", line)
    if kind == "vite" and given.get("ws", {}).get("value") is False:
        draft.values["websocket"] = False


def _target(draft: Draft, given: dict[str, Any]) -> None:
    written = given.get("target", {})
    target, line = written.get("value"), written.get("line") or draft.line
    if isinstance(target, dict) and "host" in target:
        scheme = str(target.get("protocol") or "http").removesuffix(":")
        port = f":{target['port']}" if target.get("port") else ""
        target = f"{scheme}://{target['host']}{port}"
    if not isinstance(target, str) or not target:
        draft.note("left out", "no target is known: it may need a variable of the environment, or the request", line)
        return
    target = re.sub(r"^ws(s?)://", r"http\1://", target.strip())
    if "://" not in target:
        target = f"http:{target}" if target.startswith("//") else f"http://{target}"
    parts = urlsplit(target)
    if "@" in parts.netloc:
        target = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        _auth(draft, None, line)
    bare = target.partition("#")[0]
    draft.values["upstream"] = bare.rstrip("/") if urlsplit(bare).path in ("", "/") and "?" not in bare else bare


def _auth(draft: Draft, _value: Any, line: int | None) -> None:
    draft.section("headers", "request", "set")["Authorization"] = "Basic ${UPSTREAM_BASIC_AUTH}"
    draft.secrets.add("UPSTREAM_BASIC_AUTH")
    draft.note("look", "user and password: put their base64 form into the environment as UPSTREAM_BASIC_AUTH", line)


def _secure(draft: Draft, value: Any, line: int | None) -> None:
    if value is False and str(draft.values.get("upstream", "")).startswith("https:"):
        draft.values["tls"] = {"verify": False}
        draft.note("look", "secure: false checks no certificate: `tls: {ca: FILE}` is the safe way", line)


def _headers(draft: Draft, value: Any, line: int | None) -> None:
    if not isinstance(value, dict):
        return
    for name, one in value.items():
        if isinstance(one, str | int | float):
            fields.request_field(draft, name, str(one), line)
        else:
            draft.note("left out", f"header {name}, whose value is not known without the request", line)


def _cookies(key: str) -> Callable[[Draft, Any, int | None], None]:
    def carry_one(draft: Draft, value: Any, line: int | None) -> None:
        if value is False or value is None:
            return
        pairs = value if isinstance(value, dict) else {"*": value}
        host = urlsplit(str(draft.values.get("upstream", ""))).hostname or ""
        for old, new in pairs.items():
            if old == "*" and key == "path":
                draft.note(
                    "left out", "cookiePathRewrite of every path: name the upstream's paths in cookies.path", line
                )
                continue
            if old == "*":
                draft.note(
                    "look", "cookie domains match exactly here: add the upstream's others to cookies.domain", line
                )
            draft.section("cookies", key)[host if old == "*" else old] = str(new or "")

    return carry_one


def quiet(draft: Draft, name: str, seconds: float, line: int | None) -> None:
    """A limit on the silence of the upstream."""
    if seconds <= _OURS_IDLE_S:
        text = f"{name} cut streams after {seconds:g} s of silence; here it is 5m (timeouts.idle)"
        draft.note("stream", text, line)
        return
    draft.section("timeouts")["idle"] = write_duration(seconds)
    if seconds > _OURS_HEAD_S:
        draft.section("timeouts")["head"] = write_duration(seconds)


def _proxy_timeout(draft: Draft, value: Any, line: int | None) -> None:
    if isinstance(value, int | float) and value > 0:
        quiet(draft, "proxyTimeout", value / 1000, line)


def _timeout(draft: Draft, value: Any, line: int | None) -> None:
    if isinstance(value, int | float) and value > 0:
        text = f"timeout cut clients after {value / 1000:g} s without traffic; nothing healthy is cut here"
        draft.note("stream", text, line)


def _whole_response(draft: Draft, value: Any, line: int | None) -> None:
    if value:
        text = "selfHandleResponse gives answers to a function, which mostly collects them before it sends anything"
        draft.note("stream", text, line)


def _on(draft: Draft, value: Any, line: int | None) -> None:
    others = sorted(set(value) - {"proxyReq", "proxyRes", "error", "open", "close"}) if isinstance(value, dict) else []
    if others:
        draft.note("left out", f"on: {', '.join(others)}", line)


def _says(text: str) -> Callable[[Draft, Any, int | None], None]:
    def note(draft: Draft, value: Any, line: int | None) -> None:
        if value not in (None, False):
            draft.note("left out", text, line)

    return note


_TABLE: dict[str, Callable[[Draft, Any, int | None], None]] = {
    "auth": _auth,
    "secure": _secure,
    "headers": _headers,
    "cookieDomainRewrite": _cookies("domain"),
    "cookiePathRewrite": _cookies("path"),
    "proxyTimeout": _proxy_timeout,
    "timeout": _timeout,
    "selfHandleResponse": _whole_response,
    "on": _on,
    "router": _says("router, which chooses a target by the request: a route with `host` or `path` for each"),
    "bypass": _says("bypass, which lets the dev server answer some requests: call it directly for those"),
    "followRedirects": _says("followRedirects: redirects are passed on, pointed back here, and never followed"),
    "agent": _says("agent: connections are kept open here; another proxy on the way out cannot be used"),
    "ignorePath": _says("ignorePath, which drops the request's path"),
    "localAddress": _says("localAddress"),
    "forward": _says("forward, which throws answers away"),
    "ssl": _says("ssl: see `tls` for this listener"),
    "toProxy": _says("toProxy"),
    "method": _says("method, which changes the request's"),
    "onProxyReqWs": _says("onProxyReqWs"),
}


def compression(kind: str, compress: bool | None) -> list[Note]:
    """Whether the dev server compresses, and so holds streams back."""
    if kind in ("webpack", "vue") and compress is not False:
        what = "compress: true" if compress else "compress is not set, which means true"
        return [Note("stream", f"devServer.{what}: events are held back until the compressor has enough")]
    if kind in ("webpack", "vue"):
        return [Note("look", "compress: false was needed for streams; behind streamsafe it is not")]
    if kind == "umi":
        return [Note("stream", "umi compresses unless UMI_DEV_SERVER_COMPRESS=none: events are held back")]
    if kind == "vite":
        return [Note("stream", "vite lets the upstream compress: streams of one that does arrive all at once")]
    return [Note("stream", "react-scripts compresses what goes through it: events are held back")]


def extra(name: str, value: Any, line: int | None) -> Note:
    """What a dev server does besides proxying."""
    if name == "headers":
        names = ", ".join(value) if isinstance(value, dict) else "by a function"
        return Note("left out", f"devServer.headers ({names}): headers.response, or cors", line)
    return Note("left out", f"devServer.{name} was not looked into: are there proxies in it?", line)


def is_of_the_user(name: str) -> bool:
    """Whether a variable is one of the project, and not one that tools ask for."""
    return re.fullmatch("[A-Z][A-Z0-9_]*", name) is not None and name not in ("NODE_ENV", "MODE", "DEV", "PROD", "SSR")


def unset(name: str) -> Note:
    """A variable that was asked for and is not there."""
    return Note("look", f"the environment has no {name}, which the file asks for")
