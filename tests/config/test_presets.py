"""What is known about providers."""

import pytest

from proxy.config.presets import CREDENTIAL_FIELDS, CREDENTIAL_QUERY, PRESETS


@pytest.mark.parametrize(
    ("name", "base_url", "field", "dialect"),
    [
        ("openai", "https://api.openai.com/v1", ("Authorization", "Bearer k"), "openai"),
        ("anthropic", "https://api.anthropic.com", ("x-api-key", "k"), "anthropic"),
        ("gemini", "https://generativelanguage.googleapis.com", ("x-goog-api-key", "k"), "gemini"),
        ("azure-openai", None, ("api-key", "k"), "openai"),
        ("ollama", "http://127.0.0.1:11434", ("Authorization", "Bearer k"), "ollama"),
        ("deepseek", "https://api.deepseek.com", ("Authorization", "Bearer k"), "openai"),
        ("ark", "https://ark.cn-beijing.volces.com/api/v3", ("Authorization", "Bearer k"), "openai"),
        ("mistral", "https://api.mistral.ai/v1", ("Authorization", "Bearer k"), "openai"),
        ("openrouter", "https://openrouter.ai/api/v1", ("Authorization", "Bearer k"), "openai"),
        ("plain", None, ("Authorization", "Bearer k"), "plain-sse"),
    ],
)
def test_a_preset_knows_address_credential_and_dialect(
    name: str, base_url: str | None, field: tuple[str, str], dialect: str
) -> None:
    preset = PRESETS[name]
    assert (preset.base_url, preset.dialect) == (base_url, dialect)
    assert (preset.credential.field, preset.credential.value("k")) == field


def test_there_are_no_other_presets() -> None:
    assert len(PRESETS) == 10


def test_only_anthropic_asks_for_a_field_of_its_own() -> None:
    extra = {name: preset.request_defaults for name, preset in PRESETS.items() if preset.request_defaults}
    assert extra == {"anthropic": (("anthropic-version", "2023-06-01"),)}


def test_every_slot_a_preset_fills_is_cleared_of_what_the_client_sent() -> None:
    assert {preset.credential.field.lower().encode() for preset in PRESETS.values()} <= set(CREDENTIAL_FIELDS)
    assert {b"key", b"access_token"} <= set(CREDENTIAL_QUERY)
    assert all(name == name.lower() for name in (*CREDENTIAL_FIELDS, *CREDENTIAL_QUERY))


def test_a_key_with_braces_is_put_in_as_it_is() -> None:
    assert PRESETS["openai"].credential.value("{key}{0}") == "Bearer {key}{0}"
