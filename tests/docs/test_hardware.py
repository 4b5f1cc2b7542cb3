"""The speeds in README and notebook 04 are those that the benchmark recorded."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").glob("*.json")}


def numbers_of(case: str) -> set[str]:
    """The numbers of a case as the tables format them."""
    report = RESULTS[case]
    own, ratio = report["results"]["dpo_teach"], report["ratios_to_trl"]["dpo_teach"]
    speed = own["pairs_per_second"]
    return {
        f"{speed:.0f}" if speed >= 10 else f"{speed:.2f}",
        f"{own['response_tokens_per_second']:,.0f}",
        f"{ratio['pairs_per_second']:.1f}",
        f"{ratio['peak_mb']:.2f}",
    }


@pytest.mark.parametrize("case", sorted(RESULTS))
def test_the_readmes_row_of_a_case_matches_the_results(case):
    (row,) = [line for line in (ROOT / "README.md").read_text().splitlines() if f"<!-- {case} -->" in line]
    numbers = set(re.findall(r"\*\*([\d.,]+)\*\*", row))
    assert numbers == numbers_of(case), "numbers in bold: pairs/s, tokens/s, ratio of speeds, ratio of memory"


@pytest.mark.parametrize("case", sorted(RESULTS))
def test_the_speed_in_notebook_04_matches_the_results(case):
    cells = json.loads((ROOT / "notebooks" / "04_training.ipynb").read_text())["cells"]
    (source,) = ["".join(cell["source"]) for cell in cells if cell["id"] == "measured-speed"]
    (row,) = re.findall(rf"\[.*\],  # {case}$", source, re.MULTILINE)
    (speed,) = re.findall(r'"([\d.,]+)"', row)
    assert speed in numbers_of(case)


def test_every_result_describes_its_machine():
    assert "reviews" in RESULTS
    for report in RESULTS.values():
        assert report["machine"].keys() >= {"processor", "threads", "matmul_peak_gflops", "versions", "date"}
        assert all(len(row["seconds"]) >= 3 for name, row in report["results"].items() if name in ("dpo_teach", "trl"))
