"""What `openapi.json` says is what the server does: every route is in it, and requests made from it get no surprise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import CHECKS
from starlette.routing import Route

from tests.serving import WAIT_S, Serving, serving
from tests.tiny import write_bundle
from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.serve import app, described

CASES = 6
"""Of each call, every day."""
MANY = 5000
"""Of all calls together, under `make fuzz-serve`."""
AS_DESCRIBED = (
    *("not_a_server_error", "status_code_conformance"),
    *("content_type_conformance", "response_schema_conformance"),
)
LEFT_OUT = {("post", "/api/v1/quit"), ("delete", "/api/v1/session"), ("get", "/api/v1/about")}
"""Two end what the others need; the third starts `doctor`, which takes seconds."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    with serving(bundle, module="tests.serving") as found:
        yield found.wait_until_ready()


def test_every_route_is_described_and_nothing_else(server: Serving) -> None:
    routes = {
        (method.lower(), route.path)
        for route in app.ROUTES
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    assert {(each.method, each.path) for each in described.OPERATIONS} == routes
    assert server.get("/api/v1/openapi.json").json == described.document()


def tried(server: Serving, film: Path, cases: int) -> int:
    """How many requests of each call were answered as described; known ids are tried as well as invented ones."""
    schema = schemathesis.openapi.from_dict(described.document())
    run = server.post("/api/v1/runs", {"questions": ["findings?"], "files": 9}).json["id"]
    known = {"r": server.send(film), "id": "E-SRV-003", "u": run, "n": "1"}
    base_url, headers = f"http://127.0.0.1:{server.port}", {"Authorization": f"Bearer {server.token}"}
    count = 0

    def one(case: schemathesis.Case) -> None:
        nonlocal count
        count += 1
        if count % 2:
            case.path_parameters = {name: known.get(name, given) for name, given in case.path_parameters.items()}
        response = case.call(base_url=base_url, headers=headers, timeout=WAIT_S)
        case.validate_response(response, checks=[CHECKS.get_one(name) for name in AS_DESCRIBED])
        if response.status_code >= 400:
            assert response.json()["error"]["code"] in CATALOGUE
            assert "Traceback" not in response.text

    for operation in schema.get_all_operations():
        found = operation.ok()
        if (found.method, found.path) not in LEFT_OUT:
            settings = hypothesis.settings(
                max_examples=cases, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
            )
            settings(hypothesis.given(found.as_strategy())(one))()
    return count


def test_requests_made_from_the_description_are_answered_as_it_says(server: Serving, phantom: Path) -> None:
    assert tried(server, phantom, CASES) >= 100
    assert server.get("/healthz").status == 200


@pytest.mark.fuzz
def test_thousands_of_requests_made_from_the_description_are_answered_as_it_says(
    server: Serving, phantom: Path
) -> None:
    wanted = int(os.environ.get("XRAYGPT_CASES", MANY))
    of_each = wanted // (len(described.OPERATIONS) - len(LEFT_OUT))
    assert tried(server, phantom, of_each * 5 // 4) >= wanted  # some calls have fewer different requests
    assert server.get("/healthz").status == 200
