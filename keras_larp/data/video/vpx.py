"""Parsing of the frame headers of VP8 (RFC 6386) and VP9 streams.

Encoders insert frames that only serve as references ("alternate reference
frames") and are not displayed. VP9 encoders usually pack them into a superframe
with the next displayed frame, but some files store them as separate packets.
"""


def is_hidden_frame(codec_name: str, packet) -> bool:
    """Whether a packet holds only a frame that is not displayed.

    Args:
        codec_name: String, FFmpeg's name of the codec. `False` is returned for
            codecs other than `"vp8"` and `"vp9"`.
        packet: PyAV `Packet`, not empty.
    """
    if codec_name == "vp8":
        return not bytes(memoryview(packet)[:1])[0] & 0x10  # `show_frame`
    if codec_name == "vp9":
        data = memoryview(packet)
        return not _is_vp9_superframe(data) and not _is_vp9_displayed(data[0])
    return False


def _is_vp9_superframe(data):
    """Whether the data ends with a superframe index."""
    marker = data[-1]
    if marker & 0xE0 != 0xC0:
        return False
    num_frames = (marker & 0x7) + 1
    bytes_per_size = (marker >> 3 & 0x3) + 1
    index_size = 2 + num_frames * bytes_per_size
    return len(data) >= index_size and data[-index_size] == marker


def _is_vp9_displayed(header):
    """Whether a frame whose header starts with this byte is displayed."""
    bits = [header >> (7 - i) & 1 for i in range(8)]
    is_profile_3 = bits[2] and bits[3]
    # Frame marker (2 bits), profile (2 bits, followed by a reserved bit in
    # profile 3), `show_existing_frame`, `frame_type`, `show_frame`.
    position = 5 if is_profile_3 else 4
    return bool(bits[position] or bits[position + 2])
