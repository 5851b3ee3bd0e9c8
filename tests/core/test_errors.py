"""Rules of errors: whose fault each is, what is answered, and which of them may be tried again."""

import pytest

from proxy.core import errors
from proxy.core.errors import ClientError, OwnError, ProxyError, UpstreamError

# Every class with side, status, token and whether the request provably went nowhere.
TABLE = {
    "ProxyError": ("proxy", 500, "proxy_internal_error"),
    "ClientError": ("client", 400, "http_request_error"),
    "RequestRefused": ("client", 403, "http_request_denied"),
    "Unauthorized": ("client", 401, "http_request_denied"),
    "MisdirectedRequest": ("client", 421, "http_request_denied"),
    "NoRoute": ("client", 404, "destination_not_found"),
    "MethodRefused": ("client", 405, "http_request_error"),
    "RequestTimeout": ("client", 408, "http_request_error"),
    "RequestBodyTooLarge": ("client", 413, "http_request_error"),
    "TargetTooLong": ("client", 414, "http_request_error"),
    "ExpectationFailed": ("client", 417, "http_request_error"),
    "RequestHeadTooLarge": ("client", 431, "http_request_error"),
    "TooManyFields": ("client", 431, "http_request_error"),
    "NotImplementedByProxy": ("client", 501, "http_request_error"),
    "VersionRefused": ("client", 505, "http_request_error"),
    "ClientGone": ("client", 499, "client_closed"),
    "ClientStalled": ("client", 499, "client_stalled"),
    "UpstreamError": ("upstream", 502, "http_protocol_error"),
    "UpstreamTimeout": ("upstream", 504, "http_response_timeout"),
    "DnsError": ("upstream", 502, "dns_error"),
    "DnsTimeout": ("upstream", 504, "dns_timeout"),
    "NoConnection": ("upstream", 502, "destination_unavailable"),
    "ConnectionRefused": ("upstream", 502, "connection_refused"),
    "DestinationUnroutable": ("upstream", 502, "destination_ip_unroutable"),
    "DestinationProhibited": ("upstream", 502, "destination_ip_prohibited"),
    "ConnectTimeout": ("upstream", 504, "connection_timeout"),
    "TlsProtocolError": ("upstream", 502, "tls_protocol_error"),
    "TlsCertificateError": ("upstream", 502, "tls_certificate_error"),
    "TlsAlertReceived": ("upstream", 502, "tls_alert_received"),
    "ConnectionTerminated": ("upstream", 502, "connection_terminated"),
    "ResponseIncomplete": ("upstream", 502, "http_response_incomplete"),
    "ResponseMalformed": ("upstream", 502, "http_protocol_error"),
    "ResponseHeadTooLarge": ("upstream", 502, "http_response_header_section_size"),
    "TransferCodingUnknown": ("upstream", 502, "http_response_transfer_coding"),
    "ContentCodingBroken": ("upstream", 502, "http_response_content_coding"),
    "UpgradeFailed": ("upstream", 502, "http_upgrade_failed"),
    "StreamRefused": ("upstream", 502, "http_protocol_error"),
    "TunnelIdle": ("upstream", 504, "connection_read_timeout"),
    "BodyTimeout": ("upstream", 504, "connection_read_timeout"),
    "FirstByteTimeout": ("upstream", 504, "connection_read_timeout"),
    "UploadTimeout": ("upstream", 504, "connection_write_timeout"),
    "TotalTimeout": ("upstream", 504, "http_response_timeout"),
    "NoUpstream": ("upstream", 503, "destination_unavailable"),
    "OwnError": ("proxy", 500, "proxy_internal_error"),
    "ConfigurationError": ("proxy", 500, "proxy_configuration_error"),
    "LoopDetected": ("proxy", 502, "proxy_loop_detected"),
    "TooManyExchanges": ("proxy", 503, "connection_limit_reached"),
    "Draining": ("proxy", 503, "connection_limit_reached"),
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
    assert (error.side, error.status, error.token) == TABLE[error.__name__]


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
