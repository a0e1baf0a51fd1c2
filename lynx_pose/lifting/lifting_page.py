"""Pages with poses that can be turned."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from lynx_pose.arrays import Floats, Mask
from lynx_pose.lifting.lifter import Lifter, node_indices
from lynx_pose.lifting.lifting_task import VALIDATION, LiftingTask
from lynx_pose.lifting.skeleton3d import EDGES, NODES
from lynx_pose.models.embedded import EMBEDDED
from lynx_pose.reporting.html import figure_html, page_environment

# Poses on the page of a training.
EXAMPLES = 4
# What two scenes side by side have room for.
LONGEST_TITLE = 40
LEFT, RIGHT, MIDDLE = "#ff9a1f", "#2a9fe0", "#3fae3f"


def training_page(task: LiftingTask) -> str:
    """Return the page of a lifting run: its curve, and poses of validation beside the truth."""
    poses, seen = task.draw(EXAMPLES, VALIDATION)
    task.net.eval()
    with torch.inference_mode():
        lifted = task.net(poses.points, seen).positions
    pairs = list(zip(lifted.cpu().numpy(), poses.positions.cpu().numpy(), strict=True))
    titles = [f"generated pose {number + 1}" for number in range(EXAMPLES)]
    return (
        page_environment()
        .get_template("lifting.html.j2")
        .render(
            title="Lifting to three dimensions",
            curve=figure_html(_curve(task.rows), "curve", with_script=True),
            poses=figure_html(pose_scenes([pair[0] for pair in pairs], titles, [pair[1] for pair in pairs]), "poses"),
            last=task.rows[-1],
        )
    )


def poses_page(poses: Sequence[tuple[str, Floats]]) -> str:
    """Return the page of lifted poses: names, and points [16, 3] in camera axes, x to the right, y down, z away."""
    scenes = ""
    if poses:
        titles = [name if len(name) <= LONGEST_TITLE else f"…{name[-LONGEST_TITLE:]}" for name, _ in poses]
        figure = pose_scenes([to_scene(points) for _, points in poses], titles)
        scenes = figure_html(figure, "poses", with_script=True)
    return (
        page_environment()
        .get_template("lifting.html.j2")
        .render(
            title="Poses in three dimensions",
            curve=None,
            poses=scenes,
            last=None,
        )
    )


def to_scene(points: Floats) -> Floats:
    """Turn points [16, 3] from camera axes, x to the right, y down, z away, to those of a scene, whose z is up."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=-1)


def lifted_scenes(keypoints: Floats, seen: Mask, names: Sequence[str], titles: Sequence[str]) -> go.Figure | None:
    """Lift poses with the network that comes with the package, and draw those that could be.

    Args:
        keypoints: [n, K, 2] in image pixels.
        seen: [n, K] which of them are known.
        names: of the K keypoints.
        titles: of the poses.

    Returns:
        None where none could be lifted.

    Raises:
        InputError: the keypoints are not Animal-Pose's, or the package came without the network.
    """
    nodes = node_indices(names)
    lifted = Lifter.load(EMBEDDED)(keypoints[:, nodes], seen[:, nodes])
    known = np.flatnonzero(np.isfinite(lifted.reprojection_error)).tolist()
    if not known:
        return None
    return pose_scenes([to_scene(lifted.points[index]) for index in known], [titles[index] for index in known])


def _curve(rows: Sequence[dict[str, float]]) -> go.Figure:
    figure = make_subplots(1, 3, subplot_titles=["direction loss", "length and symmetry loss", "reprojection error"])
    for column, names in enumerate((["direction"], ["length", "symmetry"], ["reprojection"]), start=1):
        for name in names:
            line = go.Scatter(x=[row["poses"] for row in rows], y=[row[name] for row in rows], name=name)
            figure.add_trace(line, row=1, col=column)
    figure.update_yaxes(type="log", exponentformat="power", row=1, col=2)
    figure.update_xaxes(title_text="poses seen")
    figure.update_layout(template="plotly_white", height=360)
    return figure


def pose_scenes(
    poses: Sequence[Floats], titles: Sequence[str], truths: Sequence[Floats] = (), columns: int = 2
) -> go.Figure:
    """Draw skeletons that can be turned.

    Args:
        poses: [16, 3] each, x to the right, y away, z up; NaN where a node is not known.
        titles: of the scenes.
        truths: drawn in grey, where known.
        columns: scenes in a row.
    """
    rows = -(-len(poses) // columns)
    kinds = [[{"type": "scene"}] * columns] * rows
    figure = make_subplots(rows, columns, specs=kinds, subplot_titles=list(titles), vertical_spacing=0.04)
    for number, pose in enumerate(poses):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        for trace in _skeleton(pose):
            figure.add_trace(trace, **place)
        if number < len(truths):
            figure.add_trace(_lines(truths[number], range(len(EDGES)), "#999", 3, "truth"), **place)
    axis = {"showbackground": False, "title": "", "showticklabels": False}
    # As the camera saw it, from a little above.
    camera = {"eye": {"x": 0.4, "y": -1.9, "z": 0.5}}
    figure.update_scenes(aspectmode="data", camera=camera, xaxis=axis, yaxis=axis, zaxis=axis)
    figure.update_layout(template="plotly_white", height=430 * rows, showlegend=False, margin={"l": 0, "r": 0, "b": 0})
    return figure


def _skeleton(pose: Floats) -> list[go.Scatter3d]:
    names = [NODES[child] for _, child in EDGES]
    sides = [(LEFT, "L_", 9), (RIGHT, "R_", 6), (MIDDLE, "", 6)]
    traces = []
    for color, prefix, width in sides:
        own = [edge for edge, name in enumerate(names) if (name[:2] if name[1] == "_" else "") == prefix]
        traces.append(_lines(pose, own, color, width, {"L_": "left", "R_": "right"}.get(prefix, "middle")))
    return traces


def _lines(pose: Floats, edges: Sequence[int], color: str, width: int, name: str) -> go.Scatter3d:
    gap = np.full((1, 3), np.nan)
    path = np.concatenate([np.concatenate([pose[list(EDGES[edge])], gap]) for edge in edges])
    labels = [label for edge in edges for label in (*(NODES[node] for node in EDGES[edge]), "")]
    return go.Scatter3d(
        x=path[:, 0],
        y=path[:, 1],
        z=path[:, 2],
        mode="lines+markers",
        name=name,
        text=labels,
        hoverinfo="text",
        line={"color": color, "width": width},
        marker={"color": color, "size": 3},
    )
