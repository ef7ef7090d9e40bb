"""Machines of their own on this one: processes, network and temporary folders apart, as a container has them.

Made of Linux namespaces, so only root has them. What runs inside finds its usual ports free and no Ray but its own, and
whatever is left inside ends with its first process.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

_NETWORK = "10.77.0"
_UNSHARE = ("unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork")
_OWN_FOLDERS = ("/tmp/ray", "/tmp/haproxy-serve")


class Machine:
    """One command on a machine of its own.

    Args:
        number: Of the machine; its address ends with it.
        command: What runs there.
        folder: Where it runs.
        variables: Its environment, beside this process'.
        log: Gets what it says.
    """

    def __init__(self, number: int, command: list[str], folder: Path, variables: Mapping[str, str], log: Path) -> None:
        self.address = f"{_NETWORK}.{number}"
        own_folders = " && ".join(f"mkdir -p {each} && mount -t tmpfs tmpfs {each}" for each in _OWN_FOLDERS)
        # The network is put in from outside: until then it waits.
        script = f'{own_folders} && ip link set lo up && read -r && exec "$@" < /dev/null'
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [*_UNSHARE, "--kill-child", "bash", "-c", script, "machine", *command],
                cwd=folder,
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                start_new_session=True,  # signals to its process group stay among its own
            )

    @property
    def first_pid(self) -> int:
        """Id of its first process, seen from here."""
        parent = self._process.pid
        while not (children := Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
            assert self._process.poll() is None, "the machine could not be made"
        return int(children[0])

    def switch_on(self) -> None:
        """Let the command begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.close()

    def inside(self, command: list[str]) -> list[str]:
        """Return what runs a command in this machine's network."""
        return ["nsenter", "--target", str(self.first_pid), "--net", *command]

    def processes(self, title: str) -> list[int]:
        """Return the ids, seen from here, of its processes whose title begins so."""
        own = os.readlink(f"/proc/{self.first_pid}/ns/pid")
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                is_here = os.readlink(folder / "ns" / "pid") == own
                if is_here and (folder / "cmdline").read_bytes().startswith(title.encode()):
                    found.append(int(folder.name))
        return found

    def terminate(self) -> None:
        """Ask the command to end, as `docker stop` does."""
        os.kill(self.first_pid, signal.SIGTERM)

    def wait(self, timeout_s: float) -> int:
        """Return the command's exit status."""
        return self._process.wait(timeout_s)

    @property
    def has_ended(self) -> bool:
        """Whether the command has."""
        return self._process.poll() is not None

    def destroy(self) -> None:
        """End all that is left."""
        if self._process.poll() is None:
            self._process.kill()  # and with it its first process, and with that all others
            self._process.wait()


@contextmanager
def connected(*machines: Machine) -> Iterator[None]:
    """Connect machines for the length of a block by a switch that only they see, and end them after it."""
    with ExitStack() as stack:
        for machine in machines:
            stack.callback(machine.destroy)
        first, *others = machines
        _run(*first.inside(["ip", "link", "add", "switch", "type", "bridge"]))
        _run(*first.inside(["ip", "address", "add", f"{first.address}/24", "dev", "switch"]))
        _run(*first.inside(["ip", "link", "set", "switch", "up"]))
        _run(*first.inside(["ip", "route", "add", "default", "dev", "switch"]))
        for index, other in enumerate(others):
            cable = f"cable{index}"
            target = ["netns", str(other.first_pid)]
            _run(*first.inside(["ip", "link", "add", cable, "type", "veth", "peer", "name", "wire", *target]))
            _run(*first.inside(["ip", "link", "set", cable, "master", "switch", "up"]))
            _run(*other.inside(["ip", "address", "add", f"{other.address}/24", "dev", "wire"]))
            _run(*other.inside(["ip", "link", "set", "wire", "up"]))
            _run(*other.inside(["ip", "route", "add", "default", "dev", "wire"]))
        for machine in machines:
            machine.switch_on()
        yield


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


def require_machines() -> None:
    """Skip the test where machines cannot be made."""
    try:
        done = subprocess.run([*_UNSHARE, "ip", "link", "show", "lo"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here: machines are made of Linux namespaces")
    if done.returncode != 0:
        pytest.skip("only root may make machines of namespaces, with iproute2")
