"""One self-contained page: templates, one style sheet, and a policy that lets nothing else in.

The page asks no network for anything and runs no script but the one it was written with: a content security
policy names that script by its SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hqgnet.report import figures

_SHARED = Path(__file__).parent / "templates"


def render(folder: Path, template: str, *, script: str = "", **content: Any) -> str:
    """Return the page as HTML; the same content gives the same text.

    Args:
        folder: Holds the template; those shared by all reports are found as well.
        template: Its name; extends ``base.html``.
        script: JavaScript of the page, trusted; empty for none.
        content: What the template shows; text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": figures.write,
        "change": figures.write_change,
        "bytes": figures.write_bytes,
        "seconds": figures.write_seconds,
    }
    return environment.get_template(template).render(
        script=script,
        policy=_policy(script),
        **content,
    )


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"'sha256-{digest}'" if script else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )
