"""Figures and documents of several processes as one's."""

from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from proxy.edge import merged
from proxy.edge.merged import Family


def process(requests: dict[str, int], open_now: int, ready: int = 1, started: float = 10.0) -> list[Family]:
    counted = CounterMetricFamily("streamsafe_exchanges", "Ended.", labels=["route"])
    for route, number in requests.items():
        counted.add_metric([route], number)
    spread = HistogramMetricFamily("streamsafe_duration_seconds", "Times.", labels=["route"])
    spread.add_metric(["a"], [("1.0", requests.get("a", 0)), ("+Inf", requests.get("a", 0) + 1)], 2.5)
    return merged.plain(
        [
            counted,
            spread,
            GaugeMetricFamily("streamsafe_open_exchanges", "Open.", open_now),
            GaugeMetricFamily("streamsafe_ready", "Ready.", ready),
            GaugeMetricFamily("process_start_time_seconds", "Since.", started),
        ]
    )


def values(families: list[Family]) -> dict[tuple[str, ...], float]:
    """By name and values of labels, as a scraper reads the page."""
    text = merged.page(families, "")[0].decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_gauges_and_buckets_are_summed_by_their_labels() -> None:
    found = values(merged.summed([process({"a": 1, "b": 5}, 2), process({"a": 3}, 4)]))
    assert found["streamsafe_exchanges_total", "a"] == 4
    assert found["streamsafe_exchanges_total", "b"] == 5
    assert found["streamsafe_open_exchanges",] == 6
    assert found["streamsafe_duration_seconds_bucket", "1.0", "a"] == 4
    assert found["streamsafe_duration_seconds_bucket", "+Inf", "a"] == 6
    assert found["streamsafe_duration_seconds_count", "a"] == 6
    assert found["streamsafe_duration_seconds_sum", "a"] == 5


def test_what_is_no_amount_is_not_summed() -> None:
    found = values(merged.summed([process({}, 0, ready=0, started=20), process({}, 0, started=10)]))
    assert found["streamsafe_ready",] == 1
    assert found["process_start_time_seconds",] == 10


def test_of_a_process_that_ended_only_counts_stay() -> None:
    past = merged.lasting(merged.summed([process({"a": 7}, 3)]))
    found = values(merged.summed([past, process({"a": 1}, 1)]))
    assert found["streamsafe_exchanges_total", "a"] == 8
    assert found["streamsafe_open_exchanges",] == 1
    assert found["streamsafe_duration_seconds_count", "a"] == 10


def test_nothing_was_changed_in_what_was_given() -> None:
    one, other = process({"a": 1}, 1), process({"a": 2}, 1)
    merged.summed([one, other])
    assert one == process({"a": 1}, 1)


def document(open_now: list[float], ended: int, **more: Any) -> dict[str, Any]:
    return {
        "ready": True,
        "connections": len(open_now),
        "log": {"lines": 3, "dropped": 0},
        "listeners": ["http://127.0.0.1:1"],
        "routes": [
            {"name": "a", "upstream": "http://up", "open_streams": len(open_now), "outcomes": {"complete": ended}}
        ],
        "open": [{"request_id": f"{age}", "age_s": age} for age in open_now],
        **more,
    }


def test_documents_are_joined_by_name_and_added_up() -> None:
    other = document([], 1)
    other["routes"][0]["outcomes"] = {"refused": 2}
    other["routes"].append({"name": "b", "upstream": "http://other", "open_streams": 0, "outcomes": {}})
    found = merged.joined([document([1.0, 9.0], 5), document([4.0], 2), other])
    assert found["connections"] == 3
    assert found["log"] == {"lines": 9, "dropped": 0}
    assert found["listeners"] == ["http://127.0.0.1:1"]
    assert found["routes"] == [
        {"name": "a", "upstream": "http://up", "open_streams": 3, "outcomes": {"complete": 7, "refused": 2}},
        {"name": "b", "upstream": "http://other", "open_streams": 0, "outcomes": {}},
    ]
    assert [one["age_s"] for one in found["open"]] == [9.0, 4.0, 1.0], "the oldest first"


def test_the_list_of_what_is_open_is_as_long_as_one_processs() -> None:
    documents = [document([float(number) for number in range(80)], 0) for _ in range(2)]
    found = merged.joined(documents)["open"]
    assert len(found) == 100
    assert found[0]["age_s"] == 79


def test_without_a_process_there_is_an_empty_account() -> None:
    assert merged.joined([]) == {"open": []}
    assert merged.page([], "")[0] == b""


def test_an_upstream_is_up_only_where_every_process_uses_it() -> None:
    def seen(up: bool) -> list[Family]:
        family = GaugeMetricFamily("streamsafe_upstream_up", "Up.", labels=["route", "upstream"])
        family.add_metric(["a", "http://u"], up)
        return merged.plain([family])

    assert values(merged.summed([seen(True), seen(False)]))["streamsafe_upstream_up", "a", "http://u"] == 0
    assert values(merged.summed([seen(True), seen(True)]))["streamsafe_upstream_up", "a", "http://u"] == 1


def test_of_several_views_of_an_upstream_the_worst_is_told_and_what_is_open_added() -> None:
    def seen(state: str, open_now: int) -> dict[str, Any]:
        return {"routes": [{"name": "a", "upstreams": [{"name": "http://u", "state": state, "open": open_now}]}]}

    (route,) = merged.joined([seen("up", 2), seen("unhealthy", 1), seen("ejected", 0)])["routes"]
    assert route["upstreams"] == [{"name": "http://u", "state": "unhealthy", "open": 3}]
