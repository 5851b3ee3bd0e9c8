"""TLS contexts for connections to upstreams: system trust by default, the operator's authority or none on request."""

import functools
import ssl

from proxy.core.routes import Tls


@functools.cache
def context(tls: Tls) -> ssl.SSLContext:
    """The context for these settings, made once: loading the system's certificates takes tens of milliseconds.

    Errors: OSError or ssl.SSLError where a file cannot be read or is no certificate or key.
    """
    made = ssl.create_default_context(cafile=tls.ca)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if tls.cert:
        made.load_cert_chain(tls.cert, tls.key)
    return made
