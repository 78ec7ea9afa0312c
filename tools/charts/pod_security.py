"""The Pod Security Standard "restricted" (https://kubernetes.io/docs/concepts/security/pod-security-standards/), pure.

Written from the standard's two tables, for what a pod of Linux containers can violate. tests/integration/helm tests
against an API server, if there is one.
"""

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SECCOMP = {"RuntimeDefault", "Localhost"}
APPARMOR = {None, "RuntimeDefault", "Localhost"}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}

Spec = dict[str, Any]


def violations(spec: Spec) -> list[str]:
    """Name every rule that a pod's spec violates; if there are none, admission accepts it."""
    pod = spec.get("securityContext") or {}
    found = [*_of_pod(spec, pod)]
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            found += [f"{container['name']}: {rule}" for rule in _of_container(container, pod)]
    return found


def _of_pod(spec: Spec, pod: Spec) -> Iterator[str]:
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    for volume in spec.get("volumes") or ():
        yield from (f"volume {volume['name']}: {kind}" for kind in set(volume) - {"name"} - VOLUMES)
    yield from (f"sysctl {one['name']}" for one in pod.get("sysctls") or () if one["name"] not in SAFE_SYSCTLS)
    yield from _of_both(pod)
    if pod.get("runAsNonRoot") is False:  # even if each container says otherwise
        yield "runAsNonRoot is false"
    if pod.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"


def _of_container(container: Spec, pod: Spec) -> Iterator[str]:
    own = container.get("securityContext") or {}
    yield from _of_both(own)
    if own.get("privileged"):
        yield "privileged"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    yield from (f"hostPort {port['hostPort']}" for port in container.get("ports") or () if port.get("hostPort"))
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "capabilities.drop lacks ALL"
    yield from (f"capability {one}" for one in capabilities.get("add") or () if one != "NET_BIND_SERVICE")
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") not in SECCOMP:
        yield "seccompProfile"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (container.get(probe) or {}).get("httpGet", {}).get("host"):
            yield f"{probe}.httpGet.host"


def _of_both(context: Spec) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if (context.get("appArmorProfile") or {}).get("type") not in APPARMOR:
        yield "appArmorProfile"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "seLinuxOptions"
