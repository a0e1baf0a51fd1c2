"""The demo's page, in a browser and by its functions."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
from commandline import wait_for
from PIL import Image

import lynx_pose
from lynx_pose.errors import InputError
from lynx_pose.prediction.demo_page import add_corner, make_page, parse_box, predict_upload, require_small


@pytest.fixture(scope="module")
def estimator(trained):
    return lynx_pose.load(trained, precision="float32")


@pytest.fixture
def address(estimator):
    page = make_page(estimator, max_megapixels=1, network="a network of three animals")
    _, address, _ = page.launch(quiet=True, prevent_thread_lock=True, server_name="127.0.0.1", max_file_size="1mb")
    yield address
    page.close()


@pytest.mark.slow
def test_an_image_is_dropped_and_its_pose_read_back(estimator, address, browser, trained, tmp_path):
    image = tmp_path / "image.png"
    Image.open(trained.parent / "data" / "Traps" / "000.jpg").resize((384, 256)).save(image)
    page = browser.new_page()
    page.goto(address)
    page.set_input_files("input[type=file]", image)
    shown = page.wait_for_selector(".image-frame img", timeout=30000)
    page.wait_for_function("document.querySelector('.image-frame img').naturalWidth > 0")
    place = shown.bounding_box()
    scale = place["width"] / 384
    typed = page.get_by_placeholder("the whole image")
    page.mouse.click(place["x"] + 40 * scale, place["y"] + 40 * scale)
    page.wait_for_timeout(1000)
    page.mouse.click(place["x"] + 340 * scale, place["y"] + 240 * scale)
    page.wait_for_function("document.querySelector('textarea, input[type=text]').value != ''")
    box = [float(value) for value in typed.input_value().split(",")]
    np.testing.assert_allclose(box, [40, 40, 300, 200], atol=3)
    page.get_by_role("button", name="Find the pose").click()
    page.wait_for_selector(".pose svg circle", timeout=30000)
    expected = estimator.predict(image, [box])
    titles = page.eval_on_selector_all(".pose svg circle title", "all => all.map(one => one.textContent)")
    assert sorted(titles) == sorted(
        f"{name}: {confidence:.2f}"
        for name, confidence in zip(estimator.skeleton.names, expected.confidences[0], strict=True)
    )
    with page.expect_download() as download:
        page.get_by_text("Download as JSON").click()
    with open(download.value.path()) as file:
        content = json.load(file)
    values = np.array([[point["x"], point["y"]] for point in content["keypoints"].values()])
    np.testing.assert_allclose(values, expected.keypoints[0], atol=0.06)


def test_no_file_of_the_machine_is_served(address, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    for path in ("/etc/passwd", tmp_path / "secret.txt", "pyproject.toml", "../pyproject.toml"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}gradio_api/file={path}", timeout=20)
        assert refused.value.code in (403, 404)


@pytest.mark.slow
def test_the_page_answers_to_its_own_name_and_leaves_nothing(trained, tmp_path):
    """As a person starts it, and as a web site of a stranger would speak to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lynx_pose.demo", str(trained), f"port={port}"]
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, preexec_fn=listen, stderr=subprocess.PIPE)

    def status(host):
        headers = {"Host": host, "Origin": f"http://{host}"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/config", headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    wait_for(lambda: status(f"127.0.0.1:{port}") is not None, 60)
    answers = [status(host) for host in (f"127.0.0.1:{port}", f"localhost:{port}", "stranger.example", f"a.b:{port}")]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert answers == [200, 200, 400, 400]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("lynx_pose")]


def test_two_corners_make_a_box():
    class Click:
        def __init__(self, *index):
            self.index = index

    corner, box, hint = add_corner(None, "", Click(50, 10))
    assert (corner, box) == ((50, 10), "")
    assert "50, 10" in hint
    assert add_corner(corner, box, Click(20, 40))[:2] == (None, "20, 10, 30, 30")


def test_what_cannot_be_looked_at(estimator, tmp_path):
    with pytest.raises(InputError, match="drop an image first"):
        predict_upload(estimator, None, "", 10)
    with pytest.raises(InputError, match="is not four numbers"):
        parse_box("1, 2, 3")
    Image.new("1", (4000, 4000)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match="has 16 megapixels; up to 10 are taken"):
        require_small(tmp_path / "large.png", 10)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="is no image"):
        predict_upload(estimator, str(tmp_path / "text.png"), "", 10)
