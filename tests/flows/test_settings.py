"""params.yaml through the verbs: every wrong key is one line, and what is written keeps its comments."""

import shutil
from pathlib import Path

import pytest

from flows import settings
from model.errors import UserError
from tasks import params

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "profiles", tmp_path / "profiles")
    return tmp_path


def edit(root, old, new):
    file = root / "params.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_shipped_numbers_pass(root):
    settings.write(root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  parallel_stages: 2", "  paralel_stages: 2", r"^params.yaml: run.paralel_stages: unknown key; "),
        ("  weight_decay: 0.01 ", "  # ", r"^params.yaml: pretrain.encoder.weight_decay: missing; "),
        ("  gradient_clip: 1.0", "  gradient_clip: much", r"^params.yaml: training.gradient_clip: .* got 'much'; "),
        ("  gradient_clip: 1.0", "  gradient_clip: 0", r"^params.yaml: training.gradient_clip: .* greater than 0, got 0; "),
        ("  label_smoothing: 0.0", "  label_smoothing: 1", r"^params.yaml: finetuning.label_smoothing: .* less than 1, got 1; "),
        ("evaluate:\n", "evaluation:\n", r"^params.yaml: evaluation: unknown section; there is ablate, .*evaluate, "),
        ("run:\n", "extra: 1\nrun:\n", r"^params.yaml: extra: unknown section; "),
        ("run:\n", "run: [\n", r"^.*params.yaml: not valid YAML"),
    ],
)
def test_a_wrong_key_is_one_line_that_names_it(root, old, new, message):
    edit(root, old, new)
    with pytest.raises(UserError, match=message) as error:
        settings.write(root)
    assert "\n" not in str(error.value)


def test_an_assignment_changes_its_number_and_no_other_line(root):
    before = (root / "params.yaml").read_text(encoding="utf-8").splitlines()
    settings.write(root, ["pretrain.decoder.max_steps=7"])
    after = (root / "params.yaml").read_text(encoding="utf-8").splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 1
    assert "max_steps: 7" in changed[0][1]
    assert params.read(root / "params.yaml")["pretrain"]["decoder"]["max_steps"] == 7


def test_an_assignment_may_override_a_shared_number_for_one_application(root):
    settings.write(root, ["finetune.qa.dropout=0.3"])
    sections = params.read(root / "params.yaml")
    assert params.section(sections, "finetune.qa")["dropout"] == 0.3
    assert params.section(sections, "finetune.srl")["dropout"] == sections["finetuning"]["dropout"] == 0.1


def test_a_shared_number_assigned_to_one_application_leaves_the_file_as_it_was(root):
    before = (root / "params.yaml").read_bytes()
    settings.write(root, ["finetune.sentiment.label_smoothing=0.1", "finetune.srl.warmup_share=0.5"])
    assert (root / "params.yaml").read_bytes() != before
    settings.write(root, ["finetune.sentiment.label_smoothing=0.0", "finetune.srl.warmup_share=0.06"])
    assert (root / "params.yaml").read_bytes() == before


def test_a_key_that_goes_because_it_is_shared_takes_no_empty_line_along(root):
    before = (root / "params.yaml").read_text(encoding="utf-8")
    settings.write(root, ["finetune.srl.max_validation_examples=200"])
    assert (root / "params.yaml").read_text(encoding="utf-8") == before.replace(
        "evaluate_every: 90, max_validation_examples: 500}", "evaluate_every: 90}"
    )


