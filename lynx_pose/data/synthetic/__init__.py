"""The embedded dataset: an articulated cat with a spotted coat, drawn into camera-trap scenes.

It exercises every part of the project and shows learning. It proves nothing about real lynxes.
"""
