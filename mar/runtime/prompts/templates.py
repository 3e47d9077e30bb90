"""Strict jinja2: an undefined variable is an error when a file is loaded, not a hole in a prompt.

What users and agents write is handed to templates as values. It is never compiled, so jinja syntax in it comes through
as it is; the sandbox is a second fence, around templates that a user supplies.
"""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment

from mar.errors import ConfigError
from mar.reading import brief
from mar.runtime.prompts.records import Role


@functools.cache
def _environment() -> SandboxedEnvironment:
    # Autoescape stays off: prompts are no HTML, and escaping would change code and formulas.
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.globals.clear()
    return environment


def compile_template(text: str, variables: frozenset[str], where: str) -> Template:
    """Compile a template that may use the given variables.

    Args:
        text: The template.
        variables: Names that it will be rendered with.
        where: File and field, for messages.

    Raises:
        ConfigError: Its syntax is wrong, or it uses another variable, in whichever branch.
    """
    environment = _environment()
    try:
        unknown = sorted(meta.find_undeclared_variables(environment.parse(text)) - variables)
        if unknown:
            there_are = ", ".join(sorted(variables)) or "none"
            raise ConfigError(f"{where}: undefined variable '{unknown[0]}'; there are: {there_are}")
        return environment.from_string(text)
    except TemplateSyntaxError as error:
        raise ConfigError(f"{where}: line {error.lineno}: {error.message}") from None
    except (ValueError, RecursionError) as error:  # of numbers and nesting that Python does not parse
        raise ConfigError(f"{where}: no template: {brief(error)}") from None


def render(template: Template, where: str, values: dict[str, Any]) -> str:
    """Render a template.

    Raises:
        ConfigError: It uses an attribute that a value does not have, or does something that fails.
    """
    try:
        return template.render(values).strip()
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None


def render_system(role: Role, where: str | None = None) -> str:
    """The system prompt of a role.

    Args:
        role: The role.
        where: File and field for messages, where the prompt is not from the role's own file.

    Raises:
        ConfigError: The template is wrong or uses more than `name` and `domain`.
    """
    return _system(
        role.system, role.name, role.domain, where or f"roles/{role.domain}/{role.name}.toml: field 'system'"
    )


# Compiling costs a thousand times what rendering does, and a role speaks often.
@functools.lru_cache(maxsize=1024)
def _system(source: str, name: str, domain: str, where: str) -> str:
    template = compile_template(source, frozenset({"name", "domain"}), where)
    return render(template, where, {"name": name, "domain": domain})


def render_fixed(text: str, where: str) -> str:
    """A text that uses no variables.

    Raises:
        ConfigError: It does, or its syntax is wrong.
    """
    return render(compile_template(text, frozenset(), where), where, {})
