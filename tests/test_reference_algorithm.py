"""Algorithm domain: scaling laws and compression, against published and hand-calculated values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import zoo
from mlsysim.equations import architecture, compressed_size
from mlsysim.equations import compression as smaller
from mlsysim.equations import scaling as laws
from mlsysim.equations.compute import gemm_time, weight_only
from mlsysim.models.compression import CompressionModel, compression
from mlsysim.models.scaling import ScalingModel, scaling
from mlsysim.models.serving import ServingModel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CompressionMethod, Law, Limit, Precision, Pruner, Quantizer
from mlsysim.zoo import curves

ASSUME = Assumptions()


def close(computed, expected, rel=1e-8):
    """Equal to `expected`; a text stands for what it prints: half a unit of its last digit."""
    slack = 1e-300
    if isinstance(expected, str):
        digits, _, exponent = expected.partition("e")
        slack = 0.5001 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
        expected, rel = float(expected), 0.0
    assert float(computed) == pytest.approx(expected, rel=rel, abs=slack)


def row(name, output, expected, source, shared=None, rel=1e-9, **inputs):
    """One reference value: what goes in, which output, what it must be, to which digits, and from where."""
    return pytest.param({**(shared or {}), **inputs}, output, expected, rel, source, id=name)


# --- wall 11: scaling ----------------------------------------------------------------------------------

CHINCHILLA = {"params": 70e9, "tokens": 1.4e12}
GPT3 = {"params": 175e9, "tokens": 300e9}
ROUNDED, UNROUNDED = {"law": Law.CHINCHILLA_3}, {"law": Law.CHINCHILLA_3_UNROUNDED}
EPOCH = {"law": Law.EPOCH}

SCALING = [
    row("70B on 1.4T, rounded", "predicted_loss", "1.93664547", "derived", CHINCHILLA, **ROUNDED),
    row("70B on 1.4T, unrounded", "predicted_loss", "1.92129901", "derived", CHINCHILLA, **UNROUNDED),
    row("70B on 1.4T, Epoch", "predicted_loss", "1.97388186", "derived", CHINCHILLA, **EPOCH),
    row("175B on 300B, rounded", "predicted_loss", "2.00228794", "derived", GPT3, **ROUNDED),
    row("175B on 300B, unrounded", "predicted_loss", "1.97689667", "derived", GPT3, **UNROUNDED),
    row("175B on 300B, Epoch", "predicted_loss", "2.00854372", "derived", GPT3, **EPOCH),
    row("1e23, rounded, N", "optimal_params", "1.45983063e10", "derived", compute_budget=1e23, **ROUNDED),
    row("1e23, rounded, D", "optimal_tokens", "1.14168496e12", "derived", compute_budget=1e23, **ROUNDED),
    row("1e23, rounded, L", "optimal_loss", "2.00501013", "derived", compute_budget=1e23, **ROUNDED),
    row("1e23, Epoch, N", "optimal_params", "2.94461337e10", "derived", compute_budget=1e23, **EPOCH),
    row("1e23, Epoch, D", "optimal_tokens", "5.66005263e11", "derived", compute_budget=1e23, **EPOCH),
    row("1e23, Epoch, L", "optimal_loss", "2.03205188", "derived", compute_budget=1e23, **EPOCH),
    row("5.76e23, rounded, D/N", "tokens_per_param", "92.6473668", "derived", compute_budget=5.76e23, **ROUNDED),
    row("5.76e23, Epoch, D/N", "tokens_per_param", "18.3912450", "derived", compute_budget=5.76e23, **EPOCH),
    row(
        "20 tokens per parameter",
        "optimal_params",
        "6.92820323e10",
        "sqrt(C / 120)",
        compute_budget=5.76e23,
        law=Law.CHINCHILLA_1,
    ),
    row(
        "the same, tokens",
        "tokens_per_param",
        20.0,
        "Hoffmann 2022, approaches 1 and 2",
        compute_budget=5.76e23,
        law=Law.CHINCHILLA_1,
    ),
    row("Kaplan at a PF-day", "optimal_params", 1.3e9, "Kaplan 2020", compute_budget=8.64e19, law=Law.KAPLAN),
    row(
        "Kaplan at 1000 PF-days",
        "optimal_params",
        1.3e9 * 1000**0.73,
        "Kaplan 2020",
        compute_budget=8.64e22,
        law=Law.KAPLAN,
    ),
    row(
        "Kaplan, infinite data",
        "predicted_loss",
        (6.4e13 / 1e9) ** 0.076,
        "L(N) = (N_c / N)^alpha_N",
        params=1e9,
        tokens=1e30,
        law=Law.KAPLAN,
        rel=1e-6,
    ),
    row(
        "repeated data, small model",
        "predicted_loss",
        2.2256440889984477,
        "github.com/huggingface/datablations README",
        params=6.34e9,
        tokens=242e9,
        unique_tokens=25e9,
        law=Law.MUENNIGHOFF,
        rel=1e-14,
    ),
    row(
        "repeated data, large model",
        "predicted_loss",
        2.2269634075087867,
        "github.com/huggingface/datablations README",
        params=8.67e9,
        tokens=178e9,
        unique_tokens=25e9,
        law=Law.MUENNIGHOFF,
        rel=1e-14,
    ),
    row(
        "repeated data, best size",
        "optimal_params",
        6.8e9,
        "the same: 6.8B parameters",
        compute_budget=6 * 8.67e9 * 178e9,
        unique_tokens=25e9,
        law=Law.MUENNIGHOFF,
        rel=0.01,
    ),
    row(
        "repeated data, best epochs",
        "epochs",
        9.1,
        "the same: 9.1 epochs",
        compute_budget=6 * 8.67e9 * 178e9,
        unique_tokens=25e9,
        law=Law.MUENNIGHOFF,
        rel=0.01,
    ),
    row(
        "4 epochs are nearly fresh",
        "effective_tokens",
        1e11 * (1 + 15.387756 * (1 - math.exp(-3 / 15.387756))),
        "Muennighoff 2023, eq. 5",
        params=1e9,
        tokens=4e11,
        unique_tokens=1e11,
    ),
    row("6 N D", "train_flops", 5.88e23, "Hoffmann 2022: Chinchilla", CHINCHILLA),
    row("2 N D served", "served_flops", 1.4e23, "2 x 70e9 x 1e12", CHINCHILLA, served_tokens=1e12),
    row("fixed size", "chosen_tokens", 1e23 / 6 / 7e9, "C / (6 N)", compute_budget=1e23, params=7e9),
    row("fixed tokens", "chosen_params", 1e23 / 6 / 2e12, "C / (6 D)", compute_budget=1e23, tokens=2e12),
    row(
        "Llama 3 8B is not compute-optimal",
        "tokens_per_param",
        15e12 / 8.03e9,
        "15T tokens",
        params=8.03e9,
        tokens=15e12,
    ),
    row(
        "critical batch",
        "critical_batch",
        2e8 / 2.00501013 ** (1 / 0.21),
        "Kaplan 2020, eq. 1.4",
        compute_budget=1e23,
        rel=1e-8,
        **ROUNDED,
    ),
    row(
        "a batch of that size",
        "batch_overhead",
        2.0,
        "McCandlish 2018: twice the tokens",
        compute_budget=1e23,
        batch_tokens=2e8 / 2.00501013 ** (1 / 0.21),
        rel=1e-8,
        **ROUNDED,
    ),
]


@pytest.mark.parametrize("inputs, output, expected, rel, source", SCALING)
def test_reference_scaling(inputs, output, expected, rel, source):
    close(getattr(scaling(ASSUME, **inputs), output), expected, rel)


def test_reference_scaling_constants_are_the_registrys():
    for fit, prefix in ((laws.HOFFMANN, "chinchilla"), (laws.EPOCH, "besiroglu")):
        for field, name in zip(("floor", "a", "b", "alpha", "beta"), "eab" + "", strict=False):
            assert getattr(fit, field) == float(zoo.constant(f"{prefix}_{name}"))
        assert (fit.alpha, fit.beta) == (
            float(zoo.constant(f"{prefix}_alpha")),
            float(zoo.constant(f"{prefix}_beta")),
        )
    unrounded = laws.HOFFMANN_UNROUNDED
    assert unrounded.floor == float(zoo.constant("chinchilla_unrounded_e"))
    assert unrounded.alpha == float(zoo.constant("chinchilla_unrounded_alpha"))
    assert unrounded.beta == float(zoo.constant("chinchilla_unrounded_beta"))
    assert float(zoo.constant("tokens_per_param")) == laws.TOKENS_PER_PARAM
    assert float(zoo.constant("kaplan_joint_n_c")) == laws.KAPLAN_N_C
    assert float(zoo.constant("kaplan_joint_d_c")) == laws.KAPLAN_D_C
    assert float(zoo.constant("kaplan_joint_alpha_n")) == laws.KAPLAN_ALPHA_N
    assert float(zoo.constant("kaplan_joint_alpha_d")) == laws.KAPLAN_ALPHA_D
    assert float(zoo.constant("kaplan_n_opt_exponent")) == laws.KAPLAN_PARAMS_EXPONENT
    assert float(zoo.constant("pf_day")) == laws.PF_DAY


def test_reference_scaling_budget_from_devices():
    """16,384 H100 for 54 days at 41 %: what Llama 3 had (about 6 x 405e9 x 15.6e12 FLOP)."""
    h100 = zoo.accelerator_record(zoo.hardware("h100"), Precision.BF16)
    inputs = {"hardware": h100, "n_accelerators": 16384, "mfu": 0.41}
    best = scaling(ASSUME, **inputs, duration=54 * 86400, params=405e9)
    close(best.total_flops, 16384 * 54 * 86400 * h100.peak_flops * 0.41, 1e-12)
    assert 0.7 < float(best.chosen_tokens) / 15.6e12 < 1.1
    close(best.training_time, 54 * 86400, 1e-12)
    days = scaling(ASSUME, **inputs, params=405e9, tokens=15.6e12).training_time / 86400
    assert 54 < float(days) < 80


FITTED = [law for law in Law if law not in (Law.CHINCHILLA_1, Law.KAPLAN)]
BUDGETS = st.floats(1e18, 1e28)


@settings(max_examples=200, deadline=None)
@given(law=st.sampled_from(list(Law)), compute=BUDGETS, factor=st.floats(0.05, 20.0))
def test_no_split_beats_the_optimum(law, compute, factor):
    fit = laws.fit_of(law)
    best = float(laws.fitted_params(fit, compute))
    size = best * factor
    assert float(laws.loss(fit, size, compute / 6 / size)) >= float(laws.lowest_loss(fit, compute)) * (1 - 1e-12)
    chosen = scaling(ASSUME, compute_budget=compute, law=law, params=size)
    assert float(chosen.loss_penalty) >= 0
    close(chosen.train_flops, compute, 1e-9)
    assert float(chosen.compute_equivalent) <= compute * (1 + 1e-6)


@settings(max_examples=100, deadline=None)
@given(law=st.sampled_from(list(Law)), compute=BUDGETS)
def test_compute_for_a_loss_is_the_optimum_read_backwards(law, compute):
    fit = laws.fit_of(law)
    close(laws.compute_for_loss(fit, laws.lowest_loss(fit, compute)), compute, 1e-6)


@settings(max_examples=100, deadline=None)
@given(law=st.sampled_from(FITTED), compute=BUDGETS)
def test_the_constrained_optimum_without_constraints_is_the_closed_form(law, compute):
    fit = laws.fit_of(law)
    free = laws.constrained_params(compute, 0.0, np.inf, fit.a, fit.b, fit.alpha, fit.beta)
    close(free, float(laws.fitted_params(fit, compute)), 1e-9)


@settings(max_examples=100, deadline=None)
@given(compute=st.floats(1e20, 1e26), served=st.floats(1e6, 1e15), factor=st.floats(0.5, 2.0))
def test_serving_makes_models_smaller_and_the_choice_is_best(compute, served, factor):
    alone = scaling(ASSUME, compute_budget=compute)
    both = scaling(ASSUME, compute_budget=compute, served_tokens=served)
    assert float(both.optimal_params) <= float(alone.optimal_params) * (1 + 1e-9)
    close(both.total_flops, compute, 1e-6)
    other = scaling(ASSUME, compute_budget=compute, served_tokens=served, params=both.optimal_params * factor)
    assert float(other.predicted_loss) >= float(both.predicted_loss) * (1 - 1e-9)


@settings(max_examples=100, deadline=None)
@given(compute=st.floats(1e20, 1e25), unique=st.floats(1e9, 1e13), factor=st.floats(0.5, 2.0))
def test_repeated_data_the_choice_is_best_and_never_better_than_fresh(compute, unique, factor):
    limited = scaling(ASSUME, compute_budget=compute, unique_tokens=unique, law=Law.MUENNIGHOFF)
    fresh = scaling(ASSUME, compute_budget=compute, law=Law.MUENNIGHOFF)
    assert float(limited.predicted_loss) >= float(fresh.predicted_loss) * (1 - 1e-9)
    assert float(limited.effective_tokens) <= float(limited.chosen_tokens) * (1 + 1e-12)
    other = scaling(
        ASSUME,
        compute_budget=compute,
        unique_tokens=unique,
        law=Law.MUENNIGHOFF,
        params=limited.optimal_params * factor,
    )
    assert float(other.predicted_loss) >= float(limited.predicted_loss) * (1 - 1e-7)


def test_scaling_says_what_a_budget_does_not_buy():
    assert scaling(ASSUME, compute_budget=1e23, params=70e9, tokens=1.4e12).limit == Limit.BUDGET
    swallowed = scaling(ASSUME, compute_budget=1e22, params=70e9, served_tokens=1e12)
    assert swallowed.limit == Limit.BUDGET and not swallowed.feasible
    assert not any(np.isnan(float(v)) for v in swallowed if v is not None)
    with pytest.raises(TypeError, match="compute_budget"):
        scaling(ASSUME, params=7e9)


def test_scaling_model_sweeps_like_the_kernel():
    budgets, options = [1e21, 1e23, 1e25], ["epoch", "kaplan", "muennighoff"]
    swept = ScalingModel.solve(compute_budget=budgets, law=options, served_tokens=[1e9, 1e13])
    for i, budget in enumerate(budgets):
        for j, law in enumerate((Law.EPOCH, Law.KAPLAN, Law.MUENNIGHOFF)):
            one = scaling(ASSUME, compute_budget=budget, law=law, served_tokens=1e13)
            close(swept.optimal_params.values[i, j, 1], float(one.optimal_params), 1e-9)
            close(swept.predicted_loss.values[i, j, 1], float(one.predicted_loss), 1e-12)


# --- wall 13: compression ------------------------------------------------------------------------------

METHOD = CompressionMethod
UNSTRUCTURED, PATTERN = METHOD.PRUNE_UNSTRUCTURED, METHOD.PRUNE_2_4
BLOCKS, NARROW = METHOD.PRUNE_STRUCTURED, METHOD.QUANTIZE_WEIGHTS_ACTIVATIONS
ROUND = Quantizer.ROUND_TO_NEAREST


def device(name, precision=Precision.BF16):
    return zoo.accelerator_record(zoo.hardware(name), precision)


def compressed(model="llama3_1_70b", hardware="h100", precision=Precision.BF16, narrow=None, **inputs):
    if narrow is not None:
        inputs["compressed_hardware"] = device(hardware, narrow)
    workload = zoo.workload_record(zoo.model(model))
    return compression(workload, device(hardware), zoo.format_record(precision), ASSUME, **inputs)


def two_of_four(bits):
    return {"method": METHOD.PRUNE_2_4, "bits": bits, "baseline_bits": bits}


STORAGE = [
    row("int4, groups of 128, 16-bit scale", "compression_ratio", "3.87878788", "16 / 4.125"),
    row("the same with a 4-bit zero", "compression_ratio", "3.84962406", "16 / 4.15625", zero_bits=4),
    row("the same with a 16-bit zero", "compression_ratio", "3.76470588", "16 / 4.25", zero_bits=16),
    row("MXFP4", "compression_ratio", "3.76470588", "groups of 32, 8-bit scale", group_size=32, scale_bits=8),
    row("NVFP4", "compression_ratio", "3.55555556", "groups of 16, 8-bit scale", group_size=16, scale_bits=8),
    row("2:4 of 16 bits", "compression_ratio", "1.77777778", "16 / (8 + 1)", two_of_four(16)),
    row("2:4 of 8 bits", "compression_ratio", 1.6, "8 / (4 + 1)", two_of_four(8)),
    row("2:4 of 4 bits", "compression_ratio", "1.33333333", "4 / (2 + 1)", two_of_four(4)),
    row("2:4 of 4 bits over 16", "compression_ratio", 16 / 3, "3 bits a value", two_of_four(4), baseline_bits=16),
    row(
        "bitmap, half zeros",
        "compression_ratio",
        "1.77777778",
        "16 / 9",
        method=METHOD.PRUNE_UNSTRUCTURED,
        sparsity=0.5,
    ),
    row(
        "bitmap, 90 % zeros",
        "compression_ratio",
        "6.15384615",
        "16 / 2.6",
        method=METHOD.PRUNE_UNSTRUCTURED,
        sparsity=0.9,
    ),
    row("int4 weights of Llama-3.1-70B", "weight_memory", 36379254912, "70,553,706,496 x 4.125 / 8"),
    row("its dense weights", "dense_weight_memory", 2 * 70553706496, "2 bytes each"),
    row("saved", "memory_saved", 2 * 70553706496 - 36379254912, "the difference"),
    row(
        "tables kept in 16 bits",
        "weight_memory",
        (70553706496 - 2e9) * 4.125 / 8 + 4e9,
        "2e9 kept",
        uncompressed_params=2e9,
    ),
    row("8-bit cache", "compression_ratio", 16 / 8.125, "8 bits and a scale per 128", method=METHOD.QUANTIZE_KV),
    row(
        "8-bit cache, bytes",
        "kv_memory",
        327680 * 4096 * 16 * 8.125 / 16,
        "327,680 byte a token in 16 bits",
        method=METHOD.QUANTIZE_KV,
        batch_size=16,
        seq_len=4096,
    ),
    row(
        "a quarter of the blocks", "compression_ratio", 4 / 3, "3/4 left", method=METHOD.PRUNE_STRUCTURED, sparsity=0.25
    ),
    row(
        "student of 8B",
        "compression_ratio",
        70553706496 / 8e9,
        "teacher / student",
        method=METHOD.DISTILL,
        student_params=8e9,
    ),
    row("fp8 baseline", "compression_ratio", 8 / 4.125, "stated precision", precision=Precision.FP8),
]


@pytest.mark.parametrize("inputs, output, expected, rel, source", STORAGE)
def test_reference_compression_storage(inputs, output, expected, rel, source):
    close(getattr(compressed(**inputs), output), expected, rel)


def test_reference_low_rank():
    assert compressed_size.low_rank_ratio(4096.0, 4096.0, 256.0) == 8.0
    model = zoo.workload_record(zoo.model("llama2_7b"))
    sides = 32 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
    whole = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    total = float(architecture.total_params(model))
    close(compressed_size.factored_share(model, 512.0), (total - whole + 512 * sides) / total, 1e-12)
    built = compressed("llama2_7b", method=METHOD.LOW_RANK, factor_rank=512)
    close(built.compression_ratio, total / (total - whole + 512 * sides), 1e-12)


PERPLEXITY = [
    # id, model, inputs, dense, compressed, source
    ("GPTQ 4 bit", "llama_7b", {"bits": 4}, 5.68, 6.09, "gptq README"),
    ("GPTQ 3 bit", "llama_7b", {"bits": 3}, 5.68, 8.07, "gptq README"),
    ("rounded 4 bit", "llama_7b", {"bits": 4, "quantizer": ROUND}, 5.68, 6.29, "gptq README"),
    ("rounded 3 bit", "llama_7b", {"bits": 3, "quantizer": ROUND}, 5.68, 25.54, "gptq README"),
    ("GPTQ 4 bit, 13B", "llama_13b", {"bits": 4}, 5.09, 5.36, "gptq README"),
    ("GPTQ 3 bit, 65B", "llama_65b", {"bits": 3}, 3.53, 5.04, "gptq README"),
    ("GPTQ 3 bit in groups", "llama_7b", {"bits": 3, "group_size": 128}, 5.68, 6.61, "gptq README"),
    ("Wanda 50 %", "llama2_7b", {"method": UNSTRUCTURED}, 5.12, 6.42, "wanda README"),
    ("Wanda 50 %, 70B", "llama2_70b", {"method": UNSTRUCTURED}, 3.12, 3.98, "wanda README"),
    ("magnitude 50 %", "llama2_13b", {"method": UNSTRUCTURED, "pruner": Pruner.MAGNITUDE}, 4.57, 6.37, "wanda README"),
    ("SparseGPT 2:4", "llama2_7b", {"method": PATTERN, "pruner": Pruner.SPARSEGPT}, 5.12, 10.17, "wanda README"),
    ("Wanda 2:4, 70B", "llama2_70b", {"method": PATTERN}, 3.12, 5.16, "wanda README"),
    ("10 % of the blocks", "llama2_7b", {"method": BLOCKS, "sparsity": 0.1}, 7.26, 9.34, "arXiv:2402.09025"),
    ("20 % of the blocks, 70B", "llama2_70b", {"method": BLOCKS, "sparsity": 0.2}, 5.71, 7.31, "arXiv:2402.09025"),
    ("factored, 20 % less", "llama_7b", {"method": METHOD.LOW_RANK, "sparsity": 0.2}, 5.68, 7.94, "arXiv:2403.07378"),
    ("factored, 60 % less", "llama_7b", {"method": METHOD.LOW_RANK, "sparsity": 0.6}, 5.68, 42.30, "arXiv:2403.07378"),
    ("2-bit cache, 13B", "llama2_13b", {"method": METHOD.QUANTIZE_KV, "bits": 2}, 4.88, 5.46, "arXiv:2508.10395"),
    ("3-bit cache, 13B", "llama2_13b", {"method": METHOD.QUANTIZE_KV, "bits": 3}, 4.88, 4.96, "arXiv:2508.10395"),
    ("8-bit cache", "llama3_1_8b", {"method": METHOD.QUANTIZE_KV, "bits": 8}, 6.232196, 6.234369, "llama.cpp, 7412"),
]

SIZES = {
    "llama_7b": 6.74e9,
    "llama_13b": 13.0e9,
    "llama_65b": 65.2e9,
    "llama2_7b": 6.74e9,
    "llama2_13b": 13.0e9,
    "llama2_70b": 69.0e9,
    "llama3_1_8b": 8.03e9,
}


@pytest.mark.parametrize("name, model, inputs, dense, expected, source", PERPLEXITY, ids=[r[0] for r in PERPLEXITY])
def test_reference_compression_loss(name, model, inputs, dense, expected, source):
    """A model of which only size and width are known has exactly the size of the table's model."""
    only = {"total_params": SIZES[model], "hidden": 4096.0, "network_layers": 0.0}
    plain = zoo.workload_record(zoo.model("resnet50"))._replace(**only)
    inputs = {"group_size": 4096, **inputs}
    made = compression(plain, device("h100"), zoo.format_record(Precision.BF16), ASSUME, **inputs)
    close(made.loss_delta, math.log(expected / dense), 1e-6)


