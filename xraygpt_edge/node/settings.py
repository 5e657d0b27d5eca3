"""The one file of settings of a node: read strictly, every path and address checked, nothing secret in it."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from xraygpt_edge.errors import UsageError

AE_TITLE = re.compile(r"(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )")
"""As the standard has it: 1 to 16 printable ASCII characters without a backslash, here without spaces around."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
BYTES = {"MB": 10**6, "GB": 10**9}
PORT_MAX = 65535

Kind = Literal["dicom-sr", "secondary-capture", "fhir", "json", "html"]
OBJECTS = frozenset({"dicom-sr", "secondary-capture"})
"""Kinds that an archive takes; the others are files for a folder."""
Priority = Literal["high", "normal", "low"]


NAMED = (r"field `(\w+)`", r"`\$[\w\[\].]*?\.?(\w+)(?:\[\.*\])?`", r"^`(\w+)`")
"""How an error names a key: msgspec's two ways, and ours."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: an unknown key is an error."""


class Tls(_Strict, frozen=True):
    """Certificate and key of this node, in PEM files."""

    cert: str
    key: str
    peers_ca: str | None = None
    """Whoever connects must show a certificate of this authority."""


class Watch(_Strict, frozen=True):
    """A folder whose files are answered as well."""

    folder: str
    after: Literal["keep", "delete", "move"] = "keep"
    """What becomes of a file whose results are safe."""


class NodeTable(_Strict, frozen=True):
    """`[node]`: who this is, where it works, what it asks."""

    ae: str
    dir: str
    bundle: str
    listen: str = "127.0.0.1:11112"
    questions: tuple[str, ...] | None = None
    """`@NAME` is one of the bundle's own. None asks what the bundle is asked where nobody asks anything else."""
    indication: str = ""
    """The one reason for all exams, for questions that have a place for it."""
    parallel: int = 4
    """Radiographs that are answered at the same time, at most."""
    reserve: str = "5 GB"
    """Free disk below which no film is taken."""
    queue_limit: int = 10_000
    """Waiting films beyond which none is taken."""
    alarm: str = "30 min"
    keep_films: str = "0 d"
    keep_answers: str = "30 d"
    tls: Tls | None = None
    watch: Watch | None = None
    group: Literal["study"] | None = None
    """Films of a study are begun together, when none has come for a while."""
    on_refusal: Literal["nothing", "report"] = "nothing"
    """What archives are sent about a film that cannot be answered."""


class Peer(_Strict, frozen=True):
    """`[[peer]]`: who may send; title and address must match."""

    name: str
    ae: str
    address: str
    priority: Priority = "normal"


class Destination(_Strict, frozen=True):
    """`[[result]]`: where answers go, to an archive or into a folder."""

    name: str
    ae: str | None = None
    address: str | None = None
    folder: str | None = None
    kinds: tuple[Kind, ...] = msgspec.field(default=("dicom-sr",), name="as")
    tls_ca: str | None = None
    """The archive is spoken to with TLS, and must show a certificate of this authority."""
    commit: bool = False
    """A result has arrived when the archive has committed itself to storing it."""


class Settings(_Strict, frozen=True):
    """All of it; paths are absolute."""

    node: NodeTable
    peers: tuple[Peer, ...] = msgspec.field(default=(), name="peer")
    destinations: tuple[Destination, ...] = msgspec.field(default=(), name="result")

    @property
    def root(self) -> Path:
        """The folder below which everything lies."""
        return Path(self.node.dir)

    @property
    def reserve_bytes(self) -> int:
        """Free disk below which no film is taken."""
        return _size_bytes(self.node.reserve)

    @property
    def alarm_s(self) -> float:
        """Age of the oldest waiting film above which something is wrong."""
        return _duration_s(self.node.alarm)

    @property
    def keep_films_s(self) -> float:
        """How long a film stays when its results have arrived."""
        return _duration_s(self.node.keep_films)

    @property
    def keep_answers_s(self) -> float:
        """How long the records of a day stay."""
        return _duration_s(self.node.keep_answers)


