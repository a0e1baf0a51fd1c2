"""A page where a person drops an image, marks the animal, and sees its pose."""

import base64
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import plotly.graph_objects as go
from omegaconf import DictConfig
from PIL import Image

# Before gradio is imported: it would tell its makers of each start, and ask them for a newer version.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from lynx_pose.arrays import Floats, Pixels
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.models.embedded import describe_network
from lynx_pose.prediction.estimator import AnimalPoses, PoseEstimator, load, to_pixels
from lynx_pose.visualization.draw import LEFT, MIDDLE, RIGHT
from lynx_pose.visualization.svg import pose_svg

try:
    import gradio
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
except ImportError:
    raise InputError("the page needs gradio: pip install 'lynx-pose[demo]'") from None

log = logging.getLogger(__name__)
# It tells of each request that the page makes.
logging.getLogger("httpx").setLevel(logging.WARNING)
# Of the picture on the page, in pixels.
SHOWN = 900
EXAMPLES = 3
INTRODUCTION = """# Pose of a lynx

Network: {network}

Drop an image. Click two opposite corners of the animal's box in it, or leave the box empty for the whole
image. Point at a keypoint for its name and confidence."""
LEGEND = "".join(
    f'<span style="display:inline-block;width:.8em;height:.8em;margin:0 .4em 0 1em;background:rgb{color}"></span>{side}'
    for color, side in ((LEFT, "left"), (RIGHT, "right"), (MIDDLE, "middle"))
)
Corner = tuple[int, int]
Lift = Callable[[Floats, Floats], go.Figure | None]
# Confidence from which a keypoint is lifted, as min_confidence of predict.
SEEN = 0.3


