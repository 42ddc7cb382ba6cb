"""The OpenAPI document of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from keyrig.api.api_responses import JSON
from keyrig.api.problem_documents import Problem
from keyrig.documents.document_model import example_of
from keyrig.documents.run_event_schema import event_schemas

if TYPE_CHECKING:
    from fastapi import FastAPI

OPENAPI_PATH: Final = "/api/v1/openapi.json"
TAGS: Final = [
    {"name": "system", "description": "Health and figures."},
    {"name": "rigs", "description": "Rigs, their devices, plans and radios."},
    {"name": "devices", "description": "What is known of devices, and what is due next."},
    {"name": "runs", "description": "Starting, watching, stopping and reporting runs."},
    {"name": "deliveries", "description": "Commands that the DCC signed, without keys."},
    {"name": "outbox", "description": "Whom events are told, and what waits."},
    {"name": "certificates", "description": "Public certificates; never a private key."},
]
_REFERENCE: Final = "#/components/schemas/{model}"


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=TAGS,
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    made = Problem.model_json_schema(ref_template=_REFERENCE)
    schemas |= made.pop("$defs", {})
    schemas["Problem"] = made
    schemas |= event_schemas("#/components/schemas/{name}")
    document["paths"]["/api/v1/health"]["get"]["responses"].pop("422", None)
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            _add_examples(route, document["paths"][route.path])
    _share_problems(document)
    return document


def _share_problems(document: dict[str, Any]) -> None:
    """Replace equal descriptions of problem documents by references to one of each."""
    shared: dict[str, Any] = {}
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status[0] in "45" and response == shared.setdefault(status, response):
                    reference = f"#/components/responses/Problem{status}"
                    operation["responses"][status] = {"$ref": reference}
    document["components"]["responses"] = {
        f"Problem{status}": response for status, response in sorted(shared.items())
    }


def _add_examples(route: APIRoute, path: dict[str, Any]) -> None:
    """Add an example of each document, and restore given ones: FastAPI drops their nulls."""
    for method in route.methods or ():
        responses = path[method.lower()]["responses"]
        if route.response_model is not None:
            good = responses[str(route.status_code or 200)]
            good["content"][JSON]["example"] = example_of(route.response_model)
            if good["description"] == "Successful Response":
                good["description"] = "What was asked for."
        for status, given in route.responses.items():
            for media_type, media in given.get("content", {}).items():
                if "example" in media:
                    content = responses[str(status)]["content"]
                    content[media_type]["example"] = media["example"]