def test_reference_compression_tables_are_the_registrys():
    for size, i in (("7b", 0), ("13b", 1), ("30b", 2), ("65b", 3)):
        dense = float(zoo.constant(f"ppl_llama1_{size}_fp16"))
        for table, name in ((smaller.ROUNDED_4, "rtn4"), (smaller.GPTQ_3_GROUPED, "gptq3_g128")):
            close(table[i], math.log(float(zoo.constant(f"ppl_llama1_{size}_{name}")) / dense), 1e-12)
    for size, i in (("7b", 0), ("13b", 1), ("70b", 2)):
        dense = float(zoo.constant(f"ppl_llama2_{size}_dense"))
        for pruner in Pruner:
            for tables, name in ((smaller.PRUNED_HALF, "50"), (smaller.PRUNED_2_4, "2_4")):
                ppl = float(zoo.constant(f"ppl_llama2_{size}_{pruner.name.lower()}_{name}"))
                close(tables[pruner][i], math.log(ppl / dense), 1e-12)


ACCURACY = [
    # id, model, inputs, accuracy measured, source; the model must have it within two standard deviations
    ("Wanda 30 %", "llama2_7b", {"method": UNSTRUCTURED, "sparsity": 0.3}, 0.6908 - 0.7078, "tweizy"),
    ("Wanda 50 %", "llama2_7b", {"method": UNSTRUCTURED, "sparsity": 0.5}, 0.6621 - 0.7078, "tweizy"),
    ("Wanda 70 %", "llama2_7b", {"method": UNSTRUCTURED, "sparsity": 0.7}, 0.4228 - 0.7078, "tweizy"),
    ("W4A16", "llama3_1_8b", {"bits": 4}, 0.7311 - 0.7406, "arXiv:2411.02355"),
    ("AWQ, mean of eight", "llama2_13b", {"bits": 4}, -0.0026, "llm-awq README"),
    ("W8A8", "llama3_1_8b", {"method": NARROW}, 0.6271 - 0.6303, "model card"),
    ("W8A8, Mixtral fp8", "mixtral_8x7b", {"method": NARROW}, 0.7299 - 0.7348, "model card"),
    ("W4A4", "llama3_1_8b", {"method": NARROW, "bits": 4}, 0.740 - 0.789, "model card"),
    ("8B to 4.5B", "llama3_1_8b", {"method": METHOD.DISTILL, "student_params": 4.5e9}, -0.0415, "arXiv:2408.11796"),
    ("W8A16, 70B", "llama3_70b", {"bits": 8}, 0.7790 - 0.7918, "model card of neuralmagic"),
]


