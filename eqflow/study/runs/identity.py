"""What a run is: all that decides its outcome, the key that this has, and how two of them differ."""

from __future__ import annotations

import hashlib
import json
from functools import cache

from .fingerprint import code_of
from .spec import RunSpec


@cache
def _code(module: str) -> dict[str, str]:
    """Read once in a process: what is edited later is not the code that this process runs."""
    return code_of([module, "eqflow.training"])


def identity(spec: RunSpec) -> dict:
    """All that decides the outcome of a run: its spec, the code it depends on, the checksum of its data."""
    experiment, model = spec.names
    return {
        "experiment": experiment,
        "model": model,
        "seed": spec.seed,
        "config": spec.config,
        "code": _code(spec.module),
        "data": spec.load_module().checksum(spec.config),
    }


def key_of(ident: dict) -> str:
    """A readable key, such as fernn_v2-s0-1a2b3c4d."""
    text = json.dumps(ident, sort_keys=True, separators=(",", ":"))
    return f"{ident['model']}-s{ident['seed']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def differences(old: dict, new: dict) -> tuple[tuple[int, ...], list[str]]:
    """(how far two identities are apart, what changed in words)."""

    def changed(old: dict, new: dict) -> list[str]:
        return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

    config, code = changed(old["config"], new["config"]), changed(old["code"], new["code"])
    seed, data = old["seed"] != new["seed"], old["data"] != new["data"]
    reasons = ["config differs in " + ", ".join(config)] if config else []
    reasons += [f"no run of seed {new['seed']}"] if seed else []
    reasons += [f"code changed since ({', '.join(code)})"] if code else []
    reasons += ["data changed"] if data else []
    return (len(config), seed, data, len(code)), reasons
