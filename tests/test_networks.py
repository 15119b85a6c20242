"""Networks that are no transformers: their layers, counted from the published architectures."""

import csv
import itertools
import math
import statistics
from pathlib import Path

import pytest

from mlsysim import zoo
from mlsysim.zoo import layers

FILE = Path(layers.__file__).parent / "networks.csv"


class Net:
    """Counts of a network: multiply-adds, values that layers write, layers, weights; the widest layer; narrow groups."""

    def __init__(self):
        self.macs = self.values = self.layers = self.params = self.peak = self.narrow = 0
        self.before = 0

    def wrote(self, values):
        self.peak = max(self.peak, self.before + values)
        self.values, self.before, self.layers = self.values + values, values, self.layers + 1
        return self

    def conv(self, inner, outer, kernel, side, groups=1):
        area = kernel[0] * kernel[1] if isinstance(kernel, tuple) else kernel * kernel
        places = side[0] * side[1] if isinstance(side, tuple) else side * side
        self.macs += inner * outer // groups * area * places
        self.params += inner * outer // groups * area
        if groups > 1 and inner // groups < 32:
            self.narrow += outer * places
        return self.wrote(outer * places)

    def linear(self, inner, outer, rows=1):
        self.macs += inner * outer * rows
        self.params += inner * outer
        return self.wrote(outer * rows)

    def mlp(self, *widths):
        for inner, outer in itertools.pairwise(widths):
            self.linear(inner, outer)
        return self

    def read(self, values):
        """Values that are looked up."""
        return self.wrote(values)

    def attend(self, queries, keys, width):
        self.macs += 2 * queries * keys * width
        return self.wrote(queries * width)


