"""Where the templates of pages and cards lie."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def page_environment() -> Environment:
    """Return what finds and fills the templates; HTML is escaped, Markdown is not."""
    return Environment(
        loader=PackageLoader("lynx_pose.reporting"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
