"""What is deployed without Kubernetes: files that load and fit each other, and metrics that exist."""

import json
import re

from proxy.core.errors import ProxyError
from tests.deploy.files import DEPLOY, configuration, documents
from tests.edge.figures import sample_names, sample_values

OURS = re.compile(r"\b(?:streamsafe|process)_[a-z_]+\b")
_MATCHER = re.compile(r'\b(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')


def test_every_yaml_file_is_one() -> None:
    files = sorted(DEPLOY.rglob("*.yaml"))
    assert len(files) >= 6
    for file in files:
        assert documents(file), file


def test_compose_mounts_a_configuration_that_loads_and_waits_for_the_drain() -> None:
    (compose,) = documents(DEPLOY / "compose.yaml")
    ours = compose["services"]["streamsafe"]
    (volume,) = ours["volumes"]
    source, target, mode = volume.split(":")
    assert (target, mode) == ("/etc/streamsafe/proxy.yaml", "ro")
    text = (DEPLOY / source).read_text("utf-8")
    config = configuration(text)
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= set(ours["environment"])
    assert int(ours["stop_grace_period"].removesuffix("s")) > config.drain
    assert (ours["read_only"], ours["cap_drop"]) == (True, ["ALL"])
    assert compose["services"]["app"]["network_mode"] == "service:streamsafe"


def expressions() -> list[tuple[str, str]]:
    """Every expression of the dashboard and the alerts, with where it stands."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
    (alerts,) = documents(DEPLOY / "prometheus" / "alerts.yaml")
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]
    found += [(name["name"], name["query"]["query"]) for name in dashboard["templating"]["list"][1:]]
    found += [(rule["alert"], rule["expr"]) for group in alerts["groups"] for rule in group["rules"]]
    return found


def test_every_metric_that_is_asked_for_exists() -> None:
    known = sample_names()
    asked = {(where, name) for where, expression in expressions() for name in OURS.findall(expression)}
    assert len(asked) > 20
    assert {(where, name) for where, name in asked if name not in known} == set()


def test_every_metric_of_ours_is_shown_or_watched() -> None:
    asked = {name for _, expression in expressions() for name in OURS.findall(expression)}
    families = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in sample_names() if name[:4] == "stre"}
    assert families == {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in asked if name[:4] == "stre"}


def test_every_label_and_value_that_is_asked_for_exists() -> None:
    values: dict[str, set[str] | None] = {**sample_values(), "instance": None, "job": None}
    codes = {kind.log_code or kind.token for kind in errors(ProxyError)}
    for where, expression in expressions():
        for label in re.findall(r"by \(([^)]*)\)", expression):
            assert set(label.replace(" ", "").split(",")) <= {*values, "le"}, where
        for label, operator, text in _MATCHER.findall(expression):
            assert label in values, where
            wanted = [] if text.startswith("$") else text.split("|") if "~" in operator else [text]
            known = codes if label == "code" else values[label]
            assert known is None or set(wanted) <= known, f"{where}: {label}={text}"


def errors(kind: type[ProxyError]) -> list[type[ProxyError]]:
    return [kind, *[below for direct in kind.__subclasses__() for below in errors(direct)]]


def test_panels_do_not_lie_on_each_other() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
    taken = [
        (panel["gridPos"]["x"] + across, panel["gridPos"]["y"] + down)
        for panel in dashboard["panels"]
        for across in range(panel["gridPos"]["w"])
        for down in range(panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["description"] for panel in dashboard["panels"])
