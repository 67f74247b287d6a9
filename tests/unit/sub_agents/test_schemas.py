"""Schemas that cells write are bounded and closed; values are compared with them; `response_format` in its forms."""

import datetime
import socket
import time
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
import typing_extensions
from pydantic import BaseModel

from rlm_agent.errors import ConfigError
from rlm_agent.sub_agents.schemas import ResponseFormat, check_schema, validate


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """A small schema whose references, followed, are 2 ** levels checks."""
    defs: dict[str, Any] = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(levels)}
    return {"$defs": {**defs, f"a{levels}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"이름": {"type": "string"}}, "required": ["이름"]},
        {"properties": {"pattern": {"type": "string"}, "$id": {"type": "integer"}, "$ref": {"type": "null"}}},
        {"enum": [{"pattern": "(a+)+$"}], "default": {"$ref": "http://example.org"}},
        {"$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a"},
        nested(16),
    ],
)
def test_a_usable_schema_has_no_complaint(schema: dict[str, Any]) -> None:
    assert check_schema(schema) is None


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("{}", "as a dict, not str"),
        ({"type": "text"}, "not valid"),
        ({"properties": 3}, "not valid"),
        ({"items": [{}]}, "not valid"),
        ({"const": object()}, "no JSON"),
        ({"const": float("nan")}, "no JSON"),
        ({"title": "x" * 70_000}, "bytes"),
        (nested(17), "nested more than 16"),
        (nested(50_000), "no JSON"),
        ({"$ref": "http://127.0.0.1/x"}, "not allowed"),
        ({"$ref": "other.json#/a"}, "not allowed"),
        ({"allOf": [{"anyOf": [{"$ref": "file:///etc/passwd"}]}]}, "not allowed"),
        ({"$ref": "#/hidden/a", "hidden": {"a": {"pattern": "(a+)+$"}}}, "not allowed"),
        ({"$ref": 3}, "not allowed"),
        ({"$dynamicRef": "#x"}, "not allowed"),
        ({"$id": "http://example.org/"}, "not allowed"),
        ({"pattern": "(a+)+$"}, "$: 'pattern'"),
        ({"properties": {"x": {"items": {"pattern": "a"}}}}, "$.properties.x.items: 'pattern'"),
        ({"$defs": {"x": {"patternProperties": {"a": {}}}}}, "'patternProperties'"),
        ({"unevaluatedProperties": False}, "'unevaluatedProperties'"),
        ({"properties": {"x": {"$schema": "http://json-schema.org/draft-04/schema#"}}}, "at the top only"),
    ],
)
def test_a_schema_that_is_wrong_or_reaches_out_gets_one_line(schema: Any, says: str) -> None:
    complaint = check_schema(schema)
    assert complaint is not None
    assert says in complaint
    assert "\n" not in complaint
    assert len(complaint) < 400


def test_complaints_name_the_place_and_are_few() -> None:
    schema = {"items": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]}}
    complaints = validate([{"a": "x"}] * 100, schema)
    assert complaints[:2] == ["$[0].a: 'x' is not of type 'integer'", "$[0]: 'b' is a required property"]
    assert len(complaints) == 5
    assert validate([{"a": 1, "b": 2}], schema) == []


@pytest.mark.parametrize("levels", [60, 300])
def test_references_that_multiply_are_given_up(levels: int) -> None:
    schema = doubling(levels)
    assert check_schema(schema) is None
    started = time.monotonic()
    assert "too many steps" in validate(1, schema)[0]
    assert time.monotonic() - started < 10


def test_a_cycle_a_missing_definition_and_an_unread_address() -> None:
    assert "too many steps" in validate(1, {"$ref": "#"})[0]
    assert "does not hold" in validate(1, {"$ref": "#/$defs/none"})[0]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        assert "does not hold" in validate(1, {"$ref": address})[0]
        with pytest.raises(TimeoutError):
            server.accept()


def test_unique_items_of_a_large_list_take_no_time() -> None:
    items: list[Any] = [{"a": i} for i in range(20_000)]
    started = time.monotonic()
    assert validate(items, {"uniqueItems": True}) == []
    assert validate([*items, {"a": 7.0}], {"uniqueItems": True}) == ["$: the items are not unique"]
    assert validate([1, True, "1"], {"uniqueItems": True}) == []
    assert time.monotonic() - started < 5


class City(BaseModel):
    name: str
    founded: datetime.date


class Row(TypedDict, total=False):
    a: int


class Table(TypedDict):
    """A table."""

    rows: list[Row]
    note: NotRequired[str | None]
    kind: Literal["p", "q"]
    named: Annotated[dict[str, Row], "by name"]


def test_a_pydantic_model_gives_an_instance() -> None:
    response = ResponseFormat(City)
    assert response.schema["required"] == ["name", "founded"]
    wanted = City(name="서울", founded=datetime.date(1394, 1, 2))
    for content in (
        {"name": "서울", "founded": "1394-01-02"},
        '```json\n{"name": "서울", "founded": "1394-01-02"}\n```',
    ):
        assert response.parse(content) == (wanted, None)
    value, complaint = response.parse({"name": 3})
    assert value is None
    assert complaint == "$.name: Input should be a valid string; $.founded: Field required"


@pytest.mark.parametrize("typed_dict", [Table, typing_extensions.TypedDict("Rows", {"rows": list[Row]})])
def test_a_typed_dict_gives_the_plain_value(typed_dict: Any) -> None:
    response = ResponseFormat(typed_dict)
    content = {"rows": [{"a": 1}, {}], "kind": "p", "named": {}}
    assert response.parse(content) == (content, None)
    assert response.parse({"rows": [{"a": "1"}]})[1].startswith("$.rows[0].a: '1' is not of type 'integer'")


def test_what_a_typed_dict_requires_is_kept() -> None:
    schema = ResponseFormat(Table).schema
    assert schema["required"] == ["rows", "kind", "named"]
    assert "required" not in schema["$defs"]["Row"]
    assert schema["description"] == "A table."


def test_a_json_schema_gives_the_plain_value_and_text_may_be_itself() -> None:
    assert ResponseFormat({"type": "array"}).parse("Here: [1, 2]") == ([1, 2], None)
    assert ResponseFormat({"type": "string"}).parse("123") == ("123", None)
    assert ResponseFormat({"type": "integer"}).parse("123") == (123, None)
    value, complaint = ResponseFormat({"type": "object"}).parse("nothing")
    assert value is None
    assert complaint is not None
    assert "no JSON" in complaint
    assert ResponseFormat({"type": "object"}).parse(4) == (None, "$: 4 is not of type 'object'")


@pytest.mark.parametrize("spec", [int, "City", None, {"type": "zip"}, City(name="x", founded=datetime.date.today())])
def test_anything_else_is_a_config_error(spec: Any) -> None:
    with pytest.raises(ConfigError, match="response_format"):
        ResponseFormat(spec)


def test_a_model_without_a_json_schema_is_a_config_error() -> None:
    class Odd(BaseModel, arbitrary_types_allowed=True):
        lock: object
        call: type(print)  # type: ignore[valid-type]

    with pytest.raises(ConfigError, match="Odd has no JSON schema"):
        ResponseFormat(Odd)
