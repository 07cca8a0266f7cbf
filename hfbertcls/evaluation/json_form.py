"""JSON of frozen dataclasses: writing, reading with errors that name the key, and a JSON schema."""

import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from math import isfinite
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints


class DamagedError(ValueError):
    """A value of the JSON is not what it must be; the message begins with its key."""


@dataclass(frozen=True, eq=False)
class Check:
    """What a value must be, beside its type.

    Args:
        expected: in words, with an article.
        holds: whether a value is that.
        schema: the same as a JSON schema.
    """

    expected: str
    holds: Callable[[Any], bool]
    schema: Mapping[str, Any]


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


_PLAIN: Mapping[Any, Check] = {
    str: Check("a text", lambda value: isinstance(value, str), {"type": "string"}),
    bool: Check("true or false", lambda value: isinstance(value, bool), {"type": "boolean"}),
    float: Check("a number", _is_number, {"type": "number"}),
    int: Check(
        "a whole number",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53,
        {"type": "integer"},
    ),
}
Count = Annotated[int, Check("a count", _is_count, {"type": "integer", "minimum": 0})]
Rows = Annotated[
    int,
    Check("a count of at least 1", lambda value: _is_count(value) and value > 0, {"type": "integer", "minimum": 1}),
]
_HASH = re.compile(r"[0-9a-f]{64}")
Sha256 = Annotated[
    str,
    Check(
        "a SHA-256 in hexadecimal",
        lambda value: isinstance(value, str) and bool(_HASH.fullmatch(value)),
        {"type": "string", "pattern": f"^{_HASH.pattern}$"},
    ),
]


def optional(default: Any = None) -> Any:
    """A field whose key is not written while it has its default, and may be missing when it is read."""
    return field(default=default, metadata={"optional": True})


def optional_mapping() -> Any:
    """As `optional`, of an empty mapping."""
    return field(default_factory=dict, metadata={"optional": True})


def further_keys() -> Any:
    """A field that holds all keys of the object that have no field of their own."""
    return field(default_factory=dict, metadata={"further": True})


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a JSON object with a field for each key."""

    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, metadata={"further": True})
    """Keys of a newer version, kept as they are."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: plain values, keys in the order of the fields."""
        values: dict[str, Any] = {}
        kind: Any = type(self)
        for one in _own_fields(kind):
            value = getattr(self, one.name)
            if one.metadata.get("further"):
                values |= {key: as_json(entry) for key, entry in value.items()}
            elif not (one.metadata.get("optional") and value == _default_of(one)):
                values[one.name] = as_json(value)
        return values

    @classmethod
    def from_dict(cls, values: Any, place: str = "") -> Self:
        """Read what `to_dict` returns.

        Args:
            values: read from JSON.
            place: the path of its key, for messages.

        Raises:
            DamagedError: naming the key that is missing, or has another type or value than it must have.
        """
        if not isinstance(values, Mapping):
            raise DamagedError(f"{place or 'the report'} is {shown(values)}; expected an object")
        kind: Any = cls
        hints, arguments = _hints(kind), dict[str, Any]()
        own, further = _keys(kind)
        for name, one in own.items():
            if name not in values and not _is_optional(one):
                raise DamagedError(f"{_joined(place, name)} is missing")
        for name, one in own.items():
            if name in values and not (values[name] is None and _is_optional(one)):
                arguments[name] = _read(hints[name], values[name], _joined(place, name))
        rest = {key: value for key, value in values.items() if key not in own}
        return cls(**arguments, **{further: _read(hints[further], rest, place)})


def as_json(value: Any) -> Any:
    """A value of a section as JSON holds it."""
    if isinstance(value, Section):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: as_json(entry) for key, entry in value.items()}
    return [as_json(entry) for entry in value] if isinstance(value, list | tuple) else value


def schema_of(cls: type[Section], title: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a section and of all that it holds."""
    definitions: dict[str, Any] = {}
    top = _schema(cls, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def shown(value: Any) -> str:
    """A value that is wrong, for a message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping | list):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


@cache
def _own_fields(cls: Any) -> tuple[Field[Any], ...]:
    """Fields in order, `extra` last; without `extra` where another field takes the further keys."""
    further = [one for one in fields(cls) if one.metadata.get("further")]
    ordinary = [one for one in fields(cls) if one.name != "extra"]
    return tuple(ordinary if len(further) > 1 else [*ordinary, *further])


