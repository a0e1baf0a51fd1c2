"""Which samples a process sees, and in which order: nothing twice in validation, any number of processes alike."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class TrainingSampler(Sampler[tuple[int, int]]):
    """Yield one process's share of an epoch as (epoch, position) pairs, so that a worker knows its epoch.

    Step for step, `num_replicas` processes with batches of B see what one would with batches of B × num_replicas.
    A last batch that does not divide evenly is filled up with its own first samples, so that all processes
    take the same number of steps.

    Args:
        count: number of records.
        batch_size: samples in a batch of one process.
        seed: of the run.
        rank: this process.
        num_replicas: how many processes there are.
        epoch: to begin with. Lightning starts the workers of a continued run before it sets the epoch.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, num_replicas: int = 1, epoch: int = 0):
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_replicas = num_replicas
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(self.count, self.batch_size * self.num_replicas)
        return whole * self.batch_size + -(-rest // self.num_replicas)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        step = self.batch_size * self.num_replicas
        for start in range(0, self.count, step):
            batch = order[start : start + step]
            share = -(-len(batch) // self.num_replicas)
            mine = np.resize(batch, share * self.num_replicas)[self.rank * share : (self.rank + 1) * share]
            yield from ((self.epoch, int(position)) for position in mine)


class ValidationSampler(Sampler[tuple[int, int]]):
    """Yield one process's share of the records in their order, as (0, position) pairs.

    Whole batches are dealt out, so each is computed exactly as a single process would, to the last bit. A
    process that is left without one repeats the last, because all of them must take part; the metric counts
    an instance once.

    Args:
        count: number of records.
        batch_size: samples in a batch.
        rank: this process.
        num_replicas: how many processes there are.
    """

    def __init__(self, count: int, batch_size: int, rank: int = 0, num_replicas: int = 1):
        batches = [range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
        self.positions = [position for batch in batches[rank::num_replicas] or batches[-1:] for position in batch]

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((0, position) for position in self.positions)
