"""Training curves of a run."""

import csv

import pytest
from PIL import Image

from keras_larp.cli import plot_run as command
from keras_larp.evaluation import run_plots
from keras_larp.evaluation.run_plots import plot_run

pytestmark = pytest.mark.once


def write_log(path, columns, epochs=(0, 1, 2)):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *columns])
        for row, epoch in enumerate(epochs):
            writer.writerow([epoch, *[0.5 + row for _ in columns]])
    return path


def plotted(monkeypatch, log, output):
    """Returns the panels, epochs and columns of the plot."""
    found = []
    inner = run_plots._draw
    monkeypatch.setattr(
        run_plots, "_draw", lambda *args: found.append(args) or inner(*args)
    )
    plot_run(log, output)
    panels, epochs, columns = found[0]
    return {title: names for title, _, names in panels}, epochs, columns


def test_only_columns_in_the_log_are_plotted(monkeypatch, tmp_path):
    names = ["loss", "val_loss", "psnr", "prior_learning_rate", "other"]
    log = write_log(tmp_path / "log.csv", names)
    output = tmp_path / "new" / "curves.png"
    panels, epochs, _ = plotted(monkeypatch, log, output)
    assert panels == {
        "Loss": ["loss", "val_loss"],
        "PSNR": ["psnr"],
        "Learning rates": ["prior_learning_rate"],
    }
    assert epochs == [1, 2, 3]
    width, height = Image.open(output).size
    assert width > 3 * height  # three panels side by side
    assert [path.name for path in output.parent.iterdir()] == ["curves.png"]


def test_all_panels_are_plotted_for_a_single_epoch(tmp_path):
    names = [name for panel in run_plots._PANELS for name in panel[2]]
    log = write_log(tmp_path / "log.csv", names, epochs=[0])
    plot_run(log, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[1] > 1000


def test_last_row_of_a_repeated_epoch_counts(monkeypatch, tmp_path):
    log = write_log(tmp_path / "log.csv", ["loss"], epochs=[0, 1, 1, 2])
    _, epochs, columns = plotted(monkeypatch, log, tmp_path / "curves.png")
    assert epochs == [1, 2, 3]
    assert columns == {"loss": [0.5, 2.5, 3.5]}


def test_incomplete_last_row_is_plotted(monkeypatch, tmp_path):
    log = write_log(tmp_path / "log.csv", ["loss", "psnr"])
    with log.open("a") as file:
        file.write("3,1.5")
    _, epochs, columns = plotted(monkeypatch, log, tmp_path / "curves.png")
    assert epochs == [1, 2, 3, 4]
    assert columns["loss"][-1] == 1.5
    assert columns["psnr"][-1] != columns["psnr"][-1]  # NaN


def test_columns_without_values_are_skipped(monkeypatch, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,val_loss,psnr\n0,1.5,NA,NA\n1,1.0,NA,20\n")
    panels, _, columns = plotted(monkeypatch, log, tmp_path / "curves.png")
    assert panels == {"Loss": ["loss"], "PSNR": ["psnr"]}


def test_command_writes_to_the_folder_of_the_run(tmp_path):
    write_log(tmp_path / "log.csv", ["loss"])
    values = command.FLAGS
    values(["plot-run", f"--run={tmp_path}"])
    command.main(values)
    assert (tmp_path / "curves.png").is_file()


@pytest.mark.parametrize(
    "text, error, message",
    [
        (None, FileNotFoundError, "log.csv does not exist"),
        ("", ValueError, "no rows yet"),
        ("epoch,loss\n", ValueError, "no rows yet"),
        ("epoch,a,b\n0,1,2\n", ValueError, "Expected some of: loss.*: a, b"),
    ],
)
def test_invalid_logs_raise(text, error, message, tmp_path):
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    with pytest.raises(error, match=message):
        plot_run(tmp_path / "log.csv", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
