"""What of a stage's outputs MLflow shows."""

from pathlib import Path

from tasks import shown


def test_every_point_of_the_history_is_in_a_curve_and_a_final_number_does_not_cover_it(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"loss": 2.0, "step": 1}\n{"loss": 1.0, "step": 2, "validation_loss": 1.5}\n')
    curves = shown.curves(tmp_path, {"validation_loss": 1.5, "num_steps": 2})
    assert curves == {
        "loss": {1: 2.0, 2: 1.0},
        "validation_loss": {2: 1.5},
        "final.validation_loss": {0: 1.5},
        "num_steps": {0: 2},
    }


def test_reports_and_plots_are_shown_and_tables_and_weights_are_not(tmp_path: Path) -> None:
    for name in ("evaluation.json", "plot.png", "predictions.parquet", "model.safetensors"):
        (tmp_path / name).touch()
    assert [file.name for file in shown.files(tmp_path)] == ["evaluation.json", "plot.png"]


def test_a_base_is_logged_whole_and_a_fine_tuned_checkpoint_only_with_its_model(tmp_path: Path) -> None:
    assert not shown.is_base(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert shown.is_base(tmp_path)
    (tmp_path / "application.json").touch()
    assert not shown.is_base(tmp_path)


def test_nested_numbers_have_dotted_names() -> None:
    assert dict(shown.flat({"a": 1, "b": {"c": None, "d": {"e": 0.5}}})) == {"a": "1", "b.c": "None", "b.d.e": "0.5"}


def test_the_table_links_the_runs_it_knows() -> None:
    stages = [{"name": "code", "outcome": "unchanged", "seconds": 0.25}, {"name": "prepare", "outcome": "skipped", "seconds": None}]
    assert shown.table(stages, {"code": "[12ab](#/x)"}) == (
        "| stage | outcome | seconds | run |\n|---|---|---|---|\n| code | unchanged | 0.2 | [12ab](#/x) |\n| prepare | skipped |  |  |\n"
    )
