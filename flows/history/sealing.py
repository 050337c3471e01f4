"""The run commit of one lifecycle: taken when it starts, sealed when its stages have settled."""

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.graph import Shape
from flows.history import needed, run_commits
from flows.history.git import texts
from flows.stages import StageResult


class Seal:
    """What a lifecycle works from, as it lay on disk at its start; the same commit for all who ask for it."""

    def __init__(self, root: Path, shapes: Mapping[str, Shape], wanted: Sequence[str]) -> None:
        """`wanted`: the stages of this lifecycle.

        Raises:
            UserError: git refuses, or would mix branches with the run commits.
        """
        self.root, self.shapes, self.wanted = root, shapes, wanted
        run_commits.require_place(root)
        self._tree = run_commits.snapshot(root)
        self._commit: str | None = None
        self._edited: list[str] = []
        self._lock = threading.Lock()

    def commit(self, results: Mapping[str, StageResult]) -> str:
        """The run commit, made at the first call: all stages have settled by then, or are stopped.

        Raises:
            UserError: git refuses.
        """
        with self._lock:
            if self._commit is None:
                copy_metrics(self.root, self.shapes)
                self._commit = run_commits.seal(self.root, self._tree, self._message(results))
            return self._commit

    def facts(self, results: Mapping[str, StageResult]) -> dict[str, str]:
        """What a version registered by this lifecycle is to say of its code; see `commit`."""
        return {"run_commit": self.commit(results), "uncommitted_changes": str(bool(self._edited)).lower()}

    def _message(self, results: Mapping[str, StageResult]) -> str:
        """What came of it, by the first word; then what failed and what was edited meanwhile."""
        settled = [results[name] for name in self.wanted if name in results]
        failed = [one for one in settled if one.outcome == "failed"]
        if any(one.outcome == "ran" for one in settled):
            self._edited = run_commits.edited(self.root, self._tree)
        outcomes = [one.outcome for one in settled]
        counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes)) or "nothing ran"
        if failed:
            subject = f"failed lifecycle: {', '.join(one.name for one in failed)} failed; {counts}"
        elif len(settled) < len(self.wanted):
            subject = f"stopped lifecycle: {counts}"
        elif len(settled) < len(self.shapes):
            subject = f"partial lifecycle: {counts}"
        else:
            subject = f"edited lifecycle: {counts}" if self._edited else f"{run_commits.COMPLETE}{counts}"
        body = [reason for one in failed for reason in one.reasons] + [f"{path} was edited while it ran" for path in self._edited]
        return "\n".join([subject, "", *body]).strip()


def copy_metrics(root: Path, shapes: Mapping[str, Shape]) -> None:
    """Copy every stage's metrics to metrics/, for git; nothing is there for a stage that is gone, what is a person's own stays."""
    folder = root / "metrics"
    present = {Path(shape.metrics).name: root / shape.metrics for shape in shapes.values() if shape.metrics}
    others = [file for file in folder.glob("*.json") if file.name not in present]
    outputs = _outputs_known(root) if others else set()
    for file in others:
        if file.name in outputs:
            file.unlink()
    for name, source in present.items():
        if source.exists() and not ((folder / name).exists() and (folder / name).read_bytes() == source.read_bytes()):
            folder.mkdir(exist_ok=True)
            shutil.copyfile(source, folder / name)


def _outputs_known(root: Path) -> set[str]:
    """The names of what stages make, or made as HEAD and the newest run have it."""
    lock = root / "dvc.lock"
    locks = texts(root, [f"{commit}:./dvc.lock" for commit in ("HEAD", *(run.commit for run in run_commits.listed(root)[:1]))])
    locks += [lock.read_text(encoding="utf-8")] if lock.is_file() else []
    return {Path(path).name for text in locks if text for path in needed.output_paths(text)}
