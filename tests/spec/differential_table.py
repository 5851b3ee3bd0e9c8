"""Where nginx and we differ, who is right, and the page that says so: `python -m tests.spec.differential_table`."""

from dataclasses import dataclass
from typing import Literal

from .differential_conversations import CONVERSATIONS


@dataclass(frozen=True)
class Difference:
    """What is different about each outcome, and a verdict in one sentence with its source."""

    nginx: str
    ours: str
    right: Literal["nginx", "streamsafe", "both"]
    why: str


DIFFERENCES: dict[str, Difference] = {
    "escapes, double slashes and a semicolon": Difference(
        "client: 400 of its own; closed | origin: nothing",
        'client: 200 counted "ok"; open | origin: GET //a%2Fb/%zz;c?d=%20&e HTTP/1.1 []',
        "streamsafe",
        "A proxy forwards the path and query as they came, broken escapes too: RFC 9110 section 7.7.",
    ),
    "a fragment in the target": Difference(
        'client: 200 counted "ok"; open | origin: GET /x#y HTTP/1.1 []',
        "client: 400 of its own; closed | origin: nothing",
        "streamsafe",
        "No request target has a fragment, and the next server may cut it off or not: RFC 9112 section 3.2.",
    ),
    "a byte above ASCII in the target": Difference(
        "client: open | origin: no HTTP",
        "client: 400 of its own; closed | origin: nothing",
        "streamsafe",
        "A target is ASCII; nginx hands the byte on, which no strict origin reads: RFC 9112 section 3.2.",
    ),
    "OPTIONS *": Difference(
        "client: 400 of its own; closed",
        "client: 204 of its own; open",
        "streamsafe",
        "The asterisk form asks about the server itself and has to be understood: RFC 9112 section 3.2.4.",
    ),
    "a foreign Host": Difference(
        'client: 200 counted "ok"; open | origin: GET /x HTTP/1.1 []',
        "client: 421 of its own; open | origin: nothing",
        "both",
        "A gateway may serve any name; ours keeps to its own, against DNS rebinding: RFC 9110 section 15.5.20.",
    ),
    "an upgrade to h2c": Difference(
        'client: 200 counted "ok"; open',
        'client: 200 counted "ok"; closed',
        "both",
        "Both go on in HTTP/1.1; our parser would lose what follows there (limits.md): RFC 9110 section 7.8.",
    ),
    "HTTP/1.0 that asks to be kept": Difference(
        'client: 200 counted "ok"; open',
        'client: 200 counted "ok"; closed',
        "both",
        "Keeping a connection of HTTP/1.0 is a choice, and ours closes: RFC 9112 section 9.3, appendix C.2.2.",
    ),
    "HTTP/1.2": Difference(
        'client: 200 counted "ok"; open | origin: GET /x HTTP/1.1 []',
        "client: 400 of its own; closed | origin: nothing",
        "nginx",
        "A higher minor version should be read as the highest known; our parser refuses it: RFC 9110 section 2.5.",
    ),
    "fields named by Connection": Difference(
        "origin: GET /x HTTP/1.1 [x-a: 1, x-b: 2]",
        "origin: GET /x HTTP/1.1 [x-b: 2]",
        "streamsafe",
        "What Connection names ends at this hop: RFC 9110 section 7.6.1.",
    ),
    "hop-by-hop fields": Difference(
        "origin: GET /x HTTP/1.1 [proxy-authorization: x, x-b: 2]",
        "origin: GET /x HTTP/1.1 [x-b: 2]",
        "streamsafe",
        "Proxy-Authorization is for the proxy that asked for it, and none did: RFC 9110 section 11.7.2.",
    ),
    "the Proxy field": Difference(
        "origin: GET /x HTTP/1.1 [proxy: http://evil.example]",
        "origin: GET /x HTTP/1.1 []",
        "streamsafe",
        "A proxy may block a field; CGI takes this one for a setting (CVE-2016-5385): RFC 9110 section 5.1.",
    ),
    "an underscore in a name": Difference(
        "origin: GET /x HTTP/1.1 []",
        "origin: GET /x HTTP/1.1 [x_a: 1]",
        "streamsafe",
        "An underscore is a legal letter of a name; nginx drops the field in silence: RFC 9110 section 5.6.2.",
    ),
    "a line without a colon": Difference(
        'client: 200 counted "ok"; open | origin: GET /x HTTP/1.1 [nothing: ]',
        "client: 400 of its own; closed | origin: nothing",
        "streamsafe",
        "A field line has a colon; nginx makes an empty field of it: RFC 9112 section 5.",
    ),
    "an unknown method": Difference(
        'client: 200 counted "ok"; open | origin: BREW /x HTTP/1.1 []',
        "client: 501 of its own; closed | origin: nothing",
        "nginx",
        "A proxy need not know a method to forward it; the parser of ours knows a fixed list: RFC 9110 section 9.1.",
    ),
    "a target of 9000 bytes": Difference(
        "client: 414 of its own; closed | origin: nothing",
        'client: 200 counted "ok"; open | origin: GET /aaaaaaa... of 9014 bytes []',
        "both",
        "8000 bytes are what everybody should take, more is free: RFC 9112 section 3.",
    ),
    "a POST without a body": Difference(
        "origin: POST /x HTTP/1.1 []",
        'origin: POST /x HTTP/1.1 [content-length: 0] ""',
        "streamsafe",
        "A POST without content should say so with Content-Length: 0: RFC 9110 section 8.6.",
    ),
    "a chunked body": Difference(
        'origin: POST /x HTTP/1.1 [content-length: 3] "abc"',
        'origin: POST /x HTTP/1.1 [transfer-encoding: chunked] "abc"',
        "both",
        "Either framing is right for a body that is here; ours keeps the one it came with: RFC 9112 section 6.3.",
    ),
    "a chunked body, and a GET behind it": Difference(
        'client: 200 counted "ok"; 200 counted "ok"; open | '
        'origin: POST /x HTTP/1.1 [content-length: 3] "abc"; GET /x HTTP/1.1 []',
        'client: 200 counted "ok"; closed | origin: POST /x HTTP/1.1 [transfer-encoding: chunked] "abc"',
        "both",
        "Closing is always allowed; ours does where chunks did not end a read (limits.md): RFC 9112 section 9.6.",
    ),
    "a chunked body of one empty chunk": Difference(
        'origin: POST /x HTTP/1.1 [content-length: 0] ""',
        'origin: POST /x HTTP/1.1 [transfer-encoding: chunked] ""',
        "both",
        "As above, for no bytes: RFC 9112 section 7.1.",
    ),
    "chunk extensions": Difference(
        'origin: POST /x HTTP/1.1 [content-length: 3] "abc"',
        'origin: POST /x HTTP/1.1 [transfer-encoding: chunked] "abc"',
        "both",
        "As above; both drop the extension, as they may: RFC 9112 section 7.1.1.",
    ),
    "request trailers": Difference(
        'client: 200 counted "ok"; open | origin: POST /x HTTP/1.1 [content-length: 3] "abc"',
        'client: 200 counted "ok"; closed | origin: POST /x HTTP/1.1 [transfer-encoding: chunked] "abc"',
        "both",
        "As above; both discard the trailer section, as they may: RFC 9110 section 6.5.1.",
    ),
    "a coding that looks like chunked": Difference(
        "client: 501 of its own; closed",
        "client: 400 of its own; closed",
        "both",
        "400 where chunked is not last, 501 for what is not understood: both apply, RFC 9112 sections 6.1 and 6.3.",
    ),
    "a chunked answer with a bad chunk": Difference(
        "client: closed",
        "client: 502 of its own; open",
        "streamsafe",
        "Nothing had been sent, so the client can be told what happened: RFC 9110 section 15.6.3.",
    ),
    "a cut answer to HTTP/1.0": Difference(
        'client: 200 until the close "abc"; closed',
        'client: 200 until the close "abc", cut; reset',
        "streamsafe",
        "To HTTP/1.0 a close is the end of a whole body, so a part must not end with one: RFC 9112 section 8.",
    ),
    "HTTP/2.0 in an answer": Difference(
        'client: 200 counted "ok"; open',
        "client: 502 of its own; open",
        "streamsafe",
        "Another major version has other rules, and nobody asked for it: RFC 9110 section 2.5.",
    ),
}

_HEAD = """\
# Where streamsafe and nginx differ

The same bytes are sent to nginx (1.22 and later; `proxy_http_version 1.1`, kept upstream connections, no buffering) and
to streamsafe with its defaults, in front of the same scripted origin. Of %d conversations, %d come out differently;
all are below. Fields that proxies add by design (Host, Via, X-Forwarded-*) and the bodies of error pages are not
compared; "no HTTP" is what the origin's strict reader refuses and leaves without an answer.
`tests/spec/test_differential_nginx.py` fails when this page is not what it measures; the page is written by
`python -m tests.spec.differential_table > docs/differences.md`.

| the client sends | nginx | streamsafe | right | why |
|---|---|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    rows = [
        f"| {name} | {_code(one.nginx)} | {_code(one.ours)} | {one.right} | {one.why} |"
        for name, one in DIFFERENCES.items()
    ]
    return _HEAD % (len(CONVERSATIONS), len(DIFFERENCES)) + "\n".join(rows) + "\n"


def _code(outcome: str) -> str:
    return "<br>".join(f"`{part}`" for part in outcome.split(" | "))


if __name__ == "__main__":
    print(page(), end="")
