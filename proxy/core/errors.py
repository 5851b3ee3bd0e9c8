"""Every way an exchange can fail, with whose fault it is and what to answer while nothing has been sent.

    ProxyError
    ├── ClientError      the client sent what we cannot or will not forward     4xx, 501, 505
    │   └── ClientGone   it left; nobody reads an answer any more               499 in the log only
    ├── UpstreamError    the upstream did not give a usable answer              502, 503, 504
    └── OwnError         our own fault, or our configuration                    500, 502 for a loop, 503

Foreign exceptions become these where they are met, once for each library: in `net.client_connection` and `net.upload`
(aiohttp), `net.upstream.dial` (OSError, ssl), `net.upstream.response` (httptools), `core.stages.decode` (the codings).
Source: RFC 9209 section 2.3 for the tokens and their recommended statuses.
"""

from math import ceil
from typing import ClassVar, Literal

Side = Literal["client", "upstream", "proxy"]
MAX_FIELDS = 128
"""How many fields a request may have."""


class ProxyError(Exception):
    """An exchange failed.

    `side` is who is at fault, `status` what to answer if no byte of a response went out, `token` the Proxy-Status error
    type and the `code` of our JSON, `log_code` what observers are told where that says more. The message is for the
    client: it names no address, path or secret.
    """

    side: ClassVar[Side] = "proxy"
    status: int = 500
    token: str = "proxy_internal_error"
    log_code: ClassVar[str] = ""
    retry_after_s: int = 1
    """What a 503 says about when to try again."""
    message: ClassVar[str] = "The proxy failed."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class ClientError(ProxyError):
    """The client's message is malformed, too large, or asks for what this proxy does not do."""

    side = "client"
    status = 400
    token = "http_request_error"
    message = "The request is malformed."


class RequestRefused(ClientError):
    """A rule of the configuration forbids this request."""

    status = 403
    token = "http_request_denied"
    message = "The request is not allowed here."


class Unauthorized(ClientError):
    """No client token, or a wrong one. Source: RFC 9110 section 15.5.2, RFC 6750 section 3."""

    status = 401
    token = "http_request_denied"
    message = (
        "This proxy asks for a client token: send one of clients.tokens as `Authorization: Bearer` or `x-proxy-token`."
    )


class MisdirectedRequest(ClientError):
    """The Host is not one this proxy answers for. Source: RFC 9110 section 15.5.20."""

    status = 421
    token = "http_request_denied"
    message = "This proxy does not answer for that host: add its name to allowed_hosts in the configuration file."


class NoRoute(ClientError):
    """No route matches the request."""

    status = 404
    token = "destination_not_found"
    message = "No route matches this path: `streamsafe check -c FILE --print` shows the routes."


class MethodRefused(ClientError):
    """CONNECT, TRACE and TRACK are never forwarded."""

    status = 405
    message = "This method is not forwarded: use another one."


class RequestTimeout(ClientError):
    """The client stopped sending its request. Source: RFC 9110 section 15.5.9."""

    status = 408
    message = "The request did not arrive in time: timeouts.client_body is the longest silence inside a body."


class RequestBodyTooLarge(ClientError):
    """The body is over `limits.request_body`."""

    status = 413
    message = "The request body is over limits.request_body of this route."


class TargetTooLong(ClientError):
    """The request line is over `limits.request_head`. Source: RFC 9110 section 15.5.15."""

    status = 414
    message = "The request target is over limits.request_head."


class ExpectationFailed(ClientError):
    """An Expect other than 100-continue. Source: RFC 9110 section 10.1.1."""

    status = 417
    message = "Only the expectation 100-continue can be met: remove any other Expect."


class RequestHeadTooLarge(ClientError):
    """The fields are over `limits.request_head`. Source: RFC 6585 section 5."""

    status = 431
    message = "The request head is over limits.request_head."