@pytest.mark.parametrize("name, model, inputs, measured, source", ACCURACY, ids=[r[0] for r in ACCURACY])
def test_reference_compression_accuracy_within_its_spread(name, model, inputs, measured, source):
    made = compressed(model, "h200", **inputs)
    assert abs(float(made.accuracy_delta) - measured) <= 2.2 * float(made.accuracy_spread)


@pytest.mark.parametrize(
    "name, model, measured",
    [("8B", "llama3_1_8b", 2.255), ("13B", "llama2_13b", 2.277)],
)
def test_reference_compression_speed(name, model, measured):
    """AWQ on A100, batch 1 (llm-awq README): within 25 %, whether the narrow device is given or not."""
    given_device = float(compressed(model, "a100", narrow=Precision.INT4, seq_len=256).decode_speedup)
    assert given_device == pytest.approx(float(compressed(model, "a100", seq_len=256).decode_speedup), rel=1e-9)
    assert given_device == pytest.approx(measured, rel=0.25)


@pytest.mark.parametrize("hardware", ["a100", "h100", "b200", "l40s"])
def test_compression_and_serving_agree_on_int4(hardware):
    """One curve for weight-only products: the decode step of both resolvers, communication and host left out."""
    asked = {"model": "llama3_1_70b", "hardware": hardware, "tp": 4, "seq_len": 1024, "batch_size": [1, 16, 256]}
    served = ServingModel.solve(**asked, precision="int4")
    decode = served.decode_gemm_time + served.decode_attention_time
    made = CompressionModel.solve(**asked, bits=4)
    assert np.allclose(made.decode_time.values, decode.values, rtol=0.1)


