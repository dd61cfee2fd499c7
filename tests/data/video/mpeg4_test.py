"""VOP headers of MPEG-4 Part 2 streams."""

import pytest

from keras_larp.data.video.mpeg4 import B_VOP, I_VOP, Mpeg4StreamParser

pytestmark = pytest.mark.once

P_VOP = 1
HEADER = b"\x00\x00\x01\xb0\x01"  # start code of a visual object sequence
UNCODED = b"\x00\x00\x01\xb6\x50\x00\x00"


class Packet(bytes):
    """The parts of a PyAV packet that the parser reads."""

    def __new__(cls, data, dts):
        packet = super().__new__(cls, data)
        packet.dts = dts
        return packet


def vop(vop_type):
    return b"\x00\x00\x01\xb6" + bytes([vop_type << 6]) + 20 * b"\xff"


def parse(*contents):
    parser = Mpeg4StreamParser()
    for i, content in enumerate(contents):
        parser.add(Packet(content, dts=i))
    return parser


@pytest.mark.parametrize("vop_type", [I_VOP, P_VOP, B_VOP])
def test_vop_type(vop_type):
    parser = parse(HEADER + vop(vop_type))
    assert parser.vop_type == vop_type
    assert parser.has_b_vops == (vop_type == B_VOP)
    assert not parser.has_uncoded_vops


@pytest.mark.parametrize("content", [b"", HEADER, UNCODED])
def test_packets_without_a_coded_vop(content):
    parser = parse(vop(I_VOP), content)
    assert parser.vop_type is None
    assert parser.has_uncoded_vops


def test_packed_bitstreams_are_regular():
    packed = vop(P_VOP) + vop(B_VOP)
    parser = parse(vop(I_VOP), packed, UNCODED, packed, UNCODED)
    assert parser.is_regular()
    assert not parser.has_b_vops  # No packet starts with one.


def test_b_vops_in_their_own_packets_are_regular():
    assert parse(vop(I_VOP), vop(P_VOP), vop(B_VOP), vop(B_VOP)).is_regular()


@pytest.mark.parametrize(
    "contents",
    [
        [],
        [vop(I_VOP), UNCODED],  # a dropped frame
        [vop(I_VOP), vop(P_VOP) + 2 * vop(B_VOP)],  # too many packed VOPs
        [vop(I_VOP), *(9 * [vop(B_VOP)])],  # too far from a reference frame
    ],
)
def test_irregular_streams(contents):
    assert not parse(*contents).is_regular()


def test_streams_with_other_decoding_timestamps_are_irregular():
    parser = Mpeg4StreamParser()
    parser.add(Packet(vop(I_VOP), dts=1))
    assert not parser.is_regular()
