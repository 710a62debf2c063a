"""What a module has beside its layers that would make ours compute, or learn, something else."""

from typing import Any

_MODES = "evaluation", "training"


def refuse_hooks(module: Any) -> None:
    """Raise for what changes a module's answers beside its class: we would compute without it."""
    for name, each in module.named_modules():
        where = f"from_torch, {type(each).__name__}{name and f' ({name})'}"
        if each._forward_hooks or each._forward_pre_hooks:
            raise ValueError(
                f"{where}: it has a hook, and what that does to its answers is not seen: take the "
                f"hook away first, as remove_weight_norm, prune.remove or the hook's handle do"
            )
        if "forward" in vars(each):
            raise ValueError(
                f"{where}: it has been given another forward than its class has, which is not "
                f"seen: write a class with that forward"
            )


def refuse_tied(module: Any) -> None:
    """Raise for modules that share a parameter: ours would learn apart."""
    owners: dict[int, str] = {}  # by the place of its numbers, which views have in common
    for place, each in module.named_modules():
        for name, parameter in each.named_parameters(place, recurse=False):
            first = owners.setdefault(parameter.data_ptr() or id(parameter), name)
            if first != name:
                raise ValueError(
                    f"from_torch: {first} and {name} are one parameter, and layers share all of "
                    f"theirs or none; call one module twice, or give the second a copy"
                )


def refuse_mixed(module: Any) -> None:
    """Raise for dropouts and norms in another mode than the rest: ours are in one all together."""
    for name, each in module.named_modules():
        kind = type(each).__name__
        learns = any(parameter.requires_grad for parameter in each.parameters())
        if each.training != module.training and (
            kind.startswith("Dropout") or (kind.startswith("BatchNorm") and learns)
        ):
            raise ValueError(
                f"from_torch, {kind} ({name}): it is in {_MODES[each.training]} and the whole in "
                f"{_MODES[module.training]}; call .train() or .eval() of the whole, and to keep a "
                f"norm's statistics set requires_grad=False of its parameters"
            )
