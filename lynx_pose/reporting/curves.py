"""Validation AP over epochs, one curve a run."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from lynx_pose.reporting.runs import Run


def ap_curves(runs: Sequence[Run]) -> str:
    """Return an interactive figure as HTML with everything that it needs inside."""
    figure = go.Figure()
    for run in runs:
        epochs, values = zip(*run.curve, strict=True) if run.curve else ((), ())
        figure.add_scatter(
            x=epochs,
            y=values,
            name=run.label,
            mode="lines+markers" if len(epochs) < 3 else "lines",
            hovertemplate="epoch %{x}<br>AP %{y:.4f}",
        )
    figure.update_layout(
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        height=460,
        xaxis_title="epoch",
        yaxis_title="validation AP",
        yaxis_range=[0, 1],
        legend={"orientation": "h", "y": -0.18},
    )
    html: str = figure.to_html(full_html=False, include_plotlyjs=True, div_id="curves")
    return html
