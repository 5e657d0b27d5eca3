"""What the server says about itself; nothing of what was asked is in it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from xraygpt_edge.batch import DEFAULT_QUESTION
from xraygpt_edge.batch.walk import IMAGE_ENDINGS
from xraygpt_edge.bundle.manifest import UsualQuestion
from xraygpt_edge.bundle.questions import FINDINGS, to_choose_from, to_complete
from xraygpt_edge.imaging.sniff import HEAD_BYTES
from xraygpt_edge.records import SCHEMA
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.service import Service
from xraygpt_edge.trust.measured import N_IMAGE_TOKENS
from xraygpt_edge.version import __version__

QUESTIONS = (
    UsualQuestion("describe", "Describe the given chest x-ray image in detail."),
    UsualQuestion("findings", "What are the main findings?"),
    UsualQuestion("findings", "Write findings and impression."),
    UsualQuestion("heart", "Is the heart enlarged?"),
    UsualQuestion("normal or not", "Is this chest x-ray normal?"),
    UsualQuestion("infection", "Are there signs of infection?"),
)
"""Offered where the bundle names none."""


def status(service: Service) -> dict[str, Any]:
    """The object that `GET /api/v1/status` gives."""
    settings, prompt = service.settings, service.settings.bundle.manifest.prompt
    ready = to_choose_from(prompt)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": _model(service),
        "queue": {"waiting": service.questions.waiting, "busy": service.questions.is_busy},
        "limits": {
            **asdict(settings.limits),
            "taken_bytes": service.held.taken_bytes,
            "max_tokens": settings.sampling.max_tokens,
        },
        "questions": msgspec.to_builtins(ready or QUESTIONS),
        "questions_with_indication": msgspec.to_builtins(to_complete(prompt)),
        "defaults": _defaults(service),
        "folder": {
            "question": next((each.text for each in ready if each.name == FINDINGS), DEFAULT_QUESTION),
            "endings": IMAGE_ENDINGS,
            "head_bytes": HEAD_BYTES,
            "keeps": service.runs.keeps,
            "parallel": settings.parallel or "auto",
        },
        "maps": settings.trust != "off" and settings.bundle.manifest.n_image_tokens == N_IMAGE_TOKENS,
        "protections": {"network": service.network, "loopback_only": settings.ward is None},
        "notice": service.notice,
    }


def _model(service: Service) -> dict[str, Any]:
    manifest, ready = service.settings.bundle.manifest, service.questions.ready
    return {
        "state": "failed" if service.fatal else "ready" if ready else "loading",
        "error": Refused.of(service.fatal.error).to_dict()["error"] if service.fatal else None,
        "id": manifest.id,
        "kind": manifest.kind,
        "demo": manifest.demo,
        "license": manifest.licence,
        "size_px": manifest.image.size_px,
        "device": ready.device if ready else None,
        "threads": ready.threads if ready else None,
        "restarts": service.host.restarts,
    }


def _defaults(service: Service) -> dict[str, Any]:
    settings, sampling = service.settings, service.settings.sampling
    return {
        "profile": settings.reading.profile,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "timeout_s": sampling.timeout_s,
        "trust": settings.trust,
    }
