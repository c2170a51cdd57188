"""Optimizers and schedulers of LLM Foundry's that neither PyTorch nor Composer has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from composer.core import State, Time, TimeUnit
from composer.optim import ComposerScheduler


class DecoupledLion(torch.optim.Optimizer):
    """Lion (Chen et al., arXiv 2302.06675, algorithm 2) with decoupled weight decay.

    The weights shrink by `weight_decay` a step at the initial learning rate, and by less as that
    falls, as with Composer's other decoupled optimizers.

    Args:
        params: What to train.
        lr: Learning rate: how far each weight moves in a step.
        betas: Shares of the momentum in the step, and in the next momentum.
        weight_decay: Share of each weight to take off at the initial learning rate.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr is {lr}; it must be above 0")
        if not all(0 <= beta <= 1 for beta in betas):
            raise ValueError(f"betas are {betas}; each must be from 0 to 1")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        for group in self.param_groups:
            group["initial_lr"] = group["lr"]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[weight], weight.grad
        momentum = state.setdefault("exp_avg", torch.zeros_like(weight))
        first, second = group["betas"]
        weight.mul_(1 - group["weight_decay"] * group["lr"] / group["initial_lr"])
        weight.add_(momentum.lerp(gradient, 1 - first).sign_(), alpha=-group["lr"])
        momentum.lerp_(gradient, 1 - second)


class InverseSquareRootWithWarmup(ComposerScheduler):
    """A learning rate that rises, falls with the square root of time, and cools down at the end.

    After the warm-up the multiplier is `f + (1 - f) / sqrt((t - t_warmup + t_scale) / t_scale)`
    with `f = alpha_f_decay`; in the last `t_cooldown` of the run it goes to `alpha_f_cooldown` in a
    straight line. The schedule before the cool-down does not depend on how long the run is, so a
    run may be gone on with. LLM Foundry has it under the same name and with the same arguments.

    Args:
        t_warmup: How long the learning rate rises, in the unit of the run's duration.
        t_scale: Over how long it falls to a 1/sqrt(2), in that unit.
        t_cooldown: How long it goes down at the end, in that unit.
        t_max: When it ends.
        alpha_f_decay: Multiplier it would fall to in an endless run.
        alpha_f_cooldown: Multiplier at the end.

    Raises:
        ValueError: The run would end with a higher learning rate, or a time is a share of the run.
    """

    def __init__(
        self,
        t_warmup: str | Time,
        t_scale: str | Time,
        t_cooldown: str | Time,
        t_max: str | Time = "1dur",
        alpha_f_decay: float = 0.0,
        alpha_f_cooldown: float = 0.0,
    ) -> None:
        if alpha_f_decay < alpha_f_cooldown:
            raise ValueError(
                f"alpha_f_decay {alpha_f_decay} is below alpha_f_cooldown {alpha_f_cooldown}"
            )
        times = {"t_warmup": t_warmup, "t_scale": t_scale, "t_cooldown": t_cooldown}
        for name, value in times.items():
            if Time.from_input(value).unit == TimeUnit.DURATION:
                raise ValueError(f"{name} {value}: not as a share of the run (dur)")
        self.t_warmup, self.t_scale, self.t_cooldown = (
            Time.from_input(value) for value in times.values()
        )
        if not self.t_scale.value > 0:
            raise ValueError(f"t_scale {t_scale}: it must be above 0")
        self.t_max = Time.from_input(t_max)
        self.alpha_f_decay, self.alpha_f_cooldown = alpha_f_decay, alpha_f_cooldown

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        """Compute the multiplier of the learning rate.

        Raises:
            ValueError: A time is not in the unit of the run's duration.
        """
        whole = state.max_duration
        assert whole is not None
        warmup = self._amount("t_warmup", whole)
        scale = self._amount("t_scale", whole) * ssr
        cooldown = self._amount("t_cooldown", whole) * ssr
        end = float(whole.value)
        if self.t_max.unit != TimeUnit.DURATION:
            end = self._amount("t_max", whole) * ssr
        elif self.t_max.value != 1:
            end = float(self.t_max.value) * end
        now = float(state.timestamp.get(whole.unit).value)
        if now < warmup:
            return now / warmup
        start = max(warmup, end - cooldown)

        def decayed(moment: float) -> float:
            share = ((moment - warmup + scale) / scale) ** -0.5
            return self.alpha_f_decay + (1 - self.alpha_f_decay) * share

        if now < start or not cooldown:
            return decayed(min(now, start))
        done = min(1.0, (now - start) / cooldown)
        return decayed(start) + done * (self.alpha_f_cooldown - decayed(start))

    def _amount(self, name: str, whole: Time) -> float:
        value = getattr(self, name)
        if value.unit != whole.unit:
            raise ValueError(f"{name} {value} is not in the unit of the run's duration, {whole}")
        return float(value.value)