def test_an_assignment_is_only_shown_by_preview(root):
    before = (root / "params.yaml").read_bytes()
    assert "parallel_stages: 9 " in settings.preview(root, ["run.parallel_stages=9"])
    assert (root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("finetune.sentimant.max_steps=1", r"^params.yaml: finetune.sentimant: no such key; there is sentiment, "),
        ("finetune.sentiment.max_step=1", r"^params.yaml: finetune.sentiment.max_step: no such key; "),
        ("pretrain.encoder.label_smoothing=0.1", r"^params.yaml: pretrain.encoder.label_smoothing: no such key; "),
        ("finetune.sentiment.max_steps", r"^-S finetune.sentiment.max_steps: expected key=value; "),
        ("=1", r"^-S =1: expected key=value; "),
        (
            "finetune.sentiment.batch_size=0",
            r"^params.yaml: finetune.sentiment.batch_size: .* or equal to 1, got 0; change it$",
        ),
        ("pretrain.decoder.batch_size=0", r"^params.yaml: pretrain.decoder.batch_size: .* or equal to 1, got 0; change it$"),
        ("training.accumulation=0", r"^params.yaml: training.accumulation: .* greater than or equal to 1, got 0; change it$"),
        ("training.warmup_share=1.5", r"^params.yaml: training.warmup_share: .* less than or equal to 1, got 1.5; change it$"),
        ("training.ema_decay=1.0", r"^params.yaml: training.ema_decay: .* less than 1, got 1.0; change it$"),
        (
            "finetune=1",
            r"^params.yaml: finetune: a section with keys, got 1; change one of them, as in -S finetune.KEY.KEY=VALUE$",
        ),
        ("finetune.sentiment=1", r"^params.yaml: finetune.sentiment: a section with keys, got 1; .* -S finetune.sentiment.KEY=VALUE$"),
        ("training=", r"^params.yaml: training: a section with keys, got None; "),
        ("finetune.sentiment.augment=[synonym", r"^-S finetune.sentiment.augment=\[synonym: not a value \(.*\); in quotes "),
        (
            "finetune.sentiment.max_steps=2023-01-01",
            r"^params.yaml: finetune.sentiment.max_steps: expected a finite number, .* got 2023-01-01;",
        ),
        ("training.weight_decay=.inf", r"^params.yaml: training.weight_decay: expected a finite number, .* got inf; change it$"),
        (f"training.seed={2**63}", rf"^params.yaml: training.seed: {2**63} does not fit in 64 bits; make it smaller$"),
        ("finetuning.augment=[reverse]", r"^params.yaml: finetuning.augment: reverse: nothing to turn round"),
        ("finetune.sentiment.base=encodr", r"^params.yaml: finetune.sentiment.base: encodr: no such base; there is encoder, decoder$"),
        ("finetune.sentiment.base=", r"^params.yaml: finetune.sentiment.base: "),
        (
            "finetune.translation.base=encoder",
            r"^params.yaml: finetune.translation.base: encoder is an encoder and cannot write; .* decoder$",
        ),
        (
            "finetune.sentiment.reads=nothing/here",
            r"^params.yaml: finetune.sentiment.reads: nothing/here is not made; there is prepare/corpus, ",
        ),
        (
            "finetune.summarization.augment=[masked_lm]",
            r"^params.yaml: finetune.summarization.augment: masked_lm needs an encoder; .*encoder$",
        ),
        (
            "finetune.sentiment.context=1024",
            r"^params.yaml: finetune.sentiment.context: 1024 tokens, and the base has 512 positions; lower it$",
        ),
        (
            "finetune.sentiment.frozen_layers=99",
            r"^params.yaml: finetune.sentiment.frozen_layers: 99, and the base has . layers; lower it$",
        ),
        (
            "pretrain.encoder.num_heads=3",
            r"^params.yaml: pretrain.encoder: hidden_size 128 by num_heads 3 is not a whole number for each head",
        ),
        ("pretrain.decoder.hidden_size=132", r"^params.yaml: pretrain.decoder: hidden_size 132 .* is not an even number for each head"),
        ("pretrain.encoder.init_from=../minilm", r"^params.yaml: pretrain.encoder.init_from: '../minilm' is no name of a checkpoint"),
        ("finetune.sentiment.max_steps=none", r"^params.yaml: finetune.sentiment.max_steps: .* got 'none'"),
    ],
)
def test_a_wrong_assignment_changes_nothing(root, assignment, message):
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=message):
        settings.write(root, [assignment])
    assert (root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {a\n  - [\n", r"^dvc.yaml: not valid YAML \(.*\(line: 2\)\); mend it$"),
        ("stage:\n", r"^dvc.yaml: has no stages; "),
        ("stages: [prepare]\n", r"^dvc.yaml: stages: expected a stage a key; "),
        ("stages:\n  prepare:\n  cmd: python -m tasks prepare\n", r"^dvc.yaml: stages.prepare: expected `cmd`, one line, "),
        ("stages:\n  prepare:\n    cmd: python -m tasks prepare\n    params: prepare\n", r"^dvc.yaml: stages.prepare: expected `cmd`, "),
    ],
)
def test_a_broken_graph_is_one_line(root, text, message):
    (root / "dvc.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        settings.preview(root, [])


def test_a_schedule_longer_than_the_run_is_one_line(root):
    settings.write(root, ["training.decay_share=0.7"])
    expected = "params.yaml: pretrain.encoder: warmup_share 0.4 and decay_share 0.7 of wsd are together longer than the run; lower one"
    with pytest.raises(UserError, match=f"^{expected}$"):
        settings.write(root, ["training.warmup_share=0.4", "training.schedule=wsd"])


@pytest.mark.parametrize(("numbers", "message"), [("beam, num_beams, 1", "1 is no beam search"), ("top-k, top_k, 0", "0 leaves no token")])
def test_a_strategy_without_its_number_is_one_line_before_anything_is_trained(root, numbers, message):
    strategy, key, value = numbers.split(", ")
    settings.preview(root, [f"evaluate.{key}={value}"])  # another strategy does not ask for it
    with pytest.raises(UserError, match=rf"^params\.yaml: evaluate\.{key}: {message}"):
        settings.preview(root, [f"evaluate.{key}={value}", f"evaluate.strategy={strategy}"])


def test_adapters_of_no_base_are_one_line(root):
    with pytest.raises(UserError, match=r"^params\.yaml: finetuning\.lora\.modules: no base in it; name one with its modules"):
        settings.preview(root, ["finetuning.lora={rank: 8, alpha: 16, dropout: 0.0, modules: {}}"])


def test_r_drop_without_dropout_is_one_line(root):
    with pytest.raises(
        UserError, match=r"^params.yaml: finetune.qa: r_drop compares two passes with dropout, and dropout is 0; raise dropout"
    ):
        settings.write(root, ["finetune.qa.dropout=0.0", "finetune.qa.r_drop=0.5"])


def test_the_default_numbers_are_the_nano_profile(root):
    before = (root / "params.yaml").read_bytes()
    settings.write(root, profile="nano")
    assert (root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("profile", ["base", "gpu", "pretrained"])
def test_a_profile_and_back_to_nano_leaves_the_file_as_it_was(root, profile):
    before = (root / "params.yaml").read_bytes()
    settings.write(root, profile=profile)
    assert (root / "params.yaml").read_bytes() != before
    settings.write(root, profile="nano")
    assert (root / "params.yaml").read_bytes() == before


def test_a_checkpoint_to_go_on_from_is_looked_at_before_anything_is_planned(root):
    settings.write(root, ["pretrain.decoder.init_from=smollm2"])  # data/ is not here to look at
    (root / "data/pretrained/minilm").mkdir(parents=True)
    with pytest.raises(UserError, match=r"init_from: no checkpoint smollm2; there is minilm, `stemma ingest SOURCE` or "):
        settings.preview(root)
    (root / "data/pretrained/minilm/m.gguf").write_bytes(b"GGML")
    with pytest.raises(UserError, match=r"init_from: minilm: m\.gguf: no GGUF file"):
        settings.preview(root, ["pretrain.decoder.init_from=minilm"])
    with pytest.raises(UserError, match="max_steps: 0 takes a checkpoint as it is, and init_from names none"):
        settings.preview(root, ["pretrain.decoder.init_from=null", "pretrain.decoder.max_steps=0"])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("finetune.qa.context=1024", r"finetune\.qa\.context: 1024 tokens, and the base has 128 positions; lower it"),
        ("finetune.srl.frozen_layers=2", r"finetune\.srl\.frozen_layers: 2, and the base has 1 layers; lower it"),
        ("tokenizer.context=1024", r"tokenizer\.context: 1024 tokens, and mine has 128 positions; lower it"),
    ],
)
def test_a_checkpoint_that_is_too_small_is_told_before_anything_runs(root, bases, assignment, message):
    shutil.copytree(bases / "bert", root / "data/pretrained/mine")
    mine = ["pretrain.encoder.architecture=bert", "pretrain.encoder.init_from=mine"]
    mine += [f"finetune.{one}.context=128" for one in ("sentiment", "qa", "srl")]
    settings.preview(root, mine)
    with pytest.raises(UserError, match=rf"^params\.yaml: {message}$"):
        settings.preview(root, [*mine, assignment])


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ("decodr: [q_proj]", r"decodr: no such base; there is encoder, decoder"),
        ("decoder: [q_proj, c_attn]", r"decoder: no module c_attn in this base; there is down_proj, gate_proj, k_proj, .*, v_proj"),
        ("encoder: [query]", r"encoder: no module query in this base; there is Wi, Wo, Wqkv"),
    ],
)
def test_adapters_for_what_is_not_there_are_refused_before_there_is_a_base(root, modules, message):
    with pytest.raises(UserError, match=rf"^params\.yaml: finetuning\.lora\.modules\.{message}$"):
        settings.preview(root, [f"finetuning.lora={{rank: 8, alpha: 16, dropout: 0.0, modules: {{{modules}}}}}"])
    settings.preview(root, ["finetuning.lora={rank: 8, alpha: 16, dropout: 0.0, modules: {encoder: [Wqkv]}}"])


