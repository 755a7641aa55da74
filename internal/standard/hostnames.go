package standard

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// idnProfile is lookup by UTS 46 with every check that x/net has, and no
// mapping of capitals or compatibility forms: a value is judged, not mended.
var idnProfile = idna.New(idna.ValidateLabels(true), idna.StrictDomainName(true), idna.BidiRule(), idna.VerifyDNSLength(true), idna.CheckHyphens(true), idna.CheckJoiners(true))

// isHostname is RFC 1123 section 2.1: labels of letters, digits and hyphens.
// A label that begins with xn-- must be one that RFC 5891 makes.
func isHostname(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	encoded := false
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && !alphanumeric(c) {
				return false
			}
		}
		encoded = encoded || len(label) > 3 && strings.EqualFold(label[:4], "xn--")
	}
	return !encoded || isIDNHostname(s)
}

// isIDNHostname is RFC 5890 section 2.3.2.3, with the full stops of RFC 3490
// section 3.1. To the checks of x/net it adds those it leaves out: the
// exceptions and contextual rules of RFC 5892, sections 2.6 and appendix A.
func isIDNHostname(s string) bool {
	if len(s) > 1024 { // 253 characters, whatever their script
		return false
	}
	s = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".").Replace(s)
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return false
		}
		if len(label) > 3 && strings.EqualFold(label[:4], "xn--") {
			u, err := idnProfile.ToUnicode(label)
			if err != nil {
				return false
			}
			label = u
		}
		if !isULabel([]rune(label)) {
			return false
		}
	}
	_, err := idnProfile.ToASCII(s)
	return err == nil
}

func isULabel(rs []rune) bool {
	is := func(i int, t *unicode.RangeTable) bool { return i >= 0 && i < len(rs) && unicode.Is(t, rs[i]) }
	var eastern, extended, kana, dot bool
	for i, r := range rs {
		switch {
		case r == 0x0640, r == 0x07FA, r == 0x302E, r == 0x302F, 0x3031 <= r && r <= 0x3035, r == 0x303B:
			return false
		case r == 0x00B7: // between two l
			if i == 0 || i == len(rs)-1 || rs[i-1] != 'l' || rs[i+1] != 'l' {
				return false
			}
		case r == 0x0375:
			if !is(i+1, unicode.Greek) {
				return false
			}
		case r == 0x05F3, r == 0x05F4:
			if !is(i-1, unicode.Hebrew) {
				return false
			}
		case r == 0x30FB:
			dot = true
		case 0x0660 <= r && r <= 0x0669:
			eastern = true
		case 0x06F0 <= r && r <= 0x06F9:
			extended = true
		case unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han):
			kana = true
		case r == '-', r == 0x200C, r == 0x200D, r == 0x06FD, r == 0x06FE, r == 0x0F0B:
		case !unicode.In(r, unicode.L, unicode.M, unicode.N):
			return false
		}
	}
	return (!dot || kana) && !(eastern && extended)
}
