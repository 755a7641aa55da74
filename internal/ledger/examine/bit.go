package examine

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// flipped finds the one bit of data that is not as it was when its checksum,
// CRC-32C, was sum: its number, from the lowest bit of the first byte on. ok is
// false when no one bit explains it. The bit may be one of the sum itself: then
// inSum is set, and bit counts from its lowest.
//
// A CRC is linear: flipping a bit changes it by a value that depends on how far the bit is
// from the end alone, and all of these values differ. So it is known which bit, and
// that is found in one walk from the end.
func flipped(data []byte, sum uint32) (bit int, inSum, ok bool) {
	want := crc32.Checksum(data, castagnoli) ^ sum
	if want == 0 {
		return 0, false, false
	}
	if want&(want-1) == 0 {
		for want > 1 {
			want >>= 1
			bit++
		}
		return bit, true, true
	}
	delta := uint32(crc32.Castagnoli)
	for i := 8*len(data) - 1; i >= 0; i-- {
		if delta == want {
			return i, false, true
		}
		if delta&1 == 1 {
			delta = delta>>1 ^ crc32.Castagnoli
		} else {
			delta >>= 1
		}
	}
	return 0, false, false
}

// anyBit calls good with b after flipping each of its bits from byte `from` to byte `to` in turn,
// and returns the first that good takes. b is as it was when anyBit returns.
func anyBit(b []byte, from, to int, good func() bool) (*Patch, bool) {
	for bit := 8 * from; bit < 8*min(to, len(b)); bit++ {
		b[bit/8] ^= 1 << (bit % 8)
		ok, fixed := good(), b[bit/8]
		b[bit/8] ^= 1 << (bit % 8)
		if ok {
			return &Patch{int64(bit / 8), fixed}, true
		}
	}
	return nil, false
}

// at flips a bit that was found in a part of a file which begins at an offset.
func at(b []byte, offset, bit int) *Patch {
	return &Patch{int64(offset + bit/8), b[offset+bit/8] ^ 1<<(bit%8)}
}

func (p *Patch) apply(b []byte) { b[p.Offset] = p.Byte }
