"""DistributedModel: how long a training step takes on many devices, what it holds, what limits it."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, data_parallel, training, training_memory, training_step
from mlsysim.equations import pipeline_stages as stages
from mlsysim.equations.conventions import arithmetic_only, can_train
from mlsysim.equations.counting import divides
from mlsysim.equations.data_parallel import nothing_hidden
from mlsysim.equations.exchanges import exchanges, message_bytes
from mlsysim.equations.layer import layer, single_device_time
from mlsysim.equations.layout import device_count, layout, layout_possible, least_microbatches
from mlsysim.equations.links import links
from mlsysim.equations.occupancy import fits_fleet
from mlsysim.equations.pipeline import most_layers
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, Collective, FlopsConvention, Limit, Recompute, Schedule
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload
from mlsysim.schema.usual import GLOBAL_BATCH, SEQ_LEN


class Distributed(NamedTuple):
    """What `distributed` returns."""

    step_time: Real
    compute_time: Real
    bubble_time: Real
    tp_time: Real
    pp_time: Real
    dp_time: Real
    cp_time: Real
    ep_time: Real
    optimizer_time: Real
    overhead_time: Real
    exposed_communication: Real
    communication_time: Real
    communication_fraction: Real
    bubble_fraction: Real
    mfu: Real
    hfu: Real
    compute_utilization: Real
    scaling_efficiency: Real
    tokens_per_s: Real
    tokens_per_s_per_device: Real
    memory_per_device: Real
    memory_allocated: Real
    memory_weights: Real
    memory_gradients: Real
    memory_optimizer: Real
    memory_activations: Real
    memory_other: Real
    memory_utilization: Real
    n_accelerators: Real
    n_microbatches: Real
    model_flops: Real
    training_time: Real | None
    training_tokens: Real | None
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def distributed(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    global_batch=GLOBAL_BATCH,
    seq_len=SEQ_LEN,
    micro_batch=1,
    tp=1,
    pp=1,
    dp=None,
    cp=1,
    ep=1,
    expert_tp=None,
    n_accelerators=None,
    virtual_stages=1,
    schedule=Schedule.ONE_F_ONE_B,
    zero_stage=1,
    shard_size=None,
    recompute=Recompute.NONE,
    sequence_parallel=1,
    attention=None,
    collective=Collective.BEST,
    optimizer_offload=0,
    flops_convention=FlopsConvention.CAUSAL,
    efficiency=None,
    tokens=None,
    duration=None,
) -> Distributed:
    """One training step of a transformer under tensor, pipeline, data, context and expert parallelism.

    Per-layer times come from measured kernel curves; a pipeline schedule turns them into a makespan; exposed
    data-parallel communication, the optimizer and the host are added, and stragglers stretch the whole.

    Parameters
    ----------
    model, hardware, fleet, format, assume : records.
    global_batch : sequences per step.
    seq_len : tokens per sequence.
    micro_batch : sequences per micro-batch, a whole number; `global_batch` is whole rounds of ``micro_batch dp``, times
        `pp` with virtual stages (`limit` shape otherwise).
    tp, pp, dp, cp, ep : degrees of tensor, pipeline, data, context and expert parallelism.  The first four
        multiply to the devices used; experts are spread over the same devices.  Ranks are laid out tensor
        innermost, then context, data, pipeline.
    expert_tp : degree of tensor parallelism inside an expert; default 1, `tp` without expert parallelism.
    n_accelerators : devices; default ``tp pp dp cp``.  Given without `dp`, `dp` follows; given with it, they
        must agree.
    virtual_stages : chunks per device (interleaved 1F1B).
    schedule : order of passes in the pipeline.
    zero_stage : 0..3; 3 is FSDP.
    shard_size : devices that share one copy of sharded states (hybrid sharding); default all of them.
    recompute : activations computed again (or, `offload`, moved to the host).
    sequence_parallel : norms are split over the tensor-parallel group.
    attention : generation of the attention kernel; default the device's best measured kernel.  `unfused`
        computes and stores full scores with dropout, as frameworks did before 2022: ``34 s b h + 5 a s^2 b`` bytes
        a layer.
    collective : algorithm of reductions and gathers; default what a communication library takes.
    optimizer_offload : states and update of the optimizer on the host.
    flops_convention : attention FLOPs that mfu and hfu count.
    efficiency : constant share of peak in place of the kernel curves; element-wise work and start times are
        then 0,
        so that computation takes ``model_flops / (n P efficiency)``.
    tokens : tokens of the whole run, for `training_time`.
    duration : length of the run (s), for `training_tokens`.

    Returns
    -------
    Distributed
        ``step_time`` = compute + bubble + tp + pp + dp + cp + ep + optimizer + overhead, in which communication counts
        as far as nothing hides it; `communication_time` is all of it.
        ``memory_allocated`` is what tensors hold, ``memory_per_device`` what is reserved (it decides
        ``feasible``).  ``mfu`` and ``hfu`` are against `peak_flops` of the format.

    Notes
    -----
    Median error of published step times with nothing fitted to a source: 4 % (mean of 17 sources; 1 to 9 %
    by source), 6 % for a source that the fit of the assumptions has not seen.

    Stages may be uneven: embedding, head and ``ceil(L / p)`` layers count where they lie.  Zero-bubble
    schedules want ``m >= 2 p``, interleaving ``m`` a multiple of ``p``.  In a pipeline ZeRO-2 and 3 keep
    gradients (and gathered weights) over the step, see `Assumptions.keep_gathered`.  Context parallelism is a
    ring, balanced zig-zag. Selective recomputation means norms, activation functions and latent expansions
    with a fused attention kernel, attention proper otherwise.  Latents of latent attention are divided by
    `tp` in memory too.  What a trainer keeps and frees is a setting: ``assume="megatron_lm"``, ``"torchtitan"``,
    ``"meta_llama"`` ... (`mlsysim zoo frameworks`); the defaults are Megatron-LM's.

    References
    ----------
    Shoeybi et al. 2019; Rajbhandari et al. 2020; Narayanan et al. 2021; Korthikanti et al. 2022; Qi et al.
    2023; Zhao et al. 2023 (FSDP); Liu et al. 2023 (ring attention); DeepSeek-AI 2024.
    """
    capable = can_train(hardware) & (model.n_layers > 0) & (format.weight_only == 0) & architecture.trains(model)
    peak: Any = np.where(hardware.peak_flops > 0, hardware.peak_flops, 1.0)
    hardware, assume = arithmetic_only(hardware._replace(peak_flops=peak), assume, efficiency)
    attention = attention if efficiency is None else None
    devices, dp, agree = device_count(n_accelerators, dp, tp * pp * cp)
    plan = layout(
        tp=tp,
        cp=cp,
        dp=dp,
        pp=pp,
        ep=ep,
        expert_tp=expert_tp,
        sequence_parallel=sequence_parallel,
        schedule=schedule,
        virtual_stages=virtual_stages,
        zero_stage=zero_stage,
        n_accelerators=devices,
        shard_size=shard_size,
    )
    machine = (hardware, format, assume)
    network = links(fleet, hardware, assume, collective, tp * pp * cp * dp)
    rows = micro_batch * seq_len / cp
    options = {"seq_len": seq_len, "recompute": recompute, "attention": attention}
    messages = exchanges(model, plan, network, *machine, rows)
    dense, moe = (layer(model, kind, plan, messages, *machine, rows=rows, **options) for kind in (False, True))
    layers = stages.over_stages(model, pp, dense, moe)
    params = stages.dense_stage_params(model, plan, layers.params)
    work = stages.stage_work(model, plan, network, messages, *machine, layers=layers, params=params, rows=rows)

    # the step
    round_size = micro_batch * dp * np.where(virtual_stages > 1, pp, 1.0)
    n_microbatches = global_batch / round_size * np.where(virtual_stages > 1, pp, 1.0)
    held = {"params": params.largest(), "expert_params": layers.expert_params.largest()}
    most, offload = most_layers(model.n_layers, pp), {"optimizer_offload": optimizer_offload}
    shared = {**held, "layers": most, "work": work, "shard_size": shard_size}
    stretch = training_step.straggling(plan, assume) * training_step.machine_level(model, format, assume)
    times = training_step.step_times(
        plan,
        work,
        assume,
        n_microbatches=n_microbatches,
        data=data_parallel.data_exchange(model, plan, network, format, assume, **shared),
        data_in_all=data_parallel.data_exchange(model, plan, network, format, nothing_hidden(assume), **shared),
        transfer=training_step.stage_transfer_time(plan, network, messages, assume, message_bytes(model, format, rows)),
        optimizer=training_step.update_time(plan, hardware, fleet, format, assume, **held, **offload),
        stretch=stretch,
        possible=capable,
    )
    memory = training_memory.fullest_stage(
        training_memory.stages_memory(
            model, plan, format, assume, dense=dense, moe=moe, layers=layers, params=params, rows=rows, **offload
        ),
        assume,
        n_microbatches,
        virtual_stages,
    )

    steps = global_batch / times.step_time
    rate = steps * seq_len
    flops = 3.0 * architecture.forward_flops(model, seq_len, flops_convention)
    repeated = training.repeated_flops(model, seq_len, flops_convention, recompute, attention)
    of_peak = training.utilization(1.0, devices, hardware.peak_flops, 1.0)
    alone = single_device_time(model, *machine, rows=micro_batch * seq_len, **options)
    shape = (
        agree & layout_possible(model, plan, seq_len) & fits_fleet(fleet, devices) & divides(round_size, global_batch)
    )
    limit = first_failing(
        (shape & (n_microbatches >= least_microbatches(schedule, pp)), Limit.SHAPE),
        (capable, Limit.CAPABILITY),
        (memory.memory_per_device <= hardware.mem_capacity, Limit.MEMORY),
    )
    return Distributed(
        **times._asdict(),
        **memory._asdict(),
        mfu=np.minimum(steps * (seq_len * flops * of_peak), 1.0),
        hfu=np.minimum(steps * (seq_len * (flops + repeated) * of_peak), 1.0),
        compute_utilization=steps * (np.minimum(stretch, 1.0) * work.compute.total() / (pp * dp * micro_batch)),
        scaling_efficiency=steps * (alone / (micro_batch * devices)),
        tokens_per_s=rate,
        tokens_per_s_per_device=steps * (seq_len / devices),
        memory_utilization=memory.memory_per_device * (1.0 / hardware.mem_capacity),
        n_accelerators=devices,
        n_microbatches=n_microbatches,
        model_flops=global_batch * (seq_len * flops),
        training_time=None if tokens is None else tokens / rate,
        training_tokens=None if duration is None else duration * rate,
        feasible=limit == 0,
        limit=limit,
        bottleneck=_bottleneck(times),
    )


def _bottleneck(times: training_step.StepTimes) -> Any:
    """The wall behind the largest part of a step: computation, communication, the bubble, or what surrounds them."""
    around = times.overhead_time + times.optimizer_time
    largest = np.maximum(
        np.maximum(times.compute_time, times.exposed_communication), np.maximum(times.bubble_time, around)
    )
    waiting = np.where(times.bubble_time >= largest, float(Bottleneck.BUBBLE), float(Bottleneck.OVERHEAD))
    sending = np.where(times.exposed_communication >= largest, float(Bottleneck.COMMUNICATION), waiting)
    return np.where(times.compute_time >= largest, float(Bottleneck.COMPUTE), sending)


DistributedModel = Model("DistributedModel", distributed, domain="fleet", walls=(14,))
