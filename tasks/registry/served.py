"""The registry through the server that `stemma up` has started here, by its REST interface: MLflow's client takes two seconds to load."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tasks import tracking

MODELS = "/api/2.0/mlflow/registered-models"
SECONDS = 10  # for an answer


class Served:
    """What aliases need of MlflowClient, under the same names.

    Raises, from every method:
        TrackingError: the server does not answer, or refuses.
    """

    def __init__(self, root: Path, server: str) -> None:
        self._root, self._server = root, server
        self._ask("GET", "/health")

    def get_registered_model(self, name: str) -> Any:
        """With `aliases` and `tags`, each by its name."""
        found = json.loads(self._ask("GET", f"{MODELS}/get?{urlencode({'name': name})}"))["registered_model"]
        aliases = {alias["alias"]: alias["version"] for alias in found.get("aliases", [])}
        return SimpleNamespace(aliases=aliases, tags={tag["key"]: tag["value"] for tag in found.get("tags", [])})

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """A tag of the model, new or in place of another."""
        self._ask("POST", f"{MODELS}/set-tag", {"name": name, "key": key, "value": value})

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Let the alias point at this version."""
        self._ask("POST", f"{MODELS}/alias", {"name": name, "alias": alias, "version": version})

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Take the alias away."""
        self._ask("DELETE", f"{MODELS}/alias", {"name": name, "alias": alias})

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._server + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(request, timeout=SECONDS) as answer:
                return bytes(answer.read())
        except OSError as error:
            raise tracking.unusable(self._root, f"{self._server}: {error}") from error
