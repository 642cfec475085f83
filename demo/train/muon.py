"""Muon for stacks of matrices: momentum, orthogonalised by Newton-Schulz, all matrices of one shape in one batch."""
from collections import defaultdict

import torch


def orthogonalize(g, steps=5):
    """Approximate U V^T of each matrix in g [n, rows, cols], rows <= cols."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (g / (g.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).bfloat16()
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.float()


class Muon:
    def __init__(self, parameters, lr, momentum=0.95, decay=0.03):
        self.parameters, self.lr, self.momentum, self.decay = list(parameters), lr, momentum, decay
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, scale):
        batches = defaultdict(list)
        for p, buffer in zip(self.parameters, self.buffers):
            if p.grad is None:
                continue
            buffer.lerp_(p.grad, 1 - self.momentum)
            update = p.grad.lerp(buffer, self.momentum).view(-1, *p.shape[-2:])
            tall = p.shape[-2] > p.shape[-1]
            update = update.mT if tall else update
            batches[update.shape[1:]].append((p, tall, update))
        for members in batches.values():
            result = orthogonalize(torch.cat([update for _, _, update in members]))
            for (p, tall, _), part in zip(members, result.split([len(u) for _, _, u in members])):
                part = part.mT if tall else part
                rate = self.lr * scale
                p.mul_(1 - rate * self.decay)
                p.add_(part.reshape(p.shape), alpha=-rate * max(1, p.shape[-2] / p.shape[-1]) ** 0.5)