def test_prompts_through_a_chat_template_that_the_base_lacks_are_refused_before_there_is_a_base(root):
    with pytest.raises(UserError, match=r"^params\.yaml: finetuning\.chat: the tokenizer of decoder has no chat template; set it to false"):
        settings.preview(root, ["finetuning.chat=true"])


def test_an_unknown_profile_names_those_there_are(root):
    with pytest.raises(UserError, match="no such profile; there is base, gpu, nano, pretrained"):
        settings.write(root, profile="pico")


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["finetune.srl.augment=[random_swap]"],
            r"finetune\.srl\.augment: random_swap: the tags follow the order of the words; take it out",
        ),
        (
            ["finetune.qa.augment=[back_translation]"],
            r"finetune\.qa\.augment: back_translation: the answers are passages of the text as it is",
        ),
        (
            ["finetune.sentiment.augment=[back_translation]"],
            r"back_translation reads finetune/translation; set finetune\.sentiment\.reads to it",
        ),
        (["finetune.sentiment.augment=[shuffle]"], r"finetune\.sentiment\.augment\.0: input should be 'random_swap', .* got 'shuffle'"),
        (["pretrain.encoder.masking=null"], r"pretrain: masking, mask_probability and span: modernbert needs all of them"),
        (["pretrain.encoder.span.stop=1.0"], r"pretrain\.encoder\.span\.stop: .* less than 1, got 1\.0"),
    ],
)
def test_masks_and_methods_that_do_not_fit_are_one_line_before_anything_runs(root, assignments, message):
    (root / "data").mkdir()
    with pytest.raises(UserError, match=message) as error:
        settings.change(root, assignments)
    assert "\n" not in str(error.value)


