"""What every process of a project inherits, and what is installed here."""

import json
import os
import re
import sys
import sysconfig
from pathlib import Path

from flows import atomic

QUIET = {  # MLflow takes the word `true` and no other
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
HOOK = (  # by these git, which starts a hook, would send us to its own repository or index
    *("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_PREFIX", "GIT_INTERNAL_SUPER_PREFIX", "GIT_INDEX_FILE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_CONFIG"),
    *("GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE"),
)
PREFECT = {
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",  # a missing PREFECT_API_URL is an error, not another server
    "PREFECT_TASKS_DEFAULT_NO_CACHE": "true",  # DVC alone decides what need not run
}


def quiet(root: Path) -> None:
    """Set the environment of this process and its children: no telemetry, no hub, homes inside the project, our `python` first.

    Call it before anything else is imported: the libraries read these at their import.
    """
    state = root / ".stemma"
    for name in HOOK:
        os.environ.pop(name, None)
    os.environ |= QUIET | OFFLINE | PREFECT
    os.environ |= {
        "PREFECT_HOME": str(state / "prefect"),
        "DVC_SITE_CACHE_DIR": str(state / "dvc"),
        "HF_HOME": str(state / "huggingface"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ours = str(Path(sys.executable).parent)
    others = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder != ours]
    os.environ["PATH"] = os.pathsep.join([ours, *others])


def record(root: Path) -> None:
    """Bring `.stemma/environment.json`, which stage `code` depends on, up to date with what is installed."""
    content = {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "distributions": installed()}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    file = root / ".stemma" / "environment.json"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        atomic.write(root, file, text)


def installed() -> dict[str, str]:
    """Version of each distribution of this environment, by its canonical name: from the names of folders, in a few milliseconds."""
    versions = {}
    for folder in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        for entry in Path(folder).glob("*.dist-info"):
            name, _, version = entry.stem.partition("-")
            versions[re.sub(r"[-_.]+", "-", name).lower()] = version
    return versions
