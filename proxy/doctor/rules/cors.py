"""Whether a page of the given origin may read the answer. Source: Fetch, the CORS protocol."""

from collections.abc import Iterator

from proxy.core.message import first, members
from proxy.doctor.rules.rule import Case, Found, Rule, excerpt, line

_MENDS = (
    "streamsafe serve URL --cors ORIGIN answers preflights and grants that origin, and no other",
    "the server: Access-Control-Allow-Origin with that origin and Vary: Origin, on errors and preflights too",
)
_SIMPLE_METHODS = frozenset({b"get", b"head", b"post"})


def _allowed(case: Case) -> list[bytes]:
    return case.seen.values(b"access-control-allow-origin")


def _missing(case: Case) -> Iterator[Found]:
    origin = case.seen.request.origin
    if origin is not None and case.seen.answered and not _allowed(case):
        yield Found(
            f"There is no Access-Control-Allow-Origin: a page of {excerpt(origin)} cannot read this answer.",
            (f"status {case.seen.status}, {len(case.seen.fields)} fields, none of them grants an origin",),
            _MENDS,
        )


def _other(case: Case) -> Iterator[Found]:
    origin, allowed = case.seen.request.origin, _allowed(case)
    if origin is not None and len(allowed) == 1 and b"," not in allowed[0] and allowed[0] not in (b"*", origin):
        yield Found(
            f"Another origin may read this answer, a page of {excerpt(origin)} may not.",
            (line(b"Access-Control-Allow-Origin", allowed[0]),),
            _MENDS,
        )


def _doubled(case: Case) -> Iterator[Found]:
    allowed = _allowed(case)
    if case.seen.request.origin is not None and (len(allowed) > 1 or any(b"," in value for value in allowed)):
        yield Found(
            "Access-Control-Allow-Origin is there more than once: browsers refuse that, even if all are right.",
            tuple(line(b"Access-Control-Allow-Origin", value) for value in allowed),
            ("server and proxy both add it: let one of them (nginx: proxy_hide_header; streamsafe replaces it)",),
        )


def _preflight(case: Case) -> Iterator[Found]:
    seen = case.preflight
    if seen is None or seen.request.origin is None:
        return
    asked = seen.request.fields
    method = first(asked, b"access-control-request-method") or b""
    wanted = members([first(asked, b"access-control-request-headers") or b""])
    if not seen.answered:
        wrong = f"it got no answer ({seen.trouble or seen.end})"
    elif not 200 <= seen.status < 300:
        wrong = f"its answer is {seen.status}, where 2xx is needed"
    elif not {b"*", seen.request.origin} & set(seen.values(b"access-control-allow-origin")):
        wrong = "its answer does not allow the origin"
    elif method.lower() not in _SIMPLE_METHODS and not _grants(
        seen.values(b"access-control-allow-methods"), method.lower()
    ):
        wrong = f"its answer does not allow the method {excerpt(method)}"
    else:
        granted = seen.values(b"access-control-allow-headers")
        refused = [name for name in wanted if not _grants(granted, name)]
        if not refused:
            return
        wrong = "its answer does not allow " + ", ".join(excerpt(name) for name in refused)
        if b"authorization" in refused and b"*" in members(granted):
            wrong += " (`*` does not cover authorization)"
    evidence = [f"OPTIONS with Access-Control-Request-Method: {excerpt(method)}"]
    evidence += [line(name, value) for key, name, value in seen.fields if key.startswith(b"access-control-")]
    yield Found(
        f"The browser's preflight fails: {wrong}. The request itself is then never sent.", tuple(evidence), _MENDS
    )


def _grants(lines: list[bytes], name: bytes) -> bool:
    """Whether a list names it, or everything; `*` never means Authorization."""
    known = members(lines)
    return name in known or (b"*" in known and name != b"authorization")


RULES = (
    Rule("cors-missing", "fault", "no page of another origin may read the answer", _missing),
    Rule("cors-other-origin", "fault", "another origin may, this one may not", _other),
    Rule("cors-doubled", "fault", "the allowed origin is told twice", _doubled),
    Rule("preflight-failed", "fault", "the browser's preflight is refused", _preflight),
)
