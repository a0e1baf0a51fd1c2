"""What pages share: templates, figures as HTML, images as base64."""

import base64

import cv2
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from lynx_pose.arrays import Pixels


def page_environment() -> Environment:
    """Return what finds and fills the templates; HTML is escaped, Markdown is not."""
    environment = Environment(
        loader=PackageLoader("lynx_pose.reporting"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["counted"] = counted
    return environment


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: 1 image, 2 images."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def figure_html(figure: go.Figure, name: str, with_script: bool = False) -> str:
    """Return a figure as a part of a page; the first one brings the script that all of them use."""
    html: str = figure.to_html(full_html=False, include_plotlyjs=with_script, div_id=name)
    return html


def jpeg_base64(image: Pixels) -> str:
    """Return base64 of a JPEG of [H, W, 3] RGB."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return base64.b64encode(encoded.tobytes()).decode("ascii")
