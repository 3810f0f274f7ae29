"""Bodies for PyTorch, which is only a witness: two, so that checks against it do not take twice as long."""

from __future__ import annotations

import torch

from ..nodes import basic
from ..training import update_rules


@basic.matmul.fast("torch")
def matmul(a, b, out=None):
    return torch.matmul(a, b, out=out)


@update_rules.adam.fast("torch")
def adam(params, grads, m, v, alpha, beta1, beta2, eps, clip=None):
    for p, g, mi, vi in zip(params, grads, m, v, strict=True):
        g = g if clip is None else g * clip
        mi.lerp_(g, 1.0 - beta1)
        vi.mul_(beta2).addcmul_(g, g, value=1.0 - beta2)
        p.sub_(torch.sqrt(vi).add_(eps).reciprocal_().mul_(mi), alpha=alpha)
