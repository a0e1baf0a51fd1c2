"""A sweep's comparison as a W&B report: AP by epoch for each augmentation group, the table, poses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lynx_pose.errors import InputError
from lynx_pose.reporting.report_page import Report, make_report
from lynx_pose.reporting.tables import to_markdown
from lynx_pose.sweeps.sweep_folder import newest_sweep
from lynx_pose.training.wandb_run import group_name

try:
    import wandb_workspaces.reports.v2 as reports
except ImportError:
    raise InputError("the dashboard needs wandb-workspaces: pip install 'lynx-pose[dashboard]'") from None

TITLE = "lynx_pose: architectures and augmentation groups"


def write_wandb_report(sweeps: Sequence[Path], entity: str | None, project: str | None, trust: bool = False) -> str:
    """Write the report to W&B's server; print and return its address.

    Args:
        sweeps: folders whose runs W&B has, sent by training online or by `wandb sync`; none takes the newest.
        entity: user or team; None for the one that is logged in.
        project: None for that of the runs.
        trust: run code that the runs' configurations name, whosever it is.

    Raises:
        InputError: the folders hold no runs, or W&B cannot be reached or refuses.
    """
    sweeps = list(sweeps) or [newest_sweep(Path("multirun"))]
    report = make_report(sweeps, trust)
    project = project or str(report.runs[0].config.logger.wandb.project)
    try:
        page = dashboard(report, [group_name(sweep) for sweep in sweeps], entity or own_entity(), project)
        page.save()
    except Exception as error:  # W&B and what it uses raise errors of many types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"Weights & Biases: the report cannot be written there ({reason}). Without a network or an account, "
            "python -m lynx_pose.report writes the same comparison to report.html"
        ) from error
    print(page.url)
    return str(page.url)


def own_entity() -> str:
    """Return the user or team that is logged in."""
    import wandb

    return str(wandb.Api().default_entity)


def dashboard(report: Report, groups: Sequence[str], entity: str, project: str) -> Any:
    """Build the W&B report.

    Args:
        report: of the sweeps' runs.
        groups: names of the sweeps in W&B.
        entity: user or team.
        project: that holds the runs.

    Returns:
        a `wandb_workspaces.reports.v2.Report` that has not been saved.
    """
    names = " or ".join(f'Group == "{group}"' for group in groups)

    def runs(more: str = "") -> Any:
        return reports.Runset(entity=entity, project=project, filters=f"({names}){more}")

    blocks: list[Any] = [
        reports.P(f"Sweeps {', '.join(groups)}; the best validation AP of each run, from the files that they wrote."),
        reports.MarkdownBlock(to_markdown(report.tables[0])),
        *(reports.P(sentence) for sentence in report.findings),
        reports.H2("AP by epoch"),
    ]
    for augmentation in dict.fromkeys(run.augmentation for run in report.runs if run.config.fit):
        curve = reports.LinePlot(title=f"aug={augmentation}", x="epoch", y=["val/AP"], range_y=(0, 1))
        chosen = runs(f' and Config("aug.name") == "{augmentation}"')
        blocks.append(reports.PanelGrid(runsets=[chosen], panels=[curve]))
    poses = reports.MediaBrowser(title="validation images", media_keys=["val/poses"], num_columns=2)
    blocks += [reports.H2("Poses"), reports.PanelGrid(runsets=[runs()], panels=[poses])]
    return reports.Report(entity=entity, project=project, title=TITLE, blocks=blocks)
