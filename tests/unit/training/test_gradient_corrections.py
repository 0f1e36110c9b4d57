"""FedProx and SCAFFOLD at a site: gradients against autograd, and the paper's control variates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hqgnet.config import FederationConfig
from hqgnet.exchange.control import control_name, controlled, controlled_parameters
from hqgnet.training.control_variates import ControlVariates
from hqgnet.training.gradient_correction import correcting
from hqgnet.training.proximal import Proximal


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def loss_of(model: nn.Module) -> Tensor:
    return model(torch.linspace(-1, 1, 15).reshape(5, 3)).square().sum()


def test_the_proximal_gradient_is_that_of_the_proximal_objective() -> None:
    model, mu = network(), 0.3
    names = {"0.weight", "0.bias", "1.running_mean"}
    proximal = Proximal(model, names, mu)
    origin = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    term = sum(
        (parameter - origin[name]).square().sum()
        for name, parameter in model.named_parameters()
        if name in names
    )
    expected = torch.autograd.grad(loss_of(model) + mu / 2 * term, list(model.parameters()))
    loss_of(model).backward()
    proximal.correct(model.parameters())
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_corrections_act_before_each_step_and_no_longer_than_wanted() -> None:
    class Zero:
        def correct(self, parameters: object) -> None:
            for parameter in parameters:  # type: ignore[attr-defined]
                parameter.grad.zero_()

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[0].weight.detach().clone()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()

    with correcting([Zero()]):
        step()
    assert torch.equal(model[0].weight, before)
    step()
    assert not torch.equal(model[0].weight, before)
    with pytest.raises(RuntimeError, match="stop"), correcting([Zero()]):
        raise RuntimeError("stop")
    before = model[0].weight.detach().clone()
    step()
    assert not torch.equal(model[0].weight, before)


def test_with_plain_descent_the_variate_is_the_papers_second_option() -> None:
    model, rate, steps = network(), 0.01, 4
    names = [name for name, _ in model.named_parameters()]
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    shared = {name: torch.randn_like(start[name]) for name in names}
    own = {name: torch.randn_like(start[name]) for name in names}
    control = ControlVariates(model, shared, own)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    with correcting([control]):
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    after = control.own()
    sent = control.outgoing()
    for name, parameter in model.named_parameters():
        expected = own[name] - shared[name] + (start[name] - parameter.detach()) / (steps * rate)
        torch.testing.assert_close(after[name], expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(sent[name], shared[name] + after[name] - own[name])


def test_a_parameter_without_gradient_keeps_its_variate() -> None:
    model = network()
    model[2].requires_grad_(False)
    shared = {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}
    own = {"2.weight": torch.full((2, 4), 5.0)}
    control = ControlVariates(model, shared, own)
    loss_of(model).backward()
    control.correct(model.parameters())
    assert torch.equal(control.own()["2.weight"], own["2.weight"])
    assert torch.equal(control.outgoing()["2.weight"], shared["2.weight"])


def test_buffers_travel_without_variates() -> None:
    model = network()
    names = tuple(model.state_dict())
    scaffold = FederationConfig(strategy="scaffold")
    expected = tuple(name for name in names if name.endswith(("weight", "bias")))
    assert controlled_parameters(model, names, scaffold) == expected
    assert controlled_parameters(model, names, FederationConfig()) == ()
    assert controlled(control_name("a.b")) == "a.b" and controlled("a.b") is None


def test_a_variate_that_is_lost_begins_at_the_servers() -> None:
    model = network()
    shared = {name: torch.randn_like(parameter) for name, parameter in model.named_parameters()}
    control = ControlVariates(model, shared, None)
    loss_of(model).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}  # type: ignore[union-attr]
    control.correct(model.parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, gradients[name])  # type: ignore[arg-type]
        torch.testing.assert_close(control.outgoing()[name], gradients[name])
