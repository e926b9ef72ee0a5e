import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.errors import UsageError
from lookwhere_cli.jobs.slices import Slice, first_overlap
from tests.jobs.inline import rows_in, small_pictures

SBATCH = Path(__file__).parents[2] / "examples" / "scale" / "array.sbatch"


@given(st.integers(1, 50), st.integers(0, 500))
def test_every_shard_is_in_one_slice(count, total):
    shards = [shard for number in range(1, count + 1) for shard in Slice(number, count).shards(total)]
    assert sorted(shards) == list(range(total))


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_slices_overlap_unless_they_are_others_of_the_same_cut(count, other_count, data):
    mine = Slice(data.draw(st.integers(1, count)), count)
    other = Slice(data.draw(st.integers(1, other_count)), other_count)
    shared = set(mine.shards(400)) & set(other.shards(400))
    assert mine.overlaps(other) or not shared
    assert mine.overlaps(other) == other.overlaps(mine)
    assert Slice.named(mine.name) == mine
    assert first_overlap(mine, [mine.name, "README"]) is None


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "3/0", "a/b", "-1/4", "1/4/5", ""])
def test_what_is_no_slice_is_refused(text):
    with pytest.raises(UsageError, match="is not a slice; write 3/40"):
        Slice.parse(text)
    assert Slice.parse(" 3/40 ") == Slice(3, 40) and Slice.parse("1/1").is_all


@pytest.mark.slow
def test_members_of_a_slurm_array_do_the_whole_job(model_folder, tmp_path):
    """What Slurm sets is set here, and the command is the one of this environment."""
    lookwhere = tmp_path / "bin" / "lookwhere"
    lookwhere.parent.mkdir()
    lookwhere.write_text(f'#!/bin/sh\nexec {sys.executable} -m lookwhere_cli "$@" --shard-size 3\n')
    lookwhere.chmod(0o755)
    paths = {"PICTURES": f"{small_pictures(tmp_path / 'in', 10)}/", "ROWS": f"{tmp_path}/rows/"}
    member = {**paths, "SLICES": "2", "SLURM_CPUS_PER_TASK": "1", "LOOKWHERE_MODEL": str(model_folder)}
    member["PATH"] = f"{lookwhere.parent}{os.pathsep}{os.environ['PATH']}"
    for number in (1, 2):
        assert not (tmp_path / "rows" / "_SUCCESS").exists()
        subprocess.run(["bash", SBATCH], check=True, env={**os.environ, **member, "SLURM_ARRAY_TASK_ID": str(number)})
    assert (tmp_path / "rows" / "_SUCCESS").exists() and len(rows_in(tmp_path / "rows")) == 10
    alone = subprocess.run(["bash", SBATCH], env={**os.environ, **member}, capture_output=True, text=True, check=False)
    assert alone.returncode != 0 and "run me with sbatch --array" in alone.stderr
