"""Cases of operations, parameters, bodies, answers, security and time; and the rules that cannot occur here."""

from collections.abc import Iterator
from typing import Any

from tests.kernel.schemas.oasdiff import NUMBER, TEXT, Case, Json, document, operation

TODAY = "2026-06-01"
SOON, LATE, PAST = "2026-07-01", "2026-12-01", "2026-05-01"
JSON, XML = "application/json", "application/xml"


def ending(sunset: Any = None, since: str = "2026-01-01", **members: Any) -> Json:
    """A document whose operation is deprecated."""
    announced: dict[str, Any] = {} if sunset is None else {"x-deprecation": {"since": since, "sunset": sunset}}
    return document(deprecated=True, **announced, **members)


def lifecycle() -> Iterator[Case]:
    plain, nothing = document(), {"openapi": "3.1.1", "paths": {}}
    others = {"openapi": "3.1.1", "paths": {"/api/v1/things": {"get": operation()}}}
    yield Case(id="endpoint-added", level="info", old=nothing, new=plain)
    for kind, without in (("api-path-removed", nothing), ("api-removed", others)):
        yield Case(id=f"{kind}-without-deprecation", level="err", old=plain, new=without)
        yield Case(id=f"{kind}-with-deprecation", level="info", old=ending(PAST), new=without)
        yield Case(id=f"{kind}-before-sunset", level="err", old=ending(LATE), new=without)
    ours = "api-path-removed-without-deprecation"
    yield Case(id="api-path-sunset-parse", level="err", old=ending("soon"), new=nothing, ours=ours)
    yield Case(id="sunset-deleted", level="err", old=ending(LATE), new=ending())
    yield Case(id="api-sunset-date-changed-too-small", level="err", old=ending(LATE), new=ending(SOON))
    yield Case(id="endpoint-reactivated", level="info", old=ending(LATE), new=plain)
    yield Case(id="api-deprecated-sunset-parse", level="err", old=plain, new=ending("soon"))
    yield Case(id="api-deprecated-sunset-missing", level="err", old=plain, new=ending())
    yield Case(id="api-sunset-date-too-small", level="err", old=plain, new=ending(SOON))
    ours = "api-deprecated-sunset-missing"
    differs = "an end without a date helps no client to plan"
    yield Case(id="endpoint-deprecated", level="info", old=plain, new=ending(), ours=ours, differs=differs)
    yield Case(id="endpoint-deprecated-with-sunset", level="info", old=plain, new=ending(LATE))


def security() -> Iterator[Case]:
    one: Json = {"bearer": []}
    two: Json = {"key": []}
    scoped = {"bearer": ["things:read"]}
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}, "key": {"type": "apiKey", "in": "query", "name": "k"}}

    def at(place: str, *ways: Any, **changes: Any) -> Json:
        components = {"components": {"securitySchemes": {**schemes, **changes}}}
        if place == "api-global-security":
            return document(root={"security": list(ways), **components})
        return document(security=list(ways), root=components)

    for place in ("api-security", "api-global-security"):
        ours = "api-security-removed", "api-security-scope-added"
        yield Case(id=f"{place}-removed", level="err", old=at(place, one, two), new=at(place, one), ours=ours[0])
        yield Case(id=f"{place}-added", level="info", old=at(place, one), new=at(place, one, two))
        yield Case(id=f"{place}-scope-added", level="err", old=at(place, one), new=at(place, scoped), ours=ours[1])
        yield Case(id=f"{place}-scope-removed", level="info", old=at(place, scoped), new=at(place, one))
    used, other = at("api-security", one), at("api-security", one, bearer=schemes["key"])
    differs = "clients of an operation that names it send credentials that are not read"
    rule = "api-security-component-type-changed"
    yield Case(id=rule, level="info", old=used, new=other, differs=differs)
    extra = at("api-security", one, more={"type": "http", "scheme": "basic"})
    yield Case(id="api-security-component-added", level="info", old=used, new=extra)
    yield Case(id="api-security-component-removed", level="info", old=extra, new=used)


def parameter(name: str = "q", where: str = "query", **members: Any) -> Json:
    """A document whose operation has one parameter."""
    return document(parameters=[{"name": name, "in": where, "schema": TEXT, **members}])


