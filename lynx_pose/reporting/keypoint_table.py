"""What the best run of a report finds by keypoint and by visibility, and the radius in which its keypoints lie."""

from collections.abc import Sequence

import numpy as np

from lynx_pose.arrays import Floats, Mask
from lynx_pose.errors import InputError
from lynx_pose.evaluation.guarantee import KeypointErrors, held_out_radii
from lynx_pose.evaluation.reliability import crop_pixel_sizes
from lynx_pose.evaluation.validate import clusters_of
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.tables import NOTHING, Cell, Row, Table
from lynx_pose.reporting.validation_poses import Validation

LEVEL = 0.9
COLUMNS = ("annotated", "PCK@0.05", "PCK@0.10", "median error, px", "radius, px", "within it, %")


def keypoint_table(runs: Sequence[Run], validation: Validation | None) -> Table | None:
    """Return the best run's metrics of all, visible and occluded keypoints, and of each; None without poses."""
    best = validation.best_of(runs) if validation else None
    if validation is None or best is None:
        return None
    poses, names = validation[best], validation.annotations.skeleton.names
    occluded = np.array([record.occluded for record in poses.records])
    chosen = {"all": poses.visible}
    if (poses.visible & occluded).any():
        chosen |= {"visible": poses.visible & ~occluded, "occluded": poses.visible & occluded}
    for number, name in enumerate(names):
        chosen[name] = poses.visible & (np.arange(len(names)) == number)
    radii = _radii(best, poses)
    rows = tuple(Row(name, _cells(poses, part, radii)) for name, part in chosen.items() if part.any())
    note = (
        f"{best.label} on the validation animals. The radius, of which the median is shown, is fitted for each animal "
        f"on the others so that {100 * LEVEL:.0f} % of the keypoints lie within theirs (predict guarantee={LEVEL:g})."
    )
    return Table("keypoints", "Keypoints", COLUMNS, rows, note)


def _radii(run: Run, poses: Poses) -> Floats | None:
    """Return the radii [N, K] in image pixels; None where the animals are too few to tell."""
    sizes = crop_pixel_sizes(poses.records, tuple(run.config.model.input_size))[:, None]
    clusters = clusters_of(run.config, poses.records)
    try:
        return (
            held_out_radii(KeypointErrors(poses.scores, poses.distances / sizes, poses.visible, clusters), LEVEL)
            * sizes
        )
    except InputError:
        return None


def _cells(poses: Poses, chosen: Mask, radii: Floats | None) -> tuple[Cell, ...]:
    longer = np.array([max(record.box[2:]) for record in poses.records])[:, None]
    errors = poses.distances[chosen]
    shares = [float((poses.distances <= limit * longer)[chosen].mean()) for limit in (0.05, 0.1)]
    median = float(np.median(errors))
    cells = [Cell(str(len(errors))), *(Cell(f"{share:.3f}", share) for share in shares), Cell(f"{median:.1f}", median)]
    if radii is None:
        return (*cells, Cell(NOTHING), Cell(NOTHING))
    radius, within = float(np.median(radii[chosen])), 100 * float((errors <= radii[chosen]).mean())
    return (*cells, Cell(f"{radius:.1f}", radius), Cell(f"{within:.1f}", within))
