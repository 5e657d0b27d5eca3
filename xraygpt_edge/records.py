"""What outlives a run: answers, failures, and what made them. Only the standard library.

`to_dict` gives the objects that `--json` prints and that a batch keeps, one a line.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

SCHEMA = 1
"""Version of the objects that `to_dict` gives."""

PRODUCT = "xraygpt-edge"
"""Manufacturer of every DICOM object that is written here."""
NOTICE = (
    "Research software, not a medical device. Not for diagnosis or treatment. "
    "Every statement needs review by a qualified clinician."
)
DEMO_NOTICE = (
    "DEMONSTRATION: this small model knows only drawn, synthetic phantoms. "
    "What it says about a real radiograph is meaningless."
)

FinishReason = Literal["stop", "length", "timeout", "cancelled"]
Fit = Literal["squash", "pad", "crop", "pad-color"]
"""How a film becomes a square. squash: its aspect ratio is lost; pad: on a black square; crop: the middle of it, what
lies outside is not seen; pad-color: on a square of the bundle's colour."""
Format = Literal["dicom", "png", "jpeg", "tiff", "webp", "bmp", "jpeg2000"]
"""What a file is, by its content."""


def notice(*, demo: bool) -> str:
    """The words that stand under every answer that a person reads."""
    return f"{DEMO_NOTICE} {NOTICE}" if demo else NOTICE


@dataclass(frozen=True, slots=True)
class ReadWarning:
    """Something about the file that a reader of the answer should know."""

    id: str
    """A `W-` id of the catalogue."""
    message: str
    """One sentence; never a value of a DICOM tag."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was found or done between the file and the picture."""

    name: str
    detail: str
    """One sentence; never a value of a DICOM tag that could identify a patient."""


