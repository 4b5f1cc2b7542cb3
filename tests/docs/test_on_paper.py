"""The table of estimates is the output of its script, and its formulas count what a trainer holds in memory."""

from pathlib import Path

from tiny import tiny_model, tiny_pairs, tiny_tokenizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks import on_paper
from dpo_teach.memory import count_memory
from dpo_teach.training import DPOConfig, DPOTrainer

README = Path(on_paper.__file__).parent / "README.md"


def test_the_readmes_table_is_the_output_of_the_script():
    assert on_paper.table() in README.read_text()


def test_one_row_matches_a_calculation_by_hand():
    """1.5e9 x (16 + 2 + 4) bytes; 34 x 6144 x 1600 x 48 + 10 x 2^27; 2.75 x 1.5e9 x 60,000 x 768 / 2e14 seconds."""
    assert "| 1.5 B | 8, DDP | 33.0 | 17.4 | 50.4 | yes | 16 min | `ddp.yaml` |" in on_paper.table()


def test_seven_billion_parameters_fit_only_with_fsdp():
    fits = [line for line in on_paper.table().splitlines() if line.startswith("| 7 B") and "| yes |" in line]
    assert len(fits) == 1 and "fsdp.yaml" in fits[0]


def test_a_trainer_holds_sixteen_bytes_per_parameter():
    """Weights, gradients and two moments, as in `count_memory`; AdamW's step counters are not included."""
    trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(8), DPOConfig(batch_size=8, precision="fp32"))
    held = {}

    def weigh(optimizer, arguments, options):
        for parameter in trainer.model.parameters():
            moments = [value for value in optimizer.state[parameter].values() if value.shape == parameter.shape]
            held[parameter] = sum(tensor.nbytes for tensor in (parameter, parameter.grad, *moments))

    hook = register_optimizer_step_post_hook(weigh)
    try:
        trainer.train()
    finally:
        hook.remove()
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    _, dpo = count_memory(float(parameters), "float32", "adamw", precomputed_reference=True)
    assert sum(held.values()) == dpo.total == 16 * parameters
