"""One HTML page that needs nothing else: no file, no network, and nothing in it that could act.

Every text is escaped and freed of invisible characters on its way into the page. The page's own
style and script are allowed by their hashes, and its policy forbids the browser everything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2.environment import TemplateStream

from xraygpt_edge.errors import UsageError
from xraygpt_edge.ledger import Answered
from xraygpt_edge.records import notice
from xraygpt_edge.reports import trusted
from xraygpt_edge.reports.job import Job, Written, output_file
from xraygpt_edge.reports.outlines import outlines
from xraygpt_edge.reports.pages import digest, template
from xraygpt_edge.reports.rows import Batch
from xraygpt_edge.reports.thumbnails import Thumbnails, pictures
from xraygpt_edge.trust import words

SHOWN_OF_SUMMARY = ("finished_utc", "errors", "skipped_by_reason", "last_run")
"""The rest of it stands on the page already."""

NO_PICTURES = Thumbnails({}, ())
_PAGE = files("xraygpt_edge.reports") / "page"


def write(job: Job) -> Written:
    """Summary, failures, then the radiographs with their findings.

    Raises UsageError when thumbnails are wanted and the radiographs are not named.
    """
    if job.thumbnails and job.images is None:
        raise UsageError("E-REP-005")
    thumbnails = pictures(job.images, job.batch.radiographs) if job.thumbnails and job.images else NO_PICTURES
    with output_file(job.out) as stream:
        page(job.batch, thumbnails, images=job.thumbnails).dump(stream, encoding="utf-8")
    return Written(1, thumbnails.left_out)


def page(batch: Batch, thumbnails: Thumbnails = NO_PICTURES, *, images: bool = False) -> TemplateStream:
    """The page in pieces; images: whether its policy allows pictures."""
    said = batch.summary or {}
    return template(_own("page.html.j2")).stream(
        batch=batch,
        notice=notice(demo=any(row.bundle.demo for row in batch.answered)),
        counts=_counts(batch),
        settings=settings(batch),
        summary=dict(flat({name: said[name] for name in SHOWN_OF_SUMMARY if name in said})),
        thumbnails=thumbnails.jpegs,
        reading_order=trusted.read_first(batch.radiographs),
        trusted=trusted,
        words=words,
        outlines=outlines,
        style=_own("page.css"),
        script=_own("page.js"),
        policy=_policy(images=images),
    )


def _own(name: str) -> str:
    """The page, its style or its script: the only text that is not escaped, and it is ours."""
    return (_PAGE / name).read_text("utf-8")


def _policy(*, images: bool) -> str:
    """What the browser may do: nothing but what this page brings."""
    rules = [
        "default-src 'none'",
        f"style-src '{digest(_own('page.css'))}'",
        f"script-src '{digest(_own('page.js'))}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*rules, "img-src data:"] if images else rules)


def _counts(batch: Batch) -> dict[str, int]:
    """Files, as the summary counts them: found = ok + failed + skipped; without one, from the records."""
    failed = {row.file for row in batch.failed}
    files = failed | {row.file for row in batch.answered}
    own = {"found": len(files), "ok": len(files - failed), "failed": len(failed), "skipped": 0}
    said = batch.summary or {}
    return {name: said[name] if isinstance(said.get(name), int) else count for name, count in own.items()}


def settings(batch: Batch) -> dict[str, str]:
    """What made the answers, where all agree; a batch has one bundle and one set of settings."""
    found: dict[str, Counter[str]] = {}
    for row in batch.answered:
        for name, value in _made_by(row).items():
            found.setdefault(name, Counter())[value] += 1
    return {
        name: ", ".join(f"{value} ({n})" for value, n in values.items()) if len(values) > 1 else next(iter(values))
        for name, values in found.items()
    }


def _made_by(row: Answered) -> dict[str, str]:
    bundle, engine = row.bundle, row.engine
    return {
        "Program": f"xraygpt-edge {engine.version}",
        "Bundle": f"{bundle.id} ({bundle.kind}; vision {bundle.vision}, language {bundle.language})",
        "Manifest SHA-256": bundle.manifest_sha256,
        "Device": f"{engine.device}, {engine.threads} threads",
        "Template": engine.template,
        "Sampling": f"temperature {engine.temperature:g}, top-p {engine.top_p:g}, seed {engine.seed}, "
        f"at most {engine.max_tokens} tokens",
        "Profile": row.input.profile,
        "Libraries": ", ".join(f"{name} {version}" for name, version in sorted(engine.libraries.items())),
    }


def flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """A nested mapping as pairs of "a · b" and value, for a table; lists are passed over."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flat(value, f"{above}{name.replace('_', ' ')} · ")
        elif not isinstance(value, list):
            pairs.append(
                (f"{above}{name.replace('_', ' ')}", f"{value:.3f}" if isinstance(value, float) else str(value))
            )
    return pairs