def serve(cfg: DictConfig) -> None:
    """Serve the page until the process is stopped.

    Raises:
        InputError: the network cannot be used, or the address is taken.
    """
    estimator = load(cfg.run, trust=cfg.trust)
    lift = load_lifting(cfg.lift, estimator.skeleton)
    # All that is uploaded and made lies there, and is gone with the page.
    with tempfile.TemporaryDirectory(prefix="lynx_pose-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = make_page(estimator, cfg.max_megapixels, describe_network(cfg.run), lift)
        try:
            page.launch(
                server_name=cfg.host,
                server_port=cfg.port,
                share=False,
                quiet=True,
                max_file_size=f"{cfg.max_megabytes}mb",
                prevent_thread_lock=True,
                app_kwargs={"middleware": [only_hosts(cfg.host)]},
            )
        except OSError as error:
            raise InputError(
                f"host={cfg.host} port={cfg.port}: cannot be used ({error}); choose another port"
            ) from None
        log.info("http://%s:%d  (Ctrl-C ends it)", cfg.host, cfg.port)
        page.block_thread()


def only_hosts(host: str) -> Middleware:
    """Refuse requests that call a page of this machine alone by another name, as a web site of a stranger could."""
    own = ["127.0.0.1", "localhost"]
    return Middleware(TrustedHostMiddleware, allowed_hosts=[*own, host] if host in own else ["*"])


def load_lifting(run: str | None, skeleton: Skeleton) -> Lift | None:
    """Return what draws a pose in three dimensions; None without a network, or for keypoints that it does not lift.

    Raises:
        InputError: there is no such network.
    """
    if run is None:
        return None
    from lynx_pose.lifting.lifter import Lifter, node_indices
    from lynx_pose.lifting.lifting_page import pose_scenes, to_scene

    try:
        nodes = node_indices(skeleton.names)
    except InputError as error:
        log.info("%s; poses are shown in two dimensions alone", error)
        return None
    lifter = Lifter.load(run)

    def figure(keypoints: Floats, confidences: Floats) -> go.Figure | None:
        lifted = lifter(keypoints[None, nodes], confidences[None, nodes] >= SEEN)
        if np.isnan(lifted.reprojection_error[0]):
            return None
        return pose_scenes([to_scene(lifted.points[0])], [""], columns=1)

    return figure


def make_page(estimator: PoseEstimator, max_megapixels: float, network: str, lift: Lift | None = None) -> gradio.Blocks:
    """Build the page around a network, which `network` describes in words; `lift` draws poses in three dimensions."""

    def find_pose(path: str | None, box: str) -> tuple[Any, ...]:
        try:
            return predict_upload(estimator, path, box, max_megapixels, lift)
        except InputError as error:
            raise gradio.Error(str(error).replace(f"{path}: ", "")) from None

    # Files of requests are deleted after an hour.
    with gradio.Blocks(title="lynx_pose", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(INTRODUCTION.format(network=network))
        corner = gradio.State(None)
        with gradio.Row():
            with gradio.Column():
                upload = gradio.Image(type="filepath", sources=["upload"], label="image")
                box = gradio.Textbox(label="box: x, y, width, height in pixels", placeholder="the whole image")
                hint = gradio.Markdown()
                button = gradio.Button("Find the pose", variant="primary")
            # The pose is what one looks at.
            with gradio.Column(scale=2):
                shown = gradio.HTML(label="pose")
                turned = gradio.Plot(label="in three dimensions, to turn", visible=lift is not None)
                table = gradio.Dataframe(headers=["keypoint", "x", "y", "confidence"], label="keypoints")
                download = gradio.DownloadButton("Download as JSON")
        gradio.Examples(examples(), upload, label="rendered examples")
        upload.select(add_corner, [corner, box], [corner, box, hint])
        upload.upload(lambda: (None, "", ""), None, [corner, box, hint])
        button.click(find_pose, [upload, box], [shown, table, download, turned], api_name="pose")
    return page


def add_corner(corner: Corner | None, box: str, event: gradio.SelectData) -> tuple[Corner | None, str, str]:
    """Note a clicked corner; two of them make a box. The last of what it returns tells the user so."""
    x, y = (int(value) for value in event.index)
    if corner is None:
        return (x, y), box, f"First corner at {x}, {y}; click the opposite one."
    left, top = min(x, corner[0]), min(y, corner[1])
    return None, f"{left}, {top}, {abs(x - corner[0])}, {abs(y - corner[1])}", "The box is complete."


def predict_upload(
    estimator: PoseEstimator, path: str | None, box: str, max_megapixels: float, lift: Lift | None = None
) -> tuple[str, list[list[Any]], str, go.Figure | None]:
    """Find the pose in an uploaded image.

    Args:
        estimator: finds it.
        path: of the image; None where there is none.
        box: as typed: four numbers, or nothing for the whole image.
        max_megapixels: that it may have.
        lift: draws the pose in three dimensions.

    Returns:
        the picture with its poses as HTML; and of the first animal, the surest where the network finds several, a row a
        keypoint, a JSON file with the same values, and the pose to turn.

    Raises:
        InputError: something of it cannot be used.
    """
    if path is None:
        raise InputError("drop an image first")
    require_small(path, max_megapixels)
    pixels = to_pixels(path)
    poses = estimator.predict(pixels, parse_box(box))
    if not len(poses):
        raise InputError("no animal was found in this image")
    names = estimator.skeleton.names
    rows = [
        [name, round(float(x), 1), round(float(y), 1), round(float(confidence), 3)]
        for name, (x, y), confidence in zip(names, poses.keypoints[0], poses.confidences[0], strict=True)
    ]
    turned = lift(poses.keypoints[0], poses.confidences[0]) if lift else None
    return pose_html(pixels, poses, estimator.skeleton), rows, _json_file(poses, rows), turned


def parse_box(box: str) -> list[list[float]] | None:
    """Read a box; None for the whole image."""
    if not box.strip():
        return None
    try:
        x, y, width, height = (float(value) for value in box.split(","))
    except ValueError:
        raise InputError(f"the box {box!r} is not four numbers: x, y, width, height") from None
    return [[x, y, width, height]]


def require_small(path: str, max_megapixels: float) -> None:
    """Refuse an image by the size that its header claims, before it is decoded."""
    try:
        with Image.open(path) as image:
            megapixels = image.width * image.height / 1e6
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the file is no image that can be decoded ({type(error).__name__})") from None
    if megapixels > max_megapixels:
        raise InputError(f"the image has {megapixels:.0f} megapixels; up to {max_megapixels:g} are taken")


def pose_html(pixels: Pixels, poses: AnimalPoses, skeleton: Skeleton) -> str:
    """Return an image [H, W, 3] with the poses of its animals over it, as HTML."""
    scale = min(1.0, SHOWN / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()
    overlay = ""
    for keypoints, confidences, box in zip(poses.keypoints, poses.confidences, poses.boxes, strict=True):
        overlay += pose_svg(keypoints * scale, confidences, np.ones(len(keypoints), bool), skeleton, size)
        x, y, width, height = box * scale
        overlay += (
            f'<svg viewBox="0 0 {size[0]} {size[1]}" style="pointer-events: none"><rect x="{x:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" fill="none" stroke="#fff" stroke-dasharray="6 4"/></svg>'
        )
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    return (
        "<style>.pose svg {position: absolute; inset: 0; width: 100%}</style>"
        f'<div class="pose" style="position: relative"><img src="{source}" style="width: 100%" '
        f'alt="image with the pose over it">{overlay}</div>{LEGEND}'
    )


def _json_file(poses: AnimalPoses, rows: Sequence[Sequence[Any]]) -> str:
    content = {
        "box": poses.boxes[0].tolist(),
        "score": float(poses.scores[0]),
        "keypoints": {name: {"x": x, "y": y, "confidence": confidence} for name, x, y, confidence in rows},
    }
    # In the folder of the page, which gradio tidies.
    path = Path(tempfile.mkdtemp(prefix="pose-", dir=os.environ.get("GRADIO_TEMP_DIR"))) / "pose.json"
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return str(path)


def examples() -> list[str]:
    """Render images to try the page with."""
    from lynx_pose.data.synthetic.synthetic_image import render_image

    folder = Path(tempfile.mkdtemp(prefix="examples-", dir=os.environ.get("GRADIO_TEMP_DIR")))
    paths = []
    for index in range(EXAMPLES):
        paths.append(str(folder / f"rendered-{index}.jpg"))
        Image.fromarray(render_image(0, index).image).save(paths[-1])
    return paths
