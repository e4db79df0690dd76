"""Sphinx configuration: `sphinx-build -W -b html docs docs/_build`, or `make docs`."""

import re

import tauax

project = "tauax"
author = "The tauax developers"
copyright = author
release = version = tauax.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build", "jupyter_execute"]  # myst-nb writes the latter beside the output
html_theme = "furo"
html_title = f"tauax {release}"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_merge_streams = True

default_role = "code"  # docstrings write `names` in single backticks
autodoc_typehints = "none"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88

_LITERAL = re.compile(r"(`+[^`]*`+)")


def _as_rest(app, what, name, obj, options, lines: list[str]) -> None:
    """Docstrings as reST: the bars of |x| are no substitutions, an indented block is code."""
    inside_block = False
    result: list[str] = []
    for line in lines:
        begins = line.startswith(("    ", "@")) and (not result or not result[-1])
        if begins and not inside_block:
            result += ["::", ""]
        # A block goes on to the next line that is neither blank nor indented.
        inside_block = begins or (inside_block and (not line or line.startswith(("    ", "def "))))
        result.append(f"    {line}" if inside_block and line else _escaped(line, inside_block))
    lines[:] = result


def _escaped(line: str, literal: bool) -> str:
    if literal:
        return line
    parts = _LITERAL.split(line)
    plain = (part.replace("|", r"\|").replace("±", "±\\ ") for part in parts[::2])
    parts[::2] = plain
    return "".join(parts)


def setup(app) -> None:
    """Register the hook; it runs before napoleon reads the docstring."""
    app.connect("autodoc-process-docstring", _as_rest, priority=100)
