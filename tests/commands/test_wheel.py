"""Source distribution and wheel carry all that the commands need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import QUICK, run_fresh, summary


@pytest.mark.slow
def test_the_wheel_works_in_another_folder(tmp_path, data):
    repository = Path(__file__).resolve().parents[2]
    subprocess.run(
        # The wheel is built from what the source distribution holds.
        [sys.executable, "-m", "build", "--outdir", str(tmp_path / "dist"), str(repository)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, timeout=300)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    options = ["data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=1", "logger=none"]
    run_fresh("train", *options, "hydra.run.dir=run", cwd=elsewhere, PYTHONPATH=str(site))
    assert summary(elsewhere / "run")["status"] == "completed"
    where = "import lynx_pose.cli as c; print(c.CONF)"
    shown = subprocess.run(
        [sys.executable, "-c", where],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert Path(shown.stdout.strip()) == site / "lynx_pose" / "conf"
    # Without a training, by the network that the wheel brings.
    run_fresh("predict", f"images={data}/Traps/000.jpg", "output=poses", cwd=elsewhere, PYTHONPATH=str(site))
    assert (elsewhere / "poses" / "poses.csv").is_file()
    run_fresh("report", "run", cwd=elsewhere, PYTHONPATH=str(site))
    assert (elsewhere / "run" / "report.html").is_file()