class TooManyFields(RequestHeadTooLarge):
    """More than MAX_FIELDS fields."""

    message = f"The request has more than {MAX_FIELDS} fields, which no setting allows: send fewer."


class NotImplementedByProxy(ClientError):
    """An unknown method, or a transfer coding besides chunked. Source: RFC 9112 section 6.1."""

    status = 501
    message = "The method or the transfer coding is not known here."


class VersionRefused(ClientError):
    """Neither HTTP/1.0 nor HTTP/1.1."""

    status = 505
    message = "Only HTTP/1.0 and HTTP/1.1 are spoken here."


class ClientGone(ClientError):
    """The client closed or reset its connection before the end."""

    status = 499
    token = "client_closed"
    message = "The client closed the connection."


class ClientStalled(ClientError):
    """The client stopped reading for longer than `timeouts.client_write`."""

    status = 499
    token = "client_stalled"
    message = "The client stopped reading."


class UpstreamError(ProxyError):
    """The upstream did not give an answer that can be used."""

    side = "upstream"
    status = 502
    token = "http_protocol_error"
    message = "The upstream failed."


class UpstreamTimeout(UpstreamError):
    """A deadline of ours passed while we waited for the upstream."""

    status = 504
    token = "http_response_timeout"
    message = "The upstream did not answer in time: timeouts.head is the limit."


class DnsError(UpstreamError):
    """The upstream's name has no address."""

    token = "dns_error"
    message = "The upstream's name cannot be resolved: check `upstream` of this route."


class DnsTimeout(UpstreamTimeout):
    """The upstream's name was not resolved within `timeouts.connect`."""

    token = "dns_timeout"
    message = "The upstream's name was not resolved in time: check DNS where the proxy runs."


class NoConnection(UpstreamError):
    """The upstream cannot be reached, for a reason that has no name of its own. Source: RFC 9209 section 2.3.3."""

    token = "destination_unavailable"
    message = "No connection to the upstream can be made: check `upstream` of this route, and the limit of open files."


class ConnectionRefused(UpstreamError):
    """Nothing listens at the upstream's address."""

    token = "connection_refused"
    message = "The upstream refused the connection: is it running, and is its port right?"


class DestinationUnroutable(UpstreamError):
    """There is no way to the upstream's address."""

    token = "destination_ip_unroutable"
    message = "The upstream's address cannot be reached from here."


class DestinationProhibited(UpstreamError):
    """The upstream's name leads to an address that is never dialled. Source: RFC 9209 section 2.3.5."""

    token = "destination_ip_prohibited"
    message = (
        "The upstream's address is link-local or a cloud's metadata service: `allow_link_local_upstream: true` of this "
        "route allows it."
    )


class ConnectTimeout(UpstreamTimeout):
    """Name, TCP and TLS together took longer than `timeouts.connect`."""

    token = "connection_timeout"
    message = "No connection to the upstream in time: timeouts.connect is the limit."


class TlsProtocolError(UpstreamError):
    """The TLS handshake failed for another reason than a certificate."""

    token = "tls_protocol_error"
    message = "The TLS handshake with the upstream failed: does it speak TLS on that port?"


class TlsCertificateError(UpstreamError):
    """The upstream's certificate is not trusted, expired, or for another name."""

    token = "tls_certificate_error"
    message = "The upstream's certificate is not trusted: name its authority in tls.ca of this route."


class TlsAlertReceived(UpstreamError):
    """The upstream ended the TLS handshake with an alert."""

    token = "tls_alert_received"
    message = "The upstream refused the TLS handshake."


class ConnectionTerminated(UpstreamError):
    """The upstream closed or reset before the first byte of an answer, or inside its body."""

    token = "connection_terminated"
    message = "The upstream closed the connection before its answer was complete: see its log."


class ResponseIncomplete(UpstreamError):
    """The upstream closed inside the response head."""

    token = "http_response_incomplete"
    message = "The upstream closed the connection inside its response head: see its log."