def test_int4_weights_decode_faster_than_wider_ones():
    asked = {"model": "llama3_1_70b", "hardware": ["h100", "b200"], "tp": 4, "seq_len": 1024}
    gemm = ServingModel.solve(**asked, precision=["int4", "fp8", "bf16"]).decode_gemm_time
    narrow, middle, wide = (gemm.sel(precision=p).values for p in ("int4", "fp8", "bf16"))
    assert bool((1.3 * narrow < middle).all()) and bool((2.0 * narrow < wide).all())


def test_reference_weight_only_kernel():
    """Marlin (arXiv:2408.11743): close to 3.87 times 16 bits on 18,432 x 73,728 up to 16 rows, nothing at thousands."""
    wide, narrow = device("a100", Precision.BF16), device("a100", Precision.INT4)

    def speedup(rows):
        shape = (rows, 73728.0, 18432.0)
        return float(gemm_time(*shape, 2.0, 2.0, 2.0, wide) / gemm_time(*shape, 4.125 / 8.0, 2.0, 2.0, narrow))

    assert 3.6 < speedup(1.0) < 3.88 and 3.2 < speedup(16.0) < 3.88 and 0.9 < speedup(4096.0) < 1.0
    measured, plain = curves.curve("a100_sxm", "int4"), curves.curve("a100_sxm", "bf16")
    moved = weight_only(plain["gemm_efficiency"], plain["gemm_bandwidth_efficiency"])
    assert {name: measured[name] for name in moved} == pytest.approx(moved)
    assert narrow.gemm_latency == wide.gemm_latency


