"""The profile of a model: what reference films say about its answers, as one `.npz` file with a JSON head.

No film, no path and no identifier is in it: of pixels only the mean of all films, 100 at least. It belongs to one
encoder file, one language file, one template and one table of findings, and is refused for any other.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.bundle.manifest import ImageRecipe
from xraygpt_edge.errors import BundleAltered, BundleIncompatible
from xraygpt_edge.files import replacing
from xraygpt_edge.findings import CHEXPERT, Finding, Place, places
from xraygpt_edge.loading import LoadPlan
from xraygpt_edge.records import ReferenceFacts
from xraygpt_edge.trust.calibration import Band, Calibration, Joined
from xraygpt_edge.trust.film import ReferenceFilms
from xraygpt_edge.trust.panel import Form
from xraygpt_edge.trust.reliance import ContrastFilms
from xraygpt_edge.trust.support import SupportModel

SCHEMA = 1
MOST_BYTES = 256 << 20
"""Of a profile on disk and of its arrays: one of the released form has 15 MB."""
SPREAD_LEAST = 1.5
"""Standard deviation of a finding's log-odds over the reference films below which it does not move with the image."""
HASH_BYTES = 16
ROLE = "profile"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile says of itself."""

    schema: int
    model: str
    """Hash of everything in the bundle that its figures depend on, as `identity` gives it."""
    places: tuple[str, ...]
    """Names of what the panel asks about, in order."""
    form: Form
    films: int
    """Reference films."""
    labelled: int
    """Of them with labels; 0 where there are no percentages."""
    source: str
    """Where the films come from, in words for people."""
    created: str
    """Day, as 2026-11-25."""
    program: str
    """Version that made it."""
    film_threshold: float
    rest_variance: float
    doubtful_below: float
    contradicted_below: float
    reliance_bound_nats: float
    slope: float = 0.0
    said_weight: float = 0.0
    arrays_sha256: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What is known of a model's answers from reference films."""

    head: Head
    films: ReferenceFilms
    support: SupportModel
    contrast: ContrastFilms
    spread: NDArray[np.float64]
    """(n_places,) standard deviation of the log-odds over the reference films."""
    mass: NDArray[np.float64]
    """(n_places,) median probability of yes and no together."""
    read_outs: NDArray[np.float64]
    """(n_places, n + 1): the panel as a linear function of `film.features`, the constant last."""
    mean_film: NDArray[np.uint8]
    """(size, size) mean of the reference films as the encoder is given them: what maps cover parts of a film with."""
    calibration: Calibration | None
    """None without labels: then there are no percentages."""
    film_hashes: NDArray[np.uint8]
    """(films, 16) of their image embeddings, salted with all of them."""
    sha256: str = ""
    """Of the file; empty until it is written or read."""
    of_site: bool = False
    """It lies beside the bundle: the clinic has made it."""

    @property
    def moves(self) -> NDArray[np.bool_]:
        """(n_places,) whether the panel's answer moves with the image."""
        return self.spread >= SPREAD_LEAST

    @property
    def facts(self) -> ReferenceFacts:
        """What an answer's figures come from."""
        head = self.head
        return ReferenceFacts(head.films, head.labelled, head.source, head.created, self.of_site)

    def knows(self, features: NDArray[np.float64]) -> bool:
        """Whether a film is one of those that made the profile."""
        salt = self.film_hashes[0].tobytes()
        return bool((self.film_hashes[1:] == np.frombuffer(_hash(features, salt), np.uint8)).all(axis=1).any())


def hashes_of(films: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Hashes (n_films + 1, 16) of films' features; the first is the salt, which nobody can guess without all films."""
    salt = hashlib.blake2b(b"".join(sorted(_hash(film, b"") for film in films)), digest_size=HASH_BYTES).digest()
    return np.array([list(salt), *(list(_hash(film, salt)) for film in films)], np.uint8)


def _hash(film: NDArray[np.float64], salt: bytes) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(film).tobytes(), digest_size=HASH_BYTES, key=salt).digest()


