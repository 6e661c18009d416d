"""Every cell that the five papers print is a claim of a config, and what a config claims of them is a cell that is printed.

The list was typed from the papers and knows nothing of the configs but their names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nas.report.published_tables import first_author
from nas.space.published import PublishedConfig, every_config

# author | table | row as it is printed (the B of Kong's Table 2 is a Cyrillic letter) | config | what the row says of it
CELLS = """
Kong | Table 1 | VGG-16 | kong_vgg16 | accuracy 79.75, size 56.18
Kong | Table 1 | VGG-19 | kong_vgg19 | accuracy 81.13, size 76.45
Kong | Table 1 | ResNet-34 | kong_resnet34 | accuracy 79.84, size 81.18
Kong | Table 1 | CreINN | kong_creinn | accuracy 85.03, size 47.21
Kong | Table 1 | Proposed | kong_aim_cam | accuracy 88.97, size 43.39
Kong | Table 2 | A | kong_baseline | accuracy 77.83, size 17.95
Kong | Table 2 | В | kong_aim | accuracy 84.46, size 41.88
Kong | Table 2 | C | kong_aim_cam | accuracy 88.97, size 43.39
Balashov | Table 1 | ResNet-50 | balashov_resnet50_cifar10 | accuracy 93.5
Balashov | Table 1 | ResNet-50 | balashov_aicnn_none | accuracy 72.0
Balashov | Table 1 | SENet-50 | balashov_senet50_cifar10 | accuracy 94.2
Balashov | Table 1 | SENet-50 | balashov_senet50_cifar100 | accuracy 73.5
Balashov | Table 1 | CBAM-ResNet | balashov_cbam_resnet50_cifar10 | accuracy 94.5
Balashov | Table 1 | CBAM-ResNet | balashov_cbam_resnet50_cifar100 | accuracy 74.0
Balashov | Table 1 | DenseNet-121 | balashov_densenet121_cifar10 | accuracy 95.0
Balashov | Table 1 | DenseNet-121 | balashov_densenet121_cifar100 | accuracy 75.0
Balashov | Table 1 | AICNN (Ours) | balashov_aicnn_cifar10 | accuracy 96.2
Balashov | Table 1 | AICNN (Ours) | balashov_aicnn | accuracy 77.5
Balashov | Table 2 | ResNet-50 | balashov_resnet50 | accuracy 76.0, top5 93.0
Balashov | Table 2 | SENet-50 | balashov_senet50 | accuracy 77.6, top5 93.8
Balashov | Table 2 | CBAM-ResNet | balashov_cbam_resnet50 | accuracy 77.9, top5 93.9
Balashov | Table 2 | DenseNet-121 | balashov_densenet121 | accuracy 77.0, top5 93.5
Balashov | Table 2 | ViT-B/16 | balashov_vit_b16 | accuracy 78.6, top5 94.5
Balashov | Table 2 | AICNN (Ours) | balashov_aicnn_imagenet | accuracy 79.8, top5 95.1
Balashov | Table 3 | AICNN without Attention | balashov_aicnn_none | accuracy 73.1
Balashov | Table 3 | AICNN with Channel Attention Only | balashov_aicnn_channel | accuracy 75.0
Balashov | Table 3 | AICNN with Spatial Attention Only | balashov_aicnn_spatial | accuracy 75.5
Balashov | Table 3 | AICNN with Combined Attention | balashov_aicnn | accuracy 77.5
Balashov | Table 4 | $r = 2$ | balashov_aicnn_r2 | accuracy 76.8
Balashov | Table 4 | $r = 4$ | balashov_aicnn_r4 | accuracy 77.2
Balashov | Table 4 | $r = 8$ | balashov_aicnn | accuracy 77.5
Balashov | Table 4 | $r = 16$ | balashov_aicnn_r16 | accuracy 77.1
Balashov | Table 5 | ResNet-50 | balashov_resnet50 | parameters 25.6, macs 4.1
Balashov | Table 5 | SENet-50 | balashov_senet50 | parameters 28.1, macs 4.2
Balashov | Table 5 | CBAM-ResNet | balashov_cbam_resnet50 | parameters 28.0, macs 4.3
Balashov | Table 5 | DenseNet-121 | balashov_densenet121 | parameters 8.0, macs 2.9
Balashov | Table 5 | AICNN (Ours) | balashov_aicnn_imagenet | parameters 27.5, macs 4.0
Mandalika | Table I | | mandalika_resnet18_baseline | accuracy 78.5, loss 0.54
Mandalika | Table I | | mandalika_resnet18 | accuracy 83.2, loss 0.42
Jiang | abstract | | jiang_amsra_net | accuracy 95.89
Jiang | abstract | | jiang_resnet18 | accuracy 95.55
Jiang | abstract | | jiang_cct | accuracy 95.04
Jiang | abstract | | jiang_amsra_net_no_lgsa | accuracy 89.25
Jiang | abstract | | jiang_amsra_net_single_scale | accuracy 88.80
Davis | Table 1 | ResNet-110 | davis_resnet110 | accuracy 93.6
Davis | Table 1 | ResNet-110 | davis_resnet110_cifar100 | accuracy 72.7
Davis | Table 1 | ResNet-110 | davis_resnet110_imagenet | accuracy 75.3
Davis | Table 1 | DenseNet-BC | davis_densenet_bc | accuracy 94.4
Davis | Table 1 | DenseNet-BC | davis_densenet_bc_cifar100 | accuracy 73.3
Davis | Table 1 | DenseNet-BC | davis_densenet_bc_imagenet | accuracy 76.4
Davis | Table 1 | SE-ResNet-110 | davis_se_resnet110 | accuracy 95.2
Davis | Table 1 | SE-ResNet-110 | davis_se_resnet110_cifar100 | accuracy 75.7
Davis | Table 1 | SE-ResNet-110 | davis_se_resnet110_imagenet | accuracy 77.2
Davis | Table 1 | CBAM-ResNet-110 | davis_cbam_resnet110 | accuracy 95.5
Davis | Table 1 | CBAM-ResNet-110 | davis_cbam_resnet110_cifar100 | accuracy 76.1
Davis | Table 1 | CBAM-ResNet-110 | davis_cbam_resnet110_imagenet | accuracy 77.7
Davis | Table 1 | Ours | davis_attention_cnn | accuracy 96.2
Davis | Table 1 | Ours | davis_attention_cnn_cifar100 | accuracy 80.5
Davis | Table 1 | Ours | davis_attention_cnn_imagenet | accuracy 78.3
Davis | Table 2 | Baseline CNN | davis_cnn | accuracy 93.8
Davis | Table 2 | Baseline CNN | davis_cnn_cifar100 | accuracy 73.6
Davis | Table 2 | Attention-based CNN | davis_attention_cnn | accuracy 96.2
Davis | Table 2 | Attention-based CNN | davis_attention_cnn_cifar100 | accuracy 80.5
Davis | Table 3 | ResNet-110 | davis_resnet110 | accuracy 93.6
Davis | Table 3 | ResNet-110 | davis_resnet110_cifar100 | accuracy 72.7
Davis | Table 3 | ResNet-110 | davis_resnet110_imagenet | accuracy 75.3
Davis | Table 3 | DenseNet-BC | davis_densenet_bc | accuracy 95.0
Davis | Table 3 | DenseNet-BC | davis_densenet_bc_cifar100 | accuracy 76.4
Davis | Table 3 | DenseNet-BC | davis_densenet_bc_imagenet | accuracy 77.6
Davis | Table 3 | Squeeze-and-Excitation | davis_se_resnet110 | accuracy 95.3
Davis | Table 3 | Squeeze-and-Excitation | davis_se_resnet110_cifar100 | accuracy 77.1
Davis | Table 3 | Squeeze-and-Excitation | davis_se_resnet110_imagenet | accuracy 77.2
Davis | Table 3 | Ours | davis_attention_cnn | accuracy 96.2
Davis | Table 3 | Ours | davis_attention_cnn_cifar100 | accuracy 80.5
Davis | Table 3 | Ours | davis_attention_cnn_imagenet | accuracy 78.3
Davis | Table 4 | CNN without attention | davis_cnn | accuracy 93.8
Davis | Table 4 | CNN without attention | davis_cnn_cifar100 | accuracy 74.3
Davis | Table 4 | Full model | davis_attention_cnn | accuracy 96.2
Davis | Table 4 | Full model | davis_attention_cnn_cifar100 | accuracy 80.5
"""

# Another reading of the same network repeats the claims of the first one.
READINGS = {
    "kong_aim_cam_literal": "kong_aim_cam",
    "kong_aim_cam_residual_aim": "kong_aim_cam",
    "balashov_aicnn_plain": "balashov_aicnn_cifar10",
    "balashov_aicnn_imagenet_1x1": "balashov_aicnn_imagenet",
    "davis_attention_cnn_single": "davis_attention_cnn",
}
TEXTS = {"Kong": "kong_aim_cam.txt", "Balashov": "balashov_aicnn.txt", "Mandalika": "mandalika_resnet18_attention.txt"}
TEXTS |= {"Jiang": "jiang_amsra_net_abstract.txt", "Davis": "davis_attention_cnn.txt"}


class Cell(NamedTuple):
    """One printed number, and the config that should claim it."""

    author: str
    table: str
    config: str
    metric: str
    printed: str


def cells() -> Iterator[tuple[Cell, str]]:
    """Every printed cell, with the words at the head of its row."""
    for line in CELLS.strip().splitlines():
        author, table, row, config, numbers = (part.strip() for part in line.split("|"))
        for number in numbers.split(","):
            metric, printed = number.split()
            yield Cell(author, table, config, metric, printed), row


def tables(text: str) -> list[str]:
    """``Tables 1, 3 and 4`` or ``Tables 1 to 4`` as single tables."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if " to " in text:
        numbers = list(range(numbers[0], numbers[1] + 1))
    return [f"Table {number}" for number in numbers] or [text]