def parameters() -> Iterator[Case]:
    plain = document()
    yield Case(id="request-parameter-removed", level="warn", old=parameter(), new=plain)
    yield Case(id="request-parameter-became-required", level="err", old=parameter(), new=parameter(required=True))
    yield Case(id="request-parameter-became-optional", level="info", old=parameter(required=True), new=parameter())
    yield Case(id="new-required-request-parameter", level="err", old=plain, new=parameter(required=True))
    yield Case(id="new-optional-request-parameter", level="info", old=plain, new=parameter())
    for name, level in (("required", "err"), ("optional", "info")):
        shared = {"name": "q", "in": "query", "schema": TEXT, "required": name == "required"}
        new = {"openapi": "3.1.1", "paths": {"/api/v1/things": {"parameters": [shared], "post": operation()}}}
        rule = f"new-{name}-request-default-parameter-to-existing-path"
        ours = "new-required-request-parameter" if name == "required" else ""
        yield Case(id=rule, level=level, old=plain, new=new, ours=ours)  # type: ignore[arg-type] # one of the levels
    path = document(path="/api/v1/things/{a}")
    declared = document(path="/api/v1/things/{a}", parameters=[{"name": "a", "in": "path", "required": True}])
    yield Case(id="new-request-path-parameter", level="err", old=path, new=declared)
    items = {"type": "array", "items": TEXT}
    piped = parameter(schema=items, style="pipeDelimited", explode=True)
    yield Case(id="request-parameter-style-changed", level="err", old=parameter(schema=items), new=piped)
    joined = parameter(schema=items, explode=False)
    yield Case(id="request-parameter-explode-changed", level="err", old=parameter(schema=items), new=joined)
    reserved = parameter(allowReserved=True)
    yield Case(id="request-parameter-became-allow-reserved", level="info", old=parameter(), new=reserved)
    yield Case(id="request-parameter-became-not-allow-reserved", level="err", old=reserved, new=parameter())


def content(*types: str, schema: Any = TEXT) -> Json:
    return {"content": {each: {} if schema is None else {"schema": schema} for each in types}}


def bodies() -> Iterator[Case]:
    plain = document()
    optional, required = (document(requestBody={**content(JSON), "required": each}) for each in (False, True))
    yield Case(id="request-body-added-required", level="err", old=plain, new=required)
    yield Case(id="request-body-added-optional", level="info", old=plain, new=optional)
    yield Case(id="request-body-removed", level="err", old=required, new=plain)
    yield Case(id="request-body-became-optional", level="info", old=required, new=optional)
    yield Case(id="request-body-became-required", level="err", old=optional, new=required)
    both, free = document(requestBody=content(JSON, XML)), document(requestBody=content(JSON, schema=None))
    one = document(requestBody=content(JSON))
    yield Case(id="request-body-media-type-added", level="info", old=one, new=both)
    yield Case(id="request-body-media-type-removed", level="err", old=both, new=one)
    yield Case(id="request-body-media-type-schema-added", level="err", old=free, new=one)
    yield Case(id="request-body-media-type-schema-removed", level="info", old=one, new=free)


def answer(status: str = "200", **members: Any) -> Json:
    return document(responses={status: members})


