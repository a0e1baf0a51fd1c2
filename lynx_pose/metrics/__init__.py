"""Figures of merit: pure functions, and torchmetrics that collect what they need across processes."""