def test_compression_speed_by_phase():
    weights = compressed("llama3_1_8b")
    assert 0.96 < float(weights.prefill_speedup) < 1.0  # unpacking weights costs a little where arithmetic binds
    assert 2.0 < float(weights.decode_speedup) < float(weights.compression_ratio)
    both = compressed("llama3_1_8b", method=NARROW, narrow=Precision.FP8)
    assert 1.2 < float(both.prefill_speedup) < 2.0
    cache = compressed("llama3_1_8b", method=METHOD.QUANTIZE_KV, batch_size=64, seq_len=16384)
    assert float(cache.prefill_speedup) == pytest.approx(1.0, abs=0.02) and float(cache.decode_speedup) > 1.4
    zeros = compressed("llama3_1_8b", method=UNSTRUCTURED)
    assert float(zeros.prefill_speedup) == pytest.approx(1.0, abs=0.02)
    half = compressed("llama3_1_8b", method=PATTERN)
    assert 1.3 < float(half.prefill_speedup) <= 1.6
    slim = compressed("resnet50", method=BLOCKS, batch_size=256)
    assert 1.8 < float(slim.prefill_speedup) <= 2.0


MODELS = ["llama3_1_8b", "llama2_70b", "mixtral_8x7b", "deepseek_v3", "resnet50"]


