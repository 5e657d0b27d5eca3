"""`doctor`: what works on this machine, and a fix beside each problem."""

from __future__ import annotations

import json
from dataclasses import asdict

from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode


def doctor(as_json: options.AsJson = False) -> int:
    """Look at this machine: CPU, memory, libraries, GPU, bundles."""
    from xraygpt_edge.bundle.store import bundle_store
    from xraygpt_edge.cli import console
    from xraygpt_edge.doctor import examine

    with console.waiting("Looking, and recomputing what each bundle must give ...", quiet=as_json):
        results = list(examine(bundle_store()))
    if as_json:
        print(json.dumps({"schema": 1, "checks": [asdict(result) for result in results]}))
    else:
        console.table([asdict(result) for result in results], as_json=False)
    return ExitCode.RUNTIME if any(result.state == "fail" for result in results) else ExitCode.DONE
