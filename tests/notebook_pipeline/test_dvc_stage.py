"""What DVC writes while stages run side by side can be read at any moment."""

from threading import Thread

import pytest
import yaml
from ruamel.yaml.representer import RepresenterError

from notebook_pipeline.repro.one_stage import modify_whole


def test_a_reader_finds_a_whole_file_at_any_moment(tmp_path):
    path = tmp_path / "dvc.lock"
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    stages = {f"stage {number}": {"cmd": "true"} for number in range(200)}
    path.write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")

    def write():
        for number in range(40):
            with modify_whole(path) as data:
                data["stages"]["stage 0"]["cmd"] = str(number)

    writer = Thread(target=write)
    writer.start()
    read = []
    while writer.is_alive():
        read.append(path.read_text(encoding="utf-8"))
    writer.join()
    assert {len(yaml.safe_load(text)["stages"]) for text in set(read)} == {200}
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]["stage 0"]["cmd"] == "39"
    assert list((tmp_path / ".dvc/tmp").iterdir()) == []


def test_what_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "dvc.lock"
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    path.write_text("stages: {}\n", encoding="utf-8")
    with pytest.raises(RepresenterError), modify_whole(path) as data:
        data["stages"] = object()
    assert path.read_text(encoding="utf-8") == "stages: {}\n"
    assert list((tmp_path / ".dvc/tmp").iterdir()) == []
