"""Complete video files, reconstructed by `keras-larp reconstruct --full`."""

import itertools

import av
import numpy as np
import pytest
from run_command import run_here, written
from tiny_models import tiny_tokenizer

from keras_larp import data, metrics, models
from keras_larp.cli import reconstruct

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "tokenizer"
    # Long clips and large patches, so that films of few clips take a moment.
    tokenizer = tiny_tokenizer(
        num_frames=16,
        image_size=64,
        patch_size=(8, 16, 16),
        token_dropout={},
    )
    kernel = tokenizer.decoder.pixels.kernel  # initialized to zero
    kernel.assign(0.1 * np.random.default_rng(0).normal(size=kernel.shape))
    tokenizer.save_to_preset(folder)
    return folder


@pytest.fixture
def film(tmp_path):
    """A short video whose size is no multiple of a clip."""
    video = data.MovingShapes(1, 21, 90).render(0)[:, :70]
    data.write_video(tmp_path / "film.mp4", video, 12.5)
    return tmp_path / "film.mp4"


def run(preset, output, *arguments):
    run_here(
        reconstruct,
        *("--full", f"--tokenizer={preset}", f"--output={output}"),
        *arguments,
    )


def test_size_rate_sound_and_number_of_frames_are_kept(
    preset, shared_dir, tmp_path, capsys
):
    path = shared_dir / "data/odd/video_desks.3gp"
    run(preset, tmp_path, f"--data={path}", "--audio")
    assert written(tmp_path) == ["video_desks_reconstruction.mp4"]
    output = tmp_path / "video_desks_reconstruction.mp4"
    assert data.count_frames(output) == data.count_frames(path) == 71
    assert data.frame_rate(output) == data.frame_rate(path)
    original = data.read_clip(path, num_frames=1)
    assert data.read_clip(output, num_frames=1).shape == original.shape
    with av.open(output) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert "71 frames at 14.143 per second, PSNR" in capsys.readouterr().out


def test_rotated_videos_are_written_upright(preset, shared_dir, tmp_path):
    path = shared_dir / "data/odd/video_90.mov"
    run(preset, tmp_path / "display", f"--data={path}")
    output = tmp_path / "display/video_90_reconstruction.mp4"
    assert data.read_clip(output, num_frames=3).shape == (3, 568, 320, 3)
    run(preset, tmp_path, f"--data={path}", "--geometry=stored")
    output = tmp_path / "video_90_reconstruction.mp4"
    assert data.read_clip(output, num_frames=3).shape == (3, 320, 568, 3)


def test_psnr_and_frames_are_those_of_the_library(
    preset, film, tmp_path, capsys
):
    flags = ["--temporal_overlap=3", "--spatial_overlap=5", "--num_tokens=4"]
    run(preset, tmp_path / "output", f"--data={film}", "--batch_size=3", *flags)
    tokenizer = models.LARPTokenizer.from_preset(preset)
    originals = np.stack([*data.stream_frames(film)])
    frames = models.reconstruct_video(tokenizer, originals, 3, 5, 3, 4)
    expected = np.stack([*frames])
    psnr = metrics.psnr(originals / 255, expected / 255)
    mean = float(np.mean([float(value) for value in psnr]))
    assert f"21 frames at 12.5 per second, PSNR {mean:.4f}" in (
        capsys.readouterr().out
    )
    data.write_video(tmp_path / "expected.mp4", expected, 12.5)
    actual = (tmp_path / "output/film_reconstruction.mp4").read_bytes()
    assert actual == (tmp_path / "expected.mp4").read_bytes()


def test_originals_are_read_as_far_as_needed(
    preset, film, tmp_path, monkeypatch
):
    ahead = []
    stream_frames = data.stream_frames

    def counted(*args):
        for i, frame in enumerate(itertools.islice(forever(*args), 100)):
            ahead.append(i)
            yield frame

    def forever(*args):
        while True:
            yield from stream_frames(*args)

    monkeypatch.setattr(data, "stream_frames", counted)
    monkeypatch.setattr(data, "count_frames", lambda path: 100)
    write_video = data.write_video

    def checked(path, frames, *args):
        def check():
            for i, frame in enumerate(frames):
                assert ahead[-1] - i <= 16
                yield frame

        write_video(path, check(), *args)

    monkeypatch.setattr(data, "write_video", checked)
    run(preset, tmp_path, f"--data={film}")
    assert len(ahead) == 100


def test_several_videos_of_which_one_is_damaged(preset, film, tmp_path, capsys):
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(film.read_bytes())
    # In the middle of the frames.
    middle = content.index(b"mdat") + (len(content) // 2)
    content[middle : middle + 200] = bytes(200)
    damaged.write_bytes(content)
    with pytest.raises(data.VideoDecodeError, match="damaged.mp4"):
        list(data.stream_frames(damaged))
    both = f"--data={damaged},{film}"
    output = tmp_path / "output"
    with pytest.raises(data.VideoDecodeError, match="damaged.mp4"):
        run(preset, output, both)
    assert written(output) == []
    run(preset, output, both, "--on_error=skip")
    assert written(output) == ["film_reconstruction.mp4"]
    text = capsys.readouterr().out
    assert "damaged.mp4" in text and "Skipped 1 of 2 videos" in text
    with pytest.raises(ValueError, match="None of the videos"):
        run(preset, output, f"--data={damaged}", "--on_error=skip")


def test_missing_files(preset, tmp_path):
    with pytest.raises(FileNotFoundError, match="--data=a.mp4 does not exist"):
        run(preset, tmp_path, "--data=a.mp4")
    with pytest.raises(ValueError, match="--full needs --data"):
        run(preset, tmp_path)


def test_a_video_without_sound(preset, film, tmp_path):
    with pytest.raises(ValueError, match="--audio.*film.mp4, which has none"):
        run(preset, tmp_path / "output", f"--data={film}", "--audio")
    assert written(tmp_path / "output") == []


def test_inputs_are_not_replaced(preset, film, tmp_path):
    other = tmp_path / "film_reconstruction.mp4"
    other.write_bytes(film.read_bytes())
    with pytest.raises(ValueError, match="would replace .*film_reconstruction"):
        run(preset, tmp_path, f"--data={film},{other}")
    assert other.read_bytes() == film.read_bytes()


def test_names_must_differ(preset, film, tmp_path):
    other = tmp_path / "other" / film.name
    other.parent.mkdir()
    other.write_bytes(film.read_bytes())
    with pytest.raises(ValueError, match="must have different names"):
        run(preset, tmp_path / "output", f"--data={film},{other}")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--full", "--fps=4"], "--fps cannot be combined with --full"),
        (["--full", "--num_clips=4"], "--num_clips cannot be combined"),
        (["--audio"], "--audio needs --full"),
        (["--temporal_overlap=4"], "--temporal_overlap needs --full"),
    ],
)
def test_flags_of_the_other_mode_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        run_here(reconstruct, "--tokenizer=a", *arguments)
