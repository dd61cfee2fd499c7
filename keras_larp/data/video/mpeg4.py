"""Parsing of the VOP headers of MPEG-4 Part 2 (ISO/IEC 14496-2) streams.

A VOP (video object plane) is the codec's coded frame. DivX and Xvid, with
which UCF101 is encoded, store B-frames in AVI files as a "packed bitstream":
one packet holds a P-VOP and the B-VOP that is displayed before it, and a later
packet holds only a placeholder, a VOP that is not coded.
"""

_START_CODE_PREFIX = b"\x00\x00\x01"
_VOP_START_CODE = b"\x00\x00\x01\xb6"
# `vop_coding_type`, the two bits after the start code. P is 1 and S is 3.
I_VOP, B_VOP = 0, 2
# A VOP of up to this size, start code included, has no content
# (`vop_coded == 0`): a placeholder of a packed bitstream, or a dropped frame.
_MAX_UNCODED_VOP_BYTES = 8
# Longest run of packets without a reference frame in a regular stream.
MAX_CONSECUTIVE_B_FRAMES = 8


class Mpeg4StreamParser:
    """Collects the VOP types of a stream, packet by packet.

    Attributes:
        vop_type: `vop_coding_type` of the first VOP in the last packet, or
            `None` if that packet holds no coded VOP.
        has_b_vops: Boolean, whether a packet began with a B-VOP.
        has_uncoded_vops: Boolean, whether a packet began with a VOP that is
            not coded.
    """

    def __init__(self):
        self.vop_type = None
        self.has_b_vops = False
        self.has_uncoded_vops = False
        self._num_packets = 0
        self._num_pending_vops = 0  # packed with an earlier VOP
        self._packets_since_reference = 0
        self._regular = True

    def add(self, packet):
        """Parses the next packet, a PyAV `Packet`, in decoding order."""
        data = bytes(packet)
        self.vop_type, size = _first_vop(data)
        if size > _MAX_UNCODED_VOP_BYTES:
            self._num_pending_vops += data.count(_VOP_START_CODE)
        else:
            self.has_uncoded_vops, self.vop_type = True, None
        self._num_pending_vops -= 1
        is_b_vop = self.vop_type == B_VOP
        self.has_b_vops = self.has_b_vops or is_b_vop
        if self.vop_type is not None and not is_b_vop:
            self._packets_since_reference = 0
        else:
            self._packets_since_reference += 1
        self._regular = (
            self._regular
            and packet.dts == self._num_packets
            and 0 <= self._num_pending_vops <= 1
            and self._packets_since_reference <= MAX_CONSECUTIVE_B_FRAMES
        )
        self._num_packets += 1

    def is_regular(self):
        """Whether the decoder outputs one frame per packet, but for the first.

        With B-VOPs a decoder delays its output by one frame. It then outputs
        the next frame in display order for each packet after the first, if each
        packet provides it with one VOP, either its own or one that was packed
        into an earlier packet.
        """
        return self._regular and self._num_packets > 0


def _first_vop(data):
    """Returns type and size in bytes of the first VOP in a packet's data."""
    start = data.find(_VOP_START_CODE)
    if start < 0:
        return None, 0
    header = start + len(_VOP_START_CODE)
    end = data.find(_START_CODE_PREFIX, header)
    size = (len(data) if end < 0 else end) - start
    vop_type = data[header] >> 6 if size > len(_VOP_START_CODE) else None
    return vop_type, size
