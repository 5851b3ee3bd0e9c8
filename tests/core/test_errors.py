"""Rules of errors: whose fault each is, what is answered, and which of them may be tried again."""

import pytest

from proxy.core import errors
from proxy.core.errors import ClientError, OwnError, ProxyError, UpstreamError

# Every class with side, status, token and whether the request provably went nowhere.
TABLE = {
    "ProxyError": ("proxy", 500, "proxy_internal_error", False),
    "ClientError": ("client", 400, "http_request_error", False),
    "RequestRefused": ("client", 403, "http_request_denied", False),
    "Unauthorized": ("client", 401, "http_request_denied", False),
    "MisdirectedRequest": ("client", 421, "http_request_denied", False),
    "NoRoute": ("client", 404, "destination_not_found", False),
    "MethodRefused": ("client", 405, "http_request_error", False),
    "RequestTimeout": ("client", 408, "http_request_error", False),
    "RequestBodyTooLarge": ("client", 413, "http_request_error", False),
    "TargetTooLong": ("client", 414, "http_request_error", False),
    "ExpectationFailed": ("client", 417, "http_request_error", False),
    "RequestHeadTooLarge": ("client", 431, "http_request_error", False),
    "NotImplementedByProxy": ("client", 501, "http_request_error", False),
    "VersionRefused": ("client", 505, "http_request_error", False),
    "ClientGone": ("client", 499, "client_closed", False),
    "ClientStalled": ("client", 499, "client_stalled", False),
    "UpstreamError": ("upstream", 502, "http_protocol_error", False),
    "UpstreamTimeout": ("upstream", 504, "http_response_timeout", False),
    "DnsError": ("upstream", 502, "dns_error", True),
    "ConnectionRefused": ("upstream", 502, "connection_refused", True),
    "DestinationUnroutable": ("upstream", 502, "destination_ip_unroutable", True),
    "DestinationProhibited": ("upstream", 502, "destination_ip_prohibited", False),
    "ConnectTimeout": ("upstream", 504, "connection_timeout", True),
    "TlsProtocolError": ("upstream", 502, "tls_protocol_error", True),
    "TlsCertificateError": ("upstream", 502, "tls_certificate_error", True),
    "TlsAlertReceived": ("upstream", 502, "tls_alert_received", True),
    "ConnectionTerminated": ("upstream", 502, "connection_terminated", False),
    "ResponseIncomplete": ("upstream", 502, "http_response_incomplete", False),
    "ResponseMalformed": ("upstream", 502, "http_protocol_error", False),
    "ResponseHeadTooLarge": ("upstream", 502, "http_response_header_section_size", False),
    "TransferCodingUnknown": ("upstream", 502, "http_response_transfer_coding", False),
    "ContentCodingBroken": ("upstream", 502, "http_response_content_coding", False),
    "UpgradeFailed": ("upstream", 502, "http_upgrade_failed", False),
    "StreamRefused": ("upstream", 502, "http_protocol_error", False),
    "TunnelIdle": ("upstream", 504, "connection_read_timeout", False),
    "BodyTimeout": ("upstream", 504, "connection_read_timeout", False),
    "FirstByteTimeout": ("upstream", 504, "connection_read_timeout", False),
    "UploadTimeout": ("upstream", 504, "connection_write_timeout", False),
    "TotalTimeout": ("upstream", 504, "http_response_timeout", False),
    "NoUpstream": ("upstream", 503, "destination_unavailable", False),
    "OwnError": ("proxy", 500, "proxy_internal_error", False),
    "ConfigurationError": ("proxy", 500, "proxy_configuration_error", False),
    "LoopDetected": ("proxy", 502, "proxy_loop_detected", False),
    "TooManyExchanges": ("proxy", 503, "connection_limit_reached", False),
    "Draining": ("proxy", 503, "connection_limit_reached", False),
}


def classes(of: type[ProxyError] = ProxyError) -> list[type[ProxyError]]:
    return [
        of,
        *(found for child in of.__subclasses__() if child.__module__ == errors.__name__ for found in classes(child)),
    ]


EVERY = classes()
every_error = pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)


def test_the_table_has_every_error_and_no_other() -> None:
    """MUST. A4: a new one has to be given its row."""
    assert {error.__name__ for error in EVERY} == set(TABLE)


@every_error
def test_every_error_says_side_status_and_token(error: type[ProxyError]) -> None:
    """MUST. RFC 9209 section 2.3; A4."""
    assert (error.side, error.status, error.token, error.retryable) == TABLE[error.__name__]


@every_error
def test_a_class_belongs_to_the_branch_of_its_side(error: type[ProxyError]) -> None:
    """MUST. A14: who is booked is read from the class."""
    branches = {"client": ClientError, "upstream": UpstreamError, "proxy": OwnError}
    assert error is ProxyError or issubclass(error, branches[error.side])


@every_error
def test_the_status_is_one_of_its_side(error: type[ProxyError]) -> None:
    """MUST. RFC 9209 section 2.3; 502 of our own is the loop alone, 503 of upstreams that none is left."""
    ranges = {"client": {*range(400, 500), 501, 505}, "upstream": {502, 504}, "proxy": {500, 503}}
    assert error.status in ranges[error.side] or error in (errors.LoopDetected, errors.NoUpstream)


@every_error
def test_the_message_is_one_sentence_with_a_next_step_or_none(error: type[ProxyError]) -> None:
    """MUST. A2, O8: it is shown to the client as it is."""
    text = str(error())
    assert text == error.message
    assert text.endswith((".", "?"))
    assert text.isprintable()
    assert text.isascii()


def test_a_message_of_its_own_replaces_the_usual_one() -> None:
    """MUST. A2."""
    assert str(ClientError("The path leaves the route.")) == "The path leaves the route."
    assert str(ClientError("")) == ClientError.message


def test_only_what_fails_before_the_request_is_sent_may_be_tried_again() -> None:
    """MUST. RFC 9110 section 9.2.2; R1, R2: name, connection and TLS, and nothing after them."""
    assert {error.__name__ for error in EVERY if error.retryable} == {
        "DnsError",
        "ConnectionRefused",
        "DestinationUnroutable",
        "ConnectTimeout",
        "TlsProtocolError",
        "TlsCertificateError",
        "TlsAlertReceived",
    }
