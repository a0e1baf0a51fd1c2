"""What a search has found: its history, which options mattered, and how they go together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from lynx_pose.reporting.html import figure_html


def search_figures(sweeps: Sequence[Path]) -> str:
    """Return the HTML of the first sweep's search; empty where it is none, or has nothing to show yet."""
    searches = [sweep for sweep in sweeps if (sweep / "study.log").is_file()]
    if not searches:
        return ""
    # Imported here, because only searches need Optuna.
    from optuna.trial import TrialState

    from hydra_plugins.resuming_sweeps._search import importances, read_study

    study = read_study(searches[0])
    if study is None or len(study.directions) > 1:
        return ""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not done:
        return ""
    (metric,) = study.user_attrs["objectives"]
    best = np.maximum.accumulate if study.direction.name == "MAXIMIZE" else np.minimum.accumulate
    values = np.array([trial.value for trial in done], dtype=float)
    history = go.Figure(
        [
            go.Scatter(x=[trial.number for trial in done], y=values, mode="markers", name="trial"),
            go.Scatter(x=[trial.number for trial in done], y=best(values), mode="lines", name="best so far"),
        ]
    )
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.intermediate_values]
    if pruned:
        last = [trial.intermediate_values[max(trial.intermediate_values)] for trial in pruned]
        marks = {"symbol": "x", "color": "#999"}
        history.add_scatter(x=[t.number for t in pruned], y=last, mode="markers", name="pruned", marker=marks)
    history.update_layout(template="plotly_white", height=320, xaxis_title="trial", yaxis_title=metric)
    parts = [figure_html(history, "search-history"), figure_html(_together(done, values, metric), "search-options")]
    if importance := importances(study):
        bars = go.Figure(go.Bar(x=list(importance.values()), y=list(importance), orientation="h"))
        bars.update_layout(
            template="plotly_white", height=120 + 40 * len(importance), xaxis_title="share of importance"
        )
        parts.append(figure_html(bars, "search-importance"))
    return "".join(parts)


def _together(done: Sequence[object], values: np.ndarray, metric: str) -> go.Figure:
    """Draw each trial as a line through its options, coloured by its value."""
    names = sorted({name for trial in done for name in trial.params})  # type: ignore[attr-defined]  # Optuna's trials
    dimensions = []
    for name in names:
        own = [trial.params.get(name) for trial in done]  # type: ignore[attr-defined]  # Optuna's trials
        if all(isinstance(value, float | int) for value in own):
            dimensions.append({"label": name, "values": own})
        else:
            known = sorted(set(map(str, own)))
            places = [known.index(str(value)) for value in own]
            dimensions.append({"label": name, "values": places, "tickvals": list(range(len(known))), "ticktext": known})
    dimensions.append({"label": metric, "values": values})
    figure = go.Figure(go.Parcoords(line={"color": values, "colorscale": "Viridis"}, dimensions=dimensions))
    figure.update_layout(height=360, margin={"l": 110, "r": 60, "t": 60, "b": 30})
    return figure
