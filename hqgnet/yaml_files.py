"""YAML, or any mapping from outside, into checked and typed configuration; all mistakes reported at once."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.constructor import ConstructorError

from hqgnet.errors import ConfigurationError, Problem

MAX_BYTES = 2**20
_Model = TypeVar("_Model", bound=BaseModel)
# Short and shallow: YAML aliases can make a small file stand for an enormous value.
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 60
_shown.maxlevel = 2
# "\0" and "\ud800" in double quotes: the system refuses them in a path, late and without a place.
# YAML 1.1 takes 1e-5 for a text, since it has no point; JSON, and people, write it so.
_WITHOUT_POINT = re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$")
_IN_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def load_yaml_model(path: Path, model: type[_Model]) -> _Model:
    """Read a YAML file into a pydantic model.

    A validator of ``model`` may raise ``ValueError("what is wrong: what to do")``; the two halves become the
    problem's ``what`` and ``remedy``.

    Args:
        path: UTF-8 file of at most 1 MiB that holds one mapping.
        model: What it must be.

    Raises:
        ConfigurationError: If the file is missing, unreadable, too big or not a mapping, or with all
            mistakes in it: duplicate and unknown keys, missing keys, values that do not fit.
    """
    where = str(path)
    duplicates: list[Problem] = []
    mapping = _parse(_read(path), where, duplicates)
    try:
        checked = validate_mapping(mapping, model, where)
    except ConfigurationError as error:
        raise ConfigurationError([*duplicates, *error.problems]) from error
    if duplicates:
        raise ConfigurationError(duplicates)
    return checked


def validate_mapping(mapping: object, model: type[_Model], where: str) -> _Model:
    """Check a mapping that is already in memory, for example from JSON.

    Args:
        mapping: Anything; what is not a mapping is refused.
        model: What it must be.
        where: Said in errors before the key path.

    Raises:
        ConfigurationError: With every mistake.
    """
    if not isinstance(mapping, dict):
        what = (
            "is empty"
            if mapping is None
            else f"holds {_shown.repr(mapping)}, not a mapping of keys to values"
        )
        raise ConfigurationError(
            Problem(where, what, f"Write one 'key: value' a line; keys: {_known_keys(model)}")
        )
    try:
        return model.model_validate(mapping)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise ConfigurationError([_problem(detail, model, where) for detail in details]) from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigurationError(Problem(str(path), "is missing", "Check the path")) from error
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise ConfigurationError(Problem(str(path), what, "Give a readable file")) from error
    if len(data) > MAX_BYTES:
        raise ConfigurationError(Problem(str(path), "is larger than 1 MiB", "Give a configuration file"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            Problem(str(path), f"is not UTF-8 text ({error})", "Save it as UTF-8")
        ) from error


def _parse(text: str, where: str, duplicates: list[Problem]) -> object:
    class Loader(yaml.SafeLoader):
        """PyYAML keeps the last of two equal keys in silence; this one notes them.

        Whatever else it fails on becomes its own kind of error, which knows the line.
        """

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            # A list that is tagged as a mapping comes here too; PyYAML refuses it below.
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if not isinstance(key, yaml.ScalarNode):
                    what = "a mapping or list stands where a key should: a {{ template }} not filled in?"
                    raise ConstructorError(None, None, what, key.start_mark)
                if key.value in seen:
                    place = f"{where}: line {key.start_mark.line + 1}"
                    duplicates.append(
                        Problem(place, f"key {key.value!r} stands twice", "Keep one of the two")
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
                # Such as of !!int '' or !!bool maybe; SafeLoader relies on values that fit their tag.
                what = f"{_shown.repr(node.value)} is no {node.tag.rpartition(':')[2]}"
                raise ConstructorError(None, None, what, node.start_mark) from error

        def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
            value = super().construct_scalar(node)
            if isinstance(value, str) and _IN_NO_TEXT.search(value):
                what = f"{_shown.repr(value)} holds a character that no text may hold"
                raise ConstructorError(None, None, what, node.start_mark)
            return value

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _WITHOUT_POINT, list("-+0123456789"))
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f": line {error.problem_mark.line + 1}" if error.problem_mark else ""
        what = f"is not valid YAML ({error.problem or error.context})"
        raise ConfigurationError(Problem(where + line, what, "Correct the line")) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = f"is not valid YAML ({_shown.repr(str(error))})"
        raise ConfigurationError(Problem(where, what, "Correct it")) from error


def _problem(detail: ErrorDetails, model: type[BaseModel], where: str) -> Problem:
    location = detail["loc"]
    path = (f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in location)
    key_path = "".join(path).lstrip(".")
    place = f"{where}: {key_path}" if key_path else where
    kind, message = detail["type"], detail["msg"]
    description = _description(model, location)
    if kind == "extra_forbidden":
        return _unknown_key(place, str(location[-1]), _model_at(model, location[:-1]))
    if kind == "missing":
        return Problem(place, "is missing", f"Add it: {description}" if description else "Add it")
    if kind in ("value_error", "assertion_error"):
        what, _, remedy = message.split(", ", 1)[-1].partition(": ")
        if location:
            what = f"{_shown.repr(detail['input'])}: {what}"
        return Problem(place, what, remedy[:1].upper() + remedy[1:] or "Correct it")
    expected = message.removeprefix("Input should be ").removeprefix("Input should ")
    remedy = f"It must be {expected}" if expected != message else message
    if description:
        remedy += f" ({description})"
    return Problem(place, f"{_shown.repr(detail['input'])} does not fit", remedy)


def _printable(key: str) -> str:
    """Return a key as it may stand in a log: it can come from another machine."""
    shown = _shown.repr(key)
    return key if key.isprintable() and shown[1:-1] == key else shown


def _unknown_key(place: str, key: str, parent: type[BaseModel] | None) -> Problem:
    if parent is None:
        return Problem(place, "is an unknown key", "Remove it")
    near = difflib.get_close_matches(key, parent.model_fields, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return Problem(place, "is an unknown key", f"{hint}Known keys: {_known_keys(parent)}")


def _known_keys(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _model_at(model: type[BaseModel] | None, location: Sequence[int | str]) -> type[BaseModel] | None:
    for part in location:
        field = model.model_fields.get(str(part)) if model else None
        model = _nested_model(field.annotation) if field else None
    return model


def _nested_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _nested_model(inner))), None)


def _description(model: type[BaseModel], location: Sequence[int | str]) -> str:
    parent = _model_at(model, location[:-1]) if location else None
    field = parent.model_fields.get(str(location[-1])) if parent else None
    return (field.description or "") if field else ""
