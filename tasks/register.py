"""A fine-tuned checkpoint and its evaluation in; a version in the model registry out. The only stage that talks to a service.

The checkpoint's hash is the identity of a version: what is registered already stays as it is, whoever moved its aliases.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from model import applications
from model.applications import Application
from model.errors import UserError
from model.params import Decoding
from tasks import params, tracking
from tasks.registry import aliases, bundle, gate, records
from tasks.registry.identity import hash_of
from tasks.registry.records import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import PyFuncModel

LOADING = threading.RLock()  # MLflow passes the model of a script through a global variable, and Transformers' imports are lazy


@dataclass(frozen=True)
class Registration:
    """A version that holds a checkpoint; `created`: just now."""

    name: str
    version: int
    aliases: tuple[str, ...]
    metrics: dict[str, float]
    created: bool
    decision: str


def register(root: Path, application: str, checkpoint: Path, evaluation: Path, lineage: Mapping[str, str]) -> Registration:
    """Register `checkpoint` as a version of the model `application`, unless one has the same hash, and give it the alias it deserves.

    `lineage` becomes tags: `data_version`, `run_commit`, `key.<stage>` and what else tells where the version came from.

    Raises:
        TrackingError: the registry does not answer.
    """
    judged = json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))
    identity = hash_of(checkpoint)
    client = tracking.connect(root)
    with tracking.explained(root):
        found = _with_checkpoint(client, application, identity)
    created = found is None
    if found is None:
        with LOADING:
            found = _create(client, root, application, checkpoint, evaluation, judged, {**lineage, "checkpoint": identity})
    with tracking.explained(root):
        if "stemma.registered" not in found.tags:  # just created, or the process died between the version and its alias
            aliases.move(root, application, found.tags["stemma.alias"], int(found.version), found.tags["stemma.decision"])
            client.set_model_version_tag(application, str(found.version), "stemma.registered", "true")
        version = records.of_mlflow(client.get_model_version(application, str(found.version)))
    return Registration(application, version.version, version.aliases, version.metrics, created, version.tags["stemma.decision"])


def load(root: Path, name: str, alias_or_version: str = "champion") -> "PyFuncModel":
    """A registered model, ready to predict.

    Raises:
        UserError: there is no such model or version.
        TrackingError: the registry does not answer.
    """
    known = [version for version in records.versions(root) if version.name == name]
    found = next((version for version in known if _is_called(version, alias_or_version)), None)
    if found is None:
        there = ", ".join("@".join([str(version.version), *version.aliases]) for version in known)
        told = (
            f"no such version, there is {there}; `stemma models` lists them" if known else "none is registered yet; `stemma run` does that"
        )
        raise UserError(f"{name}@{alias_or_version}: {told}")
    return _load(tracking.connect(root), root, name, found.version)


def handed_out(root: Path, name: str, version: int, folder: Path) -> tuple[Path, Path] | None:
    """What MLflow hands out for a version, copied below `folder`: its checkpoint and its code; None where the artifact store lost it.

    Raises:
        TrackingError: the registry does not answer.
    """
    from mlflow import artifacts

    client = tracking.connect(root)
    with tracking.explained(root):
        place = client.get_model_version_download_uri(name, str(version))
        if not artifacts.list_artifacts(artifact_uri=f"{place}/artifacts/{name}", tracking_uri=tracking.uri(root)):
            return None
        copy = Path(artifacts.download_artifacts(artifact_uri=place, dst_path=str(folder), tracking_uri=tracking.uri(root)))
    return copy / "artifacts" / name, copy / "code"


# --- one new version ----------------------------------------------------------------------------------------------------------------------


def _create(
    client: "MlflowClient",
    root: Path,
    name: str,
    checkpoint: Path,
    evaluation: Path,
    judged: dict[str, Any],
    lineage: dict[str, str],
) -> "ModelVersion":
    application = applications.load(name)
    defaults = _decoding(root)
    signature = _signature(application, evaluation, defaults)
    decision = _decide(client, root, name, application, evaluation, judged)
    metrics = {metric: numbers["value"] for metric, numbers in judged["metrics"].items()}
    tags = {
        **{f"stemma.{key}".replace("@", "."): str(value) for key, value in lineage.items()},
        "stemma.alias": decision.alias,
        "stemma.decision": decision.text,
        "stemma.evidence": json.dumps(decision.evidence, sort_keys=True),
        "stemma.evaluation": judged["evaluation_hash"],
        "stemma.metrics": json.dumps(metrics, sort_keys=True),
        "stemma.verdict": json.dumps(gate.verdict(judged), sort_keys=True),
        "stemma.code": bundle.name(),
    }
    with tracking.explained(root), TemporaryDirectory() as folder:
        experiment = tracking.experiment(client, root)
        known = tracking.find(client, root, f"finetune@{name}", lineage.get(f"key.finetune@{name}", ""))
        run_id = known or _run(client, experiment, name, lineage.get("run_commit", "none"))
        logged = client.create_logged_model(experiment, name=name, source_run_id=run_id, tags=tags)
        saved = Path(folder, name)
        ids = {"model_id": logged.model_id, "model_uuid": logged.model_id, "run_id": run_id}
        _save(saved, application, checkpoint, signature, {**ids, "metadata": tags})
        (saved / "decision.json").write_text(json.dumps(asdict(decision), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        client.log_model_artifacts(logged.model_id, str(saved))
        client.finalize_logged_model(logged.model_id, "READY")
        _log_output(client, run_id, logged.model_id)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        place = logged.artifact_location
        return client.create_model_version(name, place, run_id, tags=tags, description=decision.text, model_id=logged.model_id)


def _save(folder: Path, application: Application, checkpoint: Path, signature: "ModelSignature", identity: Mapping[str, Any]) -> None:
    from mlflow import pyfunc
    from mlflow.models import Model
    from pandas import DataFrame

    with TemporaryDirectory() as code:
        package, script = bundle.write(Path(code))
        pyfunc.save_model(
            folder,
            python_model=str(script),
            code_paths=[str(package)],
            artifacts={"checkpoint": str(checkpoint.resolve())},
            signature=signature,
            input_example=DataFrame([application.EXAMPLE]),
            pip_requirements=bundle.requirements(),
            mlflow_model=Model(**identity),
        )


def _decoding(root: Path) -> dict[str, Any]:
    """How the model is to predict if it is not told: as it was evaluated."""
    section = params.section(params.read(root / "params.yaml"), "evaluate")
    chosen = {name: section[name] for name in Decoding.__dataclass_fields__ if name in section}
    return {"batch_size": section["batch_size"], **asdict(params.build(Decoding, chosen, "evaluate"))}


def _signature(application: Application, evaluation: Path, defaults: Mapping[str, Any]) -> "ModelSignature":
    """What goes in and comes out, from the application's example and the first prediction of the evaluation."""
    import pyarrow.parquet as pq
    from mlflow.models import ModelSignature

    [first] = pq.read_table(evaluation / "predictions.parquet").slice(0, 1).to_pylist()
    predicted = {name.removeprefix("predicted_"): value for name, value in first.items() if name.startswith("predicted_")}
    return ModelSignature.from_dict(bundle.signature(application.EXAMPLE, predicted, defaults))


