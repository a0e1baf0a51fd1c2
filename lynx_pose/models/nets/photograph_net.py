"""The network that sees a whole photograph and finds all animals in it (Papandreou et al. 2018, arXiv 1803.08225)."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from lynx_pose.models.heads.base import Output
from lynx_pose.models.pose_net import PoseNet


class BottomUpNet(PoseNet):
    """Backbone and `BottomUpHead`; its batches are of photographs, and `predict` returns several animals of each."""

    finds_animals: ClassVar[bool] = True

    @override
    def loss(self, output: Output, batch: Any, weight: Tensor) -> Tensor:
        head: Any = self.head
        loss: Tensor = head.loss(output, batch.keypoints, weight, boxes=batch.boxes, sizes=batch.sizes)
        return loss

    @override
    def example_loss(self, width: int, height: int, num_keypoints: int) -> Tensor:
        output = self(torch.zeros(1, height, width, 3, dtype=torch.uint8))
        keypoints = torch.tensor([width / 2, height / 2]).expand(1, 1, num_keypoints, 2)
        boxes, sizes = torch.tensor([[[0.0, 0.0, width, height]]]), torch.tensor([[float(min(width, height))]])
        head: Any = self.head
        loss: Tensor = head.loss(output, keypoints, torch.ones(1, 1, num_keypoints), boxes=boxes, sizes=sizes)
        return loss
