"""Interactive figures: AP by epoch, correct predictions, intervals, the effect of the correction factor."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.colors import qualitative

from lynx_pose.metrics.oks import correction_effect, reference_scale, share_scale
from lynx_pose.metrics.pck import correct_predictions
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.html import figure_html
from lynx_pose.reporting.published import PublishedLine
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.study import Comparison
from lynx_pose.reporting.tables import stages
from lynx_pose.reporting.validation_poses import Validation

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
CORRECTIONS = tuple(float(value) for value in np.logspace(0, 7, 29))


def ap_curves(runs: Sequence[Run], published: Sequence[PublishedLine]) -> str:
    """Draw validation AP over epochs, a curve a run, with a menu of augmentation groups.

    Colours tell rows apart, and dashes their groups; where there is one row, colours tell groups apart.

    The figure is self-contained HTML, and brings the script that all other figures use. Figures 28 to 36 of the
    thesis are its groups. Published best values are dotted lines.
    """
    figure = go.Figure()
    several = len({run.row for run in runs}) > 1
    kinds = [run.row if several else run.augmentation for run in runs]
    colors = _colors(kinds)
    groups = list(dict.fromkeys(run.augmentation for run in runs))
    for run, kind in zip(runs, kinds, strict=True):
        epochs, values = zip(*run.curve, strict=True) if run.curve else ((), ())
        figure.add_scatter(
            x=epochs,
            y=values,
            name=run.title,
            line={"color": colors[kind], "dash": DASHES[groups.index(run.augmentation) % len(DASHES)]},
            mode="lines+markers" if len(epochs) < 3 else "lines",
            hovertemplate="epoch %{x}<br>AP %{y:.4f}",
        )
    for line in published:
        text = f"{line.name}, published: {line.ap:.4g} ({line.detail})"
        figure.add_hline(line.ap, line_dash="dot", line_color="#888", annotation_text=text)
    _lay_out(figure, "epoch", "validation AP", height=480)
    figure.update_yaxes(range=[0, 1])
    figure.update_layout(updatemenus=[_group_menu(runs)], legend={"orientation": "v", "y": 1})
    return figure_html(figure, "curves", with_script=True)


# Of every run, and shown elsewhere.
USUAL = ("loss", "AP", "AP50", "AP75", "AR", "AP_eq18", "mean_error_px", "median_error_px")


def further_curves(runs: Sequence[Run]) -> str:
    """Draw the metrics that runs have beside the usual ones (`+metric=`) over epochs; empty where none has any."""
    figure = go.Figure()
    known = [(run, name, curve) for run in runs for name, curve in run.further.items() if name not in USUAL]
    names = list(dict.fromkeys(name for _, name, _ in known))
    kinds = [run.title for run in runs]
    colors = _colors(kinds)
    for run, name, curve in known:
        epochs, values = zip(*curve, strict=True)
        line = {"color": colors[run.title], "dash": DASHES[names.index(name) % len(DASHES)]}
        figure.add_scatter(x=epochs, y=values, name=f"{run.title}: {name}", line=line, mode="lines")
    if not known:
        return ""
    _lay_out(figure, "epoch", "on the validation side", height=420)
    return figure_html(figure, "further_curves")


def _group_menu(runs: Sequence[Run]) -> dict[str, object]:
    """Make a menu that shows the curves of one augmentation group, or all."""
    groups = list(dict.fromkeys(run.augmentation for run in runs))
    choices = [("all groups", [True] * len(runs))]
    choices += [(group, [run.augmentation == group for run in runs]) for group in groups]
    buttons = [{"label": name, "method": "restyle", "args": ["visible", shown]} for name, shown in choices]
    return {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}


def prediction_curves(runs: Sequence[Run], validation: Validation) -> str:
    """Draw the percentage of correct predictions over thresholds of 1 to 2,000 pixels (Figure 37)."""
    thresholds = np.unique(np.round(np.logspace(0, np.log10(2000), 120), 2))
    figure = go.Figure()
    chosen = stages(validation.of(runs))
    colors = _colors([row for row, _, _ in chosen])
    for row, name, run in chosen:
        poses = validation[run]
        figure.add_scatter(
            x=thresholds,
            y=100 * correct_predictions(poses.distances, poses.visible, thresholds.tolist()),
            name=f"{row}, {name}",
            line={"color": colors[row], "dash": {"baseline": "dot", "none": "dash"}.get(name, "solid")},
            hovertemplate="%{x:.0f} px<br>%{y:.1f} %",
        )
    _lay_out(figure, "threshold, pixels", "correct predictions, %")
    figure.update_xaxes(type="log")
    return figure_html(figure, "predictions")


def interval_plot(comparisons: Sequence[Comparison]) -> str:
    """Draw the 95 % interval of each group's difference from each reference; filled where it is supported.

    A difference of one seed has no interval.
    """
    figure = go.Figure()
    for reference in dict.fromkeys(one.reference for one in comparisons):
        own = [one for one in comparisons if one.reference == reference]
        figure.add_scatter(
            x=[one.difference for one in own],
            y=[f"{one.row}, {one.group}" for one in own],
            error_x={
                "type": "data",
                "array": [None if one.high is None else one.high - one.difference for one in own],
                "arrayminus": [None if one.low is None else one.difference - one.low for one in own],
            },
            mode="markers",
            marker={"size": 9, "symbol": ["circle" if one.supported else "circle-open" for one in own]},
            name=f"minus {reference}",
        )
    figure.add_vline(0, line_color="#888")
    _lay_out(figure, "difference of AP", "", height=160 + 26 * len(comparisons))
    figure.update_yaxes(autorange="reversed")
    return figure_html(figure, "intervals")


def correction_plot(poses: Poses, images: Sequence[tuple[int, int]], sigmas: Sequence[float]) -> str:
    """Draw the share of OKS that is not 0, and its mean, over correction factors (Figure 11).

    Args:
        poses: of one run.
        images: (width, height) of all images of the dataset; their median is the reference.
        sigmas: K of OKS.
    """
    sizes = np.array([np.prod(record.image_size, dtype=np.float64) for record in poses.records])
    reference = float(np.median([width * height for width, height in images]))
    scales = {
        "Equation 14": share_scale(poses.areas, sizes, 1.0),
        "Equation 15": reference_scale(poses.areas, sizes, reference),
    }
    figure = go.Figure()
    for name, scale in scales.items():
        effects = correction_effect(poses.distances, poses.visible, scale, sigmas, CORRECTIONS)
        dash = "solid" if name == "Equation 14" else "dash"
        for label, values in (
            ("share above 0", [effect.nonzero for effect in effects]),
            ("mean OKS", [effect.mean for effect in effects]),
        ):
            figure.add_scatter(x=CORRECTIONS, y=values, name=f"{name}: {label}", line={"dash": dash})
    _lay_out(figure, "correction factor c", "")
    figure.update_xaxes(type="log")
    return figure_html(figure, "correction")


def _colors(names: Sequence[str]) -> dict[str, str]:
    palette = qualitative.D3
    return {name: palette[number % len(palette)] for number, name in enumerate(dict.fromkeys(names))}


def _lay_out(figure: go.Figure, x_title: str, y_title: str, height: int = 420) -> None:
    figure.update_layout(
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        height=height,
        xaxis_title=x_title,
        yaxis_title=y_title,
        legend={"orientation": "h", "y": -0.18},
    )
