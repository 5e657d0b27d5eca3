"""A kit's sums, signed with a key of OpenSSH's: who has the fingerprint on paper knows who made the kit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from export.airgap_kit import verify
from export.build_steps import SetupError
from export.errors import ExportRefused

ED25519 = "(ED25519)"


def fingerprint(key: Path) -> str:
    """Of the key in a file. Raises SetupError without OpenSSH, ExportRefused for a key of another kind."""
    if shutil.which("ssh-keygen") is None:
        raise SetupError("ssh-keygen was not found: install OpenSSH (Debian, Ubuntu: apt install openssh-client).")
    done = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExportRefused(f"{key} is no key of OpenSSH. Make one: ssh-keygen -t ed25519 -f FILE")
    _, found, *_, kind = done.stdout.split()
    if kind != ED25519:
        raise ExportRefused(f"{key} is a key of the kind {kind}, and must be Ed25519: ssh-keygen -t ed25519 -f FILE")
    return found


def sign(kit: Path, key: Path) -> None:
    """Write the signature beside the kit's sums; a key with a passphrase asks for it. Raises SetupError."""
    purpose = verify.NAMESPACE.decode()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", purpose, str(kit / verify.SUMS)]
    if subprocess.run(command, check=False).returncode or verify.signer(kit) != fingerprint(key):
        raise SetupError(f"ssh-keygen could not sign with {key}, so there is no kit; its words are above.")
