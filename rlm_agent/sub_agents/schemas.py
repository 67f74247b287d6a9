"""JSON schemas that cells and applications write, and values compared with them on the host.

Owns: which schemas a cell may send, whether a value fits one, and `response_format`.
Invariant: nothing here fetches a reference, runs a pattern that a cell wrote, or works without a bound on its steps.
Complaints are lines that a model can act on.
Leaves to others: finding the JSON in a reply (`json_text.py`), asking again.
"""

import contextvars
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic import BaseModel, TypeAdapter
from pydantic import ValidationError as PydanticError
from pydantic.errors import PydanticUserError
from referencing import Registry
from referencing.exceptions import Unresolvable

from rlm_agent.errors import ConfigError
from rlm_agent.sub_agents.json_text import parse_json
from rlm_agent.sub_agents.typed_dicts import is_typed_dict, modern

__all__ = ["ResponseFormat", "check_schema", "parse_json", "validate"]

MAX_DEPTH = 16
MAX_BYTES = 64 * 1024
MAX_STEPS = 100_000  # about a second
OWN_STEPS = 20_000_000  # of a schema that the application wrote
MAX_COMPLAINTS = 5
_CUT = 200

_NAMED_SUBSCHEMAS = ("properties", "$defs", "definitions", "dependentSchemas")
_LISTED_SUBSCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SUBSCHEMAS = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_FORBIDDEN = {
    "$id": "the schema must stand alone",
    "$anchor": "use $defs",
    "$dynamicRef": "use $ref",
    "$dynamicAnchor": "use $defs",
    "$recursiveRef": "use $ref",
    "pattern": "check the text in your code",
    "patternProperties": "use properties",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
}


def check_schema(schema: Any) -> str | None:
    """A complaint about a schema that a cell wrote, or None when it may be used with `validate`."""
    if not isinstance(schema, Mapping):
        return f"schema takes a JSON schema as a dict, not {type(schema).__name__}"
    try:
        size = len(json.dumps(schema, allow_nan=False).encode())
        plain = json.loads(json.dumps(schema))
    except (TypeError, ValueError, RecursionError) as error:
        return f"the schema is no JSON: {_cut(str(error))}"
    if size > MAX_BYTES:
        return f"the schema has {size} bytes; {MAX_BYTES} are allowed"
    if _deeper(plain, MAX_DEPTH):
        return f"the schema is nested more than {MAX_DEPTH} deep"
    complaint = next(_forbidden(plain, "$", root=True), None)
    return complaint or _invalid(plain)


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    children = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(child, levels - 1) for child in children)


def _forbidden(schema: Any, path: str, root: bool = False) -> Iterator[str]:
    """Complaints about keywords, in a walk of what `validate` can reach: references lead to $defs only."""
    if not isinstance(schema, dict):
        return
    for keyword in schema.keys() & _FORBIDDEN.keys():
        yield f"{path}: {keyword!r} is not allowed here; {_FORBIDDEN[keyword]}"
    if "$schema" in schema and not root:
        yield f"{path}: '$schema' belongs at the top only"
    reference = schema.get("$ref")
    if reference is not None and not _is_local(reference):
        yield f"{path}: $ref {_cut(repr(reference))} is not allowed; only '#' and '#/$defs/NAME' are"
    for name, child in _subschemas(schema):
        yield from _forbidden(child, f"{path}.{name}")


def _is_local(reference: Any) -> bool:
    if reference == "#":
        return True
    parts = reference.split("/") if isinstance(reference, str) else []
    return len(parts) == 3 and parts[0] == "#" and parts[1] in ("$defs", "definitions")