@settings(max_examples=200, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    method=st.sampled_from(list(METHOD)),
    bits=st.sampled_from([None, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0]),
    group=st.sampled_from([16, 32, 128, 4096]),
    sparsity=st.floats(0.0, 0.95),
    batch=st.integers(1, 512),
    context=st.integers(16, 131072),
    tp=st.sampled_from([1, 2, 8]),
    quantizer=st.sampled_from(list(Quantizer)),
    pruner=st.sampled_from(list(Pruner)),
)
def test_compression_keeps_its_bounds(model, method, bits, group, sparsity, batch, context, tp, quantizer, pruner):
    made = compressed(
        model,
        "h100",
        method=method,
        bits=bits,
        group_size=group,
        sparsity=sparsity,
        batch_size=batch,
        seq_len=context,
        tp=tp,
        quantizer=quantizer,
        pruner=pruner,
    )
    values = {name: float(value) for name, value in made._asdict().items()}
    assert not any(np.isnan(v) for v in values.values())
    assert -ASSUME.accuracy_at_stake <= values["accuracy_delta"] <= 0 < values["accuracy_spread"]
    assert values["loss_delta"] >= 0 and values["compression_ratio"] > 0
    saved = values["dense_weight_memory"] + values["dense_kv_memory"] - values["weight_memory"] - values["kv_memory"]
    close(values["memory_saved"] + 1e30, saved + 1e30)
    assert bool(made.feasible) == (values["limit"] == 0)