def read(path: Path) -> Settings:
    """The settings of a file; relative paths are those beside it. Raises UsageError with the line."""
    try:
        text = path.read_bytes().decode("utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise UsageError("E-NOD-001", error.strerror or type(error).__name__) from None
    except ValueError as error:  # TOML errors name the line
        raise UsageError("E-NOD-001", str(error)) from None
    try:
        return _resolved(_checked(msgspec.convert(table, Settings)), path.resolve().parent)
    except (msgspec.ValidationError, _Wrong) as error:
        raise UsageError("E-NOD-001", _with_line(str(error), text)) from None


def packed(settings: Settings) -> bytes:
    """One line, for a process of ours."""
    return msgspec.json.encode(settings) + b"\n"


def unpacked(line: bytes) -> Settings:
    """The settings of a line."""
    return msgspec.json.decode(line, type=Settings)


def endpoint(address: str) -> tuple[str, int]:
    """Address and port of `192.168.7.2:104` or `[::1]:104`; raises ValueError for a name: none is ever looked up."""
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") else host
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= PORT_MAX:
        raise ValueError("no port")
    return str(ipaddress.ip_address(bare)), int(port)


class _Wrong(ValueError):
    """A value that cannot be used; its words begin with the key."""


def _checked(settings: Settings) -> Settings:
    node = settings.node
    _require(AE_TITLE.fullmatch(node.ae), "ae", "1 to 16 characters")
    host, _ = _endpoint("listen", node.listen)
    local = ipaddress.ip_address(host).is_loopback
    _require(local or settings.peers, "listen", "other computers can reach this address, so name at least one [[peer]]")
    asked = node.questions
    _require(asked is None or (asked and all(map(str.strip, asked))), "questions", "at least one, none empty")
    _require(1 <= node.parallel <= 64, "parallel", "1 to 64")
    _require(node.queue_limit >= 1, "queue_limit", "1 or more")
    for key in ("alarm", "keep_films", "keep_answers"):
        _measure(key, getattr(node, key), SECONDS)
    _measure("reserve", node.reserve, BYTES)
    for peer in settings.peers:
        _check_peer(peer)
    for destination in settings.destinations:
        _check_destination(destination)
    _require(settings.destinations, "result", "name at least one place where answers go")
    names = [peer.name for peer in settings.peers] + [destination.name for destination in settings.destinations]
    _require(len(set(names)) == len(names), "name", "each once")
    return settings


def _check_peer(peer: Peer) -> None:
    _check_name(peer.name)
    _require(AE_TITLE.fullmatch(peer.ae), "ae", "1 to 16 characters")
    _require(_is_address(peer.address), "address", f"{peer.name}: an address in numbers, without a port")


def _check_destination(destination: Destination) -> None:
    _check_name(destination.name)
    kinds = set(destination.kinds)
    _require(kinds, "as", f"{destination.name}: at least one kind")
    if destination.folder is not None:
        _require(destination.ae is None and destination.address is None, "folder", "either a folder, or ae and address")
        _require(not destination.commit, "commit", f"{destination.name}: a folder commits to nothing")
        return
    _require(AE_TITLE.fullmatch(destination.ae or ""), "ae", "1 to 16 characters")
    _endpoint("address", destination.address or "")
    _require(kinds <= OBJECTS, "as", f"{destination.name}: an archive takes dicom-sr and secondary-capture")


def _check_name(name: str) -> None:
    _require(NAME.fullmatch(name), "name", "letters, digits, dots and hyphens, 32 at most")


def _require(condition: object, key: str, why: str) -> None:
    if not condition:
        raise _Wrong(f"`{key}`: {why}")


def _endpoint(key: str, address: str) -> tuple[str, int]:
    try:
        return endpoint(address)
    except ValueError:
        raise _Wrong(f"`{key}`: an address in numbers and a port, such as 192.168.7.2:104") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _measure(key: str, text: str, units: dict[str, int]) -> float:
    found = re.fullmatch(r"(\d{1,6}) ?([A-Za-z]+)", text)
    if found is None or found[2] not in units:
        raise _Wrong(f"`{key}`: a number and one of {', '.join(units)}")
    return int(found[1]) * units[found[2]]


def _duration_s(text: str) -> float:
    return _measure("", text, SECONDS)


def _size_bytes(text: str) -> int:
    return int(_measure("", text, BYTES))


def _resolved(settings: Settings, base: Path) -> Settings:
    """The same with absolute paths; raises _Wrong for a folder or file that must be there and is not."""

    def path(value: str) -> str:
        return str((base / value).absolute())

    def there(key: str, value: str) -> str:
        _require((base / value).exists(), key, f"{value} is not there")
        return path(value)

    node, tls, watch = settings.node, settings.node.tls, settings.node.watch
    if tls:
        ca = there("peers_ca", tls.peers_ca) if tls.peers_ca else None
        tls = Tls(there("cert", tls.cert), there("key", tls.key), ca)
    if watch:
        watch = Watch(there("folder", watch.folder), watch.after)
    bundle = path(node.bundle) if (base / node.bundle).is_dir() else node.bundle
    replace = msgspec.structs.replace
    return replace(
        settings,
        node=replace(node, dir=path(node.dir), bundle=bundle, tls=tls, watch=watch),
        destinations=tuple(_resolved_destination(each, path, there) for each in settings.destinations),
    )


def _resolved_destination(destination: Destination, path: Any, there: Any) -> Destination:
    return msgspec.structs.replace(
        destination,
        folder=destination.folder and path(destination.folder),
        tls_ca=destination.tls_ca and there("tls_ca", destination.tls_ca),
    )


def _with_line(words: str, text: str) -> str:
    """The words, with the first line that has the key which they name."""
    key = next(filter(None, (re.search(form, words) for form in NAMED)), None)
    if key:
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(rf"(?<![\w-]){re.escape(key[1])}(?![\w-])", line.split("#")[0]):
                return f"line {number}: {words}"
    return words
