"""What may be written in a configuration, and how it is read.

    model       what may be written: every key, its default and what it does; route, stream, cors, headers, upstream
                hold its parts, section what they share
    values      the small types in it: durations, sizes, secrets; addresses has listen addresses, origins, URLs, names
    secrets     values that must not be shown
    available   which keys are known but not built yet
    presets     what is known about LLM providers
    load        text -> Config, with every error and its place; its steps are marks, expand, defaults, checks, messages
    compile     Config -> what `core` decides with
    schema      Config -> JSON Schema
    reference   Config -> docs/configuration.md and config.example.yaml

Nothing here opens a socket or starts anything; the only files read are the configuration and what `${file:...}` names.
"""
