"""Parameters that a loss does not depend on."""

from __future__ import annotations

import torch

from lynx_pose.models.pose_net import PoseNet


def freeze_unused(net: PoseNet, input_size: tuple[int, int], num_keypoints: int) -> list[str]:
    """Freeze the parameters that the loss does not depend on, and return their names.

    HRNet, for one, computes coarse maps that no head reads. They never learn, and several processes that train
    together would wait for their gradients.

    Args:
        net: backbone and head; its weights and statistics stay as they are.
        input_size: (width, height) of the crop.
        num_keypoints: K.
    """
    width, height = input_size
    training = net.training
    net.eval()
    centre = torch.tensor([width / 2, height / 2]).expand(1, num_keypoints, 2)
    output = net(torch.zeros(1, height, width, 3, dtype=torch.uint8))
    net.pose_head.loss(output, centre, torch.ones(1, num_keypoints)).backward()
    unused = [name for name, parameter in net.named_parameters() if parameter.grad is None]
    for name in unused:
        net.get_parameter(name).requires_grad_(False)
    net.zero_grad(set_to_none=True)
    net.train(training)
    return unused
