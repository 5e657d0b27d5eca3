"""Who has signed a kit: `python -I verify.py KIT` prints the fingerprint of the key, or nothing where it is not signed.

    SHA256SUMS.sig ── Signature ──▶ key, signed text ── verifies ──▶ fingerprint

It reads what `ssh-keygen -Y sign` writes for an Ed25519 key, by the standard library alone (OpenSSH's PROTOCOL.sshsig,
RFC 8032), since a clinic's computer may have no OpenSSH. Ends with 1 and one line where these sums were not signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
INSTALLER = "install.sh"
"""One turned bit in it can take away the line that checks all files: so it is checked from here as well."""
NAMESPACE = b"xraygpt-kit"
"""What a signature is for; one that the same key gave to something else is none."""
MAGIC = b"SSHSIG\0\0\0\1"
KIND = b"ssh-ed25519"

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, PRIME) % PRIME
Point = tuple[int, int, int, int]
"""On the curve of Ed25519: X, Y, Z and T, with x = X / Z, y = Y / Z, x y = T / Z."""
ZERO: Point = (0, 1, 1, 0)


class NotSigned(Exception):
    """The signature is not one of this text."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What `SHA256SUMS.sig` says."""

    key: bytes
    """The public key as OpenSSH writes it, of which a fingerprint is made."""
    public: bytes
    """Its last 32 bytes: the point."""
    head: bytes
    """What stands before the text's hash in what was signed."""
    hash_name: str
    value: bytes
    """64 bytes."""

    @property
    def fingerprint(self) -> str:
        """Of the key, as `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.key).digest()).decode().rstrip("=")

    def require(self, text: bytes) -> None:
        """Raise NotSigned when the key has not signed this text."""
        if not verifies(self.public, self.head + _string(hashlib.new(self.hash_name, text).digest()), self.value):
            raise NotSigned(f"the signature {SIGNATURE} is not of this {SUMS}")


def read(armoured: str) -> Signature:
    """A signature from its file. Raises NotSigned for any other text."""
    try:
        blob = base64.b64decode("".join(armoured.split()[3:-3]))
        key, namespace, reserved, hash_name, value = _strings(blob.removeprefix(MAGIC), 5)
        kinds, (public, signed) = zip(_strings(key, 2), _strings(value, 2), strict=True)
    except (binascii.Error, struct.error, ValueError) as error:
        raise NotSigned(f"{SIGNATURE} is no signature") from error
    if armoured != _armoured(blob) or namespace != NAMESPACE or hash_name not in (b"sha256", b"sha512"):
        raise NotSigned(f"{SIGNATURE} is no signature of a kit")
    if kinds != (KIND, KIND) or len(public) != 32 or len(signed) != 64:
        raise NotSigned(f"{SIGNATURE} is not of an Ed25519 key")
    head = MAGIC[:6] + b"".join(map(_string, (namespace, reserved, hash_name)))
    return Signature(key, public, head, hash_name.decode(), signed)


def _armoured(blob: bytes) -> str:
    """A signature's file, so that every bit of it counts."""
    text = base64.b64encode(blob).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def _string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def _strings(blob: bytes, count: int) -> list[bytes]:
    """Byte strings that stand one behind the other, each behind its length; nothing may follow."""
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from(">I", blob)
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    if blob or len(found[-1]) != length:
        raise ValueError("cut, or too long")
    return found


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature of 64 bytes holds for a message, by a public key of 32 (RFC 8032, 5.1.7)."""
    key, nonce, scalar = _point(public), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return _equal(_times(scalar, BASE), _sum(nonce, _times(challenge, key)))


def _point(compressed: bytes) -> Point | None:
    """The point whose y is written and whose x has the sign of the last bit; None for none (RFC 8032, 5.1.3)."""
    y = int.from_bytes(compressed, "little")
    odd, y = y >> 255, y & (1 << 255) - 1
    if y >= PRIME:
        return None
    squared = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    x = pow(squared, (PRIME + 3) // 8, PRIME)
    if (x * x - squared) % PRIME:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    if (x * x - squared) % PRIME or (x == 0 and odd):
        return None
    x = PRIME - x if x & 1 != odd else x
    return x, y, 1, x * y % PRIME


def _sum(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % PRIME
    b = (one[1] + one[0]) * (other[1] + other[0]) % PRIME
    c = 2 * one[3] * other[3] * D % PRIME
    d = 2 * one[2] * other[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _times(factor: int, point: Point) -> Point:
    total = ZERO
    while factor:
        if factor & 1:
            total = _sum(total, point)
        point = _sum(point, point)
        factor >>= 1
    return total


def _equal(one: Point, other: Point) -> bool:
    x = (one[0] * other[2] - other[0] * one[2]) % PRIME
    y = (one[1] * other[2] - other[1] * one[2]) % PRIME
    return x == 0 and y == 0


BASE = _point((4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little")) or ZERO
"""The point that every public key is a multiple of."""


def signer(kit: Path) -> str:
    """Fingerprint of the key that has signed a kit's sums; empty for a kit without a signature. Raises NotSigned."""
    if not (kit / SIGNATURE).exists():
        return ""
    signature = read((kit / SIGNATURE).read_text("ascii", "replace"))
    signature.require((kit / SUMS).read_bytes())
    return signature.fingerprint


def is_whole(kit: Path, name: str) -> bool:
    """Whether a file of a kit is the one of its sums."""
    lines = (line.split(maxsplit=1) for line in (kit / SUMS).read_text("utf-8").splitlines())
    digests = [line[0] for line in lines if line[1:] and line[1].removeprefix("./") == name]
    return digests == [hashlib.sha256((kit / name).read_bytes()).hexdigest()]


def main() -> int:
    """Print who has signed the kit in a folder."""
    if not is_whole(Path(sys.argv[1]), INSTALLER):
        print(f"the kit is damaged ({INSTALLER}). Copy it to the stick again.", file=sys.stderr)
        return 1
    try:
        print(signer(Path(sys.argv[1])))
    except NotSigned as error:
        print(f"the kit is not what was signed ({error}). Ask who made it.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
