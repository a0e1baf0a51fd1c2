import numpy as np
import torch

from lynx_pose.models.codecs.simcc_codec import SimCC
from lynx_pose.models.heads.simcc import BinKL, SimCCHead

CODEC = SimCC((256, 256))


def test_codec_equals_the_reference(reference):
    values = np.load(reference("codecs.npz"))
    keypoints = torch.from_numpy(values["keypoints"][:, 0])
    (x, y), weights = CODEC.encode(keypoints, torch.from_numpy(values["visible"][:, 0]))
    np.testing.assert_allclose(x, values["simcc__keypoint_x_labels"][:, 0], atol=1e-6)
    np.testing.assert_allclose(y, values["simcc__keypoint_y_labels"][:, 0], atol=1e-6)
    np.testing.assert_array_equal(weights, values["simcc__keypoint_weights"][:, 0])
    drawn = values["simcc__keypoint_weights"][:, 0] > 0
    decoded, scores = CODEC.decode((x, y))
    np.testing.assert_allclose(decoded.numpy()[drawn], values["simcc__decoded"][:, 0][drawn], atol=1e-4)
    np.testing.assert_allclose(scores.numpy()[drawn], values["simcc__scores"][:, 0][drawn], atol=1e-6)
    assert (scores.numpy()[~drawn] == 0).all()


def test_unflip_finds_the_keypoints_of_the_original():
    keypoints, order = torch.tensor([[[40.0, 60.0], [140.5, 88.0], [200.0, 100.0]]]), [1, 0, 2]
    mirrored = keypoints[:, order] * torch.tensor([-1.0, 1.0]) + torch.tensor([255.0, 0.0])
    back, _ = CODEC.decode(CODEC.unflip(CODEC.encode(mirrored, torch.ones(1, 3))[0], order))
    torch.testing.assert_close(back, keypoints)


def test_the_loss_is_the_divergence_by_hand():
    logits = [torch.randn(2, 3, 7), torch.randn(2, 3, 5)]
    target = [torch.rand(2, 3, 7), torch.rand(2, 3, 5)]
    weight = torch.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.0]])
    total = 0.0
    for b in range(2):
        for k in range(3):
            for axis in range(2):
                exponentials = logits[axis][b, k].double().exp()
                for i, density in enumerate(target[axis][b, k].double()):
                    likelihood = exponentials[i] / exponentials.sum()
                    total += float(weight[b, k]) * float(density * (density.log() - likelihood.log())) / 2
    found = BinKL()((logits[0], logits[1]), (target[0], target[1]), weight)
    np.testing.assert_allclose(found, total / 6, rtol=1e-5)


def test_scores_tell_the_certain_from_the_uncertain():
    head = SimCCHead(4, 32, 2, CODEC, BinKL())
    sharp, flat = (
        CODEC.encode(torch.tensor([[[100.0, 60.0], [100.0, 60.0]]]), torch.ones(1, 2))[0],
        torch.zeros(1, 2, 512),
    )
    certain = [(axis * 10_000).clone() for axis in sharp]
    certain[1][:, 1] = flat[:, 1]
    keypoints, scores = head.decode((certain[0], certain[1]))
    torch.testing.assert_close(keypoints[0, 0], torch.tensor([100.0, 60.0]))
    assert scores[0, 0] > 0.95
    assert scores[0, 1] < 0.1
