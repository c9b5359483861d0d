"""The manifest: its numbers and names are those of the code, the unit and the container file."""

from deploy.deploy_files import CONTAINERFILE, KUBERNETES, documents, instructions, mebibytes, seconds, unit
from tgworker.app.guarded import OPENING_S
from tgworker.guard import GuardLimits
from tgworker.guard._guard import FAREWELL_S
from tgworker.operations.probes import alive, ready, started
from tgworker.operations.status_app import PROBES
from tgworker.operations.status_server import CLIENT_WITHIN_S
from tgworker.settings import VARIABLES, load_settings

CLAIM, DEPLOYMENT = documents(KUBERNETES.read_text(encoding="utf-8"))
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.tgworker"


def of_pod(key: str) -> str:
    return DEPLOYMENT[f"{POD}.{key}"]


def of_container(key: str) -> str:
    return DEPLOYMENT[f"{CONTAINER}.{key}"]


def image(instruction: str) -> str:
    (argument,) = [
        argument
        for name, argument in instructions(CONTAINERFILE.read_text(encoding="utf-8"))
        if name == instruction
    ]
    return argument


def environment() -> dict[str, str]:
    start, end = f"{CONTAINER}.env.", ".value"
    return {
        path.removeprefix(start).removesuffix(end): value
        for path, value in DEPLOYMENT.items()
        if path.startswith(start) and path.endswith(end)
    }


def patience_s(probe: str) -> int:
    """For how long a probe may fail."""
    return int(of_container(f"{probe}.periodSeconds")) * int(of_container(f"{probe}.failureThreshold"))


def test_two_workers_never_hold_one_session() -> None:
    assert DEPLOYMENT["spec.replicas"] == "1"
    assert DEPLOYMENT["spec.strategy.type"] == "Recreate"
    assert CLAIM["spec.accessModes"] == "[ReadWriteOncePod]"
    assert of_pod("volumes.data.persistentVolumeClaim.claimName") == CLAIM["metadata.name"]


def test_it_finds_its_own_pods() -> None:
    label = "app.kubernetes.io/name"
    assert (
        DEPLOYMENT[f"spec.selector.matchLabels.{label}"]
        == DEPLOYMENT[f"spec.template.metadata.labels.{label}"]
    )


def test_probes_ask_the_status_server_where_it_listens() -> None:
    settings = load_settings(environment() | {"TGWORKER_DATA_DIR": image("VOLUME")}, require=())
    assert settings.status_bind is not None
    assert settings.status_bind.host == "0.0.0.0"
    assert of_container("ports.status.containerPort") == str(settings.status_bind.port) == image("EXPOSE")
    for probe, verdict in (("startup", started), ("liveness", alive), ("readiness", ready)):
        assert PROBES[of_container(f"{probe}Probe.httpGet.path")] is verdict
        assert of_container(f"{probe}Probe.httpGet.port") == "status"


def test_kubernetes_waits_for_what_the_guard_cures() -> None:
    limits = GuardLimits()
    assert patience_s("startupProbe") > OPENING_S + limits.freeze_after_s + limits.backoff.cap_s
    assert patience_s("livenessProbe") > limits.freeze_after_s + limits.stacks_s + limits.backoff.cap_s
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert int(of_container(f"{probe}.timeoutSeconds")) < CLIENT_WITHIN_S


def test_a_pod_has_the_time_to_stop_that_the_unit_has() -> None:
    limits = GuardLimits()
    grace_s = int(of_pod("terminationGracePeriodSeconds"))
    assert grace_s > limits.stop_s + limits.stacks_s + FAREWELL_S
    assert [grace_s] == [seconds(span) for span in unit()["TimeoutStopSec"]]


def test_the_worker_is_recycled_before_the_kernel_kills_it() -> None:
    assert environment().keys() <= {variable.name for variable in VARIABLES}
    settings = load_settings(environment() | {"HOME": "/x"}, require=())
    assert settings.memory_limit_mb is not None
    assert settings.memory_limit_mb * 1.5 <= mebibytes(of_container("resources.limits.memory"))
    assert f"{CONTAINER}.resources.limits.cpu" not in DEPLOYMENT


def test_user_and_folders_are_the_image_s() -> None:
    user, group = image("USER").split(":")
    assert of_pod("securityContext.runAsUser") == user
    assert of_pod("securityContext.runAsGroup") == of_pod("securityContext.fsGroup") == group
    assert of_container("volumeMounts.data.mountPath") == image("VOLUME")
    (*_, workdir) = [
        argument
        for name, argument in instructions(CONTAINERFILE.read_text(encoding="utf-8"))
        if name == "WORKDIR"
    ]
    assert of_container("volumeMounts.settings.mountPath") == workdir


def test_it_may_do_nothing_that_it_need_not() -> None:
    assert of_pod("automountServiceAccountToken") == "false"
    assert of_pod("securityContext.runAsNonRoot") == "true"
    assert of_pod("securityContext.seccompProfile.type") == "RuntimeDefault"
    assert of_container("securityContext.allowPrivilegeEscalation") == "false"
    assert of_container("securityContext.readOnlyRootFilesystem") == "true"
    assert of_container("securityContext.capabilities.drop") == "[ALL]"
