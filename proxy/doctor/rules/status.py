"""What kind of answer it is: refusals, redirects, pages, errors under a status that says success."""

import re
from collections.abc import Callable, Iterator

from proxy.core.streams import EVENT_STREAM
from proxy.doctor.endings import refusal
from proxy.doctor.reading import json_of
from proxy.doctor.rules.rule import Case, Found, Rule, amount, excerpt, line


def _status(case: Case) -> str:
    return f"{case.seen.status} {excerpt(case.seen.reason)}".strip()


def _of(wanted: Callable[[int], bool], says: str, *mend: str) -> Callable[[Case], Iterator[Found]]:
    def check(case: Case) -> Iterator[Found]:
        if case.seen.answered and wanted(case.seen.status):
            body = case.chain.text
            said = (f"the body begins {excerpt(body[:120])}",) if body.strip() else ()
            yield Found(says.format(status=_status(case)), (*said, *case.who()), mend)

    return check


def _redirect(case: Case) -> Iterator[Found]:
    location = case.seen.first(b"location")
    if not 300 <= case.seen.status < 400 or location is None:
        return
    yield Found(
        f"The answer is a redirect ({_status(case)}), not a stream; a POST may become a GET on its way there.",
        (line(b"Location", location),),
        (
            "ask the URL it points to; a missing or extra slash at the end is the usual reason, a login page the next",
            "behind a proxy: let it rewrite Location (nginx: proxy_redirect; streamsafe does by default)",
        ),
    )


def _no_content(case: Case) -> Iterator[Found]:
    if case.seen.status == 204:
        yield Found(
            "The answer is 204: there is no stream, and EventSource stops reconnecting for good.", (_status(case),)
        )


def _page(case: Case) -> Iterator[Found]:
    if case.seen.status == 200 and case.chain.form == "page":
        yield Found(
            "An HTML page came instead of a stream: the request never reached the API.",
            (f"the body begins {excerpt(case.chain.text[:60])}", *case.who()),
            (
                "dev servers answer unknown paths with index.html: check the proxy entry's path, rewrite and order",
                "if it is a login page: send the credentials with --header",
            ),
        )


def _one_document(case: Case) -> Iterator[Found]:
    chain = case.chain
    if chain.seen.status != 200 or chain.form != "json" or refusal(chain) is not None or not chain.ended_itself:
        return
    if not isinstance(json_of(chain.text), dict):
        return
    sent = json_of(chain.seen.request.body)
    asked = isinstance(sent, dict) and sent.get("stream") is True
    evidence = f"one JSON object of {amount(len(chain.text))}, Content-Type {excerpt(chain.media_type) or 'missing'}"
    mend = (
        "the request asks for a stream: something in between, or the server, collected it into one document"
        if asked
        else 'most LLM APIs stream only if the request says "stream": true'
    )
    yield Found("The answer is one JSON document and no stream.", (evidence, *case.who()), (mend,))


def _wrong_type(case: Case) -> Iterator[Found]:
    chain = case.chain
    if chain.seen.status != 200 or chain.form not in ("sse", "lines") or not (chain.events or chain.rest):
        return
    raw = chain.seen.first(b"content-type")
    lines = chain.seen.values(b"content-type")
    told = line(b"Content-Type", raw) if raw is not None else "there is no Content-Type"
    if chain.form == "sse" and chain.media_type != EVENT_STREAM:
        yield Found(
            "The body is an event stream, but its media type does not say so: EventSource refuses it.",
            (told, f"the body begins {excerpt(chain.text[:60])}"),
            (
                "the server: Content-Type: text/event-stream",
                "a proxy that sets a default type: let it leave Content-Type alone",
            ),
        )
    elif chain.form == "lines" and chain.media_type in (b"application/json", b"text/html", b"text/plain", b""):
        yield Found(
            "The body is JSON lines, but its media type does not say so: proxies compress and buffer what they take "
            "for an ordinary document.",
            (told, f"{len(chain.events)} lines, each a JSON object"),
            ("the server: Content-Type: application/x-ndjson",),
            severity="warning",
        )
    elif len(lines) > 1:
        yield Found("There are several Content-Type lines.", tuple(line(b"Content-Type", one) for one in lines))


def _error_in_200(auth: bool) -> Callable[[Case], Iterator[Found]]:
    def check(case: Case) -> Iterator[Found]:
        found = refusal(case.chain) if 200 <= case.seen.status < 300 else None
        if found is None or found.is_auth is not auth:
            return
        place = "The body" if found.is_whole_body else "An event"
        what = "that the credentials were not accepted" if auth else "an error"
        yield Found(
            f"{place} tells {what}, although the status is {case.seen.status}.",
            (re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", found.message)[:200],),
            ("send the key: --header 'Authorization: Bearer ${NAME}' or --header 'x-api-key: ${NAME}'",)
            if auth
            else ("read what it says; the stream itself may be fine",),
        )

    return check


RULES = (
    Rule("redirect", "fault", "a redirect instead of an answer", _redirect),
    Rule(
        "unauthorized",
        "fault",
        "401: the credentials are missing or wrong",
        _of(
            lambda status: status in (401, 407),
            "The answer is {status}: the credentials are missing or wrong.",
            "send them with --header 'Authorization: Bearer ${NAME}'",
            "a browser's EventSource cannot send such a header: use fetch, or a proxy that adds it",
        ),
    ),
    Rule(
        "forbidden",
        "fault",
        "403: not allowed",
        _of(
            lambda status: status == 403,
            "The answer is {status}: whoever answered does not allow it.",
            "compare with --direct who says no; dev servers refuse unknown Hosts, APIs unknown Origins or regions",
        ),
    ),
    Rule(
        "not-found",
        "fault",
        "404: no such path",
        _of(
            lambda status: status == 404,
            "The answer is {status}: the path is not known there.",
            "a prefix was kept or stripped by mistake: compare with --direct; check rewrite, strip_prefix, pathRewrite",
        ),
    ),
    Rule(
        "gateway-error",
        "fault",
        "502, 503, 504: a proxy could not get an answer",
        _of(
            lambda status: status in (502, 503, 504, 520, 521, 522, 523, 524, 529),
            "The answer is {status}: whoever answered got nothing usable from the one behind it, or is overloaded.",
            "is the server behind it running, and are its address and port right there? --direct asks it itself",
        ),
    ),
    Rule(
        "server-error",
        "fault",
        "another 5xx: the server failed",
        _of(
            lambda status: status >= 500 and status not in (502, 503, 504, 520, 521, 522, 523, 524, 529),
            "The answer is {status}: the server failed.",
            "look into its log",
        ),
    ),
    Rule(
        "request-refused",
        "fault",
        "another 4xx: the request was refused",
        _of(
            lambda status: 400 <= status < 500 and status not in (401, 403, 404, 407),
            "The answer is {status}: the request was refused.",
            "check --method, --json and --header; the body says what is missing",
        ),
    ),
    Rule("no-content", "warning", "204: there is no stream", _no_content),
    Rule(
        "auth-error-in-200",
        "fault",
        "wrong credentials, told under a status that says success",
        _error_in_200(auth=True),
    ),
    Rule("error-in-200", "fault", "an error, told under a status that says success", _error_in_200(auth=False)),
    Rule("page", "fault", "an HTML page instead of a stream", _page),
    Rule("one-document", "fault", "one JSON document instead of a stream", _one_document),
    Rule("wrong-media-type", "fault", "a stream under another media type", _wrong_type),
)
