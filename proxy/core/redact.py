"""Secrets out of text that people or machines will read.

One place for every output; what is recognised is the name of a thing, never its look.
"""

import re
from urllib.parse import unquote

_SECRET_NAME = re.compile(r"key|token|secret|auth|sig|passw|credential|cookie|code", re.IGNORECASE)
_USER_INFO = re.compile(r"//[^/?#]*@")


def target(text: str) -> str:
    """A request target with user info and the values of secret-like query names replaced by an ellipsis."""
    if "@" in text:
        text = _USER_INFO.sub("//…@", text)
    path, mark, query = text.partition("?")
    return f"{path}?{'&'.join([_pair(pair) for pair in query.split('&')])}" if mark else path


def _pair(pair: str) -> str:
    name, mark, value = pair.partition("=")
    return f"{name}=…" if mark and value and _SECRET_NAME.search(unquote(name)) else pair
