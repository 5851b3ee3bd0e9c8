"""`defaults:` put beneath every route: a route's own key wins, maps are merged key by key, lists and values replace."""

from proxy.config.stream import short_heartbeat, short_stream

_LONG_FORMS = {"stream": short_stream, "heartbeat": short_heartbeat}


def merged_routes(values: dict[str, object]) -> object:
    """The routes with the defaults beneath them; what is no list or map stays, for the model to refuse."""
    defaults, routes = values.get("defaults"), values.get("routes")
    if not isinstance(defaults, dict) or not isinstance(routes, list):
        return routes
    return [merge(defaults, route) if isinstance(route, dict) else route for route in routes]


def merge(below: dict[str, object], above: dict[str, object], fold: bool = False) -> dict[str, object]:
    """Both maps in one. `fold`: keys are header names, equal whatever their letter case."""
    names = {key.lower() if fold else key for key in above}
    result = {key: value for key, value in below.items() if (key.lower() if fold else key) not in names}
    below_by_name = {key.lower() if fold else key: value for key, value in below.items()}
    for key, value in above.items():
        base = _long(key, below_by_name.get(key.lower() if fold else key))
        value = _long(key, value)
        if isinstance(base, dict) and isinstance(value, dict):
            result[key] = merge(base, value, fold or key == "headers")
        else:
            result[key] = value
    return result


def _long(key: str, value: object) -> object:
    """The long form of a short one, so that the two can be merged."""
    return _LONG_FORMS[key](value) if key in _LONG_FORMS else value