class ResponseMalformed(UpstreamError):
    """The upstream's answer is not HTTP/1.1, or its framing is ambiguous."""

    token = "http_protocol_error"
    message = "The upstream's answer is not valid HTTP/1.1: is that an HTTP port?"


class ResponseHeadTooLarge(UpstreamError):
    """The response head is over `limits.response_head`."""

    token = "http_response_header_section_size"
    message = "The upstream's response head is over limits.response_head of this route."


class TransferCodingUnknown(UpstreamError):
    """The response has a transfer coding other than one `chunked`."""

    token = "http_response_transfer_coding"
    message = "The upstream's answer has a transfer coding that is not understood: make it use chunked alone."


class ContentCodingBroken(UpstreamError):
    """A compressed event stream is corrupt or ends inside its coding."""

    token = "http_response_content_coding"
    message = "The upstream's compressed stream is damaged."


class UpgradeFailed(UpstreamError):
    """A 101 that was not asked for, or to another protocol."""

    token = "http_upgrade_failed"
    message = "The upstream switched to a protocol that was not asked for: check `upstream` of this route."


class BodyTimeout(UpstreamTimeout):
    """No byte of the body for `timeouts.idle`. Source: RFC 9209 section 2.3.10."""

    token = "connection_read_timeout"
    message = "The upstream went silent inside its answer."


class FirstByteTimeout(BodyTimeout):
    """No first byte of the body for `timeouts.first_byte`."""

    log_code = "first_byte_timeout"
    message = "The upstream sent a head but no body: timeouts.first_byte is the limit."


class UploadTimeout(UpstreamTimeout):
    """The upstream stopped reading our request."""

    token = "connection_write_timeout"
    message = "The upstream stopped reading the request."


class TotalTimeout(UpstreamTimeout):
    """The exchange took longer than `timeouts.total`."""

    token = "http_response_timeout"
    log_code = "total_timeout"
    message = "The exchange took longer than timeouts.total."


class StreamRefused(UpstreamError):
    """The upstream answered with no stream when one had begun already, for the sake of early heartbeats."""

    token = "http_protocol_error"
    log_code = "stream_refused"
    message = "The upstream answered with no stream."


class TunnelIdle(UpstreamTimeout):
    """No byte in either direction of a tunnel for `timeouts.tunnel_idle`."""

    token = "connection_read_timeout"
    log_code = "tunnel_idle"
    message = "The tunnel was silent for longer than timeouts.tunnel_idle."


class NoUpstream(UpstreamError):
    """Every upstream of the route is left out. Source: RFC 9209 section 2.3.3."""

    status = 503
    token = "destination_unavailable"
    message = (
        "None of its upstreams can be used, as all of them failed: try again when Retry-After says. The status page of "
        "the admin listener tells the state of each."
    )

    def __init__(self, retry_after_s: float = 1.0) -> None:
        super().__init__()
        self.retry_after_s = ceil(retry_after_s)


class OwnError(ProxyError):
    """A fault of this program."""


class ConfigurationError(OwnError):
    """The configuration asks for something that cannot be done with this request."""

    token = "proxy_configuration_error"
    message = "The configuration of this route cannot be applied to this request: see `rewrite` and `tls.server_name`."


class LoopDetected(OwnError):
    """The request has passed through this instance before. Source: RFC 9110 section 7.6.3."""

    status = 502
    token = "proxy_loop_detected"
    message = (
        "This request has been here before, as the upstream of this route leads back to this proxy: check `upstream`."
    )


class Draining(OwnError):
    """The process is about to stop and takes no new work."""

    status = 503
    token = "connection_limit_reached"
    log_code = "draining"
    message = "The proxy is about to stop: try again."


class TooManyExchanges(OwnError):
    """As many exchanges are open on the route as `limits.concurrent` allows. Source: RFC 9209 section 2.3.12."""

    status = 503
    token = "connection_limit_reached"
    message = "As many requests are open here as limits.concurrent allows: try again."
