"""Every exit code has its page, and every page its code."""

from __future__ import annotations

from pathlib import Path

from hqgnet.errors import ExitCode

DOCS = Path(__file__).parents[2] / "docs"


def test_a_page_for_every_code() -> None:
    pages = {f"{int(code)}-{code.name.lower().replace('_', '-')}": code for code in ExitCode}
    assert {page.stem for page in (DOCS / "exit-codes").glob("*.md")} == set(pages)
    index = (DOCS / "exit-codes.md").read_text()
    for slug, code in pages.items():
        text = (DOCS / "exit-codes" / f"{slug}.md").read_text()
        assert text.startswith(f"# Exit code {int(code)} {code.name.lower()}\n")
        assert f"[{int(code)}](exit-codes/{slug}.md)" in index
        assert code is ExitCode.OK or "## What to do" in text
