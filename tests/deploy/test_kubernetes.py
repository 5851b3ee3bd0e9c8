"""The manifests: a cluster would take them, their objects fit each other, and they fit what the proxy is."""

import re
from pathlib import Path
from typing import Any

import aiohttp
import kubernetes_validate
import pytest

from tests.cli.command import Command
from tests.deploy.files import DEPLOY, configuration, documents
from tests.edge.figures import families

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
SECRETS = "/run/secrets/streamsafe"

every_manifest = pytest.mark.parametrize(
    "path", sorted((DEPLOY / "kubernetes").glob("*.yaml")), ids=lambda path: path.stem
)


def of_kind(path: Path, kind: str) -> dict[str, Any]:
    """The one object of that kind."""
    (found,) = [document for document in documents(path) if document["kind"] == kind]
    return found


def pod(path: Path) -> dict[str, Any]:
    """The pod that the manifest makes."""
    return of_kind(path, "Deployment")["spec"]["template"]["spec"]


def containers(path: Path) -> list[dict[str, Any]]:
    return [*pod(path)["containers"], *pod(path).get("initContainers", [])]


def ours(path: Path) -> dict[str, Any]:
    (found,) = [container for container in containers(path) if container["image"] == "streamsafe"]
    return found


def made(path: Path) -> str:
    """The configuration in the manifest."""
    return of_kind(path, "ConfigMap")["data"]["proxy.yaml"]


@every_manifest
def test_a_cluster_would_take_it(path: Path) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@every_manifest
def test_a_misspelled_key_would_be_noticed(path: Path) -> None:
    """What the test above rests on."""
    deployment = of_kind(path, "Deployment")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


@every_manifest
def test_its_configuration_loads_and_is_the_one_that_is_probed(path: Path) -> None:
    config = configuration(made(path))
    ports = {port["name"]: port["containerPort"] for port in ours(path)["ports"]}
    assert config.admin is not None
    assert (ports["admin"], config.admin.is_local) == (config.admin.port, False), "a kubelet asks the pod's address"
    assert {ours(path)[name]["httpGet"]["port"] for name in PROBES} == {"admin"}
    assert ours(path)["livenessProbe"]["httpGet"]["path"] == "/healthz", "a drain must not look like a death"
    mounted = {mount["mountPath"] for mount in ours(path)["volumeMounts"]}
    assert {"/etc/streamsafe", SECRETS} == mounted
    assert set(re.findall(r"\$\{file:(/run/secrets/streamsafe)/", made(path))) <= mounted


@every_manifest
async def test_its_configuration_serves_and_its_probes_are_answered(
    path: Path, tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    """MUST. The very configuration, with secrets as they are mounted, on loopback instead of the pod's address."""
    for name in set(re.findall(r"\$\{file:/run/secrets/streamsafe/([^}]*)\}", made(path))):
        (tmp_path / name).write_text(f"sk-{name}-0123456789abcdef")
        (tmp_path / name).chmod(0o440)
    ports = {8787: unused_tcp_port_factory(), 8788: unused_tcp_port_factory()}
    text = re.sub(
        r"(?:0\.0\.0\.0|127\.0\.0\.1):(878[78])", lambda found: f"127.0.0.1:{ports[int(found[1])]}", made(path)
    )
    (tmp_path / "proxy.yaml").write_text(text.replace(SECRETS, str(tmp_path)))
    command = Command(tmp_path, ("serve", "-c", str(tmp_path / "proxy.yaml")), {})
    try:
        await command.wait_match("/readyz, /metrics and /status are at")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{ports[8788]}") as session:
            for name in PROBES:
                async with session.get(ours(path)[name]["httpGet"]["path"]) as answer:
                    assert answer.status == 200, name
            async with session.get("/metrics") as answer:
                assert answer.status == 401
    finally:
        command.end()


@every_manifest
def test_it_is_given_the_time_to_drain(path: Path) -> None:
    """MUST. The grace period runs from the begin of preStop to SIGKILL."""
    before = ours(path).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod(path)["terminationGracePeriodSeconds"] > before + configuration(made(path)).drain


@every_manifest
def test_its_containers_may_do_next_to_nothing(path: Path) -> None:
    """The profile `restricted` of Kubernetes' pod security standards, and a read-only root."""
    assert pod(path)["automountServiceAccountToken"] is False
    assert pod(path)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(path):
        allowed = container["securityContext"]
        assert (allowed["readOnlyRootFilesystem"], allowed["allowPrivilegeEscalation"]) == (True, False)
        assert (allowed["runAsNonRoot"], allowed["capabilities"]) == (True, {"drop": ["ALL"]})
        assert (allowed["runAsUser"], allowed["runAsGroup"]) == (65532, 65532)
        assert not {"privileged", "seccompProfile"} & allowed.keys()
    for volume in pod(path)["volumes"]:
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440, "a secret that everybody can read is refused"
            assert pod(path)["securityContext"]["fsGroup"] == 65532, "and this is who can"


@every_manifest
def test_what_it_mounts_is_there(path: Path) -> None:
    volumes = {volume["name"]: volume for volume in pod(path)["volumes"]}
    assert {mount["name"] for mount in ours(path)["volumeMounts"]} == set(volumes)
    assert volumes["configuration"]["configMap"]["name"] == of_kind(path, "ConfigMap")["metadata"]["name"]
    assert f"create secret generic {volumes['secrets']['secret']['secretName']} " in path.read_text("utf-8")


@every_manifest
def test_no_secret_stands_in_it(path: Path) -> None:
    assert not [document for document in documents(path) if document["kind"] == "Secret"]


GATEWAY = DEPLOY / "kubernetes" / "gateway.yaml"


def test_the_gateways_service_and_budget_are_about_its_pods() -> None:
    deployment = of_kind(GATEWAY, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    service, budget = (of_kind(GATEWAY, kind)["spec"] for kind in ("Service", "PodDisruptionBudget"))
    assert service["selector"] == budget["selector"]["matchLabels"] == labels
    config = configuration(made(GATEWAY))
    ports = {port["name"]: port["containerPort"] for port in ours(GATEWAY)["ports"]}
    assert [ports[port["targetPort"]] for port in service["ports"]] == [config.listen[0].port]
    assert budget["minAvailable"] < deployment["replicas"], "else no node could ever be drained"


def test_the_gateway_scales_by_a_gauge_that_exists() -> None:
    scaler = of_kind(GATEWAY, "HorizontalPodAutoscaler")["spec"]
    deployment = of_kind(GATEWAY, "Deployment")
    assert scaler["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert scaler["minReplicas"] == deployment["spec"]["replicas"] < scaler["maxReplicas"]
    (metric,) = scaler["metrics"]
    kinds = {family.name: family.type for family in families()}
    assert kinds[metric["pods"]["metric"]["name"]] == "gauge"


def test_the_gateway_serves_while_its_endpoints_are_withdrawn() -> None:
    """Without a shell or a program of the image: the kubelet sleeps."""
    assert ours(GATEWAY)["lifecycle"]["preStop"].keys() == {"sleep"}
    rolling = of_kind(GATEWAY, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert (rolling["maxUnavailable"], rolling["maxSurge"] > 0) == (0, True)


def test_the_sidecar_starts_before_its_application_and_ends_after_it() -> None:
    """Which is what a container of these does that is always started again (Kubernetes 1.29)."""
    path = DEPLOY / "kubernetes" / "sidecar.yaml"
    (sidecar,) = pod(path)["initContainers"]
    assert sidecar == ours(path)
    assert sidecar["restartPolicy"] == "Always"
    assert configuration(made(path)).listen[0].is_local
