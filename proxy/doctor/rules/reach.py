"""Whether there is an answer at all: names, ports, TLS, HTTP."""

from collections.abc import Callable, Iterator

from proxy.doctor.observation import Trouble
from proxy.doctor.rules.rule import Case, Found, Rule, moment

_CERTIFICATE_MENDS = (
    "look past it with --insecure, to see whether the answer streams; SSL_CERT_FILE names an authority",
)


def _of(trouble: Trouble, says: str, *mend: str) -> Callable[[Case], Iterator[Found]]:
    """A rule that finds exactly this trouble; a warning where the answer was looked at all the same."""

    def check(case: Case) -> Iterator[Found]:
        if case.seen.trouble == trouble:
            told = (case.seen.detail,) if case.seen.detail else ()
            yield Found(says, told, mend, "warning" if case.seen.answered else None)

    return check


def _no_answer(case: Case) -> Iterator[Found]:
    seen = case.seen
    if seen.trouble != "no_answer" or seen.end == "stopped":
        return
    if seen.end == "timeout":
        says = (
            f"The request was sent, and no head of an answer came within {moment(seen.ended_s - (seen.sent_s or 0))}."
        )
        mend: tuple[str, ...] = (
            "ask for longer with --timeout",
            "look into the server's log: has the request arrived?",
        )
    elif seen.end == "limit":
        says, mend = "What came is an answer's head that does not end.", ("is this the right port?",)
    else:
        says = "The connection was closed before any answer came."
        mend = ("look into the log of what listens there; a proxy closes like this when its upstream is gone",)
    yield Found(
        says, (f"it ended after {moment(seen.ended_s)} and {sum(read.size for read in seen.reads)} bytes",), mend
    )


RULES = (
    Rule(
        "unknown-name",
        "fault",
        "the host's name has no address",
        _of("dns", "The host's name could not be resolved.", "check the spelling, and the resolver of this machine"),
    ),
    Rule(
        "refused",
        "fault",
        "nothing listens on that port",
        _of(
            "refused",
            "The connection was refused.",
            "start the server, or correct the port; in a container, loopback is its own",
        ),
    ),
    Rule(
        "unroutable",
        "fault",
        "no way leads to the address",
        _of("unroutable", "There is no route to that address.", "check the network, a VPN, and whether IPv6 is meant"),
    ),
    Rule(
        "connect-timeout",
        "fault",
        "no connection within the time",
        _of(
            "connect_timeout",
            "No connection came about within the time.",
            "a firewall may drop the packets; check address and port",
        ),
    ),
    Rule(
        "tls-self-signed",
        "fault",
        "the certificate is signed by itself",
        _of(
            "tls_self_signed",
            "The certificate is self-signed: browsers and SDKs refuse it before any byte of the answer.",
            "make one with mkcert, whose authority this machine then trusts",
            *_CERTIFICATE_MENDS,
        ),
    ),
    Rule(
        "tls-unknown-authority",
        "fault",
        "the certificate is signed by nobody this machine trusts",
        _of(
            "tls_unknown_authority",
            "Nobody this machine trusts has signed the certificate, or an intermediate one is missing in what is sent.",
            "serve the full chain (fullchain.pem, not cert.pem), or install the authority",
            *_CERTIFICATE_MENDS,
        ),
    ),
    Rule(
        "tls-expired",
        "fault",
        "the certificate has expired",
        _of("tls_expired", "The certificate has expired.", "renew it, and reload what serves it", *_CERTIFICATE_MENDS),
    ),
    Rule(
        "tls-not-yet-valid",
        "fault",
        "the certificate is not valid yet",
        _of(
            "tls_not_yet_valid",
            "The certificate is not valid yet.",
            "check the clocks of both machines",
            *_CERTIFICATE_MENDS,
        ),
    ),
    Rule(
        "tls-wrong-name",
        "fault",
        "the certificate is for another name",
        _of(
            "tls_wrong_name",
            "The certificate is for another name than the URL's.",
            "use the name that the certificate has, or one that lists this name",
            *_CERTIFICATE_MENDS,
        ),
    ),
    Rule(
        "tls-failed",
        "fault",
        "TLS could not be set up",
        lambda case: _tls_failed(case),
    ),
    Rule(
        "https-to-http-port",
        "fault",
        "https is asked of a port that speaks plain HTTP",
        _of(
            "https_to_http_port",
            "That port speaks plain HTTP, and the URL says https.",
            "write http:// or use the TLS port",
        ),
    ),
    Rule(
        "http-to-https-port",
        "fault",
        "plain HTTP is asked of a port that speaks TLS",
        lambda case: _plain_to_tls(case),
    ),
    Rule("no-answer", "fault", "no answer comes", _no_answer),
    Rule(
        "not-http",
        "fault",
        "what answers is not HTTP/1.1",
        _of(
            "not_http",
            "What answered is not HTTP/1.1 as RFC 9112 has it.",
            "is this the right port? HTTP/2 without TLS is not spoken here",
        ),
    ),
)


def _tls_failed(case: Case) -> Iterator[Found]:
    if case.seen.trouble in ("tls_handshake", "tls_certificate"):
        yield Found(
            "TLS could not be set up.", (case.seen.detail,), ("openssl s_client -connect HOST:PORT tells more",)
        )


# What nginx, Go, Apache and Node say to plain HTTP on such a port.
_COMPLAINTS = (
    b"plain HTTP request was sent to HTTPS port",
    b"HTTP request to an HTTPS server",
    b"speaking plain HTTP to an SSL",
)


def _plain_to_tls(case: Case) -> Iterator[Found]:
    complaint = next((text for text in _COMPLAINTS if case.seen.status == 400 and text in case.chain.text), None)
    if case.seen.trouble == "http_to_https_port" or complaint:
        evidence = complaint.decode() if complaint else "no HTTP came back, and a TLS handshake there succeeds"
        yield Found("That port speaks TLS, and the URL says http.", (evidence,), ("write https://",))