def test_a_fine_tuning_needs_the_translation_model_only_when_it_reads_it(root):
    from flows import graph

    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")

    def needs(*assignments):
        with graph.opened(root, {"params.yaml": settings.change(root, assignments)}) as repo:
            return graph.shapes(repo)["finetune@sentiment"].needs

    assert needs() == needs("finetune.sentiment.augment=[random_swap,synonym]") == ("code", "prepare", "pretrain@encoder")
    asked = ["finetune.sentiment.augment=[back_translation]", "finetune.sentiment.reads=finetune/translation"]
    assert set(needs(*asked)) == {"code", "prepare", "pretrain@encoder", "finetune@translation"}
    with pytest.raises(UserError, match=r"finetune@translation, .*: these need each other in a circle"):
        needs("finetune.translation.reads=finetune/translation")


@pytest.mark.slow
def test_every_variant_of_an_ablation_suits_some_application_and_is_left_out_only_where_it_does_not(root):
    from flows.trials import lanes, variants

    sections = params.read(root / "params.yaml")
    left_out = {}
    for application in sections["finetune"]:
        for name, values in variants.declared(sections).items():
            try:
                settings.change(root, lanes.assignments(variants.assigned(values, f"finetune.{application}")))
            except UserError:
                left_out.setdefault(name, set()).add(application)
    assert left_out == {
        "random swap": {"srl"},
        "random insertion": {"translation"},
        "synonyms": {"translation"},
        "masked language model": {"translation", "summarization"},
        "back-translation": {"translation", "qa", "srl"},
    }
