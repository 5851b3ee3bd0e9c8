"""Which routes spend a secret of the operator's, however it is written: `api_key`, a header rule, the upstream's URL.

What is found here makes a route one that pages of other origins may only use where they are listed, and that is not
served to everybody. Also where the secrets of a configuration are gathered, so that no output shows them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from proxy.config.model import Config, Route
from proxy.config.presets import CREDENTIAL_FIELDS
from proxy.config.secrets import Expanded, Reference
from proxy.core.redact import Redactor, is_secret_name

# Narrower than what is masked: a field of such a name makes pages of other origins foreign.
_CREDENTIAL_NAME = re.compile(r"key|token|secret|auth|passw|credential", re.IGNORECASE)
_SLOTS = frozenset(name.decode("ascii") for name in CREDENTIAL_FIELDS) | {"cookie"}


def in_header(name: str, value: object) -> bool:
    """Whether a request header of this name and value carries a secret."""
    if not isinstance(value, str) or not value:
        return False
    references = _references(value)
    named = _CREDENTIAL_NAME.search(name) is not None and bool(references)
    return name.lower() in _SLOTS or named or any(map(_is_secret, references))


def in_url(url: object) -> bool:
    """Whether an upstream's URL carries a secret: a variable or file that is one, or a parameter with such a name."""
    if not isinstance(url, str):
        return False
    pairs = (pair.partition("=") for pair in re.split("[&;]", url.partition("?")[2]))
    named = any(value and _CREDENTIAL_NAME.search(unquote(name)) for name, _, value in pairs)
    return named or any(map(_is_secret, _references(url)))


def in_route(route: Route) -> bool:
    """Whether a route spends a secret."""
    return route.api_key is not None or beside_key(route)


def beside_key(route: Route) -> bool:
    """Whether a route spends a secret that is not its `api_key`."""
    rules = (route.headers.request.set, route.headers.request.add)
    headers = any(in_header(name, value) for rule in rules for name, values in rule.items() for value in values)
    return headers or any(in_url(upstream.url) for upstream in route.upstream)


def in_written(route: Mapping[str, object]) -> bool:
    """The same of a route as it was written, whatever else may be wrong with it."""
    return route.get("api_key") is not None or beside_key_in_written(route)


def beside_key_in_written(route: Mapping[str, object]) -> bool:
    """Whether a route as it was written spends a secret that is not its `api_key`."""
    request = _map(_map(route.get("headers")).get("request"))
    rules = [_map(request.get(kind)) for kind in ("set", "add")]
    headers = any(in_header(name, value) for rule in rules for name, values in rule.items() for value in _list(values))
    urls = (entry.get("url") if isinstance(entry, dict) else entry for entry in _list(route.get("upstream")))
    return headers or any(map(in_url, urls))


def hide(config: Config) -> Callable[[str], str]:
    """A function that takes every secret of the configuration out of a log text, which stays ASCII."""
    return Redactor(secrets_of(config), plain=True).text


def secrets_of(config: Config) -> Iterator[str]:
    """Every secret that was written, and what came out of the variables and files that look like one."""
    keys = [config.admin_token, *config.clients.tokens, *(route.api_key for route in config.routes)]
    yield from (key.reveal() for key in keys if key is not None)
    for route in config.routes:
        for rules in (route.headers.request, route.headers.response):
            for name, value in ((n, v) for rule in (rules.set, rules.add) for n, vs in rule.items() for v in vs):
                references = _references(value)
                secret = is_secret_name(name)
                yield from (reference.value for reference in references if secret or reference.is_secret)
                if secret and not references:
                    yield value
        for upstream in route.upstream:
            yield from (reference.value for reference in _references(upstream.url) if reference.is_secret)


def _references(value: object) -> tuple[Reference, ...]:
    return value.references if isinstance(value, Expanded) else ()


def _is_secret(reference: Reference) -> bool:
    """Whether what a reference stands for is a secret by its name, or a file that not everybody may read."""
    return _CREDENTIAL_NAME.search(reference.name) is not None or (reference.is_file and not reference.world_readable)


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