@cache
def _keys(cls: Any) -> tuple[dict[str, Field[Any]], str]:
    """The fields that have a key of their own, by its name, and the name of the field that holds all further keys."""
    own = {one.name: one for one in _own_fields(cls) if not one.metadata.get("further")}
    return own, next(one.name for one in _own_fields(cls) if one.metadata.get("further"))


def _is_optional(one: Field[Any]) -> bool:
    return bool(one.metadata.get("optional"))


def _default_of(one: Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _joined(place: str, key: str) -> str:
    name = key if len(key) <= 40 and key.isprintable() else f"{key[:40]!r}…"
    return f"{place}.{name}" if place else name


@cache
def _choices(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union; a kind alone where it is none."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _read(kind: Any, value: Any, place: str) -> Any:
    choices = _choices(kind)
    if value is None and types.NoneType in choices:
        return None
    kinds = [one for one in choices if one is not types.NoneType]
    if len(kinds) == 1:
        return _read_one(kinds[0], value, place)
    for one in kinds:
        try:
            return _read_one(one, value, place)
        except DamagedError:
            continue
    raise DamagedError(f"{place} is {shown(value)}; expected {' or '.join(map(_in_words, choices))}")


def _read_one(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind.from_dict(value, place)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise DamagedError(f"{place} is {shown(value)}; expected a list")
        if (one := _plain_check(arguments[0])) is not None and all(map(one.holds, value)):
            return tuple(value)  # (long lists of numbers are read at once; the other way says which entry is wrong)
        return tuple(_read(arguments[0], entry, f"{place}[{index}]") for index, entry in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise DamagedError(f"{place or 'the report'} is {shown(value)}; expected an object")
        return {key: _read(arguments[1], entry, _joined(place, key)) for key, entry in value.items()}
    check = _check_of(kind)
    if not check.holds(value):
        raise DamagedError(f"{place} is {shown(value)}; expected {check.expected}")
    return value


@cache
def _plain_check(kind: Any) -> Check | None:
    """The check of a kind that holds no others; None where it does."""
    is_compound = kind is Any or get_origin(kind) in (tuple, Mapping) or len(_choices(kind)) > 1
    return None if is_compound or (isinstance(kind, type) and issubclass(kind, Section)) else _check_of(kind)


@cache
def _check_of(kind: Any) -> Check:
    if get_origin(kind) is Literal:
        words = get_args(kind)
        return Check(" or ".join(map(repr, words)), lambda value: value in words, {"enum": list(words)})
    return next((one for one in getattr(kind, "__metadata__", ()) if isinstance(one, Check)), None) or _PLAIN[kind]


def _in_words(kind: Any) -> str:
    if kind is types.NoneType:
        return "null"
    origin = get_origin(kind)
    if origin is tuple:
        return "a list"
    return "an object" if origin is Mapping or hasattr(kind, "from_dict") else _check_of(kind).expected


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind is Any:
        return {}
    choices = _choices(kind)
    if len(choices) > 1:
        return {"anyOf": [_schema(one, definitions) for one in choices]}
    if kind is types.NoneType:
        return {"type": "null"}
    if isinstance(kind, type) and issubclass(kind, Section):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}  # (so that a section may hold itself)
            definitions[kind.__name__] = dict(_object(kind, definitions))
        return {"$ref": f"#/$defs/{kind.__name__}"}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    return dict(_check_of(kind).schema)


def _object(cls: Any, definitions: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    hints = _hints(cls)
    own, further = _keys(cls)
    yield "description", (cls.__doc__ or "").partition("\n")[0]
    yield "type", "object"
    yield "properties", {name: _schema_of_field(one, hints[name], definitions) for name, one in own.items()}
    yield "required", [name for name, one in own.items() if not _is_optional(one)]
    yield "additionalProperties", _schema(get_args(hints[further])[1], definitions)


def _schema_of_field(one: Field[Any], kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(kind, definitions)
    is_nullable = types.NoneType in _choices(kind) or kind is Any
    return {"anyOf": [schema, {"type": "null"}]} if _is_optional(one) and not is_nullable else schema