@settings(max_examples=100, deadline=None)
@given(
    model=st.sampled_from(MODELS[:4]),
    method=st.sampled_from(list(METHOD)[:3]),
    fewer=st.floats(2.0, 8.0),
    more=st.floats(1.0, 2.0),
)
def test_fewer_bits_never_lose_less(model, method, fewer, more):
    narrow = compressed(model, method=method, bits=fewer)
    wide = compressed(model, method=method, bits=fewer * more)
    assert float(narrow.loss_delta) >= float(wide.loss_delta) * (1 - 1e-9)
    assert float(narrow.compression_ratio) >= float(wide.compression_ratio) * (1 - 1e-12)


def test_compression_says_what_does_not_work():
    assert compressed("llama3_1_405b").limit == Limit.MEMORY
    assert compressed("resnet50", method=METHOD.QUANTIZE_KV).limit == Limit.CAPABILITY
    assert compressed("llama3_1_8b", "a100", narrow=Precision.FP8, method=NARROW).limit == Limit.CAPABILITY
    assert compressed("llama3_1_8b", "a100", narrow=Precision.FP8).feasible  # weights alone are widened


def test_compression_adds_neither_bits_nor_parameters():
    shape, fine = Limit.SHAPE, Limit.NONE
    for method in (METHOD.QUANTIZE_WEIGHTS, METHOD.QUANTIZE_WEIGHTS_ACTIVATIONS, METHOD.PRUNE_2_4):
        assert [compressed("llama3_1_8b", method=method, bits=b).limit for b in (8, 16, 32)] == [fine, fine, shape]
    cache = [compressed("llama3_1_8b", method=METHOD.QUANTIZE_KV, bits=b).limit for b in (8, 32)]
    students = [compressed("llama3_1_8b", method=METHOD.DISTILL, student_params=n).limit for n in (1e9, 70e9)]
    assert cache == students == [fine, shape]
    assert compressed("llama3_1_8b", student_params=70e9).limit == fine  # no student is asked for
    assert compressed("llama3_1_8b", uncompressed_params=9e9).limit == shape


