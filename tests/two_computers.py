"""Two computers and a cable between them, as network namespaces: who reaches a server from outside.

`unshare -rnm python -m tests.two_computers BUNDLE OPTIONS OF A WARD...`: this process is the one computer.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.serving import serving

HERE, THERE = "10.9.8.1", "10.9.8.2"
NO_CABLE = 3
ASK = """
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    raw = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
    with context.wrap_socket(raw) as safe:
        safe.sendall(f"GET /healthz HTTP/1.1\\r\\nHost: {sys.argv[1]}:{sys.argv[2]}\\r\\n\\r\\n".encode())
        print(safe.recv(4096)[:12].decode())
except OSError as error:
    print("refused" if isinstance(error, ConnectionRefusedError) else type(error).__name__)
"""


def connected() -> subprocess.Popen[bytes]:
    """The other computer: a process that waits in a namespace of its own."""
    other = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
    other.stdout.readline()
    inside = ("nsenter", "-t", str(other.pid), "-n")
    for command in (
        ("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(other.pid)),
        ("ip", "address", "add", f"{HERE}/24", "dev", "here"),
        *(("ip", "link", "set", name, "up") for name in ("lo", "here")),
        (*inside, "ip", "address", "add", f"{THERE}/24", "dev", "there"),
        (*inside, "ip", "link", "set", "there", "up"),
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            other.kill()
            sys.exit(NO_CABLE)
    return other


def asked(other: subprocess.Popen[bytes], port: int) -> str:
    """What the other computer gets."""
    command = ["nsenter", "-t", str(other.pid), "-n", sys.executable, "-I", "-c", ASK, HERE, str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def listening() -> set[str]:
    """Where somebody listens on this computer, as the system says."""
    lines = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=False).stdout.splitlines()
    return {re.sub(r":\d+$", "", line.split()[3]) for line in lines}


def main() -> None:
    bundle, options = Path(sys.argv[1]), sys.argv[2:]
    other = connected()
    try:
        with serving(bundle, module="tests.serving") as server:
            assert listening() <= {"127.0.0.1", "[::1]"}
            print("loopback:", asked(other, server.port))
        with serving(bundle, *options, "--host", HERE, module="tests.serving", entrance="--no-browser") as server:
            print("ward:", asked(other, server.port))
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    main()
