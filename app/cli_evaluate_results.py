"""The JSON file of an evaluation: what was measured, of which model, how, and every trial.

What was found so far is kept beside it, as NAME.partial.json, and written anew after every batch,
so that an evaluation that is interrupted loses little and can go on from there; the file itself
appears when all is done.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comet_core.errors import CannotWrite

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.evaluation.readers import Reader

PACKAGES = ("comet-reader", "torch", "transformers", "numpy", "rouge-score")


class Results:
    """The results of one suite of one model, at one place. Raises CannotWrite at once if nothing
    can be written there.

    before: the trials, as JSON has them, that the same evaluation had found when it was
    interrupted.
    """

    def __init__(
        self,
        out: Path,
        suite: str,
        loaded: LoadedModel,
        readers: Sequence[Reader],
        setting: Mapping[str, Any],
    ) -> None:
        from comet_core.evaluation.intervals import METHODS

        spec = loaded.spec
        if out.is_dir():
            raise CannotWrite(f"{out} is a folder; name a file in it as --out.")
        self.out, self.partial = out, out.with_suffix(".partial.json")
        self._head = {
            "suite": suite,
            "model": spec.name,
            "fingerprint": spec.fingerprint,
            "sizes": spec.config.to_dict(),
            "device": spec.device,
            "dtype": spec.dtype,
            "versions": versions(),
            "readers": [{"name": reader.name, **reader.about} for reader in readers],
            "intervals": {"level": 0.95, "methods": METHODS},
            "setting": setting,
        }
        kept = self._kept()
        self.before: Any = kept["trials"]
        self.save(**kept)

    def _kept(self) -> dict[str, Any]:
        """Summary and trials of the partial results, if they are of this very evaluation."""
        nothing: dict[str, Any] = {"summary": {}, "trials": []}
        try:
            found = json.loads(self.partial.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return nothing
        head = json.loads(json.dumps(self._head, default=asdict))
        if not isinstance(found, dict) or any(found.get(k) != v for k, v in head.items()):
            return nothing
        return {key: found[key] for key in nothing}

    def save(self, summary: Any, trials: Any, finished: bool = False) -> None:
        """Write what was found so far; dataclasses become objects."""
        result = {**self._head, "finished": finished, "summary": summary, "trials": trials}
        text = json.dumps(result, default=asdict, indent=1, ensure_ascii=False)
        new = self.out.with_suffix(".new.json")
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(text + "\n", encoding="utf-8", errors="replace")
            new.replace(self.partial)
            if finished:
                self.partial.replace(self.out)
        except OSError as error:
            raise CannotWrite(
                f"The results cannot be written to {self.out}: {error}; choose another --out."
            ) from error


def versions() -> dict[str, str]:
    """The versions of Python and of what results depend on, where it is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