def test_weights_that_are_all_zero_and_tell_nothing_take_no_traffic():
    """No byte a weight is left: the time is the limit of ever fewer, no ratio of nothing to nothing."""
    few, none = (
        compressed("llama3_1_8b", method=METHOD.PRUNE_UNSTRUCTURED, sparsity=s, index_bits=0) for s in (1 - 1e-9, 1)
    )
    close(none.prefill_time, few.prefill_time, 1e-6)
    close(none.decode_time, few.decode_time, 1e-6)
    assert none.decode_time <= few.decode_time


def test_compression_model_sweeps_like_the_kernel():
    methods = ["quantize_weights", "prune_2_4", "low_rank"]
    swept = CompressionModel.solve(model=["llama3_1_8b", "llama3_1_70b"], hardware="h100", method=methods, bits=[3, 4])
    assert swept.sizes["method"] == 3
    for i, model in enumerate(("llama3_1_8b", "llama3_1_70b")):
        for j, method in enumerate((METHOD.QUANTIZE_WEIGHTS, METHOD.PRUNE_2_4, METHOD.LOW_RANK)):
            one = compressed(model, method=method, bits=4)
            for name in ("accuracy_delta", "compression_ratio", "decode_speedup", "limit"):
                close(swept[name].values[i, j, 1], float(getattr(one, name)), 1e-9)
