"""What is known about LLM providers: where they are and which header field carries the key. Data only.

A preset names the one credential slot its provider reads. A base URL is there only if it is the same for everybody.
Source: the providers' API references.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CREDENTIAL_FIELDS: tuple[bytes, ...] = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"proxy-authorization",
)
"""Request fields, lower-case, in which a client may send a credential; cleared where the proxy injects its own."""

CREDENTIAL_QUERY: tuple[bytes, ...] = (b"key", b"api-key", b"api_key", b"access_token")
"""Query names in which a client may send a credential; cleared like the fields."""


@dataclass(frozen=True, slots=True)
class Credential:
    """The header field a key travels in; `form` is its value, with `{key}` in the key's place."""

    field: str
    form: str = "{key}"

    def value(self, key: str) -> str:
        """The field value that carries this key."""
        return self.form.replace("{key}", key)


BEARER = Credential("Authorization", "Bearer {key}")


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider. `base_url` None: everybody has their own, so the route needs `upstream`.

    `credential` is used only where the route has an `api_key`. `request_defaults` are fields that are set where the
    client sent none. `dialect` is the family of stream formats spoken.
    """

    name: str
    base_url: str | None
    credential: Credential = BEARER
    request_defaults: tuple[tuple[str, str], ...] = ()
    dialect: str = "openai"


_ALL = (
    Preset("openai", "https://api.openai.com/v1"),
    Preset(
        "anthropic",
        "https://api.anthropic.com",
        Credential("x-api-key"),
        request_defaults=(("anthropic-version", "2023-06-01"),),
        dialect="anthropic",
    ),
    Preset("gemini", "https://generativelanguage.googleapis.com", Credential("x-goog-api-key"), dialect="gemini"),
    Preset("azure-openai", None, Credential("api-key")),
    # A local Ollama reads no key; its cloud takes Bearer.
    Preset("ollama", "http://127.0.0.1:11434", dialect="ollama"),
    Preset("deepseek", "https://api.deepseek.com"),
    Preset("ark", "https://ark.cn-beijing.volces.com/api/v3"),
    Preset("mistral", "https://api.mistral.ai/v1"),
    Preset("openrouter", "https://openrouter.ai/api/v1"),
    Preset("plain", None, dialect="plain-sse"),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
"""Every preset by the name that stands in `preset:`."""