def _decide(
    client: "MlflowClient", root: Path, name: str, application: Application, evaluation: Path, judged: dict[str, Any]
) -> gate.Decision:
    """Compare with the champion on the same evaluation set; where it was registered with another one, it is evaluated on this one now."""
    metric = application.METRIC
    new = gate.Score(judged["metrics"][metric]["value"], judged["evaluation_hash"])
    with tracking.explained(root):
        champion = _champion(client, name)
    if champion is None:
        return gate.decide(metric, new, None, None, None)
    known = again = None
    if "stemma.metrics" in champion.tags:
        known = gate.Score(json.loads(champion.tags["stemma.metrics"])[metric], champion.tags["stemma.evaluation"])
    if known is None or known.evaluation != new.evaluation:
        again = gate.Score(gate.score(_load(client, root, name, int(champion.version)), application, evaluation), new.evaluation)
    return gate.decide(metric, new, int(champion.version), known, again)


def _run(client: "MlflowClient", experiment: str, name: str, run_commit: str) -> str:
    """A run for a model whose fine-tuning the server knows nothing of."""
    tags = {"stemma.stage": f"register@{name}", "stemma.run_commit": run_commit}
    run = client.create_run(experiment, run_name=f"register@{name}", tags=tags)
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def _log_output(client: "MlflowClient", run_id: str, model_id: str) -> None:
    """Show the model, and with it the checkpoint, among the artifacts of the run that trained it."""
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


# --- the registry -------------------------------------------------------------------------------------------------------------------------


def _with_checkpoint(client: "MlflowClient", name: str, identity: str) -> "ModelVersion | None":
    found = client.search_model_versions(f"name = '{name}' and tags.`stemma.checkpoint` = '{identity}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    for model in client.search_registered_models(f"name = '{name}'"):
        if "champion" in model.aliases:
            return client.get_model_version(name, str(model.aliases["champion"]))
    return None


def _load(client: "MlflowClient", root: Path, name: str, version: int) -> "PyFuncModel":
    from mlflow import artifacts, pyfunc

    with tracking.explained(root):
        place = client.get_model_version_download_uri(name, str(version))
        folder = artifacts.download_artifacts(artifact_uri=place, tracking_uri=tracking.uri(root))  # kept: its code is imported from there
    with LOADING:
        return pyfunc.load_model(folder)


def _is_called(version: Version, alias_or_version: str) -> bool:
    return alias_or_version in version.aliases or alias_or_version == str(version.version)
