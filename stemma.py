"""The `stemma` command: finds the project from the current folder and hands over to its own `flows/cli.py`.

Only this file is installed. The packages `flows`, `tasks` and `model` stay in the project, so that one environment can drive several
checkouts, each with its own code, and their plain names never shadow a user's packages.
"""

import gc
import sys
from pathlib import Path


def find_project(folder: Path) -> Path | None:
    """The nearest folder at or above `folder` that holds a `dvc.yaml` beside a `flows/cli.py`."""
    for candidate in (folder, *folder.parents):
        if (candidate / "dvc.yaml").is_file() and (candidate / "flows" / "cli.py").is_file():
            return candidate
    return None


def main() -> None:
    root = find_project(Path.cwd())
    if root is None:
        sys.exit(f"{Path.cwd()}: no Stemma project here or above; change into the folder that holds dvc.yaml and flows/")
    gc.set_threshold(50_000)  # the libraries a verb imports are no garbage: looking for some takes an eighth of its time
    sys.path.insert(0, str(root))
    from flows import cli

    cli.main(root)


if __name__ == "__main__":
    main()
