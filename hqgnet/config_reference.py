"""The page of all configuration keys, written from the models that check them: ``python -m
hqgnet.config_reference``.

``docs/configuration.md`` is this module's output; a test keeps them equal.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hqgnet.config import Experiment
from hqgnet.data.site_config import SiteConfig

_INTRODUCTION = """# Every configuration key

Two files govern a run. The consortium engineer writes the **experiment**, the same for all; each
hospital's engineer writes a **site** file, which never leaves the hospital. Unknown keys are refused, and all
mistakes are reported at once, with file, key, value and remedy. (This page is written by `make docs` from the
code that checks the files. The server's own file has [a page of its own](federation-file.md).)
"""


def reference() -> str:
    """Return the page as Markdown."""
    sections = (
        ("The experiment (`experiment.yaml`)", Experiment),
        ("The site (`site.yaml`)", SiteConfig),
    )
    return _INTRODUCTION + "".join(section(title, model) for title, model in sections)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield ``(key.path, field)`` for every leaf key of a model."""
    for name, field in model.model_fields.items():
        nested = _nested_model(field.annotation)
        if nested is None:
            yield prefix + name, field
        else:
            yield from keys(nested, f"{prefix}{name}.")


def section(title: str, model: type[BaseModel]) -> str:
    """Return the keys of a model as a section of a Markdown page."""
    rows = [
        f"| `{path}` | {_type(field)} | {_default(field)} | {field.description} |"
        for path, field in keys(model)
    ]
    return (
        f"\n## {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(rule, attribute)}"
        for rule in field.metadata
        for attribute, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if getattr(rule, attribute, None) is not None
    ]
    return ", ".join([_type_name(field.annotation), *bounds]).replace("|", "\\|")


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, UnionType):
        return " or ".join(_type_name(argument) for argument in arguments if argument is not NoneType)
    if origin is tuple:
        return "list of " + " ".join(dict.fromkeys(_type_name(a) for a in arguments if a is not Ellipsis))
    if origin is dict:
        return "mapping"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