def findings_of(plan: LoadPlan) -> tuple[Finding, ...]:
    """The table of findings that a bundle brings, or CheXpert's."""
    return plan.bundle.manifest.prompt.findings or CHEXPERT


def places_of(plan: LoadPlan) -> tuple[Place, ...]:
    """What the panel asks about."""
    return places(findings_of(plan))


def identity(plan: LoadPlan) -> str:
    """Hash of everything that a profile's figures depend on.

    Not of the manifest: it lists the bundle's own profile, and each would have to hold the other's hash.
    """
    manifest = plan.bundle.manifest
    files = (plan.vision_file.sha256, plan.language_file.sha256)
    words = (manifest.prompt.default, plan.bundle.template(None), manifest.prompt.clean_up, manifest.prompt.stop)
    facts = (SCHEMA, files, _image_facts(manifest.image), words, places_of(plan))
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _image_facts(image: ImageRecipe) -> dict[str, Any]:
    """A field that a later version added counts where it is used: earlier profiles stay those of their model."""
    facts: dict[str, Any] = msgspec.to_builtins(image)
    if image.fit != "pad-color":
        del facts["pad_color"]
    return facts


def site_path(root: Path) -> Path:
    """Where a clinic's own profile of a bundle lies: beside the bundle's folder, whose files are never changed."""
    return root.with_name(f"{root.name}.profile.npz")


def find(plan: LoadPlan) -> Profile | None:
    """The clinic's own profile, else the bundle's, else None; raises what `load` raises."""
    own = site_path(plan.bundle.root.resolve())
    if own.is_file():
        return replace(load(own, plan), of_site=True)
    listed = [plan.bundle.path_of(entry) for entry in plan.bundle.manifest.files if entry.role == ROLE]
    for number, path in enumerate(listed, start=1):
        try:
            return load(path, plan)
        except BundleIncompatible:
            if number == len(listed):
                raise
    return None


def save(profile: Profile, target: Path) -> None:
    """Write a profile, whole or not at all; the same profile gives the same bytes."""
    with replacing(target) as stream:
        stream.write(encoded(profile))


def encoded(profile: Profile) -> bytes:
    """A profile as the bytes of its file."""
    arrays = _arrays(profile)
    head = msgspec.structs.replace(profile.head, arrays_sha256=_arrays_sha256(arrays))
    buffer = io.BytesIO()
    named = {"head": np.frombuffer(msgspec.json.encode(head), np.uint8), **arrays}
    np.savez(buffer, **named)  # type: ignore[arg-type]  # its stub knows no keywords
    return buffer.getvalue()


def load(path: Path, plan: LoadPlan) -> Profile:
    """Read a profile; raises BundleAltered when it is damaged, BundleIncompatible when it is another model's."""
    head, arrays, sha256 = _read(path)
    if head.schema != SCHEMA or head.model != identity(plan):
        raise BundleIncompatible("E-TRU-001")
    try:
        return _checked(_profile(head, arrays, sha256), plan)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise BundleAltered("E-TRU-002", type(error).__name__) from error


