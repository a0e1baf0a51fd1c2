"""Data for command lines."""

import pytest
from small_datasets import lynx_pose_content, write_lynx_pose


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_lynx_pose(tmp_path_factory.mktemp("data"), lynx_pose_content(12))