def up(value, by=8):
    """Channels as MobileNet and EfficientNet round them."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded


def resnet(blocks, bottleneck, groups=1, width=64, side=224, head=True):
    net, side, inner = Net().conv(3, 64, 7, side // 2), side // 4, 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            before, side = side, side // stride
            outer = 64 * 2**stage * (4 if bottleneck else 1)
            middle = width * groups * 2**stage if groups > 1 else 64 * 2**stage
            if bottleneck:
                net.conv(inner, middle, 1, before).conv(middle, middle, 3, side, groups).conv(middle, outer, 1, side)
            else:
                net.conv(inner, outer, 3, side).conv(outer, outer, 3, side)
            if inner != outer or stride > 1:
                net.conv(inner, outer, 1, side)
            inner = outer
    return net.linear(inner, 1000) if head else net


def vgg16():
    net, side, inner = Net(), 224, 3
    for count, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            net.conv(inner, width, 3, side)
            inner = width
        side //= 2
    return net.mlp(512 * 49, 4096, 4096, 1000)


def alexnet():
    net = Net().conv(3, 64, 11, 55).conv(64, 192, 5, 27).conv(192, 384, 3, 13).conv(384, 256, 3, 13)
    return net.conv(256, 256, 3, 13).mlp(9216, 4096, 4096, 1000)


def mobilenet_v1(share=1.0, side=224, classes=1000):
    side, inner = side // 2, int(32 * share)
    net = Net().conv(3, inner, 3, side)
    steps = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
    for outer, stride in steps:
        side = -(-side // stride)
        net.conv(inner, inner, 3, side, inner).conv(inner, int(outer * share), 1, side)
        inner = int(outer * share)
    return net.linear(inner, classes)


def inverted(net, inner, middle, outer, kernel, side, stride, squeeze=0):
    """An inverted residual: wider, depthwise, weighed by channel, narrower; the side that it leaves."""
    after = -(-side // stride)
    if middle != inner:
        net.conv(inner, middle, 1, side)
    net.conv(middle, middle, kernel, after, middle)
    if squeeze:
        net.conv(middle, squeeze, 1, 1).conv(squeeze, middle, 1, 1)
    net.conv(middle, outer, 1, after)
    return after


def mobilenet_v2():
    net, side, inner = Net().conv(3, 32, 3, 112), 112, 32
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for times, outer, count, stride in plan:
        for block in range(count):
            side = inverted(net, inner, inner * times, outer, 3, side, 1 if block else stride)
            inner = outer
    return net.conv(320, 1280, 1, side).linear(1280, 1000)


#: kernel, inner width, width, squeezed or not, stride (Howard et al. 2019, arXiv:1905.02244, tables 1 and 2)
V3_LARGE = (
    (3, 16, 16, 0, 1), (3, 64, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2), (5, 120, 40, 1, 1), (5, 120, 40, 1, 1),
    (3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1),
    (3, 672, 112, 1, 1), (5, 672, 160, 1, 2), (5, 960, 160, 1, 1), (5, 960, 160, 1, 1),
)  # fmt: skip
V3_SMALL = (
    (3, 16, 16, 1, 2), (3, 72, 24, 0, 2), (3, 88, 24, 0, 1), (5, 96, 40, 1, 2), (5, 240, 40, 1, 1), (5, 240, 40, 1, 1),
    (5, 120, 48, 1, 1), (5, 144, 48, 1, 1), (5, 288, 96, 1, 2), (5, 576, 96, 1, 1), (5, 576, 96, 1, 1),
)  # fmt: skip


def mobilenet_v3(plan, last, hidden):
    net, side, inner = Net().conv(3, 16, 3, 112), 112, 16
    for kernel, middle, outer, squeezed, stride in plan:
        side = inverted(net, inner, middle, outer, kernel, side, stride, up(middle / 4) if squeezed else 0)
        inner = outer
    return net.conv(inner, last, 1, side).mlp(last, hidden, 1000)


def efficientnet(width, depth, side):
    side, inner = -(-side // 2), up(32 * width)
    net = Net().conv(3, inner, 3, side)
    plan = (
        (1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1), (6, 192, 4, 5, 2),
        (6, 320, 1, 3, 1),
    )  # fmt: skip
    for times, outer, count, kernel, stride in plan:
        for block in range(math.ceil(count * depth)):
            squeeze, middle = max(1, inner // 4), inner * times
            side = inverted(net, inner, middle, up(outer * width), kernel, side, 1 if block else stride, squeeze)
            inner = up(outer * width)
    return net.conv(inner, up(1280 * width), 1, side).linear(up(1280 * width), 1000)


def keywords():
    net = Net().conv(1, 64, (10, 4), (25, 5))
    for _ in range(4):
        net.conv(64, 64, 3, (25, 5), 64).conv(64, 64, 1, (25, 5))
    return net.linear(64, 12)


def resnet8():
    net, inner = Net().conv(3, 16, 3, 32), 16
    for width, side in ((16, 32), (32, 16), (64, 8)):
        net.conv(inner, width, 3, side).conv(width, width, 3, side)
        if width != inner:
            net.conv(inner, width, 1, side)
        inner = width
    return net.linear(64, 10)


def dlrm(bottom, top, width, tables=26):
    net = Net().mlp(*bottom).read(tables * width)
    pairs = (tables + 1) * tables // 2
    net.macs += pairs * width
    return net.wrote(pairs).mlp(pairs + width, *top)


#: rows that a sample of the multi-hot Criteo set looks up in 26 tables (MLPerf's reference, multi_hot_sizes)
LOOKED_UP = 3 + 2 + 1 + 2 + 6 + 1 + 1 + 1 + 1 + 7 + 3 + 8 + 1 + 6 + 9 + 5 + 1 + 1 + 1 + 12 + 100 + 27 + 10 + 3 + 1 + 1


def dlrm_v2():
    net = Net().mlp(13, 512, 256, 128).read(LOOKED_UP * 128)
    for _ in range(3):  # cross layers of rank 512
        net.linear(27 * 128, 512).linear(512, 27 * 128)
    return net.mlp(27 * 128, 1024, 1024, 512, 256, 1)


def retinanet(side=800, classes=264):
    net = resnet((3, 4, 6, 3), True, 32, 4, side, head=False)
    sides = [side // 8, side // 16, side // 32]
    for width, here in zip((512, 1024, 2048), sides, strict=True):
        net.conv(width, 256, 1, here).conv(256, 256, 3, here)
    sides.append(math.ceil(sides[-1] / 2))
    sides.append(math.ceil(sides[-1] / 2))
    net.conv(256, 256, 3, sides[3]).conv(256, 256, 3, sides[4])
    for here in sides:
        for outer in (9 * classes, 9 * 4):
            for _ in range(4):
                net.conv(256, 256, 3, here)
            net.conv(256, outer, 3, here)
    return net


def unet(widths, depths, middle, side, context, words=77):
    net, inner, skips = Net().conv(4, widths[0], 3, side), widths[0], [widths[0]]

    def block(inner, outer, side):
        net.conv(inner, outer, 3, side).linear(4 * widths[0], outer).conv(outer, outer, 3, side)
        if inner != outer:
            net.conv(inner, outer, 1, side)

    def transformer(width, side, depth):
        tokens = side * side
        net.linear(width, width, tokens)
        for _ in range(depth):
            for _ in range(4):
                net.linear(width, width, tokens)
            net.attend(tokens, tokens, width).linear(width, width, tokens)
            net.linear(context, width, words).linear(context, width, words).attend(tokens, words, width)
            net.linear(width, width, tokens).linear(width, 8 * width, tokens).linear(4 * width, width, tokens)
        net.linear(width, width, tokens)

    for stage, width in enumerate(widths):
        for _ in range(2):
            block(inner, width, side)
            inner = width
            if depths[stage]:
                transformer(inner, side, depths[stage])
            skips.append(inner)
        if stage < len(widths) - 1:
            side //= 2
            net.conv(inner, inner, 3, side)
            skips.append(inner)
    block(inner, inner, side)
    transformer(inner, side, middle)
    block(inner, inner, side)
    for stage in reversed(range(len(widths))):
        for _ in range(3):
            block(inner + skips.pop(), widths[stage], side)
            inner = widths[stage]
            if depths[stage]:
                transformer(inner, side, depths[stage])
        if stage:
            side *= 2
            net.conv(inner, inner, 3, side)
    return net.conv(inner, 4, 3, side)


def yolov8n(side=640):
    net = Net()

    def split(inner, outer, side, count):
        half = outer // 2
        net.conv(inner, outer, 1, side)
        for _ in range(count):
            net.conv(half, half, 3, side).conv(half, half, 3, side)
        net.conv((2 + count) * half, outer, 1, side)

    net.conv(3, 16, 3, side // 2)
    for stage, (inner, outer, count) in enumerate(((16, 32, 1), (32, 64, 2), (64, 128, 2), (128, 256, 1))):
        net.conv(inner, outer, 3, side // 4 >> stage)
        split(outer, outer, side // 4 >> stage, count)
    third, fourth, fifth = side // 8, side // 16, side // 32
    net.conv(256, 128, 1, fifth).conv(512, 256, 1, fifth)
    split(384, 128, fourth, 1)
    split(192, 64, third, 1)
    net.conv(64, 64, 3, fourth)
    split(192, 128, fourth, 1)
    net.conv(128, 128, 3, fifth)
    split(384, 256, fifth, 1)
    for width, here in ((64, third), (128, fourth), (256, fifth)):
        for inner, outer in ((64, 64), (80, 80)):
            net.conv(width, inner, 3, here).conv(inner, inner, 3, here).conv(inner, outer, 1, here)
    return net


ARCHITECTURE = {
    "resnet18": (lambda: resnet((2, 2, 2, 2), False), "He et al. 2015 (arXiv:1512.03385), table 1"),
    "resnet50": (lambda: resnet((3, 4, 6, 3), True), "He et al. 2015, table 1; stride in the 3x3 convolution (v1.5)"),
    "resnet101": (lambda: resnet((3, 4, 23, 3), True), "He et al. 2015, table 1"),
    "resnet152": (lambda: resnet((3, 8, 36, 3), True), "He et al. 2015, table 1"),
    "vgg16": (vgg16, "Simonyan, Zisserman 2014 (arXiv:1409.1556), table 1"),
    "alexnet": (alexnet, "Krizhevsky 2014 (arXiv:1404.5997), torchvision's layers"),
    "mobilenet_v1": (mobilenet_v1, "Howard et al. 2017 (arXiv:1704.04861), table 1"),
    "mobilenet_v2": (mobilenet_v2, "Sandler et al. 2018 (arXiv:1801.04381), table 2"),
    "mobilenet_v3_large": (lambda: mobilenet_v3(V3_LARGE, 960, 1280), "Howard et al. 2019 (arXiv:1905.02244), table 1"),
    "mobilenet_v3_small": (lambda: mobilenet_v3(V3_SMALL, 576, 1024), "Howard et al. 2019, table 2"),
    "efficientnet_b0": (lambda: efficientnet(1.0, 1.0, 224), "Tan, Le 2019 (arXiv:1905.11946), table 1"),
    "efficientnet_b4": (lambda: efficientnet(1.4, 1.8, 380), "Tan, Le 2019, scaled by 1.4 and 1.8"),
    "efficientnet_b7": (lambda: efficientnet(2.0, 3.1, 600), "Tan, Le 2019, scaled by 2.0 and 3.1"),
    "yolov8n": (yolov8n, "Ultralytics YOLOv8 configuration (yolov8.yaml, scale n)"),
    "retinanet_resnext50": (retinanet, "Lin et al. 2017 (arXiv:1708.02002) on ResNeXt-50 32x4d; 264 classes, 800x800"),
    "dlrm_mlperf_v1": (
        lambda: dlrm((13, 512, 256, 128), (1024, 1024, 512, 256, 1), 128),
        "Naumov et al. 2019 (arXiv:1906.00091), MLPerf's layer sizes",
    ),
    "dlrm_small_kaggle": (
        lambda: dlrm((13, 512, 256, 64, 16), (512, 256, 1), 16),
        "Naumov et al. 2019, layer sizes of the Kaggle benchmark",
    ),
    "dlrm_mlperf_v2": (dlrm_v2, "Wang et al. 2020 (arXiv:2008.13535), MLPerf's layer sizes and multi-hot lookups"),
    "sd_1_5_unet": (
        lambda: unet((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 64, 768),
        "Rombach et al. 2022 (arXiv:2112.10752), configuration v1-inference.yaml; both matrices of attention counted",
    ),
    "sdxl_unet": (
        lambda: unet((320, 640, 1280), (0, 2, 10), 10, 128, 2048),
        "Podell et al. 2023 (arXiv:2307.01952), table 1; both matrices of attention counted",
    ),
    "mlperf_tiny_kws_dscnn": (keywords, "MLPerf Tiny (arXiv:2106.07597), reference model"),
    "mlperf_tiny_ad_autoencoder": (
        lambda: Net().mlp(640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640),
        "MLPerf Tiny, reference model",
    ),
    "mlperf_tiny_ic_resnet8": (resnet8, "MLPerf Tiny, reference model"),
    "mlperf_tiny_vww_mobilenetv1_025": (lambda: mobilenet_v1(0.25, 96, 2), "MLPerf Tiny, reference model"),
}


def line(key):
    """What the table says about a network by its architecture."""
    build, source = ARCHITECTURE[key]
    net = build()
    return {
        "key": key,
        "network_layers": str(net.layers),
        "activation_values": str(net.values),
        "widest_values": str(net.peak),
        "depthwise_share": f"{net.narrow / net.values:.4g}",
        "unfused_accesses": "2" if key.endswith("unet") else "0",  # group and layer norms before every layer
        "source": source,
    }


def written():
    """The table, as a file (``python tests/test_networks.py`` writes it)."""
    lines = [line(key) for key in ARCHITECTURE]
    with open(FILE, "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


@pytest.mark.parametrize("key", ARCHITECTURE)
def test_table_is_what_the_architecture_counts(key):
    assert layers.table()[key] == line(key)
    net, row = ARCHITECTURE[key][0](), zoo.model(key)
    assert 2.0 * net.macs == pytest.approx(row["flops_per_sample"], rel=0.02)
    assert not {*layers.FIELDS} & set(row.derived)


def test_what_follows_without_a_list_of_layers_is_the_median_of_the_lists():
    nets = [build() for build, _ in ARCHITECTURE.values()]
    assert statistics.median(net.layers for net in nets) == pytest.approx(layers.LAYERS, rel=0.1)
    assert statistics.median(2 * net.macs / net.values for net in nets) == pytest.approx(
        layers.FLOPS_PER_VALUE, rel=0.1
    )
    assert statistics.median(net.peak / net.values for net in nets) == pytest.approx(layers.PEAK_SHARE, rel=0.2)
    own = zoo.Workload(name="mine", total_params=1e7, flops_per_sample=5e9)
    assert {*layers.FIELDS} <= set(own.derived) and own["activation_values"] == 5e9 / layers.FLOPS_PER_VALUE
    listed = zoo.Workload("resnet50", name="wide", activation_values=2e7)
    assert listed["activation_values"] == 2e7 and not {*layers.FIELDS} & set(listed.derived)
    assert zoo.workload_record("llama3_1_8b").network_layers == 0.0


if __name__ == "__main__":
    written()
    for name in ARCHITECTURE:
        net = ARCHITECTURE[name][0]()
        print(f"{name:32} {net.macs * 2 / 1e9:12.6g} GFLOP {net.params / 1e6:9.4g} M {line(name)}")
