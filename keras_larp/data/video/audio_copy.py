"""Copying the audio track of a video file."""

import os
from typing import Any

from keras_larp.data.video.frame_index import open_video


class AudioCopy:
    """Copies the first audio track of a video file to a container.

    Packets are copied without decoding, a few at a time: containers hold
    packets in memory until those of all streams are there.

    Args:
        path: String or path of the video file.
        output: PyAV container that is open for writing.

    Raises:
        ValueError: If the file has no audio track, or `output` cannot store
            it.
        VideoDecodeError: If the file does not open.
    """

    def __init__(self, path: str | os.PathLike, output: Any):
        self._output = output
        self._stream = None
        codec = None
        # Errors within the block are taken for those of a damaged file.
        with open_video(path) as (container, _):
            if audio := _first_audio(container):
                codec = audio.codec_context.codec.canonical_name
                if codec in output.supported_codecs:
                    self._stream = output.add_stream_from_template(audio)
        if codec is None:
            raise ValueError(
                "`audio_from` (--audio) must be a video with an audio track "
                f"that FFmpeg can read. Received: {path}, which has none"
            )
        if self._stream is None:
            raise ValueError(
                f"A file in {output.format.long_name} format cannot store the "
                f"audio of {path}. Received: codec={codec}. Convert it before: "
                f"`ffmpeg -i {path} -c:v copy -c:a aac converted.mkv`"
            )
        self._packets = _packets(path)
        self._next = next(self._packets, None)

    def copy(self, until: float) -> None:
        """Copies the next packets, those that start before a time.

        Args:
            until: Float. Seconds since the first frame of the video.
        """
        while self._next is not None and _start(self._next) < until:
            self._next.stream = self._stream
            self._output.mux(self._next)
            self._next = next(self._packets, None)


def _first_audio(container):
    """Returns the first audio stream that has a known codec, or `None`."""
    for stream in container.streams.audio[:1]:
        if stream.codec_context is not None:
            return stream
    return None


def _start(packet):
    return packet.dts * packet.time_base


def _packets(path):
    """Yields packets with timestamps relative to the first video frame."""
    with open_video(path) as (container, video):
        audio = _first_audio(container)
        start = (video.start_time or 0) * video.time_base / audio.time_base
        for packet in container.demux(audio):
            if packet.dts is None:  # PyAV's flush packet at the end
                continue
            packet.dts -= round(start)
            packet.pts -= round(start)
            yield packet
