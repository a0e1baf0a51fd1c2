import json

import numpy as np
import pytest
from faster_coco_eval import COCO
from pycocotools.cocoeval import COCOeval

from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.metrics.oks import correction_effect, log_oks, oks, reference_scale, share_scale

SIGMAS = ANIMAL_POSE_20.sigmas
RNG = np.random.default_rng(0)
DISTANCES = RNG.gamma(1.0, 20.0, (30, 20))
VISIBLE = RNG.random((30, 20)) < 0.7
VISIBLE[:, 0] = True
AREAS = RNG.uniform(4_000, 4e5, 30)
IMAGES = RNG.choice([640 * 480, 2048 * 1536, 5152 * 3968], 30).astype(float)


def test_equation_13_by_hand():
    for n, value in enumerate(oks(DISTANCES, VISIBLE, AREAS, SIGMAS)):
        total, count = 0.0, 0
        for k in range(20):
            if VISIBLE[n, k]:
                total += np.exp(-(DISTANCES[n, k] ** 2) / (2 * AREAS[n] * (2 * SIGMAS[k]) ** 2))
                count += 1
        assert value == pytest.approx(total / count, rel=1e-12)


def test_equals_cocos_own(reference):
    folder = reference("coco_ap")
    truth, results = (json.loads((folder / f"small_{name}.json").read_text()) for name in ("gt", "dt"))
    evaluation = COCOeval(None, None, "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array(SIGMAS)
    coco = COCO(truth)
    found = coco.loadRes(results)
    checked = 0
    for image in coco.getImgIds():
        ours = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        theirs = found.loadAnns(found.getAnnIds(imgIds=[image]))
        evaluation._gts[image, 1], evaluation._dts[image, 1] = ours, theirs
        evaluation.params.maxDets = [20]
        table = np.asarray(evaluation.computeOks(image, 1)).reshape(len(theirs), len(ours))
        by_score = np.argsort([-pose["score"] for pose in theirs], kind="mergesort")
        for row, number in enumerate(by_score):
            for column, annotation in enumerate(ours):
                truth_points = np.reshape(annotation["keypoints"], (1, 20, 3))
                visible = truth_points[..., 2] > 0
                if not visible.any():
                    continue
                points = np.reshape(theirs[number]["keypoints"], (1, 20, 3))
                distances = np.linalg.norm((points - truth_points)[..., :2], axis=-1)
                value = oks(distances, visible, np.array([annotation["area"]]), SIGMAS)
                assert value[0] == pytest.approx(table[row, column], abs=1e-9)
                checked += 1
    assert checked > 100


def test_equation_14_underflows_and_its_logarithm_does_not():
    scale = share_scale(AREAS, IMAGES, 1.0)
    values, logarithms = oks(DISTANCES, VISIBLE, scale, SIGMAS), log_oks(DISTANCES, VISIBLE, scale, SIGMAS)
    assert (values == 0).mean() > 0.3
    assert np.isfinite(logarithms).all()
    usable = oks(DISTANCES, VISIBLE, 1e6 * scale, SIGMAS)
    np.testing.assert_allclose(np.exp(log_oks(DISTANCES, VISIBLE, 1e6 * scale, SIGMAS)), usable, rtol=1e-9)


def test_equations_14_and_15_are_one():
    """A correction factor as large as the reference image turns one into the other."""
    reference = float(np.median(IMAGES))
    by_share = oks(DISTANCES, VISIBLE, share_scale(AREAS, IMAGES, reference), SIGMAS)
    by_reference = oks(DISTANCES, VISIBLE, reference_scale(AREAS, IMAGES, reference), SIGMAS)
    np.testing.assert_allclose(by_share, by_reference, rtol=1e-12)


def test_images_of_one_size_make_equation_15_equation_13():
    images = np.full(30, 2048.0 * 1536)
    values = oks(DISTANCES, VISIBLE, reference_scale(AREAS, images, 2048.0 * 1536), SIGMAS)
    np.testing.assert_allclose(values, oks(DISTANCES, VISIBLE, AREAS, SIGMAS), rtol=1e-12)


def test_larger_corrections_leave_fewer_zeros_and_larger_means():
    scale = share_scale(AREAS, IMAGES, 1.0)
    effects = correction_effect(DISTANCES, VISIBLE, scale, SIGMAS, [1, 1e2, 1e4, 1e6])
    assert effects[0].nonzero < 0.5
    assert effects[-1].nonzero == 1
    means = [effect.mean for effect in effects]
    assert means == sorted(means)
    assert means[-1] > means[0]
