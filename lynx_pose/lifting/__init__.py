"""From two dimensions to three: a network that learns from generated skeletons, without any photograph.

The lifting paper is "A Synthesis Approach to Semi-Supervised 3D Pose Estimation from Single Images", an anonymous
submission to CVPR, paper 1818.
"""