@dataclass(frozen=True, slots=True)
class Source:
    """The file that a radiograph came from, without anything that could identify a patient."""

    sha256: str
    """Of the file's bytes, the very bytes that were decoded."""
    format: Format
    rows: int = 0
    """As stored, before orientation and aspect ratio; 0 where the file was refused before this was known."""
    columns: int = 0
    profile: str = "mimic-jpg"
    sop_class: str | None = None
    """Name of the SOP class, for DICOM."""
    transfer_syntax: str | None = None
    """Name of the transfer syntax, for DICOM."""
    photometric: str | None = None
    study: str | None = None
    """Beginning of a hash of the study's UID: equal for pictures of one study, and nobody's identifier."""
    frame: int | None = None
    """Which one was read, counted from 1, of a file that holds several."""
    forced: bool = False
    """A refusal of the input gate was overridden with --force."""
    warnings: tuple[ReadWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """The bundle that answered."""

    id: str
    manifest_sha256: str
    kind: str
    vision: str
    """Precision of the encoder file."""
    language: str
    """Type of the language file."""
    demo: bool


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The program and the settings that answered: enough to ask the same again."""

    version: str
    device: str
    providers: tuple[str, ...]
    threads: int
    memory: str
    """low, auto or fast: the last bits of the arithmetic depend on it."""
    n_ctx: int
    seed: int
    temperature: float
    top_p: float
    max_tokens: int
    template: str
    draft: bool
    """Drafts may have been decoded (speculative decoding): the same tokens, sooner."""
    libraries: dict[str, str]
    cpu: str = ""
    """Kind of processor: architecture and the features that choose kernels; empty in records from before 0.2.0."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went; seconds unless named otherwise."""

    read_s: float = 0.0
    load_s: float = 0.0
    """That the question waited for models to be loaded; reading goes on meanwhile."""
    vision_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    first_token_s: float = 0.0
    """From the call until the first token."""
    total_s: float = 0.0
    tokens: int = 0
    """Tokens generated."""
    tokens_per_s: float = 0.0


Polarity = Literal["present", "absent", "unsure"]
TrustLevel = Literal["off", "fast", "full"]
TRUST: TrustLevel = "fast"
"""The level that commands take by themselves."""
Support = Literal["contradicted", "doubtful", "agrees", "unchecked"]
Reliance = Literal["rests", "little"]
Verdict = Literal["present", "absent", "unsure", "unanswered", "image-independent"]


@dataclass(frozen=True, slots=True)
class FilmTrust:
    """Whether a film is like those that the model's figures come from."""

    distance: float
    threshold: float
    like: bool


@dataclass(frozen=True, slots=True)
class ReferenceFacts:
    """The films that an answer's figures come from."""

    films: int
    labelled: int
    """Of them; 0 where there are no percentages."""
    source: str
    """In words for people."""
    created: str
    """Day, as 2026-11-25."""
    of_site: bool
    """The clinic has made the profile itself; else it came with the bundle."""


@dataclass(frozen=True, slots=True)
class ClaimTrust:
    """One statement of a sentence."""

    finding: str
    sides: tuple[str, ...]
    zone: str
    polarity: Polarity


@dataclass(frozen=True, slots=True)
class SentenceTrust:
    """What the model itself has to say about one sentence of its answer; none of it shows that it is right."""

    start: int
    """Of its first character in the answer's text."""
    end: int
    """Behind its last."""
    entropy: float | None
    """Highest of its tokens, in nats."""
    support: Support
    """Whether the model's own yes and no answers agree with it."""
    score: float | None
    """From 0 to 1: the lower, the likelier wrong among sentences of the reference films; no probability."""
    reliance_nats: float | None
    """How much likelier its words are with the image than with others; only at level full."""
    reliance: Reliance | None
    flags: tuple[str, ...]
    """`W-TXT-` ids."""
    claims: tuple[ClaimTrust, ...]
    weakest: str | None = None
    """Name of the finding in it that the panel agrees with least."""


@dataclass(frozen=True, slots=True)
class FindingTrust:
    """The model's own answer about one finding, beside what its text says."""

    name: str
    log_odds: float
    """Of yes against no."""
    mass: float
    """Probability of yes and no together."""
    said: Literal["present", "absent"] | None
    p: float | None
    """Probability that it is present, where the profile has labels and the film is like its films."""
    verdict: Verdict | None
    """None where the film is unlike the reference films."""
    doubt: tuple[float, float] | None = None
    """Probabilities between which there is no verdict."""


@dataclass(frozen=True, slots=True)
class FindingMap:
    """What the software's answer about one finding depends on; it does not show where disease is."""

    finding: str
    """Name of the panel's finding, with its side."""
    values: tuple[tuple[float, ...], ...]
    """Rows of cells from the top left: how far the log-odds fall where a window on the cell is covered."""
    log_odds: float
    """Of the model's own yes against no."""
    log_odds_covered: float
    """The same with the window covered that lets them fall most."""
    shown: bool
    """They fall enough with that window for the map to be shown."""


@dataclass(frozen=True, slots=True)
class MapTrust:
    """Maps of the findings that an answer states or the panel sees, on the picture that the encoder was given."""

    fit: Fit
    size_px: int
    """Side of that picture."""
    findings: tuple[FindingMap, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """What an answer rests on and how far the model agrees with itself."""

    profile: str | None
    """SHA-256 of the profile; None without one."""
    level: TrustLevel
    film: FilmTrust | None
    sentences: tuple[SentenceTrust, ...]
    findings: tuple[FindingTrust, ...]
    unsaid: tuple[str, ...]
    """Findings that the panel sees and the text does not state."""
    warnings: tuple[str, ...]
    """`W-TRU-` ids."""
    maps: MapTrust | None = None
    """None where nobody asked for them."""
    seconds: float = 0.0
    reference: ReferenceFacts | None = None
    """Of the profile."""
    failed: str | None = None
    """Why some of this is missing: an error's id and what was being computed; the answer is not affected."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer about one radiograph."""

    text: str
    question: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...]
    input: Source
    bundle: BundleFacts
    engine: EngineFacts
    timing: Timing
    trust: Trust | None = None
    """None where nobody asked how far to trust it."""

    @property
    def notice(self) -> str:
        """The research-use notice, with the demonstration's own where that answered."""
        return notice(demo=self.bundle.demo)

    def to_dict(self) -> dict[str, Any]:
        """The object that `ask --json` prints."""
        facts = asdict(self)
        trust = facts.pop("trust")
        return {"schema": SCHEMA, "status": "ok", **facts, "notice": self.notice, **({"trust": trust} if trust else {})}


@dataclass(frozen=True, slots=True)
class Failure:
    """A radiograph, or a command, that ended with an error."""

    error_id: str
    message: str
    code: int
    input: Source | None = None
    """What is known of the file that was refused; None when not even its format is."""
    steps: tuple[Step, ...] = ()
    """What was found out about a file before it was refused."""

    def to_dict(self) -> dict[str, Any]:
        """The object that a failed command prints with --json."""
        facts = {"schema": SCHEMA, "status": "failed", **asdict(self)}
        return {key: value for key, value in facts.items() if value not in (None, ())}
