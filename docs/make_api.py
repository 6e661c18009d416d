"""Writes docs/api.md from the docstrings and signatures of what `nas` exports: python docs/make_api.py"""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_origin

import nas
from nas.searches.options import SearchOptions, help_of

PAGE = Path(__file__).with_name("api.md")


def page() -> str:
    """The page: functions first, then classes, then errors."""
    exported = {name: getattr(nas, name) for name in nas.__all__}
    functions = [name for name, value in exported.items() if inspect.isfunction(value)]
    errors = [name for name, value in exported.items() if _is_error(value)]
    classes = [name for name in exported if name not in functions and name not in errors]
    parts = ["# Python\n\nWhat `import nas` gives. This page is made from the docstrings by `python docs/make_api.py`."]
    parts += [_function(name, exported[name]) for name in functions]
    parts += [_class(name, exported[name]) for name in classes]
    rows = "\n".join(f"| `nas.{name}` | {_summary(exported[name])} |" for name in errors)
    parts.append(f"## Errors\n\n| error | raised for |\n|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def _is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def _function(name: str, function: Any) -> str:
    text = f"## nas.{name}\n\n{_text(function)}"
    if name != "search":
        return f"{text}\n\n```python\nnas.{name}{_signature(function)}\n```"
    rows = [
        f"| `{option.name}` | `{_code(option.type)}` | {_default(option.default)} | {_code(help_of(option))} |"
        for option in fields(SearchOptions)
    ]
    return f"{text}\n\n| argument | type | default | |\n|---|---|---|---|\n" + "\n".join(rows)


def _class(name: str, kind: Any) -> str:
    lines: list[str] = []
    if get_origin(kind) is Annotated:
        return f"## nas.{name}\n\n{_text(kind)}"
    if is_dataclass(kind):
        lines += [f"| `{field.name}` | `{_code(field.type)}` |" for field in fields(kind)]
    members = [
        f"| `{member}{_signature(value, method=True)}` | {_summary(value)} |"
        for member, value in vars(kind).items()
        if not member.startswith("_") and inspect.isfunction(_plain(value)) and (_plain(value).__doc__ or "")
    ]
    members += [
        f"| `{member}` | {_summary(value)} |"
        for member, value in vars(kind).items()
        if not member.startswith("_") and isinstance(value, property)
    ]
    text = f"## nas.{name}\n\n{_text(kind)}"
    if lines:
        text += "\n\n| field | type |\n|---|---|\n" + "\n".join(lines)
    if members:
        text += "\n\n| member | |\n|---|---|\n" + "\n".join(members)
    return text


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, classmethod | staticmethod) else value


def _signature(function: Any, *, method: bool = False) -> str:
    signature = inspect.signature(_plain(function))
    parameters = list(signature.parameters.values())[1 if method and not isinstance(function, staticmethod) else 0 :]
    return _code(re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature.replace(parameters=parameters))))


def _code(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _default(value: Any) -> str:
    return "required" if value is MISSING else f"`{value!r}`"


def _text(value: Any) -> str:
    if get_origin(value) is Annotated:  # such a type has no docstring of its own
        value = type(value.__metadata__[0])
    return (inspect.getdoc(value) or "").strip()


def _summary(value: Any) -> str:
    return _code(" ".join(_text(value).split("\n\n")[0].split()))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
