"""Writes the CSV files of clips of robot arms, split by laboratory.

    python benchmarks/robot_splits.py --data=robot --output=runs/motion

`--data` is a folder with `manifest.tsv`, which has the columns path, verb and
lab. The label is the verb. Clips of `--test_labs` are written to
`robot_test.csv`, all others to `robot_train.csv`, so that no scene, camera or
background of a test clip was seen in training.
"""

import csv
import pathlib

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "Folder of the clips.", required=True)
flags.DEFINE_string("output", "runs/motion", "Folder of the CSV files.")
flags.DEFINE_list(
    "test_labs", ["lab05", "lab06", "lab09"], "Laboratories of test clips."
)


def main(_):
    data = pathlib.Path(FLAGS.data).resolve()
    output = pathlib.Path(FLAGS.output)
    output.mkdir(parents=True, exist_ok=True)
    with open(data / "manifest.tsv", newline="") as file:
        clips = list(csv.DictReader(file, delimiter="\t"))
    for split in ("train", "test"):
        rows = [
            (data / clip["path"], clip["verb"])
            for clip in clips
            if (clip["lab"] in FLAGS.test_labs) == (split == "test")
        ]
        with open(output / f"robot_{split}.csv", "w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *rows])
        print(f"{len(rows)} clips in robot_{split}.csv")


if __name__ == "__main__":
    app.run(main)