def claimed(config: PublishedConfig) -> Iterator[Cell]:
    """The cells that a config claims."""
    for claim in config.claims:
        for table in tables(claim.table):
            yield Cell(first_author(config.paper), table, config.name, claim.metric, claim.printed)


def test_the_list_of_printed_cells_is_whole() -> None:
    found = Counter(cell.author for cell, _ in cells())
    assert found == {"Kong": 16, "Balashov": 40, "Mandalika": 4, "Jiang": 5, "Davis": 35}
    assert sum(found.values()) == 100


def test_every_printed_cell_is_a_claim_and_every_claim_is_printed() -> None:
    printed = {cell for cell, _ in cells()}
    ours = {cell for config in every_config() if config.name not in READINGS for cell in claimed(config)}
    ours = {cell for cell in ours if cell.author in TEXTS}  # the five papers; others lend a network
    assert printed - ours == set()
    assert ours - printed == set()


@pytest.mark.parametrize(("reading", "first"), READINGS.items())
def test_another_reading_claims_what_the_first_one_claims(reading: str, first: str) -> None:
    configs = {config.name: config for config in every_config()}
    assert set(claimed(configs[first])) >= {cell._replace(config=first) for cell in claimed(configs[reading])}


def test_the_list_is_what_the_papers_print(shared: Path) -> None:
    for cell, row in cells():
        text = (shared / "papers" / TEXTS[cell.author]).read_text()
        if row:  # the line of the table that begins with these words
            _, _, table = re.split(rf"({cell.table} —|{cell.table}:)", text, maxsplit=1)
            line = next(line for line in table.splitlines() if re.sub(r"</?b>|\*", "", line).lstrip().startswith(row))
            assert re.search(rf"(?<![\d.]){re.escape(cell.printed)}(?!\d)", line), cell
        else:
            assert re.search(rf"(?<![\d.]){re.escape(cell.printed)}(?!\d)", text), cell
