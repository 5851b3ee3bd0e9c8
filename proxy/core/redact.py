"""Secrets out of text that people or machines will read.

One place for every output; what is recognised is the name of a thing, never its look.
"""

import re

_SECRET_NAME = r"[^&=?#]*(?:key|token|secret|auth|signature|password)[^&=?#]*"
_QUERY_VALUE = re.compile(rf"([?&]{_SECRET_NAME}=)[^&#]+", re.IGNORECASE)


_USER_INFO = re.compile(r"//[^/?#@]*@")


def target(text: str) -> str:
    """A request target with user info and the values of secret-like query names replaced by an ellipsis."""
    if "@" in text:
        text = _USER_INFO.sub("//…@", text)
    return _QUERY_VALUE.sub(r"\1…", text) if "?" in text else text