def answers() -> Iterator[Case]:
    def statuses(*names: str) -> Json:
        return document(responses={each: {"description": ""} for each in names})

    yield Case(id="response-success-status-removed", level="err", old=statuses("200", "201"), new=statuses("200"))
    yield Case(id="response-success-status-added", level="info", old=statuses("200"), new=statuses("200", "201"))
    yield Case(id="response-non-success-status-removed", level="info", old=statuses("200", "404"), new=statuses("200"))
    yield Case(id="response-non-success-status-added", level="info", old=statuses("200"), new=statuses("200", "404"))
    one, both, free = (answer(**each) for each in (content(JSON), content(JSON, XML), content(JSON, schema=None)))
    yield Case(id="response-media-type-removed", level="err", old=both, new=one)
    yield Case(id="response-media-type-added", level="info", old=one, new=both)
    yield Case(id="response-body-media-type-schema-added", level="info", old=free, new=one)
    yield Case(id="response-body-media-type-schema-removed", level="err", old=one, new=free)
    wide, narrow = answer(**content("application/*")), answer(**content("application/problem+json"))
    ours = "response-media-type-removed"
    yield Case(id="response-media-type-name-generalized", level="err", old=narrow, new=wide, ours=ours)
    differs = "media types are compared by name: a client that asks for the former one is not served"
    name = "response-media-type-name-specialized"
    yield Case(id=name, level="info", old=wide, new=narrow, ours=ours, differs=differs)
    name = "response-media-type-name-changed"
    yield Case(id=name, level="info", old=one, new=answer(**content(XML)), ours=ours, differs=differs)
    plain = answer()
    optional, required = (answer(headers={"X-A": {"schema": TEXT, "required": each}}) for each in (False, True))
    yield Case(id="required-response-header-removed", level="err", old=required, new=plain)
    yield Case(id="optional-response-header-removed", level="warn", old=optional, new=plain)
    yield Case(id="response-header-became-optional", level="err", old=required, new=optional)
    yield Case(id="response-header-added", level="info", old=plain, new=optional)


def names() -> Iterator[Case]:
    plain, renamed = document(), document(operationId="things_make")
    differs = "a client that was generated from the document calls its functions by these ids"
    yield Case(id="api-operation-id-removed", level="info", old=plain, new=renamed, differs=differs)
    bare = {"openapi": "3.1.1", "paths": {"/api/v1/things": {"post": {"responses": {"200": {"description": ""}}}}}}
    yield Case(id="api-operation-id-added", level="info", old=bare, new=plain)
    yield Case(id="api-tag-added", level="info", old=plain, new=document(tags=["things"]))
    yield Case(id="api-tag-removed", level="info", old=document(tags=["things"]), new=plain)
    unused = document(root={"components": {"schemas": {"Unused": NUMBER}}})
    yield Case(id="api-schema-removed", level="info", old=unused, new=plain)


ABSENT: dict[str, tuple[str, ...]] = {
    "operations end by their version; no single parameter or member is deprecated": (
        *(
            f"{direction}-property-{name}"
            for direction in ("request", "response")
            for name in (
                "deprecated",
                "deprecated-with-sunset",
                "deprecated-sunset-missing",
                "deprecated-sunset-invalid",
                "reactivated",
                "sunset-date-too-small",
            )
        ),
        *(
            f"request-parameter-{name}"
            for name in (
                "deprecated",
                "deprecated-sunset-missing",
                "reactivated",
                "removed-before-sunset",
                "removed-with-deprecation",
                "sunset-date-changed-too-small",
                "sunset-date-too-small",
                "sunset-deleted",
                "sunset-parse",
            )
        ),
    ),
    "there are no levels of stability: what is released is promised": (
        "api-stability-decreased",
        "api-stability-increased",
        "api-invalid-stability-level",
        "request-property-stability-decreased",
        "request-property-stability-increased",
        "response-property-stability-decreased",
        "response-property-stability-increased",
    ),
    "a version is a part of the path, and `info.version` is no promise": (
        "api-version-not-bumped",
        "api-version-decreased",
        "api-major-version-not-bumped",
    ),
    "there are no OAuth flows in the documents; modules verify tokens that users issues": (
        "api-security-component-oauth-url-changed",
        "api-security-component-oauth-token-url-changed",
        "api-security-component-oauth-scope-added",
        "api-security-component-oauth-scope-removed",
        "api-security-component-oauth-scope-changed",
    ),
    "`itemSchema` is OpenAPI 3.2": (
        *(f"request-body-media-type-item-schema-{each}" for each in ("added", "removed")),
        *(f"response-body-media-type-item-schema-{each}" for each in ("added", "removed", "removed-untyped")),
    ),
    "bodies are JSON alone, in which a number is no text: form data has such types": (
        "request-body-type-compatible",
        "request-property-type-compatible",
        "response-body-type-compatible",
        "response-property-type-compatible",
        "response-header-type-compatible",
    ),
    "modules call no webhooks: they publish messages": ("webhook-added", "webhook-removed"),
}
"""Rules that no document of this project can break, by reason."""