def _subschemas(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for keyword in _NAMED_SUBSCHEMAS:
        if isinstance(schema.get(keyword), dict):
            yield from ((f"{keyword}.{name}", child) for name, child in schema[keyword].items())
    for keyword in _LISTED_SUBSCHEMAS:
        if isinstance(schema.get(keyword), list):
            yield from ((f"{keyword}[{i}]", child) for i, child in enumerate(schema[keyword]))
    yield from ((keyword, schema[keyword]) for keyword in _SUBSCHEMAS if keyword in schema)


def _invalid(schema: Mapping[str, Any]) -> str | None:
    try:
        Draft202012Validator.check_schema(_without_dialect(schema))
    except SchemaError as error:
        return f"the schema is not valid (draft 2020-12): {_complaint(error)}"
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        return f"the schema could not be checked: {type(error).__name__}"
    return None


def _without_dialect(schema: Mapping[str, Any]) -> dict[str, Any]:
    # A validator follows `$schema` to another class, which would count no steps.
    return {key: value for key, value in schema.items() if key != "$schema"}


_steps: contextvars.ContextVar[Iterator[int]] = contextvars.ContextVar("rlm_schema_steps")


class _TooManySteps(Exception):
    pass


def _counted(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if next(_steps.get(), None) is None:
            raise _TooManySteps
        return keyword(validator, value, instance, schema)

    return check


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # The library compares all pairs.
    if wanted and isinstance(instance, list) and len({_canonical(item) for item in instance}) < len(instance):
        yield ValidationError("the items are not unique")


def _canonical(value: Any) -> str:
    def plain(number: Any) -> Any:
        if isinstance(number, float) and number.is_integer():
            return int(number)
        if isinstance(number, dict):
            return {key: plain(item) for key, item in number.items()}
        return [plain(item) for item in number] if isinstance(number, list) else number

    return json.dumps(plain(value), sort_keys=True)


@functools.cache
def _validator_class() -> Any:
    keywords = {**Draft202012Validator.VALIDATORS, "uniqueItems": _unique_items}
    return extend(Draft202012Validator, {name: _counted(check) for name, check in keywords.items()})


def validate(value: Any, schema: Mapping[str, Any], *, steps: int = MAX_STEPS) -> list[str]:
    """Where a value departs from a schema: a few lines, or none when it fits.

    Args:
        steps: keywords that may be compared before the schema is given up as too costly.
    """
    token = _steps.set(iter(range(steps)))
    try:
        validator = _validator_class()(_without_dialect(schema), registry=Registry())
        return [_complaint(error) for error in itertools.islice(validator.iter_errors(value), MAX_COMPLAINTS)]
    except Unresolvable as error:
        return [f"the schema refers to what it does not hold: {_cut(str(error))}"]
    except (_TooManySteps, RecursionError):
        return ["the schema takes too many steps to check; make it simpler and without cycles"]
    except ArithmeticError as error:
        return [f"a number is out of range: {error}"]
    finally:
        _steps.reset(token)


def _complaint(error: Any) -> str:
    return f"{error.json_path}: {_cut(error.message)}"


def _cut(text: str) -> str:
    return text if len(text) <= _CUT else text[: _CUT // 2] + " ... " + text[-_CUT // 2 :]


class ResponseFormat:
    """What `answer["content"]` must be: a pydantic model, a TypedDict or a JSON schema.

    Args:
        spec: as given to `create_rlm_agent(response_format=...)`.

    Attributes:
        schema: the JSON schema that the root is shown.

    Raises:
        ConfigError: it is none of these.
    """

    schema: dict[str, Any]

    def __init__(self, spec: Any) -> None:
        self._model: TypeAdapter[Any] | None = None
        if isinstance(spec, type) and issubclass(spec, BaseModel):
            self._model = TypeAdapter(spec)
            self.schema = _schema_of(self._model, spec)
        elif is_typed_dict(spec):
            self.schema = _schema_of(None, spec)
        elif isinstance(spec, Mapping):
            self.schema = dict(spec)
        else:
            raise ConfigError(
                f"response_format takes a pydantic model class, a TypedDict or a JSON schema as a dict, not {spec!r}."
            )
        if problem := _invalid(self.schema):
            raise ConfigError(f"response_format: {problem}.")

    def parse(self, content: Any) -> tuple[Any, None] | tuple[None, str]:
        """(the value, None), or (None, why it does not fit).

        Args:
            content: a JSON value, or text that holds one. A pydantic model gives an instance, all else the plain value.
        """
        value, complaint = self._fit(content)
        if complaint is not None and isinstance(content, str):
            try:
                value, complaint = self._fit(parse_json(content))
            except ValueError as error:
                complaint = f"the content is no JSON: {error}"
        return (value, None) if complaint is None else (None, complaint)

    def _fit(self, value: Any) -> tuple[Any, str | None]:
        if self._model is None:
            return value, "; ".join(validate(value, self.schema, steps=OWN_STEPS)) or None
        try:
            return self._model.validate_json(json.dumps(value)), None
        except PydanticError as error:
            return None, "; ".join(_pydantic_complaints(error))


def _schema_of(adapter: TypeAdapter[Any] | None, spec: Any) -> dict[str, Any]:
    try:
        return (adapter or TypeAdapter(modern(spec))).json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise ConfigError(f"response_format {spec.__name__} has no JSON schema: {why}") from error


def _pydantic_complaints(error: PydanticError) -> list[str]:
    rows = error.errors(include_url=False, include_input=False)[:MAX_COMPLAINTS]
    return [f"{'.'.join(['$', *map(str, row['loc'])])}: {row['msg']}" for row in rows]
