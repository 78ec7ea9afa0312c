"""A cluster's network on one machine: a kernel namespace for each pod, and a router that connects and filters them.

    with Network() as network:
        backend, sidecar = network.add("backend"), network.add("sidecar")
        network.load(render_rules(…))
        …  # backend.open_socket() is a socket of that pod, sidecar.spawn([...]) a process in it

The namespaces have no names and nothing on disk: they end with the last process or socket in them, however this process
ends. The router is the node: its own packets pass, as a kubelet's probes do.
"""

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x4000_0000
FIRST_V4, FIRST_V6 = IPv4Address("10.77.0.0"), IPv6Address("fd77::")
GATEWAY_V4, GATEWAY_V6 = "169.254.1.1", "fe80::1"
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
COMMAND_S = 20
NO_ICMP_LIMITS = {"ipv4__icmp_ratelimit": "0", "ipv6__icmp__ratelimit": "0"}
"""Each refusal of a datagram is an ICMP message; by default the kernel suppresses most of them."""
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Return why such a network is impossible here; None if it is possible."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft") if shutil.which(name, path=PATH) is None]
    if missing:
        return f"{' and '.join(missing)} not installed (Debian: iproute2, nftables)"
    try:
        with Network() as network:
            network.add("probe")
            network.load(
                "table inet probe {\nchain c { type filter hook forward priority 0; ct state new accept; }\n}\n"
            )
            network.publish("10.96.0.1", 80, ["10.77.0.1", "10.77.0.2"])
    except (OSError, subprocess.SubprocessError) as exc:
        said = getattr(exc, "stderr", None) or str(exc)
        return f"this kernel or container has no network namespaces with nftables: {said.strip()}"
    return None


class Namespace:
    """One network stack of the kernel. Namespaces belong to threads, so each has its own thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        try:
            self._fd = self.run(_leave_for_a_new_one)
        except BaseException:
            self._thread.shutdown()
            raise

    @property
    def path(self) -> str:
        """The path for `nsenter --net=` and `ip link … netns`, while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in it, and wait for that."""
        return self._thread.submit(function).result()

    def command(self, *words: str, given: str = "") -> str:
        """Run a system program in it to its end; return its output."""

        def call() -> str:
            done = subprocess.run(
                words, input=given, capture_output=True, text=True, timeout=COMMAND_S, check=False, env={"PATH": PATH}
            )
            if done.returncode:
                raise subprocess.CalledProcessError(done.returncode, words, done.stdout, f"{done.stderr}\n{given}")
            return done.stdout

        return self.run(call)

    def spawn(self, words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in it; the caller ends it."""
        return self.run(lambda: subprocess.Popen(words, **options))

    def open_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this namespace, for any thread and loop: it stays where it was made."""
        made = self.run(lambda: socket.socket(family, kind))
        made.setblocking(False)
        return made

    def listen(self, port: int, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket that is bound to a port of all its addresses."""
        made = self.open_socket(family, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(("", port))
        return made

    def set(self, **values: str) -> None:
        """Write its settings: `ipv4__ip_forward="1"`."""

        def write() -> None:
            for name, value in values.items():
                Path("/proc/sys/net", *name.split("__")).write_text(value, encoding="ascii")

        self.run(write)

    def close(self) -> None:
        self._thread.shutdown()
        os.close(self._fd)


class Pod(Namespace):
    """A namespace with one interface and two addresses."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__()
        self.name = name
        self.number = number
        self.v4, self.v6 = FIRST_V4 + number, FIRST_V6 + number

    @property
    def addresses(self) -> tuple[IPv4Address, IPv6Address]:
        return self.v4, self.v6


class Network:
    """The pods, and the router that each is connected to."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self.router = Namespace()
        self._open.callback(self.router.close)
        self.pods: dict[str, Pod] = {}
        self.router.set(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1", **NO_ICMP_LIMITS)
        self.router.command("ip", "link", "set", "lo", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, name: str) -> Pod:
        """Make a pod and connect it to the router, as routing plugins do: an address of its own, one route."""
        pod = Pod(name, len(self.pods) + 1)
        self._open.callback(pod.close)
        self.pods[name] = pod
        tie = f"tie{pod.number}"
        self._batch(
            self.router,
            f"link add {tie} type veth peer name eth0 netns {pod.path}",
            f"addr add {GATEWAY_V4}/32 dev {tie}",
            f"addr add {GATEWAY_V6}/64 dev {tie} nodad",
            f"link set {tie} up",
            f"route add {pod.v4} dev {tie}",
            f"route add {pod.v6} dev {tie}",
        )
        self._batch(
            pod,
            "link set lo up",
            f"addr add {pod.v4}/32 dev eth0",
            f"addr add {pod.v6}/128 dev eth0 nodad",
            "link set eth0 up",
            f"route add {GATEWAY_V4} dev eth0",
            f"route add default via {GATEWAY_V4}",
            f"route add default via {GATEWAY_V6} dev eth0",
        )
        return pod

    def load(self, rules: str) -> None:
        """Load rules for nftables in one transaction."""
        self.router.command("nft", "-f", "-", given=rules)

    def publish(self, address: str, port: int, behind: Sequence[str]) -> None:
        """Distribute a Service's address over these pods, as kube-proxy does; only new connections see a change."""
        turns = ", ".join(f"{turn} : {pod}" for turn, pod in enumerate(behind))
        to = f"dnat ip to numgen inc mod {len(behind)} map {{ {turns} }}" if behind else "reject"
        self.load(
            "table inet services\ndelete table inet services\ntable inet services {\n"
            "chain route { type nat hook prerouting priority dstnat;\n"
            + (f"ip daddr {address} tcp dport {port} {to}\n" if behind else "")
            + "}\n}\n"
        )

    @staticmethod
    def _batch(where: Namespace, *lines: str) -> None:
        where.command("ip", "-batch", "-", given="\n".join(lines) + "\n")


def _leave_for_a_new_one() -> int:
    """Move the calling thread into a new namespace; return a descriptor of it."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