def _read(path: Path) -> tuple[Head, dict[str, NDArray[Any]], str]:
    """Head, arrays and hash of a file; nothing in it is run, and nothing larger than promised is unpacked."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        arrays = _unpacked(data)
        head = msgspec.json.decode(arrays.pop("head").tobytes(), type=Head)
    except Exception as error:  # whatever the archive's parsers raise for bytes that nobody wrote so
        raise BundleAltered("E-TRU-002", type(error).__name__) from error
    if head.arrays_sha256 != _arrays_sha256(arrays):
        raise BundleAltered("E-TRU-002", "another sha256 than its head says")
    return head, arrays, hashlib.sha256(data).hexdigest()


def _unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        if sum(member.file_size for member in members.infolist()) > MOST_BYTES:
            raise ValueError("too large")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _arrays_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(json.dumps((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _arrays(profile: Profile) -> dict[str, NDArray[Any]]:
    """What is written, by name; floats of fits as float32 where nobody sees the difference."""
    films, support, contrast = profile.films, profile.support, profile.contrast
    arrays: dict[str, NDArray[Any]] = {
        "film_mean": films.mean.astype(np.float32),
        "film_axes": films.axes.astype(np.float32),
        "film_variances": films.variances,
        "support_weights": support.weights,
        "support_v": support.v_quantiles,
        "support_entropy": support.entropy_quantiles,
        "contrast_embeddings": contrast.embeddings,
        "contrast_shows": contrast.shows,
        "spread": profile.spread,
        "mass": profile.mass,
        "read_outs": profile.read_outs.astype(np.float32),
        "mean_film": profile.mean_film,
        "film_hashes": profile.film_hashes,
    }
    if profile.calibration:
        found = profile.calibration
        arrays |= {
            "offsets": found.joined.offsets,
            "present_from": found.band.present_from,
            "absent_to": found.band.absent_to,
            "own": found.band.own,
            "n_present": found.n_present,
            "n_absent": found.n_absent,
            "risk": found.risk,
        }
    return arrays


def _profile(head: Head, arrays: Mapping[str, NDArray[Any]], sha256: str) -> Profile:
    calibration = None
    if head.labelled:
        calibration = Calibration(
            Joined(head.slope, head.said_weight, arrays["offsets"]),
            Band(arrays["present_from"], arrays["absent_to"], arrays["own"]),
            head.contradicted_below,
            arrays["n_present"],
            arrays["n_absent"],
            arrays["risk"],
        )
    return Profile(
        head,
        ReferenceFilms(
            arrays["film_mean"].astype(np.float64),
            arrays["film_axes"].astype(np.float64),
            arrays["film_variances"],
            head.rest_variance,
            head.film_threshold,
        ),
        SupportModel(
            arrays["support_weights"],
            arrays["support_v"],
            arrays["support_entropy"],
            head.doubtful_below,
            head.contradicted_below,
        ),
        ContrastFilms(arrays["contrast_embeddings"], arrays["contrast_shows"]),
        arrays["spread"],
        arrays["mass"],
        arrays["read_outs"].astype(np.float64),
        arrays["mean_film"],
        calibration,
        arrays["film_hashes"],
        sha256,
    )


def _checked(profile: Profile, plan: LoadPlan) -> Profile:
    """The profile, if every array has the shape that the model and the head ask for; raises ValueError."""
    manifest, arrays = plan.bundle.manifest, _arrays(profile)
    n_places = len(profile.head.places)
    n = manifest.n_embd * (1 if manifest.n_image_tokens == 1 else 2)
    n_axes, n_contrasts = len(profile.films.axes), len(profile.contrast.shows)
    n_seen = n if manifest.n_image_tokens == 1 else len(profile.films.mean)  # of patches only the encoder knows it
    shapes = {
        "film_mean": (n_seen,),
        "film_axes": (n_axes, n_seen),
        "film_variances": (n_axes,),
        "support_v": (101,),
        "support_entropy": (101,),
        "contrast_embeddings": (n_contrasts, manifest.n_image_tokens, manifest.n_embd),
        "contrast_shows": (n_contrasts, n_places),
        "read_outs": (n_places, n + 1),
        "mean_film": (manifest.image.size_px,) * 2,
        "film_hashes": (profile.head.films + 1, HASH_BYTES),
        **dict.fromkeys(("spread", "mass"), (n_places,)),
    }
    per_place = ("offsets", "present_from", "absent_to", "own", "n_present", "n_absent")
    shapes |= {name: (n_places,) for name in per_place if name in arrays}
    wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
    names = tuple(place.name for place in places_of(plan))
    if wrong or not n_contrasts or profile.head.places != names or len(profile.support.weights) not in {0, 6}:
        raise ValueError("arrays that do not fit")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("not a number")
    return profile
